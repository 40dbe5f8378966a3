//! Planes on a GPU. What a step writes and reads comes as lists of rows, one upload for all of its layers ([`super::super::step`]).

use std::ops::Range;

use candle_core::Result;

use crate::gpu::{self, Gpu, Kernels, LayerView, Lists, PlaneMemory, PlaneView, RowCopies, Rows, TensorRows, Uploaded};
use crate::kernels::{
    codec::{Codec, GROUP},
    cuda::{EXACT, RowCopy},
};

use crate::cache::{CacheError, blocks::RowRun, vec_bytes};

use super::{Group, MemoryShape, host::slots};

/// Keys and values of one layer.
pub struct LayerPlanes {
    k: PlaneMemory,
    v: PlaneMemory,
}

/// Where new tokens go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Pool,
    /// The buffer of a sequence slot.
    Grown(usize),
    Rings,
}

/// A group that is sealed, as lists: its rows in the rings, its rows in the pool, and the first of these.
#[derive(Clone, Copy, Debug)]
pub struct GroupRows {
    exact: Rows,
    rows: Rows,
    first: usize,
}

/// A ring as it was, a pair of planes for each layer.
pub struct SavedRing(Vec<LayerPlanes>);

/// See [`super::Memory`].
pub struct DeviceMemory {
    kernels: Kernels,
    shape: MemoryShape,
    /// One per layer; none for `concat`.
    pool: Vec<LayerPlanes>,
    /// The buffers of each sequence slot, one per layer; for `concat` only.
    grown: Vec<Vec<LayerPlanes>>,
    /// Exact tokens, one per layer: the rings of all sequences one behind the other, so that one launch serves them all.
    rings: Vec<LayerPlanes>,
    /// For keys and values of each layer, whether some were no finite numbers in this step; and a word that nobody reads, for rows that were
    /// looked at before.
    not_finite: gpu::Memory,
    /// A step that was dropped may have left something in it.
    was_dropped: bool,
    scratch: Option<gpu::Memory>,
}

impl LayerPlanes {
    fn zeroed(gpu: &Gpu, (keys, values): (Codec, Codec), shape: MemoryShape, n_rows: usize) -> Result<Self> {
        let plane = |codec| PlaneMemory::zeroed(gpu, codec, shape.rows.shape, n_rows);
        Ok(Self { k: plane(keys)?, v: plane(values)? })
    }

    fn planes(&self) -> [&PlaneMemory; 2] {
        [&self.k, &self.v]
    }

    fn bytes(&self) -> u64 {
        self.k.bytes() + self.v.bytes()
    }
}

impl DeviceMemory {
    /// Why a GPU cannot hold such a store, if so.
    pub fn refuses(shape: MemoryShape) -> Option<String> {
        let rows = shape.pool_rows.max(shape.n_sequences * shape.ring_rows);
        if rows >= EXACT as usize {
            return Some("it has more rows than a GPU's kernels can number".into());
        }
        Kernels::refuses((shape.rows.keys, shape.rows.values), shape.kv.heads)
    }

    pub fn new(gpu: &Gpu, shape: MemoryShape) -> std::result::Result<Self, CacheError> {
        let codecs = (shape.rows.keys, shape.rows.values);
        let kernels = Kernels::new(gpu.clone(), codecs, shape.kv.heads).map_err(CacheError::Shape)?;
        let n_layer = shape.kv.n_layer;
        let layers = |codecs, n_rows: usize, n_layer: usize| -> Result<Vec<LayerPlanes>> {
            (0..n_layer).map(|_| LayerPlanes::zeroed(gpu, codecs, shape, n_rows)).collect()
        };
        let pool = layers(codecs, shape.pool_rows, if shape.grows { 0 } else { n_layer })?;
        let mut grown = slots(shape.grows, shape.n_sequences);
        for slot in &mut grown {
            *slot = layers(codecs, 0, n_layer)?;
        }
        let has_rings = shape.ring_rows > 0;
        let ring_rows = shape.n_sequences * shape.ring_rows;
        let rings = layers((Codec::F32, Codec::F32), ring_rows, if has_rings { n_layer } else { 0 })?;
        let not_finite = gpu.zeroed((2 * n_layer + 1) * 4)?;
        Ok(Self { kernels, shape, pool, grown, rings, not_finite, was_dropped: false, scratch: None })
    }

    pub fn gpu(&self) -> &Gpu {
        self.kernels.gpu()
    }

    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// The row of an exact token among those of all rings.
    pub fn ring_row(&self, slot: usize, row: usize) -> usize {
        slot * self.shape.ring_rows + row
    }

    pub fn close(&mut self, slot: usize) -> Result<()> {
        let gpu = self.gpu().clone();
        for planes in self.grown.get_mut(slot).into_iter().flatten() {
            let (k, v) = (planes.k.uninitialized(&gpu, 0)?, planes.v.uninitialized(&gpu, 0)?);
            *planes = LayerPlanes { k, v };
        }
        Ok(())
    }

    pub fn copy_rows(&mut self, layers: Range<usize>, copies: &[RowCopy]) -> Result<()> {
        let gpu = self.gpu().clone();
        let copies = RowCopies::new(&gpu, copies)?;
        for planes in self.pool.get_mut(layers).into_iter().flatten() {
            gpu.copy_rows_within(&mut planes.k, &copies)?;
            gpu.copy_rows_within(&mut planes.v, &copies)?;
        }
        Ok(())
    }

    /// The buffers `to` become the rows `kept` of the buffers `from`: by a copy where these lie together, else by a kernel.
    pub fn keep(
        &mut self,
        (from, to): (usize, usize),
        layers: Range<usize>,
        kept: &[RowRun],
        n_rows: usize,
    ) -> Result<()> {
        let gpu = self.gpu().clone();
        let mut end = 0;
        let runs = kept.iter().map(|run| {
            let copy = RowCopy { from: small(run.row), to: small(end), n_rows: small(run.len) };
            end += run.len;
            copy
        });
        let runs: Vec<RowCopy> = runs.filter(|copy| copy.n_rows > 0).collect();
        let copies = if runs.len() > 1 { Some(RowCopies::new(&gpu, &runs)?) } else { None };
        let mut new = vec![];
        for layer in layers {
            let Some(old) = self.grown.get(from) else { return Ok(()) };
            let renewed = |old: &PlaneMemory| -> Result<PlaneMemory> {
                let mut new = old.uninitialized(&gpu, n_rows)?;
                match (&copies, runs.first()) {
                    (Some(copies), _) => gpu.copy_rows(old, &mut new, copies)?,
                    (None, Some(run)) => {
                        new.copy_from(&gpu, old, run.from as usize, run.to as usize, run.n_rows as usize)?;
                    }
                    (None, None) => {}
                }
                Ok(new)
            };
            new.push((layer, LayerPlanes { k: renewed(&old[layer].k)?, v: renewed(&old[layer].v)? }));
        }
        // Only now that all of them are there.
        for (layer, planes) in new {
            self.grown[to][layer] = planes;
        }
        Ok(())
    }

    pub fn fork(&mut self, parent: usize, child: usize, n_rows: usize) -> Result<()> {
        self.keep((parent, child), 0..self.shape.kv.n_layer, &[RowRun { row: 0, len: n_rows }], n_rows)?;
        let (from, to, n_rows) =
            (small(self.ring_row(parent, 0)), small(self.ring_row(child, 0)), small(self.shape.ring_rows));
        if n_rows == 0 {
            return Ok(());
        }
        let gpu = self.gpu().clone();
        let copies = RowCopies::new(&gpu, &[RowCopy { from, to, n_rows }])?;
        for planes in &mut self.rings {
            gpu.copy_rows_within(&mut planes.k, &copies)?;
            gpu.copy_rows_within(&mut planes.v, &copies)?;
        }
        Ok(())
    }

    /// A group as lists.
    pub fn group(&self, lists: &mut Lists, slot: usize, group: &Group) -> GroupRows {
        let exact = lists.rows(group.ring_rows.map(|row| small(self.ring_row(slot, row))));
        let rows = lists.rows((group.row..group.row + GROUP).map(small));
        GroupRows { exact, rows, first: group.row }
    }

    pub fn seal(&mut self, slot: usize, layers: Range<usize>, groups: &[Group]) -> Result<()> {
        let mut lists = Lists::default();
        let groups: Vec<GroupRows> = groups.iter().map(|group| self.group(&mut lists, slot, group)).collect();
        let uploaded = Uploaded::new(self.gpu(), &lists)?;
        layers.into_iter().try_for_each(|layer| self.seal_groups(layer, &uploaded, &groups))
    }

    /// Quantizes groups of one layer.
    pub fn seal_groups(&mut self, layer: usize, lists: &Uploaded, groups: &[GroupRows]) -> Result<()> {
        let gpu = self.gpu().clone();
        let (Some(pool), Some(rings)) = (self.pool.get_mut(layer), self.rings.get(layer)) else { return Ok(()) };
        let unread = (&self.not_finite, 2 * self.shape.kv.n_layer);
        for GroupRows { exact, rows, first } in groups.iter().copied() {
            gpu.seal(&rings.k, lists, (exact, rows, first), &mut pool.k, unread)?;
            gpu.seal(&rings.v, lists, (exact, rows, first), &mut pool.v, unread)?;
        }
        Ok(())
    }

    /// Stores new tokens of one layer.
    pub fn append(
        &mut self,
        layer: usize,
        target: Target,
        lists: &Uploaded,
        (from, to): (Rows, Rows),
        (k, v): (&TensorRows, &TensorRows),
    ) -> Result<()> {
        let gpu = self.gpu().clone();
        let planes = match target {
            Target::Pool => &mut self.pool[layer],
            Target::Grown(slot) => &mut self.grown[slot][layer],
            Target::Rings => &mut self.rings[layer],
        };
        gpu.append(k, lists, (from, to), &mut planes.k, (&self.not_finite, 2 * layer))?;
        gpu.append(v, lists, (from, to), &mut planes.v, (&self.not_finite, 2 * layer + 1))
    }

    /// What an attention reads in one layer, and the scratch memory that it may use.
    pub fn layer(&mut self, layer: usize, target: Target) -> (&Kernels, LayerView<'_>, &mut Option<gpu::Memory>) {
        let planes = match target {
            Target::Grown(slot) => &self.grown[slot][layer],
            Target::Pool | Target::Rings => &self.pool[layer],
        };
        let exact = self.rings.get(layer).map(|ring| -> (PlaneView<'_>, _) { (ring.k.view(), ring.v.view()) });
        let view = LayerView { keys: planes.k.view(), values: planes.v.view(), exact };
        (&self.kernels, view, &mut self.scratch)
    }

    /// The first of the new keys or values that is no finite number, since this was last asked: `(tensor, layer, token)`. It waits for the GPU.
    pub fn first_not_finite(&mut self) -> Result<Option<(&'static str, usize, usize)>> {
        let bytes = self.not_finite.download(0..2 * self.shape.kv.n_layer * 4)?;
        let words: Vec<u32> = bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let Some((index, word)) = words.iter().enumerate().find(|(_, word)| **word > 0) else { return Ok(None) };
        self.was_dropped = true;
        Ok(Some((["k", "v"][index % 2], index / 2, (u32::MAX - word) as usize)))
    }

    /// A step ends that nobody looked at.
    pub fn drop_step(&mut self) {
        self.was_dropped = true;
    }

    /// Another begins: what a dropped one found is not held against it.
    pub fn begin_step(&mut self) -> Result<()> {
        if std::mem::take(&mut self.was_dropped) {
            self.not_finite = self.gpu().zeroed(self.not_finite.n_bytes())?;
        }
        Ok(())
    }

    pub fn save_ring(&self, slot: usize) -> Result<SavedRing> {
        let (gpu, n_rows) = (self.gpu(), self.shape.ring_rows);
        let saved = |plane: &PlaneMemory| -> Result<PlaneMemory> {
            let mut copy = plane.uninitialized(gpu, n_rows)?;
            copy.copy_from(gpu, plane, self.ring_row(slot, 0), 0, n_rows)?;
            Ok(copy)
        };
        let layers = self.rings.iter().map(|planes| Ok(LayerPlanes { k: saved(&planes.k)?, v: saved(&planes.v)? }));
        Ok(SavedRing(layers.collect::<Result<_>>()?))
    }

    pub fn restore_ring(&mut self, slot: usize, saved: &SavedRing) -> Result<()> {
        let (gpu, row, n_rows) = (self.gpu().clone(), self.ring_row(slot, 0), self.shape.ring_rows);
        for (planes, saved) in self.rings.iter_mut().zip(&saved.0) {
            planes.k.copy_from(&gpu, &saved.k, 0, row, n_rows)?;
            planes.v.copy_from(&gpu, &saved.v, 0, row, n_rows)?;
        }
        Ok(())
    }

    pub fn read(
        &self,
        slot: usize,
        layer: usize,
        rows: &[RowRun],
        ring: &[RowRun],
    ) -> std::result::Result<(Vec<f32>, Vec<f32>), CacheError> {
        let planes = &self.grown.get(slot).map_or(&self.pool, |layers| layers)[layer];
        let mut read = [vec![], vec![]];
        let ring_planes = self.rings.get(layer).map(LayerPlanes::planes);
        for (index, out) in read.iter_mut().enumerate() {
            let plane = planes.planes()[index].download()?;
            rows.iter().flat_map(|run| run.row..run.row + run.len).for_each(|row| plane.read(row, out));
            if let Some(rings) = ring_planes.filter(|_| !ring.is_empty()) {
                let plane = rings[index].download()?;
                let rows = ring.iter().flat_map(|run| run.row..run.row + run.len);
                rows.for_each(|row| plane.read(self.ring_row(slot, row), out));
            }
        }
        Ok(read.into())
    }

    pub fn pool_bytes(&self) -> u64 {
        self.pool.iter().map(LayerPlanes::bytes).sum()
    }

    pub fn grown_bytes(&self) -> u64 {
        self.grown.iter().flatten().map(LayerPlanes::bytes).sum()
    }

    pub fn ring_bytes(&self, open: impl Iterator<Item = usize>) -> (u64, u64) {
        let all: u64 = self.rings.iter().map(LayerPlanes::bytes).sum();
        (all, all / self.shape.n_sequences.max(1) as u64 * open.count() as u64)
    }

    pub fn metadata_bytes(&self) -> u64 {
        let headers = vec_bytes(&self.grown) + self.grown.iter().map(vec_bytes).sum::<u64>();
        vec_bytes(&self.pool) + headers + vec_bytes(&self.rings)
    }
}

/// Rows are fewer than 2^31, as [`DeviceMemory::refuses`] saw to.
fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
