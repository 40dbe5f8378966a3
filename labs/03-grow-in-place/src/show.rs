//! The story model over your cache, over concatenation, and over kvlab's own of both kinds: what each copied, and when a token became slow.

use std::{
    io::Write,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use kvlab::{
    cache::{GuestBytes, GuestCache, GuestStep},
    engine::{Session, SessionConfig},
    measure::stats::median,
    model::Logits,
    report::units::{bytes, count, secs},
};
use labkit::{
    Caught, caught,
    story::{PROMPT, Story},
};

use crate::{
    exercise,
    given::{Concat, STORY},
    mine, solution,
};

/// Tokens that are generated; with the prompt they fill two thirds of the context.
pub const NEW_TOKENS: usize = 650;
/// A median over this many tokens at either end.
const EDGE: usize = 64;
/// Whole runs of each cache, in turns. What else the machine does only ever adds time, so of a token's times the shortest counts.
const ROUNDS: usize = 3;

/// One pass: runs tokens behind some past and returns the token that follows.
type Run<'a> = dyn FnMut(&[u32], usize) -> Result<u32> + 'a;

type Prefill = fn(&[u32], usize, usize, &mut Run<'_>) -> Result<Option<u32>>;

/// What is shown of a module.
struct Yours {
    concat_copied_bytes: fn(u64, u64, u64) -> u64,
    prefill: Prefill,
    cache: fn() -> Box<dyn GuestCache>,
}

/// What one cache did.
struct Measured {
    name: &'static str,
    tokens: Vec<u32>,
    /// Seconds of each pass of one token.
    token_secs: Vec<f64>,
    /// Of those, in `append` of all layers. kvlab's lanes do not tell.
    append_secs: Vec<f64>,
    bytes: GuestBytes,
}

impl Measured {
    fn keep_shorter(&mut self, again: &Self) {
        for (best, again) in [(&mut self.token_secs, &again.token_secs), (&mut self.append_secs, &again.append_secs)] {
            for (best, again) in best.iter_mut().zip(again) {
                *best = best.min(*again);
            }
        }
    }
}

/// See [`table`].
pub fn show(variant: &str, out: &mut dyn Write) -> Result<()> {
    table(variant, NEW_TOKENS, out)
}

/// A line for each of four caches, over `n_new` tokens of the same story.
pub fn table(variant: &str, n_new: usize, out: &mut dyn Write) -> Result<()> {
    let yours = match variant {
        "exercise" => Yours {
            concat_copied_bytes: exercise::concat_copied_bytes,
            prefill: |tokens, cached, chunk, run| exercise::prefill(tokens, cached, chunk, run),
            cache: mine::exercise,
        },
        "solution" => Yours {
            concat_copied_bytes: solution::concat_copied_bytes,
            prefill: |tokens, cached, chunk, run| solution::prefill(tokens, cached, chunk, run),
            cache: mine::solution,
        },
        other => bail!("`show` runs your exercise or the solution, not {other}"),
    };
    let mut text = vec![];
    match caught(|| numbers(&yours, n_new, &mut text)) {
        Ok(()) => out.write_all(&text)?,
        Err(Caught::Todo(text)) => bail!("nothing to show yet: {text}"),
        Err(Caught::Panic(text)) => bail!("the code panicked: {text}"),
        Err(Caught::Error(error)) => return Err(error),
    }
    Ok(())
}

fn numbers(yours: &Yours, n_new: usize, out: &mut dyn Write) -> Result<()> {
    let story = Story::load()?;
    let mut measured: Vec<Measured> = vec![];
    for round in 0..ROUNDS {
        let again = [
            guest("given concat", &story, yours, Box::new(Concat::new(STORY)), n_new)?,
            guest("yours", &story, yours, (yours.cache)(), n_new)?,
            lane("kvlab concat", "concat", &story, n_new)?,
            lane("kvlab contiguous", "contiguous", &story, n_new)?,
        ];
        if round == 0 {
            measured = again.into();
        } else {
            measured.iter_mut().zip(again).for_each(|(best, again)| best.keep_shorter(&again));
        }
    }
    let edge = EDGE.min(measured[0].token_secs.len() / 2);
    let titles = ["append", "append", "token", "token", "copied", "used", "reserved"];
    writeln!(out, "{:<17}{}", "", titles.map(|title| format!("{title:>12}")).concat())?;
    writeln!(out, "{:<17}{}", "cache", ["early", "late", "early", "late"].map(|when| format!("{when:>12}")).concat())?;
    for Measured { name, token_secs, append_secs, bytes: taken, .. } in &measured {
        let early = |times: &[f64]| median(&times[..edge.min(times.len())]).map_or("-".into(), secs);
        let late = |times: &[f64]| median(&times[times.len().saturating_sub(edge)..]).map_or("-".into(), secs);
        let [copied, used, reserved] = [taken.copied_bytes, taken.used_bytes, taken.reserved_bytes].map(bytes);
        let times = [early(append_secs), late(append_secs), early(token_secs), late(token_secs)];
        let cells: Vec<_> = times.iter().chain([&copied, &used, &reserved]).map(|cell| format!("{cell:>12}")).collect();
        writeln!(out, "{name:<17}{}", cells.concat())?;
    }
    let n_prompt = story.tokens(PROMPT)?.len();
    writeln!(
        out,
        "\n{n_new} new tokens behind a prompt of {n_prompt}. early, late: the median of the first and the last {edge} tokens,\n\
         of each token the shortest time of {ROUNDS} runs.\n\
         append   storing keys and values of a token in all layers\n\
         token    the whole pass and the choice of the next token\n\
         copied   bytes of rows that were moved; concatenation writes the new ones anew with the old\n"
    )?;

    let passes = n_new as u64 - 1; // the last token is chosen and never run
    let formula = (yours.concat_copied_bytes)(n_prompt as u64, passes, STORY.token_bytes());
    let [concat, kvlab] = [&measured[0], &measured[2]].map(|of| of.bytes.copied_bytes);
    let mark = if [concat, kvlab] == [formula; 2] { "" } else { "   differs" };
    let [formula, concat, kvlab] = [formula, concat, kvlab].map(count);
    writeln!(out, "Task 1 says {formula} bytes; given concat copied {concat}, kvlab's {kvlab}.{mark}")?;
    let theirs = &measured[3].tokens;
    let same = measured[1].tokens.iter().zip(theirs).take_while(|(yours, theirs)| yours == theirs).count();
    writeln!(out, "Your cache and kvlab's contiguous wrote the same first {same} of {} tokens.", theirs.len())?;
    if same < theirs.len() {
        writeln!(
            out,
            "They round differently, so that two tokens that are nearly as likely may change places, late in a story."
        )?;
    }
    Ok(())
}

/// Generates over a guest, all of it through the learner's `prefill`: a decoded token is one that is not cached yet.
fn guest(
    name: &'static str,
    story: &Story,
    yours: &Yours,
    cache: Box<dyn GuestCache>,
    n_new: usize,
) -> Result<Measured> {
    let (model, never) = (&story.0.model, AtomicBool::new(false));
    let mut cache = Timed { cache, append_secs: 0.0 };
    let mut tokens = story.tokens(PROMPT)?;
    let (n_prompt, mut cached) = (tokens.len(), 0);
    let (mut token_secs, mut append_secs) = (vec![], vec![]);
    while tokens.len() < n_prompt + n_new {
        let start = Instant::now();
        let next = (yours.prefill)(&tokens, cached, n_prompt, &mut |part, past| {
            let mut step = GuestStep::new(&mut cache, model.config().heads(), past, part.len());
            let logits = model.forward(part, &mut step, None, Logits::Last, &never)?;
            Ok(logits.get(0)?.argmax(0)?.to_scalar::<u32>()?) // [1, V] -> [V]
        })?;
        let appending = std::mem::take(&mut cache.append_secs);
        if cached > 0 {
            token_secs.push(start.elapsed().as_secs_f64());
            append_secs.push(appending);
        }
        cached = tokens.len();
        tokens.push(next.context("prefill returned no token, and there was one to run")?);
    }
    Ok(Measured { name, tokens: tokens.split_off(n_prompt), token_secs, append_secs, bytes: cache.bytes() })
}

/// The same over a lane of kvlab.
fn lane(name: &'static str, lane: &str, story: &Story, n_new: usize) -> Result<Measured> {
    let never = AtomicBool::new(false);
    let mut session = Session::new(Arc::clone(&story.0), lane.parse()?, SessionConfig::default())?;
    session.prefill(&story.tokens(PROMPT)?, &never)?;
    let records = (1..n_new).map(|_| session.decode(&never)).collect::<Result<Vec<_>, _>>()?;
    let taken = session.cache().context("the lane has a cache")?.0.footprint();
    let (reserved_bytes, used_bytes, copied_bytes) = (taken.reserved_bytes, taken.used_bytes, taken.copied_bytes);
    Ok(Measured {
        name,
        tokens: session.generated().to_vec(),
        token_secs: records.iter().map(|record| record.total_secs).collect(),
        append_secs: vec![],
        bytes: GuestBytes { reserved_bytes, used_bytes, copied_bytes },
    })
}

/// A guest whose appends are timed.
struct Timed {
    cache: Box<dyn GuestCache>,
    append_secs: f64,
}

impl GuestCache for Timed {
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        let start = Instant::now();
        self.cache.append(layer, k, v);
        self.append_secs += start.elapsed().as_secs_f64();
    }

    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
        self.cache.attend(layer, q)
    }

    fn bytes(&self) -> GuestBytes {
        self.cache.bytes()
    }
}
