//! Planes in this process.

use std::ops::Range;

use crate::kernels::{cuda::RowCopy, walk::Tile};

use crate::cache::{
    Calibration, Format,
    blocks::RowRun,
    planes::{LayerLevels, LayerPlanes, TokenRows},
    vec_bytes,
};

use super::{Group, MemoryShape};

/// A plane for each layer.
pub type Ring = Vec<LayerPlanes>;

/// See [`super::Memory`].
pub struct HostMemory {
    shape: MemoryShape,
    /// The pool's planes, one per layer; none for `concat`.
    pool: Vec<LayerPlanes>,
    /// The buffers of each sequence slot, one per layer; for `concat` only.
    grown: Vec<Vec<LayerPlanes>>,
    /// Formats that quantize groups of tokens keep the newest exact, in the ring of their sequence, one per layer.
    rings: Vec<Ring>,
}

impl HostMemory {
    pub fn new(shape: MemoryShape, calibration: Option<&Calibration>) -> Self {
        let n_layer = shape.kv.n_layer;
        let layers = |n_rows: usize| -> Vec<LayerPlanes> {
            let levels = |layer: usize| -> Option<&LayerLevels> { calibration.and_then(|all| all.layer(layer)) };
            let mut layers = Vec::with_capacity(n_layer);
            layers.extend((0..n_layer).map(|layer| LayerPlanes::new(shape.rows, levels(layer), n_rows)));
            layers
        };
        let mut grown = slots(shape.grows, shape.n_sequences);
        for slot in &mut grown {
            *slot = layers(0);
        }
        let pool = if shape.grows { vec![] } else { layers(shape.pool_rows) };
        Self { pool, grown, rings: slots(shape.ring_rows > 0, shape.n_sequences), shape }
    }

    pub fn open(&mut self, slot: usize) {
        let exact = TokenRows::of(Format::F32, self.shape.kv.heads);
        if let Some(ring) = self.rings.get_mut(slot) {
            ring.reserve_exact(self.shape.kv.n_layer);
            ring.extend((0..self.shape.kv.n_layer).map(|_| LayerPlanes::new(exact, None, self.shape.ring_rows)));
        }
    }

    pub fn close(&mut self, slot: usize) {
        for planes in self.grown.get_mut(slot).into_iter().flatten() {
            *planes = planes.with(&[], 0);
        }
        if let Some(ring) = self.rings.get_mut(slot) {
            *ring = vec![];
        }
    }

    pub fn copy_rows(&mut self, layers: Range<usize>, copies: &[RowCopy]) {
        for planes in self.pool.get_mut(layers).into_iter().flatten() {
            for RowCopy { from, to, n_rows } in copies {
                planes.copy_within(*from as usize, *to as usize, *n_rows as usize);
            }
        }
    }

    /// The buffers `to` become the rows `kept` of the buffers `from`.
    pub fn keep(&mut self, (from, to): (usize, usize), layers: Range<usize>, kept: &[RowRun], n_rows: usize) {
        for layer in layers {
            let Some(planes) = self.grown.get(from).map(|planes| planes[layer].with(kept, n_rows)) else { return };
            self.grown[to][layer] = planes;
        }
    }

    pub fn fork(&mut self, parent: usize, child: usize, n_rows: usize) {
        self.keep((parent, child), 0..self.shape.kv.n_layer, &[RowRun { row: 0, len: n_rows }], n_rows);
        if !self.rings.is_empty() {
            self.rings[child] = self.ring(parent);
        }
    }

    pub fn seal(&mut self, slot: usize, layers: Range<usize>, groups: &[Group]) {
        let Some(ring) = self.rings.get(slot) else { return };
        for layer in layers {
            for group in groups {
                self.pool[layer].seal(group.row, &ring[layer], group.ring_rows);
            }
        }
    }

    /// Stores one token in the pool or its sequence's own buffer: `k`, `v` are `[n_kv_head, head_dim]`.
    pub fn write(&mut self, slot: usize, layer: usize, row: usize, k: &[f32], v: &[f32]) {
        let planes = match self.grown.get_mut(slot) {
            Some(layers) => &mut layers[layer],
            None => &mut self.pool[layer],
        };
        planes.write(row, k, v);
    }

    /// Stores one token in its sequence's ring.
    pub fn write_exact(&mut self, slot: usize, layer: usize, row: usize, k: &[f32], v: &[f32]) {
        if let Some(ring) = self.rings.get_mut(slot) {
            ring[layer].write(row, k, v);
        }
    }

    /// Rows of the pool or the sequence's own buffer, then of its ring, as tiles for the walk.
    pub fn tiles(&self, slot: usize, layer: usize, rows: &[RowRun], ring: &[RowRun]) -> Vec<Tile<'_>> {
        let planes = &self.planes(slot)[layer];
        let mut tiles: Vec<Tile<'_>> = rows.iter().map(|run| planes.tile(*run)).collect();
        if let Some(planes) = self.rings.get(slot) {
            tiles.extend(ring.iter().map(|run| planes[layer].tile(*run)));
        }
        tiles
    }

    fn planes(&self, slot: usize) -> &[LayerPlanes] {
        self.grown.get(slot).map_or(&self.pool, |layers| layers)
    }

    /// A copy.
    pub fn ring(&self, slot: usize) -> Ring {
        let all = RowRun { row: 0, len: self.shape.ring_rows };
        let layers = self.rings.get(slot).into_iter().flatten();
        let mut ring = Vec::with_capacity(layers.clone().count());
        ring.extend(layers.map(|layer| layer.with(&[all], all.len)));
        ring
    }

    pub fn restore_ring(&mut self, slot: usize, ring: Ring) {
        if let Some(place) = self.rings.get_mut(slot) {
            *place = ring;
        }
    }

    pub fn read(&self, slot: usize, layer: usize, rows: &[RowRun], ring: &[RowRun]) -> (Vec<f32>, Vec<f32>) {
        let (mut k, mut v) = (vec![], vec![]);
        for run in rows {
            (run.row..run.row + run.len).for_each(|row| self.planes(slot)[layer].read(row, &mut k, &mut v));
        }
        if let Some(planes) = self.rings.get(slot) {
            for run in ring {
                (run.row..run.row + run.len).for_each(|row| planes[layer].read(row, &mut k, &mut v));
            }
        }
        (k, v)
    }

    pub fn pool_bytes(&self) -> u64 {
        bytes_of(&self.pool)
    }

    pub fn grown_bytes(&self) -> u64 {
        self.grown.iter().map(|layers| bytes_of(layers)).sum()
    }

    pub fn ring_bytes(&self, open: impl Iterator<Item = usize>) -> (u64, u64) {
        let held = open.filter_map(|slot| self.rings.get(slot)).map(|ring| bytes_of(ring)).sum();
        (self.rings.iter().map(|ring| bytes_of(ring)).sum(), held)
    }

    pub fn metadata_bytes(&self) -> u64 {
        let headers = |slots: &Vec<Vec<LayerPlanes>>| vec_bytes(slots) + slots.iter().map(vec_bytes).sum::<u64>();
        vec_bytes(&self.pool) + headers(&self.grown) + headers(&self.rings)
    }
}

fn bytes_of(layers: &[LayerPlanes]) -> u64 {
    layers.iter().map(LayerPlanes::bytes).sum()
}

/// Something for each sequence, once it is open; nothing where it is not wanted.
pub fn slots<T>(wanted: bool, n_sequences: usize) -> Vec<Vec<T>> {
    let mut slots = Vec::with_capacity(if wanted { n_sequences } else { 0 });
    slots.resize_with(slots.capacity(), Vec::new);
    slots
}
