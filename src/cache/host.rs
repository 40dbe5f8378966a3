//! Rows of a tensor as host memory, without copying where candle allows it.

use std::ops::Deref;

use candle_core::{CpuStorage, Device, Storage, Tensor};

use super::CacheError;

/// A `[tokens, heads, head_dim]` f32 tensor, readable as host memory row by row.
///
/// On the CPU a view whose heads lie together (a part of the fused q, k, v projection, say) is borrowed.
/// From another device, or where the view is scattered, the rows are copied once.
pub enum HostRows<'a> {
    Borrowed { storage: Box<dyn Deref<Target = Storage> + 'a>, offset: usize, token_stride: usize },
    Copied { rows: Vec<f32>, token_stride: usize },
}

impl<'a> HostRows<'a> {
    /// # Errors
    /// [`CacheError::TensorShape`] unless the shape is `expected`, and candle's own errors.
    pub fn new(name: &'static str, tensor: &'a Tensor, expected: [usize; 3]) -> Result<Self, CacheError> {
        if tensor.dims() != expected {
            return Err(CacheError::TensorShape {
                tensor: name,
                actual: tensor.dims().to_vec(),
                expected: expected.to_vec(),
            });
        }
        let [_, heads, head_dim] = expected;
        if tensor.dtype() == candle_core::DType::F32 && matches!(tensor.device(), Device::Cpu) {
            let (storage, layout) = tensor.storage_and_layout();
            if let [token_stride, head_stride, 1] = layout.stride()
                && (*head_stride == head_dim || heads == 1)
            {
                let (storage, offset, token_stride) = (Box::new(storage), layout.start_offset(), *token_stride);
                return Ok(Self::Borrowed { storage, offset, token_stride });
            }
        }
        let rows = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(Self::Copied { rows, token_stride: heads * head_dim })
    }

    /// The memory from the first row on; a token's rows begin every [`Self::token_stride`] elements.
    ///
    /// # Errors
    /// Candle's, if the storage is not what its device says.
    pub fn data(&self) -> Result<&[f32], CacheError> {
        match self {
            Self::Borrowed { storage, offset, .. } => match &***storage {
                Storage::Cpu(CpuStorage::F32(data)) => Ok(&data[*offset..]),
                _ => Err(candle_core::Error::Msg("a CPU tensor has no CPU f32 storage".into()).into()),
            },
            Self::Copied { rows, .. } => Ok(rows),
        }
    }

    #[must_use]
    pub fn token_stride(&self) -> usize {
        match self {
            Self::Borrowed { token_stride, .. } | Self::Copied { token_stride, .. } => *token_stride,
        }
    }
}
