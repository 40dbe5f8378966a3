//! Stores that are fed by hand: tokens with keys, values and queries of their own, no model.
#![allow(dead_code, reason = "every test binary compiles this module and uses some of it")]

use candle_core::{Device, Tensor};
use kvlab::{
    cache::{CacheError, KvAccess, KvShape, KvStore, SeqId, StoreConfig, TokenPicture},
    kernels::HeadShape,
};

use super::floats;

/// Rows of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Query,
    Key,
    Value,
}

/// Where rows come from. A token has the same rows wherever it stands.
#[derive(Clone, Copy)]
pub struct Source {
    pub shape: KvShape,
    /// A value of noise in [-2, 2), of channel `channel` of a head, becomes a value of a row.
    pub value: fn(Part, usize, f32) -> f32,
}

pub fn shape(n_head: usize, n_kv_head: usize, head_dim: usize) -> KvShape {
    KvShape { n_layer: 2, heads: HeadShape { n_head, n_kv_head, head_dim }, max_seq_len: 320 }
}

pub fn build(spec: &str, shape: KvShape) -> KvStore {
    KvStore::new(spec.parse().expect(spec), shape, StoreConfig { max_sequences: 3, memory_limit_bytes: None })
        .unwrap_or_else(|error| panic!("{spec}: {error}"))
}

/// `n` values in [-2, 2).
pub fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).expect("16 bits")) / 16_384.0 - 2.0
        })
        .collect()
}

impl Source {
    pub fn noise(shape: KvShape) -> Self {
        Self { shape, value: |_, _, x| x }
    }

    /// `[n_head, head_dim]` of a query, `[n_kv_head, head_dim]` of a key or value.
    pub fn row(&self, token: u32, layer: usize, part: Part) -> Vec<f32> {
        let HeadShape { n_head, n_kv_head, head_dim } = self.shape.heads;
        let n_heads = if part == Part::Query { n_head } else { n_kv_head };
        let seed = token * 64 + u32::try_from(layer).expect("small") * 4 + part as u32;
        let values = noise(n_heads * head_dim, seed).into_iter().enumerate();
        values.map(|(i, x)| (self.value)(part, i % head_dim, x)).collect()
    }

    pub fn rows(&self, tokens: &[u32], layer: usize, part: Part) -> Vec<f32> {
        tokens.iter().flat_map(|token| self.row(*token, layer, part)).collect()
    }

    /// q, k and v of one layer as a model hands them in: views of one fused projection.
    pub fn tensors(&self, tokens: &[u32], layer: usize) -> [Tensor; 3] {
        let HeadShape { n_head, n_kv_head, head_dim } = self.shape.heads;
        let parts = [Part::Query, Part::Key, Part::Value];
        let fused = tokens.iter().flat_map(|token| parts.into_iter().flat_map(|part| self.row(*token, layer, part)));
        let fused_shape = (tokens.len(), n_head + 2 * n_kv_head, head_dim);
        let fused = Tensor::from_vec(fused.collect::<Vec<_>>(), fused_shape, &Device::Cpu).expect("fused");
        [(0, n_head), (n_head, n_kv_head), (n_head + n_kv_head, n_kv_head)]
            .map(|(start, n)| fused.narrow(1, start, n).expect("view"))
    }

    /// One committed step; what each layer answered, `[T, n_head, head_dim]`.
    pub fn feed(&self, store: &mut KvStore, seq: SeqId, tokens: &[u32]) -> Result<Vec<Vec<f32>>, CacheError> {
        let mut step = store.reserve(&[(seq, tokens.len())])?;
        let mut outs = vec![];
        for layer in 0..self.shape.n_layer {
            let [q, k, v] = self.tensors(tokens, layer);
            outs.push(floats(&step.attend(layer, &q, &k, &v, None)?));
        }
        step.commit(true).expect("a step");
        Ok(outs)
    }

    /// A store that was fed `tokens`, `chunk` at a time, with what each layer answered.
    pub fn filled(&self, spec: &str, tokens: &[u32], chunk: usize) -> (KvStore, SeqId, Vec<Vec<f32>>) {
        let mut store = build(spec, self.shape);
        let seq = store.open().expect("sequence");
        let mut outs = vec![vec![]; self.shape.n_layer];
        for tokens in tokens.chunks(chunk) {
            for (out, new) in outs.iter_mut().zip(self.feed(&mut store, seq, tokens).expect("room")) {
                out.extend(new);
            }
        }
        (store, seq, outs)
    }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// All that can be seen of a sequence: its picture, and the bits of the keys and values of every layer.
pub type Seen = (Vec<TokenPicture>, Vec<(Vec<u32>, Vec<u32>)>);

pub fn observe(store: &KvStore, seq: SeqId) -> Seen {
    let read = |layer| {
        let (k, v) = store.read(seq, layer).expect("open");
        (bits(&k), bits(&v))
    };
    (store.picture(seq).expect("open"), (0..store.shape().n_layer).map(read).collect())
}

/// Says where two rows first differ; a whole array is no message.
pub fn assert_bits(what: &str, given: &[f32], expected: &[f32]) {
    assert_eq!(given.len(), expected.len(), "{what}: number of values");
    let different = given.iter().zip(expected).position(|(a, b)| a.to_bits() != b.to_bits());
    if let Some(i) = different {
        panic!("{what}: value {i} is {:?}, expected {:?}", given[i], expected[i]);
    }
}
