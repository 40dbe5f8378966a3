//! What a cache does on an NVIDIA GPU: memory there, lists of rows, launches of our kernels.
//!
//! The kernels themselves, and what their callers know of them in integers, are in `kernels/cuda`. In reading order: `lists` is what a step tells a GPU,
//! `planes` what a cache holds there, `ops` and `attend` what it may ask for, and `driver` the only file that talks to a driver. A build without the feature
//! `cuda` compiles `absent.rs` in its place, which has the same functions and no GPU, so that everything above is checked in every build.

#[cfg(not(feature = "cuda"))]
#[path = "absent.rs"]
mod driver;
#[cfg(feature = "cuda")]
mod driver;

mod attend;
mod counts;
mod lists;
mod ops;
mod planes;

pub use attend::{Asking, Kernels, LayerView, Weights, floats};
pub use counts::Counts;
pub use driver::{Gpu, Memory, memory_of, n_devices, open};
pub use lists::{Lists, Queries, Rows};
pub use ops::{RowCopies, Uploaded};
pub use planes::{HostPlane, PlaneMemory, PlaneView, TensorRows};

use serde::{Deserialize, Serialize};

use crate::kernels::cuda::{Address, Layer, WalkOut, WalkShape};

/// What a driver says of a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuFacts {
    pub index: usize,
    pub name: String,
    /// The CUDA version of the driver.
    pub driver: String,
    pub compute_capability: String,
    pub n_multiprocessors: usize,
    pub total_bytes: u64,
    /// When it was asked.
    pub free_bytes: u64,
    /// Of its multiprocessors at most.
    pub clock_khz: u64,
    pub memory_clock_khz: u64,
    pub bus_bits: u64,
    /// Freed bytes that its memory pool keeps instead of giving them back at the next synchronisation.
    pub release_threshold_bytes: u64,
    /// Whether products in f32 may round their factors to TF32 (10 bits).
    pub uses_tf32: bool,
}

impl GpuFacts {
    /// Bytes a second that its memory has at most: two transfers a clock over the width of the bus. 0 where the driver does not say.
    #[must_use]
    pub fn peak_bytes_per_sec(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let bits = (2 * self.memory_clock_khz * self.bus_bits) as f64;
        bits * 1000.0 / 8.0
    }
}

/// An argument of a kernel.
#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "nothing is launched"))]
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    Address(Address),
    Int(i32),
    Word(u32),
    Layer(Layer),
    Shape(WalkShape),
    Out(WalkOut),
}
