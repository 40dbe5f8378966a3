//! Levels that were found on a text, as a store takes them.

use std::sync::Arc;

use crate::kernels::codec::{Codec, Levels};

use super::{
    planes::{LayerLevels, TokenRows},
    vec_bytes,
};

/// Levels of every layer, for formats that need some found beforehand: of its keys and of its values.
#[derive(Clone, Debug)]
pub struct Calibration {
    layers: Vec<LayerLevels>,
}

impl Calibration {
    #[must_use]
    pub fn new(layers: Vec<(Levels, Levels)>) -> Self {
        let layers = layers.into_iter().map(|(keys, values)| (Arc::new(keys), Arc::new(values)));
        Self { layers: layers.collect() }
    }

    pub(super) fn layer(&self, layer: usize) -> Option<&LayerLevels> {
        self.layers.get(layer)
    }

    /// Keys' and values' levels of each layer.
    pub fn layers(&self) -> impl Iterator<Item = (&Levels, &Levels)> {
        self.layers.iter().map(|(keys, values)| (&**keys, &**values))
    }

    /// Levels and channel ranges in bytes. Every store of a model shares them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let of = |levels: &Levels| vec_bytes(&levels.levels) + vec_bytes(&levels.channels);
        self.layers().map(|(keys, values)| of(keys) + of(values)).sum()
    }

    /// Whether they are those of a model of this shape.
    pub(super) fn fits(&self, rows: TokenRows, n_layer: usize) -> bool {
        let width = rows.shape.width();
        self.layers.len() == n_layer
            && self.layers.iter().all(|(keys, values)| {
                let has_levels = |levels: &Levels, codec: Codec| levels.levels.len() == 1 << codec.bits();
                has_levels(keys, rows.keys)
                    && has_levels(values, rows.values)
                    && keys.channels.len() == width
                    && values.channels.is_empty()
            })
    }
}
