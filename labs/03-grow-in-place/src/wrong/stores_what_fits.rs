//! WRONG: stores what still fits and refuses the rest. A step that failed half leaves layers of different lengths. Caught by
//! `a_full_cache_refuses_and_changes_nothing`.

pub use crate::solution::{concat_copied_bytes, prefill, visible};

use anyhow::{Result, ensure};

use crate::given::{Shape, attention};

pub struct Cache {
    pub shape: Shape,
    pub capacity: usize,
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
    pub filled: Vec<usize>,
}

impl Cache {
    #[must_use]
    pub fn new(shape: Shape, capacity: usize) -> Self {
        let numbers = shape.n_layer * capacity * shape.row();
        Self { shape, capacity, keys: vec![0.0; numbers], values: vec![0.0; numbers], filled: vec![0; shape.n_layer] }
    }

    pub fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) -> Result<()> {
        let (past, new) = (self.filled[layer], k.len() / self.shape.row());
        let capacity = self.capacity;
        let start = (layer * capacity + past) * self.shape.row();
        let fit = new.min(capacity - past);
        let numbers = fit * self.shape.row();
        self.keys[start..start + numbers].copy_from_slice(&k[..numbers]);
        self.values[start..start + numbers].copy_from_slice(&v[..numbers]);
        self.filled[layer] += fit;
        ensure!(fit == new, "{new} tokens behind {past} do not fit: there is room for {capacity}");
        Ok(())
    }

    #[must_use]
    pub fn rows(&self, layer: usize) -> (&[f32], &[f32]) {
        let start = layer * self.capacity * self.shape.row();
        let end = start + self.filled[layer] * self.shape.row();
        (&self.keys[start..end], &self.values[start..end])
    }

    pub fn truncate(&mut self, n_tokens: usize) {
        for filled in &mut self.filled {
            *filled = n_tokens.min(*filled);
        }
    }
}

#[must_use]
pub fn attend(cache: &Cache, layer: usize, q: &[f32]) -> Vec<f32> {
    let (keys, values) = cache.rows(layer);
    let past = cache.filled[layer] - q.len() / cache.shape.row();
    attention(&cache.shape, q, keys, values, |i| visible(past, i))
}
