//! Attention on a GPU: queries over the rows that they see, checked before it is launched as everything in [`super::ops`] is.

#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::Result;

use crate::kernels::{
    HeadShape,
    codec::Codec,
    cuda::{Geometry, Layer, TILE_QUERIES, WalkOut, WalkShape, format_name, n_splits, prefill_name, walk_name},
};

use super::{
    Argument, Gpu, Memory, PlaneView, Queries, TensorRows, Uploaded,
    ops::{int, refuse, words},
};

/// The kernels of one format of keys and values, for heads of one shape.
#[derive(Clone)]
pub struct Kernels {
    gpu: Gpu,
    heads: HeadShape,
    shape: WalkShape,
    codecs: (Codec, Codec),
    format: String,
    walk: String,
}

/// Keys and values of a layer, and the exact ones where a format has them.
#[derive(Clone, Copy, Debug)]
pub struct LayerView<'a> {
    pub keys: PlaneView<'a>,
    pub values: PlaneView<'a>,
    pub exact: Option<(PlaneView<'a>, PlaneView<'a>)>,
}

/// Queries that attend, and where the result goes.
pub struct Asking<'a> {
    /// `[T, n_head, head_dim]`, as `out` is.
    pub q: &'a TensorRows,
    pub out: &'a TensorRows,
    /// The first of the queries among the `T` tokens.
    pub first_token: usize,
    pub lists: &'a Uploaded,
    pub queries: Queries,
}

/// Attention weights `[query][n_head][stride]` on a GPU.
pub struct Weights {
    scores: Memory,
    stats: Memory,
    n_queries: usize,
    stride: usize,
}

/// No launch takes more single queries than a grid has in its last direction.
const MOST_QUERIES: usize = 65_535;

impl Kernels {
    /// # Errors
    /// Why there are none for such keys, values and heads.
    pub fn new(gpu: Gpu, (keys, values): (Codec, Codec), heads: HeadShape) -> std::result::Result<Self, String> {
        let (format, shape) = Self::names(keys, values, heads)?;
        let walk = walk_name(&format, heads.head_dim);
        Ok(Self { gpu, heads, shape, codecs: (keys, values), format, walk })
    }

    /// The name of the format, and heads as kernels take them.
    fn names(keys: Codec, values: Codec, heads: HeadShape) -> std::result::Result<(String, WalkShape), String> {
        let format = format_name(keys, values).ok_or("there are no GPU kernels for its format; use --device cpu")?;
        Ok((format, WalkShape::new(heads)?))
    }

    /// Why there are no kernels for this, if so.
    #[must_use]
    pub fn refuses((keys, values): (Codec, Codec), heads: HeadShape) -> Option<String> {
        Self::names(keys, values, heads).err()
    }

    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// A tensor for the results of so many tokens.
    ///
    /// # Errors
    /// The driver's.
    pub fn results(&self, n_tokens: usize) -> Result<TensorRows> {
        self.gpu.new_rows(n_tokens, self.heads.n_head, self.heads.head_dim)
    }

    /// Room for the weights of `n_queries` that see at most `stride` rows.
    ///
    /// # Errors
    /// The driver's.
    pub fn weights(&self, n_queries: usize, stride: usize) -> Result<Weights> {
        let rows = n_queries * self.heads.n_head;
        Ok(Weights {
            scores: self.gpu.zeroed(rows * stride * 4)?,
            stats: self.gpu.zeroed(rows * 8)?,
            n_queries,
            stride,
        })
    }

    /// Attention: every query over the rows that it sees. `scratch` is kept for the next call.
    ///
    /// # Errors
    /// Rows, queries or tensors that do not fit each other; the driver's.
    pub fn attend(
        &self,
        layer: &LayerView<'_>,
        asking: &Asking<'_>,
        weights: Option<&mut Weights>,
        scratch: &mut Option<Memory>,
    ) -> Result<()> {
        let Asking { q, out, first_token, lists, queries } = *asking;
        let HeadShape { n_head, n_kv_head, head_dim } = self.heads;
        let fits = |plane: &PlaneView<'_>, codec: Codec, end: usize| {
            let shape = (plane.shape.n_kv_head, plane.shape.head_dim);
            plane.codec == codec && shape == (n_kv_head, head_dim) && end <= plane.n_rows
        };
        let exact_fits = match layer.exact {
            Some((keys, values)) => {
                fits(&keys, Codec::F32, queries.exact_end) && fits(&values, Codec::F32, queries.exact_end)
            }
            None => queries.exact_end == 0,
        };
        let (keys, values) = self.codecs;
        if !fits(&layer.keys, keys, queries.pool_end) || !fits(&layer.values, values, queries.pool_end) || !exact_fits {
            return refuse("rows to attend to");
        }
        let has_queries = |rows: &TensorRows| {
            (rows.heads, rows.head_dim) == (n_head, head_dim) && first_token + queries.len <= rows.n_tokens
        };
        if !has_queries(q) || !has_queries(out) || out.token_stride != n_head * head_dim || queries.len == 0 {
            return refuse("queries");
        }
        if weights.as_ref().is_some_and(|w| w.n_queries != queries.len || w.stride < queries.most_visible) {
            return refuse("room for weights");
        }
        let exact = layer.exact.map(|(keys, values)| (keys.plane, values.plane)).unwrap_or_default();
        let layer =
            Layer { keys: layer.keys.plane, values: layer.values.plane, exact_keys: exact.0, exact_values: exact.1 };
        let seen = lists.at(queries.id, 0, 0)?;
        let asked = |first: usize, n: usize| lists.at(queries.id, queries.first + 2 * first, 2 * n);
        let of_weights = |first: usize| match &weights {
            None => (0, 0, 0),
            Some(w) => {
                let row = first * n_head;
                (w.scores.address() + words(row * w.stride), w.stats.address() + words(2 * row), w.stride)
            }
        };
        let is_prompt = queries.is_prompt && queries.len >= TILE_QUERIES as usize;
        let at_once = if is_prompt { queries.len } else { queries.len.min(MOST_QUERIES) };
        for first in (0..queries.len).step_by(at_once) {
            let n = at_once.min(queries.len - first);
            let token = first_token + first;
            let (scores, stats, scores_stride) = of_weights(first);
            let scores_stride = i32::try_from(scores_stride).unwrap_or(i32::MAX);
            let result = out.address + words(token * n_head * head_dim);
            let mut to = WalkOut { out: result, stats, scores, scores_stride, ..WalkOut::default() };
            let from = [Argument::Address(q.address + words(token * q.token_stride)), int(q.token_stride)];
            let rest = |to: WalkOut| -> Result<[Argument; 5]> {
                let (layer, shape) = (Argument::Layer(layer), Argument::Shape(self.shape));
                Ok([layer, seen, asked(first, n)?, shape, Argument::Out(to)])
            };
            if is_prompt {
                let arguments = [&from[..], &[int(n)], &rest(to)?].concat();
                let geometry = Geometry::prefill(self.heads, n);
                // SAFETY: all rows that a query sees, all queries and all results lie inside of what was given, as looked at above.
                unsafe { self.gpu.launch(&prefill_name(&self.format), geometry, &arguments) }?;
                continue;
            }
            let n_splits = n_splits(self.heads, n, queries.most_visible, self.gpu.n_multiprocessors());
            let parts = n * n_head * n_splits;
            if n_splits > 1 {
                let bytes = parts * (head_dim + 2) * 4;
                if scratch.as_ref().is_none_or(|scratch| scratch.n_bytes() < bytes) {
                    *scratch = None;
                    *scratch = Some(self.gpu.uninitialized(bytes)?);
                }
                to.partial_sums = scratch.as_ref().map_or(0, Memory::address);
                to.partial_stats = to.partial_sums + words(parts * head_dim);
            }
            let arguments = [&from[..], &rest(to)?].concat();
            // SAFETY: as above; the scratch has room for the parts of all queries.
            unsafe { self.gpu.launch(&self.walk, Geometry::walk(self.heads, n, n_splits), &arguments) }?;
            if n_splits > 1 {
                let sums = [Argument::Address(to.partial_sums), Argument::Address(to.partial_stats)];
                let into = [Argument::Address(result), Argument::Address(stats)];
                let arguments = [&sums[..], &[int(n_splits), int(head_dim)], &into].concat();
                // SAFETY: as above.
                unsafe { self.gpu.launch("merge", Geometry::of_results(self.heads, n), &arguments) }?;
            }
        }
        if let Some(weights) = weights {
            let arguments = [
                Argument::Address(weights.scores.address()),
                int(weights.stride),
                Argument::Address(weights.stats.address()),
                asked(0, queries.len)?,
            ];
            // SAFETY: scores and stats of as many queries as there are, as looked at above.
            unsafe { self.gpu.launch("weights", Geometry::of_results(self.heads, queries.len), &arguments) }?;
        }
        Ok(())
    }

    /// Adds what each row got of the weights, over all queries and heads, to `sums` (f32) from the `first`th on.
    ///
    /// # Errors
    /// Sums that are too few; the driver's.
    pub fn add_scores(&self, weights: &Weights, sums: &mut Memory, first: usize) -> Result<()> {
        let Weights { scores, n_queries, stride, .. } = weights;
        if (first + stride) * 4 > sums.n_bytes() {
            return refuse("sums of scores");
        }
        let arguments = [
            Argument::Address(scores.address()),
            int(*stride),
            int(n_queries * self.heads.n_head),
            int(*stride),
            Argument::Address(sums.address() + words(first)),
        ];
        // SAFETY: a sum for each row of the weights is there.
        unsafe { self.gpu.launch("add_scores", Geometry::add_scores(*stride), &arguments) }
    }
}

impl Weights {
    /// `[query][n_head][stride]` on the host.
    ///
    /// # Errors
    /// The driver's.
    pub fn download(&self) -> Result<Vec<f32>> {
        Ok(floats(&self.scores.download(0..self.scores.n_bytes())?))
    }
}

/// Bytes of a GPU's memory as the numbers they are.
#[must_use]
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
