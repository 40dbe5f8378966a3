//! Tasks 2, 6 and 7: whole passes and loops, against kvlab's own engine.

use std::sync::{Arc, atomic::AtomicBool};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use kvlab::{
    engine::{Session, SessionConfig},
    model::{LoadedModel, ModelSource},
};

use crate::{
    contract::Lab,
    given::{Model, Pass, Sampler},
};

/// The cached loop is compared over so many tokens, the uncached one over fewer: each costs it the whole text.
const N_NEW: usize = 60;
const N_NEW_UNCACHED: usize = 30;

/// Two need a fact from before, so that a cache that lost or misplaced it shows; the third begins a story.
pub const PROMPTS: [&str; 3] = [
    "Mia keeps a red key and lives with a fox. Tom loves soup. Tom plays the drum. Mia took out her",
    "Mia has a dog. Mia fed her",
    "Once upon a time there were",
];

/// The same prompts and how kvlab goes on, with its `contiguous` lane.
pub struct Reference {
    pub kvlab: Arc<LoadedModel>,
    pub runs: Vec<Run>,
}

/// One prompt and its greedy continuation.
pub struct Run {
    pub prompt: Vec<u32>,
    pub tokens: Vec<u32>,
    /// The logits `[V]` behind each token.
    pub logits: Vec<Tensor>,
}

impl Reference {
    pub fn new() -> Result<Self> {
        let never = AtomicBool::new(false);
        let kvlab = Arc::new(ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &never)?);
        let tokenizer = kvlab.tokenizer.as_ref().context("the story model has a tokenizer")?;
        let run = |text: &str| -> Result<Run> {
            let prompt = tokenizer.encode(text)?;
            let mut session = Session::new(kvlab.clone(), "contiguous".parse()?, SessionConfig::default())?;
            let mut logits = vec![];
            session.prefill(&prompt, &never)?;
            loop {
                logits.push(session.logits().context("a step leaves logits")?.clone());
                if logits.len() == N_NEW {
                    break;
                }
                session.decode(&never)?;
            }
            Ok(Run { prompt, tokens: session.generated().to_vec(), logits })
        };
        let runs = PROMPTS.into_iter().map(run).collect::<Result<_>>()?;
        Ok(Self { kvlab, runs })
    }
}

/// How far apart two right ways to compute the same logits may lie: products of another height, and softmax in another
/// place, add in another order. This is kvlab's own bound between its lanes (ARCHITECTURE.md, "What is equal to what").
pub fn tolerance(logits: &Tensor) -> Result<f32> {
    Ok((1e-5 * logits.abs()?.max_all()?.to_scalar::<f32>()?).max(1e-4))
}

pub fn uncached_loop_runs_everything_again<L: Lab>(reference: &Reference, model: &Model) -> Result<()> {
    let run = &reference.runs[1];
    let (tokens, _) = uncached::<L>(model, run, 4)?;
    let text = [&run.prompt[..], &tokens].concat();
    let expected: Vec<Pass> = (0..4).map(|new| pass(&text, 0, run.prompt.len() + new)).collect();
    same_passes("generate_uncached", &model.take_passes(), &expected)
}

pub fn uncached_tokens_equal_kvlab<L: Lab>(reference: &Reference, model: &Model) -> Result<()> {
    for run in &reference.runs {
        let (tokens, logits) = uncached::<L>(model, run, N_NEW_UNCACHED)?;
        same_text("generate_uncached", reference, run, &tokens, &logits)?;
    }
    Ok(())
}

pub fn positions_continue_after_prefill<L: Lab>(reference: &Reference, model: &Model) -> Result<()> {
    let run = &reference.runs[1];
    let mut cache = L::new_cache(model.n_layer());
    let (first, second) = run.prompt.split_at(3);
    for tokens in [first, second, &run.tokens[..1]] {
        L::forward_cached(model, tokens, &mut cache).context("forward_cached returned an error")?;
    }
    let (n, text) = (run.prompt.len(), [&run.prompt[..], &run.tokens].concat());
    let expected = [pass(&text, 0, 3), pass(&text, 3, n), pass(&text, n, n + 1)];
    same_passes("forward_cached of two chunks and one token", &model.take_passes(), &expected)
}

pub fn chunked_prefill_equals_whole<L: Lab>(reference: &Reference, model: &Model) -> Result<()> {
    let run = &reference.runs[0];
    for chunk in [run.prompt.len(), 7, 1] {
        let mut cache = L::new_cache(model.n_layer());
        let mut logits = None;
        for tokens in run.prompt.chunks(chunk) {
            logits = Some(L::forward_cached(model, tokens, &mut cache).context("forward_cached returned an error")?);
        }
        let n_tokens = L::n_tokens(&cache);
        ensure!(
            n_tokens == run.prompt.len(),
            "after a prompt of {} tokens in chunks of {chunk} the cache holds {n_tokens}",
            run.prompt.len()
        );
        let logits = logits.context("the prompt is not empty")?;
        let (difference, tolerance) = difference(&logits, &run.logits[0])?;
        ensure!(
            difference <= tolerance,
            "a prompt of {} tokens in chunks of {chunk}: the logits differ from kvlab's by {difference:.1e}, and \
             {tolerance:.0e} is what rounding explains. Does every layer append before it attends, to its own keys and values?",
            run.prompt.len()
        );
    }
    Ok(())
}

pub fn each_token_runs_once<L: Lab>(reference: &Reference, model: &Model) -> Result<()> {
    let (run, chunk) = (&reference.runs[1], 3);
    cached::<L>(model, run, 4, chunk)?;
    let passes = model.take_passes();
    let got: Vec<usize> = passes.iter().map(|pass| pass.tokens.len()).collect();
    let expected: Vec<usize> = run.prompt.chunks(chunk).map(<[u32]>::len).chain([1; 3]).collect();
    ensure!(
        got == expected,
        "generate_cached, 4 tokens after a prompt of {} in chunks of {chunk}: its passes ran {got:?} tokens; {expected:?} was \
         expected. The prompt runs once, in chunks; each new token runs once, but for the last, which nobody reads",
        run.prompt.len()
    );
    // A cache that began anew in the middle would make positions begin anew.
    let n_stored = run.prompt.len() + 3;
    let stand: Vec<u32> = passes.iter().flat_map(|pass| pass.positions.clone()).collect();
    ensure!(
        stand.iter().copied().eq((0..).take(n_stored)),
        "generate_cached ran its tokens at positions {stand:?}; 0 to {} in their order was expected. Is one cache used from the \
         first chunk to the last token?",
        n_stored - 1
    );
    Ok(())
}

pub fn cached_tokens_equal_uncached<L: Lab>(reference: &Reference, model: &Model) -> Result<()> {
    for (run, chunk) in reference.runs.iter().zip([7, 1, 512]) {
        let (tokens, logits) = cached::<L>(model, run, N_NEW, chunk)?;
        let fed: Vec<u32> = model.take_passes().into_iter().flat_map(|pass| pass.tokens).collect();
        let text = [&run.prompt[..], &tokens].concat();
        if let Some(at) = (0..fed.len()).find(|at| fed[*at] != text[*at]) {
            bail!(
                "generate_cached ran token {} at position {at}, and the text has token {} there: the token to run is the one \
                 that was just picked",
                fed[at],
                text[at]
            );
        }
        same_text("generate_cached", reference, run, &tokens, &logits)?;
    }
    Ok(())
}

fn uncached<L: Lab>(model: &Model, run: &Run, n_new: usize) -> Result<(Vec<u32>, Vec<Tensor>)> {
    let mut sampler = Sampler::new(n_new);
    let tokens =
        L::generate_uncached(model, &run.prompt, n_new, &mut sampler).context("generate_uncached returned an error")?;
    returned_what_it_picked("generate_uncached", n_new, tokens, sampler)
}

fn cached<L: Lab>(model: &Model, run: &Run, n_new: usize, chunk: usize) -> Result<(Vec<u32>, Vec<Tensor>)> {
    let mut sampler = Sampler::new(n_new);
    let tokens = L::generate_cached(model, &run.prompt, n_new, chunk, &mut sampler)
        .context("generate_cached returned an error")?;
    returned_what_it_picked("generate_cached", n_new, tokens, sampler)
}

fn returned_what_it_picked(
    function: &str,
    n_new: usize,
    tokens: Vec<u32>,
    sampler: Sampler,
) -> Result<(Vec<u32>, Vec<Tensor>)> {
    let (returned, picked) = (tokens.len(), sampler.picked.len());
    let hint = if returned > n_new { "; the prompt is not returned" } else { "" };
    ensure!(
        returned == n_new && picked == n_new,
        "{function} was asked for {n_new} tokens, picked {picked} and returned {returned}{hint}"
    );
    ensure!(tokens == sampler.picked, "{function} returned other tokens than the sampler picked");
    Ok((tokens, sampler.logits))
}

/// The tokens `from..to` of `text`, where they stand.
fn pass(text: &[u32], from: usize, to: usize) -> Pass {
    Pass { tokens: text[from..to].to_vec(), positions: (0..).take(to).skip(from).collect() }
}

fn same_passes(function: &str, got: &[Pass], expected: &[Pass]) -> Result<()> {
    for (i, expected) in expected.iter().enumerate() {
        let Some(got) = got.get(i) else {
            bail!("{function} made {i} forward passes; {} were expected", i + 1);
        };
        ensure!(
            got.tokens.len() == expected.tokens.len(),
            "{function}: forward pass {} ran {} token(s); {} were expected",
            i + 1,
            got.tokens.len(),
            expected.tokens.len()
        );
        ensure!(
            got.positions == expected.positions,
            "{function}: forward pass {} ran its tokens at positions {:?}; they stand at {:?} in the text",
            i + 1,
            got.positions,
            expected.positions
        );
        ensure!(got.tokens == expected.tokens, "{function}: forward pass {} ran other tokens than the text has", i + 1);
    }
    ensure!(
        got.len() == expected.len(),
        "{function} made {} forward passes; {} were expected",
        got.len(),
        expected.len()
    );
    Ok(())
}

fn same_text(function: &str, reference: &Reference, run: &Run, tokens: &[u32], logits: &[Tensor]) -> Result<()> {
    if let Some(at) = tokens.iter().zip(&run.tokens).position(|(a, b)| a != b) {
        let tokenizer = reference.kvlab.tokenizer.as_ref().context("the story model has a tokenizer")?;
        let around = |ids: &[u32]| tokenizer.decode(&ids[..ids.len().min(at + 4)]);
        bail!(
            "{function}: new token {at} differs from kvlab's. After \"{}\" came \"{}\"; \"{}\" was expected",
            tokenizer.decode(&run.prompt)?,
            around(tokens)?,
            around(&run.tokens)?
        );
    }
    for (at, (got, expected)) in logits.iter().zip(&run.logits).enumerate() {
        let (difference, tolerance) = difference(got, expected)?;
        ensure!(
            difference <= tolerance,
            "{function}: the tokens are right, and the logits of new token {at} are {difference:.1e} from kvlab's; \
             {tolerance:.0e} is what rounding explains"
        );
    }
    Ok(())
}

/// The largest difference, and how large it may be; NaN is larger than that.
fn difference(got: &Tensor, expected: &Tensor) -> Result<(f32, f32)> {
    ensure!(got.dims() == expected.dims(), "logits are {:?}; [V] = {:?} was expected", got.dims(), expected.dims());
    let differences = (got - expected)?.abs()?.to_vec1::<f32>()?;
    let largest = differences.iter().fold(0.0_f32, |most, x| if x.is_nan() { f32::INFINITY } else { most.max(*x) });
    Ok((largest, tolerance(expected)?))
}
