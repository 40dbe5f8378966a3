//! Does a device compute what it should? Against logits of another implementation, and lane by lane against the CPU.
//!
//! This is what `kvlab doctor --gpu` runs where there is a GPU, and what CI runs where there is none, on a driver that is emulated.

use std::sync::{Arc, atomic::AtomicBool};

use candle_core::{Device, Tensor};
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;

use crate::{
    cache::{CacheError, CacheSpec, HeadShape, KvAccess, KvShape, KvStore, Lane, SeqId, StoreConfig},
    engine::{EngineError, Session, SessionConfig},
    model::{LoadedModel, Logits, ModelError, ModelSource},
};

/// Logits in f32 may differ by so much: other orders of additions, over a few layers. The bar; 1e-5 is usual.
pub const LOGITS: f32 = 1e-3;

/// Lanes that keep every row as it is.
pub const EXACT_LANES: [&str; 7] = ["none", "concat", "contiguous", "paged:1", "paged:7", "paged:16", "paged:64"];

/// Lanes that round may differ by so much: a hair decides between two codes of a value, and then its whole step is between the two. Up to
/// 0.12 was seen, in lanes of 4 bits.
pub const LOSSY_LOGITS: f32 = 0.5;

/// Attention over the same rows in the same format: only the order of additions is another.
pub const ATTENTION: f32 = 1e-4;

/// Attention weights are looked at as pictures have them, a byte each: one step of it.
pub const PICTURE: f32 = 1.01 / 255.0;

/// Lanes whose attention, keys and values are looked into.
const SEEN_LANES: [&str; 5] = ["none", "concat", "paged:16", "paged:16+window:4/20", "contiguous+h2o:16/16"];

/// Lanes that round, rotate or forget, each kernel among them.
pub const LOSSY_LANES: [&str; 18] = [
    "contiguous+f16",
    "paged:16+bf16",
    "paged:16+f8",
    "concat+int8",
    "paged:16+int8",
    "paged:7+q8_0",
    "paged:16+q4_0",
    "contiguous+int4",
    "paged:16+int8+rot",
    "paged:32+kivi:2/0",
    "contiguous+kivi:4",
    "paged:32+kivi:8/8+rot",
    "concat+window:4/20",
    "paged:16+window:4/20",
    "concat+h2o:16/16",
    "paged:16+h2o:16/16",
    "paged:16+int8+h2o-mean:16/16",
    "paged:32+kivi:4/8+h2o:16/32",
];

/// One lane on a device, beside what it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conformed {
    pub lane: String,
    /// What it was compared with.
    pub reference: &'static str,
    pub logit_rows: usize,
    pub max_logit_difference: f32,
    /// How far they may differ.
    pub allowed: f32,
    /// Of those, whose likeliest token is another, although it was likelier by more than that.
    pub other_tokens: usize,
}

impl Conformed {
    /// Exact lanes within [`LOGITS`], others within [`LOSSY_LOGITS`].
    fn compare(lane: &str, reference: &'static str, seen: &[Vec<f32>], expected: &[Vec<f32>]) -> Self {
        let allowed = if EXACT_LANES.contains(&lane) { LOGITS } else { LOSSY_LOGITS };
        Self::within(allowed, lane.to_owned(), reference, seen, expected)
    }

    fn within(allowed: f32, lane: String, reference: &'static str, seen: &[Vec<f32>], expected: &[Vec<f32>]) -> Self {
        let pairs = || seen.iter().zip(expected);
        let difference = |(a, b): (&Vec<f32>, &Vec<f32>)| {
            if a.len() != b.len() {
                return f32::INFINITY;
            }
            let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            // What is no number is as far off as can be.
            worst.fold(0.0_f32, |most, x| if x.is_nan() { f32::INFINITY } else { most.max(x) })
        };
        let first_largest = |row: &[f32]| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter().position(|x| *x >= largest)
        };
        let is_other = |seen: &[f32], expected: &[f32]| {
            let (Some(a), Some(b)) = (first_largest(seen), first_largest(expected)) else { return true };
            a != b && expected[b] - expected[a] > 2.0 * allowed
        };
        Self {
            lane,
            reference,
            allowed,
            logit_rows: if seen.len() == expected.len() { seen.len() } else { 0 },
            max_logit_difference: pairs().map(difference).fold(0.0, f32::max),
            other_tokens: pairs().filter(|(seen, expected)| is_other(seen, expected)).count(),
        }
    }

    /// Whether that is near enough.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.logit_rows > 0 && self.other_tokens == 0 && self.max_logit_difference <= self.allowed
    }
}

/// A checkpoint of 2 layers with random weights, and what transformers computes with it (`tests/goldens`).
const GOLDEN: [(&str, &[u8]); 3] = [
    ("config.json", include_bytes!("../../tests/goldens/gpt2-2l-2h-16d/config.json")),
    ("model.safetensors", include_bytes!("../../tests/goldens/gpt2-2l-2h-16d/model.safetensors")),
    ("reference.safetensors", include_bytes!("../../tests/goldens/gpt2-2l-2h-16d/reference.safetensors")),
];

/// The golden logits on a device, through every exact lane.
///
/// # Errors
/// A device that fails, a folder for temporary files that cannot be written.
pub fn goldens(device: &Device, cancel: &AtomicBool) -> Result<Vec<Conformed>, EngineError> {
    let broken = |error: &dyn std::fmt::Display| {
        EngineError::Model(ModelError::BadWeights(format!("the embedded golden checkpoint: {error}")))
    };
    let folder = tempfile::tempdir().map_err(|e| broken(&e))?;
    for (name, bytes) in GOLDEN {
        std::fs::write(folder.path().join(name), bytes).map_err(|e| broken(&e))?;
    }
    let reference = candle_core::safetensors::load(folder.path().join("reference.safetensors"), &Device::Cpu)?;
    let of = |name: &str| reference.get(name).ok_or_else(|| broken(&name));
    let prompt = of("prompt_ids")?.to_vec1::<i64>()?;
    let prompt: Vec<u32> = prompt.into_iter().filter_map(|id| u32::try_from(id).ok()).collect();
    let expected: Vec<Vec<f32>> = of("decode_logits")?.to_vec2()?;
    let model = Arc::new(ModelSource::Folder(folder.path().into()).load(device, &mut |_| {}, cancel)?);
    let lanes = EXACT_LANES.iter().map(|lane| {
        let seen = decode(&model, lane, &prompt, expected.len(), cancel)?;
        Ok(Conformed::compare(lane, "transformers", &seen, &expected))
    });
    lanes.collect()
}

/// Every lane on a device against the same lane on the CPU, with the embedded model: `seen` gets one after the other.
///
/// # Errors
/// A device that fails.
pub fn against_cpu(device: &Device, cancel: &AtomicBool, seen: &mut dyn FnMut(Conformed)) -> Result<(), EngineError> {
    let load = |device| ModelSource::Story.load(device, &mut |_| {}, cancel).map(Arc::new);
    let (here, there) = (load(&Device::Cpu)?, load(device)?);
    let prompt: Vec<u32> = (0..40).map(token).collect();
    for lane in EXACT_LANES.into_iter().chain(LOSSY_LANES) {
        let on = |model: &Arc<LoadedModel>| -> Result<Vec<Vec<f32>>, EngineError> {
            let mut rows = decode(model, lane, &prompt, 24, cancel)?;
            if let Ok(Lane::Cache(spec)) = lane.parse() {
                rows.extend(sequences(model, spec, cancel)?);
            }
            Ok(rows)
        };
        seen(Conformed::compare(lane, "the CPU", &on(&there)?, &on(&here)?));
    }
    for lane in SEEN_LANES {
        let [there, here] = [&there, &here].map(|model| looked_into(model, lane, &prompt, cancel));
        let ((there, there_rows), (here, here_rows)) = (there?, here?);
        seen(Conformed::within(PICTURE, format!("{lane}, attention"), "the CPU", &there, &here));
        if !here_rows.is_empty() {
            seen(Conformed::within(LOGITS, format!("{lane}, keys and values"), "the CPU", &there_rows, &here_rows));
        }
    }
    for heads in HEADS {
        for format in FORMATS {
            let [there, here] = [device, &Device::Cpu].map(|device| attend(device, heads, format, cancel));
            let (there, here) = (there?, here?);
            let HeadShape { n_head, n_kv_head, head_dim } = heads;
            let lane = format!("attention of {n_head} heads over {n_kv_head} of {head_dim}, {format}");
            seen(Conformed::within(ATTENTION, lane, "the CPU", &there, &here));
        }
    }
    Ok(())
}

/// Heads of GPT-2's width and of twice that, which have kernels of their own, and of one that has not; some share keys.
const HEADS: [HeadShape; 3] = [
    HeadShape { n_head: 4, n_kv_head: 2, head_dim: 64 },
    HeadShape { n_head: 2, n_kv_head: 1, head_dim: 128 },
    HeadShape { n_head: 2, n_kv_head: 2, head_dim: 96 },
];

/// One of each format that has kernels.
const FORMATS: [&str; 11] = ["f32", "f16", "bf16", "f8", "int8", "q8_0", "q4_0", "int4", "kivi:2", "kivi:4", "kivi:8"];

/// Attention by itself, over rows that both devices get alike and so store alike: prompts, and single queries behind 600 tokens, which a GPU splits.
fn attend(device: &Device, heads: HeadShape, format: &str, cancel: &AtomicBool) -> Result<Vec<Vec<f32>>, EngineError> {
    let spec = if format == "f32" { "paged:32".to_owned() } else { format!("paged:32+{format}") };
    let spec: CacheSpec = spec.parse().map_err(CacheError::Spec)?;
    let shape = KvShape { n_layer: 1, heads, max_seq_len: 1024 };
    let config = StoreConfig { max_sequences: 2, memory_limit_bytes: None };
    let mut store = KvStore::on(device, spec, shape, config, None)?;
    let (a, b) = (store.open()?, store.open()?);
    let mut rng = StdRng::seed_from_u64(7);
    let mut random = |n: usize, n_heads: usize| {
        let values: Vec<f32> = (0..n * n_heads * heads.head_dim).map(|_| StandardNormal.sample(&mut rng)).collect();
        Tensor::from_vec(values, (n, n_heads, heads.head_dim), device)
    };
    let mut rows = vec![];
    let batches: [(&[(SeqId, usize)], bool); 5] = [
        (&[(a, 20)], true),
        (&[(a, 580)], false),
        (&[(b, 9)], true),
        (&[(a, 1), (b, 1)], true),
        (&[(b, 1), (a, 1)], true),
    ];
    for (batch, is_asked) in batches {
        if cancel.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(ModelError::Cancelled.into());
        }
        let n = batch.iter().map(|(_, n)| n).sum();
        let (q, k, v) = (random(n, heads.n_head)?, random(n, heads.n_kv_head)?, random(n, heads.n_kv_head)?);
        let mut step = store.reserve(batch)?;
        if is_asked {
            rows.extend(step.attend(0, &q, &k, &v, None)?.flatten(1, 2)?.to_vec2::<f32>()?); // [T, H, D] -> [T, H D]
        } else {
            step.append(0, &k, &v)?;
        }
        step.commit(false)?;
    }
    // A value that is no number is refused by name, and not held against the step after it.
    let values = |bad: f32| {
        let mut values = vec![0.5_f32; 3 * heads.n_kv_head * heads.head_dim];
        values[2 * heads.n_kv_head * heads.head_dim + 5] = bad;
        Tensor::from_vec(values, (3, heads.n_kv_head, heads.head_dim), device)
    };
    for bad in [f32::NAN, 0.5] {
        let q = Tensor::zeros((3, heads.n_head, heads.head_dim), candle_core::DType::F32, device)?;
        let mut step = store.reserve(&[(a, 3)])?;
        let attended = step.attend(0, &q, &values(0.5)?, &values(bad)?, None);
        rows.push(match attended.map(drop).and_then(|()| step.settle()) {
            Ok(()) => vec![-1.0],
            Err(CacheError::NotFinite { tensor, layer, token }) => {
                let is_named = (tensor, layer, token) == ("v", 0, 2);
                vec![if is_named { 1.0 } else { 0.0 }]
            }
            Err(error) => return Err(error.into()),
        });
    }
    Ok(rows)
}

/// What a window would show of a lane: whom the tokens of a prompt and the next one look at, and what the last layer stores.
#[expect(clippy::type_complexity, reason = "two lists of rows")]
fn looked_into(
    model: &Arc<LoadedModel>,
    lane: &str,
    prompt: &[u32],
    cancel: &AtomicBool,
) -> Result<(Vec<Vec<f32>>, Vec<Vec<f32>>), EngineError> {
    let lane: Lane = lane.parse().map_err(CacheError::Spec)?;
    let mut session = Session::new(model.clone(), lane, SessionConfig::default())?;
    let mut pictures = session.attention_of(prompt, cancel)?.rows;
    session.prefill(prompt, cancel)?;
    session.decode(cancel)?;
    pictures.extend(session.attention_of_next(cancel)?.rows);
    let attention = pictures.iter().map(|row| row.iter().map(|code| f32::from(*code) / 255.0).collect()).collect();
    let rows = match session.cache() {
        None => vec![],
        Some((store, seq)) => <[Vec<f32>; 2]>::from(store.read(seq, model.model.config().n_layer - 1)?).into(),
    };
    Ok((attention, rows))
}

/// Tokens that look random, the same everywhere.
fn token(i: usize) -> u32 {
    u32::try_from((i * 37 + 11) % 500).unwrap_or(0)
}

/// The logits of `n` greedy tokens.
fn decode(
    model: &Arc<LoadedModel>,
    lane: &str,
    prompt: &[u32],
    n: usize,
    cancel: &AtomicBool,
) -> Result<Vec<Vec<f32>>, EngineError> {
    let lane: Lane = lane.parse().map_err(CacheError::Spec)?;
    let mut session = Session::new(model.clone(), lane, SessionConfig::default())?;
    let mut rows = vec![];
    for step in 0..n {
        if step == 0 {
            session.prefill(prompt, cancel)?
        } else {
            session.decode(cancel)?
        };
        rows.push(session.logits().map_or(Ok(vec![]), Tensor::to_vec1::<f32>)?);
    }
    Ok(rows)
}

/// What a store has to do beyond one conversation: chunks, ragged batches, forks, a step that is taken back, tokens that are, sequences that end. The
/// logits of every step.
fn sequences(model: &LoadedModel, spec: CacheSpec, cancel: &AtomicBool) -> Result<Vec<Vec<f32>>, EngineError> {
    let model = &model.model;
    let config = StoreConfig { max_sequences: 4, memory_limit_bytes: None };
    let mut store = KvStore::on(model.device(), spec, model.config().kv_shape(), config, None)?;
    let mut rows: Vec<Vec<f32>> = vec![];
    let mut next = 0;
    let mut step = |store: &mut KvStore, batch: &[(SeqId, usize)], is_kept: bool| -> Result<(), EngineError> {
        let n: usize = batch.iter().map(|(_, n)| n).sum();
        let tokens: Vec<u32> = (next..next + n).map(token).collect();
        next += n;
        let mut pass = store.reserve(batch)?;
        let logits = model.forward(&tokens, &mut pass, None, Logits::Last, cancel)?;
        rows.extend(logits.to_vec2::<f32>()?);
        if is_kept {
            pass.commit(true)?;
        } else {
            pass.forget();
        }
        Ok(())
    };
    let (a, b) = (store.open()?, store.open()?);
    for (seq, n) in [(a, 33), (a, 37), (b, 18)] {
        step(&mut store, &[(seq, n)], true)?;
    }
    // Long enough to seal groups on the way, which is undone with it.
    step(&mut store, &[(a, 45)], false)?;
    for _ in 0..4 {
        step(&mut store, &[(a, 1), (b, 1)], true)?;
    }
    let c = store.fork(a)?;
    for _ in 0..4 {
        step(&mut store, &[(c, 1)], true)?;
        step(&mut store, &[(a, 1)], true)?;
    }
    // Where that cannot be undone, both devices say so.
    let _ = store.truncate(c, 72);
    let d = store.fork(c)?;
    for _ in 0..3 {
        step(&mut store, &[(d, 1), (c, 1), (a, 1)], true)?;
    }
    // A prompt between two decoded tokens, in one batch.
    step(&mut store, &[(c, 1), (b, 20), (d, 1)], true)?;
    store.close(a)?;
    let e = store.open()?;
    step(&mut store, &[(e, 9), (b, 2)], true)?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    #[test]
    fn the_cpu_conforms_to_itself_and_to_transformers() {
        for conformed in goldens(&Device::Cpu, &NEVER).expect("goldens") {
            assert!(conformed.is_good() && conformed.max_logit_difference > 0.0, "{conformed:?}");
        }
        let mut n = 0;
        let mut seen = |conformed: Conformed| {
            assert!(conformed.is_good() && conformed.max_logit_difference <= 0.0, "{conformed:?}");
            n += 1;
        };
        against_cpu(&Device::Cpu, &NEVER, &mut seen).expect("lanes");
        // Attention of each of those that are looked into, and rows of those that have a cache.
        assert_eq!(n, EXACT_LANES.len() + LOSSY_LANES.len() + 2 * SEEN_LANES.len() - 1 + HEADS.len() * FORMATS.len());
    }

    #[test]
    fn a_value_that_is_no_number_is_named_and_forgotten() {
        for format in ["f32", "int8", "kivi:4"] {
            let rows = attend(&Device::Cpu, HEADS[0], format, &NEVER).expect("rows");
            assert_eq!(rows[rows.len() - 2..], [vec![1.0], vec![-1.0]], "{format}");
        }
    }

    #[test]
    fn what_differs_is_found() {
        let expected = vec![vec![0.0, 1.0], vec![2.0, 1.0]];
        let compare = |lane: &str, seen: &[Vec<f32>]| Conformed::compare(lane, "itself", seen, &expected);
        assert!(compare("concat", &expected).is_good());
        assert!(!compare("concat", &[vec![0.0, 1.01], vec![2.0, 1.0]]).is_good(), "an exact lane");
        assert!(compare("concat+int8", &[vec![0.0, 1.01], vec![2.0, 1.0]]).is_good(), "a lossy one");
        assert!(!compare("concat+int8", &[vec![0.0, 1.6], vec![2.0, 1.0]]).is_good(), "too far even for that");
        let other = Conformed::within(1.0, String::new(), "itself", &[vec![1.0, 3.5]], &[vec![4.0, 1.0]]);
        assert_eq!(other.other_tokens, 1, "another token");
        let near = Conformed::within(1.0, String::new(), "itself", &[vec![1.0, 1.5]], &[vec![1.1, 1.0]]);
        assert!(near.is_good(), "which of two was likelier is nothing to go by");
        assert!(!compare("concat+int8", &[vec![0.0, f32::NAN], vec![2.0, 1.0]]).is_good(), "no number");
        assert!(!compare("concat+int8", &expected[..1]).is_good(), "a row is missing");
    }
}
