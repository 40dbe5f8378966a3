//! What a step's newest token looks at, as numbers: for inspection.
//!
//! A child of the step.

use crate::{
    cache::{CacheError, live::Positions},
    kernels::hadamard::rotate,
};

use super::Step;

/// Keys and values of one layer that one token attends to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VisibleRows {
    /// Of the tokens that are live, rising; the last is the token that looks.
    pub positions: Vec<usize>,
    /// `[positions, n_kv_head, head_dim]`, decoded.
    pub keys: Vec<f32>,
    /// The same of the values.
    pub values: Vec<f32>,
}

impl Step<'_> {
    /// What the newest token of a span attends to in a layer, once that layer has run: what is stored, decoded and rotated back, and
    /// the token's own key and value as this step wrote them.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`] for a span that is not there, [`CacheError::NoLayer`], and a device's.
    pub fn read(&self, span: usize, layer: usize) -> Result<VisibleRows, CacheError> {
        let store = &*self.store;
        let n_layer = store.shape.n_layer;
        if layer >= n_layer {
            return Err(CacheError::NoLayer { layer, n_layer });
        }
        let (Some(span), Some(parts)) = (self.reservation.spans.get(span).copied(), self.parts.get(span)) else {
            return Err(CacheError::UnknownSequence);
        };
        let end = span.past + span.new;
        let part = parts.last().copied().unwrap_or(Positions { start: span.past, end });
        let (rows, ring) = store.visible(span, part)?;
        let (mut keys, mut values) = store.memory.read(store.tables.slot(span.seq)?, layer, &rows, &ring)?;
        if store.spec.rotate {
            // The rotation is its own inverse.
            for rows in [&mut keys, &mut values] {
                rotate(rows, store.shape.heads.head_dim);
            }
        }
        Ok(VisibleRows { positions: store.positions(span, end)?, keys, values })
    }
}
