//! The lane `mine`: a session runs over a cache that is not ours, and one that fails ends its lane and nothing else. One test, as a
//! program registers one cache for good.
#![allow(clippy::cast_precision_loss, reason = "a head has 32 elements")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use candle_core::Device;
use kvlab::{
    cache::guest::{GuestBytes, GuestCache, register},
    engine::{EngineError, Session, SessionConfig},
    model::{LoadedModel, ModelSource},
};

const N_HEAD: usize = 6;
const HEAD_DIM: usize = 32;
const ROW: usize = N_HEAD * HEAD_DIM;

/// Calls of `attend` until it panics.
static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Rows behind each other, for each layer.
#[derive(Default)]
struct Rows(Vec<(Vec<f32>, Vec<f32>)>);

impl GuestCache for Rows {
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        self.0.resize_with(self.0.len().max(layer + 1), Default::default);
        self.0[layer].0.extend_from_slice(k);
        self.0[layer].1.extend_from_slice(v);
    }

    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
        let left = LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(1)));
        assert!(left != Ok(0), "out of calls");
        let (keys, values) = &self.0[layer];
        let (n_keys, n_new) = (keys.len() / ROW, q.len() / ROW);
        let mut out = vec![0.0; q.len()];
        for (token, head) in (0..n_new).flat_map(|token| (0..N_HEAD).map(move |head| (token, head))) {
            let part = |rows: &'_ [f32], token: usize| -> Vec<f32> {
                rows[token * ROW + head * HEAD_DIM..][..HEAD_DIM].to_vec()
            };
            let query = part(q, token);
            let scores: Vec<f32> = (0..=n_keys - n_new + token)
                .map(|key| {
                    query.iter().zip(part(keys, key)).map(|(a, b)| a * b).sum::<f32>() / (HEAD_DIM as f32).sqrt()
                })
                .collect();
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = scores.iter().map(|score| (score - largest).exp()).sum();
            let row = &mut out[token * ROW + head * HEAD_DIM..][..HEAD_DIM];
            for (key, score) in scores.iter().enumerate() {
                let weight = (score - largest).exp() / sum;
                row.iter_mut().zip(part(values, key)).for_each(|(x, value)| *x += weight * value);
            }
        }
        out
    }

    fn bytes(&self) -> GuestBytes {
        let bytes = self.0.iter().map(|(keys, values)| ((keys.len() + values.len()) * 4) as u64).sum();
        GuestBytes { reserved_bytes: bytes, used_bytes: bytes, copied_bytes: 0 }
    }
}

fn session(model: &Arc<LoadedModel>, lane: &str, prefill_chunk: Option<usize>) -> Result<Session, EngineError> {
    let config = SessionConfig { prefill_chunk, ..SessionConfig::default() };
    Session::new(model.clone(), lane.parse().expect("a lane"), config)
}

#[test]
fn a_session_runs_over_a_guest_as_over_a_cache_of_ours() {
    let never = AtomicBool::new(false);
    let model = Arc::new(ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &never).expect("embedded"));
    let error = session(&model, "mine", None).err().expect("nobody is registered").to_string();
    assert!(error.contains("kvlab lab open"), "{error}");
    register(|_| Ok(Box::new(Rows::default())));

    let text = "Once upon a time there were three friends: Mia, Tom and Nora. Mia keeps a red key.";
    let prompt = model.tokenizer.as_ref().expect("story").encode(text).expect("text");
    let mut ours = session(&model, "contiguous", None).expect("room");
    ours.prefill(&prompt, &never).expect("a step");
    for chunk in [None, Some(5)] {
        let mut mine = session(&model, "mine", chunk).expect("registered");
        let mut records = vec![mine.prefill(&prompt, &never).expect("a step")];
        for n in 1..30 {
            records.push(mine.decode(&never).expect("a step"));
            if ours.generated().len() <= n {
                ours.decode(&never).expect("a step");
            }
        }
        assert_eq!(mine.generated(), ours.generated(), "{chunk:?}");
        for (n, record) in records.iter().enumerate() {
            // 2 x 5 layers x 6 heads x 32 x 4 bytes.
            let bytes = (prompt.len() + n) as u64 * 7_680;
            assert_eq!((record.cached_tokens * 7_680, record.formula_bytes, record.used_bytes), (bytes, bytes, bytes));
            assert_eq!(record.tokens_in, if n == 0 { prompt.len() } else { 1 });
        }
    }

    let mut mine = session(&model, "mine", None).expect("registered");
    mine.take_over(&mut ours, &never).expect("a lane switched to it");
    mine.decode(&never).expect("a step");
    let refused = [
        mine.layers(&prompt, 1, &never).err().map(|error| error.to_string()),
        mine.attention_of_next(&never).err().map(|error| error.to_string()),
    ];
    assert!(
        refused.iter().all(|error| error.as_deref().is_some_and(|error| error.contains("to itself"))),
        "{refused:?}"
    );

    // In the middle of a step: the error names the panic, and the lane goes on no more.
    LEFT.store(3, Ordering::Relaxed);
    let error = mine.decode(&never).expect_err("a panic").to_string();
    assert!(error.contains("panicked in layer 3: out of calls"), "{error}");
    LEFT.store(usize::MAX, Ordering::Relaxed);
    let error = mine.decode(&never).expect_err("half a token").to_string();
    assert!(error.contains("cannot go on"), "{error}");
    mine.reset().expect("begins again");
    mine.prefill(&prompt, &never).expect("a step");
}
