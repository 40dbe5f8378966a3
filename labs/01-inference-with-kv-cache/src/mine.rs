//! The learner's cache as the lane `mine` of kvlab, whose rows are `[T, H, D]`.

use anyhow::Result;
use candle_core::{Device, Tensor};
use kvlab::cache::guest::{GuestBytes, GuestCache};

use crate::contract::{Exercise, Lab, Solution};

/// Heads and their size in the story model.
const HEADS: (usize, usize) = (6, 32);

/// A variant's cache, and what `append` returned for the layer at hand.
struct Mine<L: Lab> {
    cache: L::Cache,
    rows: Option<(Tensor, Tensor)>,
    n_layer: usize,
}

fn made<L: Lab<Cache: Send> + 'static>(n_layer: usize) -> Box<dyn GuestCache>
where
    Mine<L>: Send,
{
    Box::new(Mine::<L> { cache: L::new_cache(n_layer), rows: None, n_layer })
}

/// The exercise's.
#[must_use]
pub fn exercise(n_layer: usize) -> Box<dyn GuestCache> {
    made::<Exercise>(n_layer)
}

/// The solution's.
#[must_use]
pub fn solution(n_layer: usize) -> Box<dyn GuestCache> {
    made::<Solution>(n_layer)
}

/// `[T, H, D]` -> `[H, T, D]`, a copy.
fn by_head(rows: &[f32]) -> Result<Tensor> {
    let (n_head, head_dim) = HEADS;
    let rows = Tensor::from_slice(rows, (rows.len() / (n_head * head_dim), n_head, head_dim), &Device::Cpu)?;
    Ok(rows.transpose(0, 1)?.contiguous()?)
}

#[expect(clippy::panic, reason = "a guest says that way what is wrong, and its lane ends with the sentence")]
fn or_say<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error:#}"))
}

impl<L: Lab> GuestCache for Mine<L>
where
    Self: Send,
{
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        let (k, v) = (or_say(by_head(k)), or_say(by_head(v)));
        self.rows = Some(or_say(L::append(&mut self.cache, layer, &k, &v)));
    }

    fn attend(&mut self, _layer: usize, q: &[f32]) -> Vec<f32> {
        let Some((keys, values)) = self.rows.take() else { return vec![] };
        or_say(by_head(q).and_then(|q| {
            let attended = L::attention_over_cache(&q, &keys, &values)?; // [H, T, D]
            Ok(attended.transpose(0, 1)?.flatten_all()?.to_vec1()?) // [H, T, D] -> [T, H, D], a copy
        }))
    }

    /// Its rows; what else a learner's cache keeps, it does not tell.
    fn bytes(&self) -> GuestBytes {
        let (n_head, head_dim) = HEADS;
        let rows = L::n_tokens(&self.cache) * 2 * self.n_layer * n_head * head_dim;
        let used_bytes = (rows * size_of::<f32>()) as u64;
        GuestBytes { reserved_bytes: used_bytes, used_bytes, copied_bytes: 0 }
    }
}
