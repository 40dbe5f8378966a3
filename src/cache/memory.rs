//! Where the bytes of a store are: in this process, or on a device.
//!
//! Tables, retention and the order of a step are the store's, and the same for both; here is what they ask of memory.

mod device;
mod host;

pub(super) use device::{DeviceMemory, GroupRows, Target};
pub(super) use host::HostMemory;

use std::ops::Range;

use crate::kernels::{codec::GROUP, cuda::RowCopy};

use super::{CacheError, KvShape, blocks::RowRun, planes::TokenRows};

/// How much a store needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryShape {
    pub kv: KvShape,
    pub rows: TokenRows,
    /// Rows of the pool; 0 where there is none.
    pub pool_rows: usize,
    /// Whether sequences have buffers of their own, as `concat` has.
    pub grows: bool,
    /// Rows of a sequence's ring; 0 where every row is quantized at once.
    pub ring_rows: usize,
    pub n_sequences: usize,
}

/// 32 exact tokens that become rows of the pool: where they lie in their ring, and the first of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub row: usize,
    pub ring_rows: [usize; GROUP],
}

/// The planes of a store: of its pool, of sequences by themselves, and rings of exact tokens.
pub(super) enum Memory {
    Host(HostMemory),
    Device(Box<DeviceMemory>),
}

/// A ring as it was.
pub(super) enum SavedRing {
    Host(host::Ring),
    Device(device::SavedRing),
}

impl Memory {
    /// Room for the exact tokens of a new sequence.
    pub fn open(&mut self, slot: usize) {
        match self {
            Self::Host(memory) => memory.open(slot),
            // All rings are there from the beginning.
            Self::Device(_) => {}
        }
    }

    /// What only this sequence had is let go.
    pub fn close(&mut self, slot: usize) -> Result<(), CacheError> {
        match self {
            Self::Host(memory) => memory.close(slot),
            Self::Device(memory) => memory.close(slot)?,
        }
        Ok(())
    }

    /// Copies rows inside the pool.
    pub fn copy_rows(&mut self, layers: Range<usize>, copies: &[RowCopy]) -> Result<(), CacheError> {
        match self {
            Self::Host(memory) => memory.copy_rows(layers, copies),
            Self::Device(memory) => memory.copy_rows(layers, copies)?,
        }
        Ok(())
    }

    /// The buffers of a sequence become new ones of `n_rows` that begin with the rows of `kept`.
    pub fn keep(
        &mut self,
        slot: usize,
        layers: Range<usize>,
        kept: &[RowRun],
        n_rows: usize,
    ) -> Result<(), CacheError> {
        match self {
            Self::Host(memory) => memory.keep((slot, slot), layers, kept, n_rows),
            Self::Device(memory) => memory.keep((slot, slot), layers, kept, n_rows)?,
        }
        Ok(())
    }

    /// The buffer (of `n_rows`) and the ring of one sequence, if it has them, become another's as well.
    pub fn fork(&mut self, parent: usize, child: usize, n_rows: usize) -> Result<(), CacheError> {
        match self {
            Self::Host(memory) => memory.fork(parent, child, n_rows),
            Self::Device(memory) => memory.fork(parent, child, n_rows)?,
        }
        Ok(())
    }

    /// Quantizes groups of exact tokens of a sequence.
    pub fn seal(&mut self, slot: usize, layers: Range<usize>, groups: &[Group]) -> Result<(), CacheError> {
        match self {
            Self::Host(memory) => memory.seal(slot, layers, groups),
            Self::Device(memory) => memory.seal(slot, layers, groups)?,
        }
        Ok(())
    }

    pub fn save_ring(&self, slot: usize) -> Result<SavedRing, CacheError> {
        Ok(match self {
            Self::Host(memory) => SavedRing::Host(memory.ring(slot)),
            Self::Device(memory) => SavedRing::Device(memory.save_ring(slot)?),
        })
    }

    pub fn restore_ring(&mut self, slot: usize, saved: SavedRing) -> Result<(), CacheError> {
        match (self, saved) {
            (Self::Host(memory), SavedRing::Host(ring)) => memory.restore_ring(slot, ring),
            (Self::Device(memory), SavedRing::Device(ring)) => memory.restore_ring(slot, &ring)?,
            _ => {}
        }
        Ok(())
    }

    /// Appends keys and values of a sequence in one layer, as f32: rows of its buffer or the pool, then rows of its ring.
    pub fn read(
        &self,
        slot: usize,
        layer: usize,
        rows: &[RowRun],
        ring: &[RowRun],
    ) -> Result<(Vec<f32>, Vec<f32>), CacheError> {
        match self {
            Self::Host(memory) => Ok(memory.read(slot, layer, rows, ring)),
            Self::Device(memory) => memory.read(slot, layer, rows, ring),
        }
    }

    /// Of the pool.
    pub fn pool_bytes(&self) -> u64 {
        match self {
            Self::Host(memory) => memory.pool_bytes(),
            Self::Device(memory) => memory.pool_bytes(),
        }
    }

    /// Of sequences' own buffers.
    pub fn grown_bytes(&self) -> u64 {
        match self {
            Self::Host(memory) => memory.grown_bytes(),
            Self::Device(memory) => memory.grown_bytes(),
        }
    }

    /// Of all rings, and of those of the sequences `open`.
    pub fn ring_bytes(&self, open: impl Iterator<Item = usize>) -> (u64, u64) {
        match self {
            Self::Host(memory) => memory.ring_bytes(open),
            Self::Device(memory) => memory.ring_bytes(open),
        }
    }

    /// What the lists of planes themselves take on the host.
    pub fn metadata_bytes(&self) -> u64 {
        match self {
            Self::Host(memory) => memory.metadata_bytes(),
            Self::Device(memory) => memory.metadata_bytes(),
        }
    }
}
