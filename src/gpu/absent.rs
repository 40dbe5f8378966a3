//! The GPU of a program that was built without the feature `cuda`: there is none, and nothing here can be called.

use std::{convert::Infallible, ops::Range};

use candle_core::{Device, Error, Result, Tensor};

use crate::kernels::cuda::{Address, Geometry};

use super::{Argument, GpuFacts, TensorRows};

#[expect(clippy::missing_errors_doc, reason = "as in driver.rs")]
pub fn open(_index: usize, _keep_bytes: u64) -> Result<Device> {
    Err(Error::Msg(WITHOUT.into()))
}

#[expect(clippy::missing_errors_doc, reason = "as in driver.rs")]
pub fn n_devices() -> Result<usize> {
    Err(Error::Msg(WITHOUT.into()))
}

#[expect(clippy::missing_errors_doc, reason = "as in driver.rs")]
pub fn memory_of(_device: &Device) -> Result<Option<(u64, u64)>> {
    Ok(None)
}

const WITHOUT: &str = "this kvlab was built without the feature `cuda`";

/// A GPU on which our kernels run.
#[derive(Clone)]
pub struct Gpu(Infallible);

/// Bytes on a GPU.
pub struct Memory(Infallible);

#[expect(clippy::missing_errors_doc, reason = "as in driver.rs")]
impl Gpu {
    pub fn of(_device: &Device) -> Result<Option<Self>> {
        Ok(None)
    }

    pub fn facts(&self) -> Result<GpuFacts> {
        match self.0 {}
    }

    #[must_use]
    pub fn n_multiprocessors(&self) -> usize {
        match self.0 {}
    }

    pub fn zeroed(&self, _n_bytes: usize) -> Result<Memory> {
        match self.0 {}
    }

    pub(super) fn uninitialized(&self, _n_bytes: usize) -> Result<Memory> {
        match self.0 {}
    }

    pub fn upload(&self, _words: &[u32]) -> Result<Memory> {
        match self.0 {}
    }

    pub(super) fn tensor_rows(&self, _tensor: &Tensor) -> Result<TensorRows> {
        match self.0 {}
    }

    pub(super) fn new_rows(&self, _n_tokens: usize, _heads: usize, _head_dim: usize) -> Result<TensorRows> {
        match self.0 {}
    }

    pub fn copy(&self, _: &Memory, _: usize, _: &mut Memory, _: usize, _n_bytes: usize) -> Result<()> {
        match self.0 {}
    }

    #[expect(unsafe_code, reason = "as in driver.rs")]
    pub(super) unsafe fn launch(&self, _name: &str, _geometry: Geometry, _arguments: &[Argument]) -> Result<()> {
        match self.0 {}
    }
}

#[expect(clippy::missing_errors_doc, reason = "as in driver.rs")]
impl Memory {
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        match self.0 {}
    }

    pub(super) fn address(&self) -> Address {
        match self.0 {}
    }

    pub fn download(&self, _range: Range<usize>) -> Result<Vec<u8>> {
        match self.0 {}
    }
}
