//! A GPU with our kernels loaded: memory, copies, launches, and how many there were of each.
//!
//! candle's device and stream are used, so that our kernels and candle's operations follow each other in order, and memory that is let go is
//! given back behind the last kernel that uses it.

#![expect(unsafe_code, reason = "launches take addresses")]

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex},
};

use candle_core::{
    CudaDevice, CudaStorage, DType, Device, Error, Result, Storage, Tensor,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{
            CudaContext, CudaFunction, CudaSlice, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg, result,
            sys::{self, CUdevice_attribute, CUmemPool_attribute},
        },
    },
};

use crate::kernels::cuda::{Address, Geometry, Layer, WalkOut, WalkShape};

use super::{Argument, GpuFacts, TensorRows, counts::count};

/// What nvcc made of the `.cu` files: `(module, PTX)`.
const MODULES: [(&str, &str); 4] = [
    ("kvlab_append", include_str!(concat!(env!("OUT_DIR"), "/append.ptx"))),
    ("kvlab_walk", include_str!(concat!(env!("OUT_DIR"), "/walk.ptx"))),
    ("kvlab_prefill", include_str!(concat!(env!("OUT_DIR"), "/prefill.ptx"))),
    ("kvlab_rows", include_str!(concat!(env!("OUT_DIR"), "/rows.ptx"))),
];

// SAFETY: `repr(C)`, of addresses, integers and floats only, as the kernels declare them; the emulator's tests launch with the same types.
unsafe impl DeviceRepr for Layer {}
// SAFETY: as above.
unsafe impl DeviceRepr for WalkShape {}
// SAFETY: as above.
unsafe impl DeviceRepr for WalkOut {}

/// A GPU on which our kernels run.
#[derive(Clone)]
pub struct Gpu {
    device: CudaDevice,
    functions: Arc<Mutex<HashMap<String, CudaFunction>>>,
    n_multiprocessors: usize,
}

/// Bytes on a GPU; given back when dropped, behind everything that was launched before.
pub struct Memory {
    gpu: Gpu,
    /// `None`: no bytes at all, which drivers do not give.
    slice: Option<CudaSlice<u8>>,
}

/// Opens a device with a stream of its own, whatever thread uses it; `keep_bytes` of freed memory stay with its pool.
///
/// # Errors
/// What the driver says, no device among it.
pub fn open(index: usize, keep_bytes: u64) -> Result<Device> {
    let device = Device::new_cuda_with_stream(index)?;
    if let Device::Cuda(cuda) = &device {
        // SAFETY: every tensor of this device is made and used on its one stream; none is handed to another device.
        unsafe { cuda.disable_event_tracking() };
        let stream = cuda.cuda_stream();
        if stream.context().has_async_alloc() {
            let mut keep_bytes = keep_bytes;
            // SAFETY: the pool is the device's own, and the attribute is a 64-bit number.
            unsafe {
                let pool = result::device::get_default_mem_pool(stream.context().cu_device()).w()?;
                result::mem_pool::set_attribute(pool, RELEASE_THRESHOLD, (&raw mut keep_bytes).cast()).w()?;
            }
        }
    }
    Ok(device)
}

/// How many devices the driver has.
///
/// # Errors
/// What it says where it has none.
pub fn n_devices() -> Result<usize> {
    Ok(usize::try_from(CudaContext::device_count().w()?).unwrap_or(0))
}

const RELEASE_THRESHOLD: CUmemPool_attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;

/// Free and all memory of a GPU in bytes, as its driver counts it: of every program, with what pools keep. `None` for the CPU.
///
/// # Errors
/// The driver's.
pub fn memory_of(device: &Device) -> Result<Option<(u64, u64)>> {
    let Device::Cuda(device) = device else { return Ok(None) };
    let (free, total) = device.cuda_stream().context().mem_get_info().w()?;
    Ok(Some((free as u64, total as u64)))
}

impl Gpu {
    /// What the driver says of it.
    ///
    /// # Errors
    /// The driver's.
    pub fn facts(&self) -> Result<GpuFacts> {
        let stream = self.device.cuda_stream();
        let context = stream.context();
        let number = |attribute| -> Result<u64> { Ok(u64::try_from(context.attribute(attribute).w()?).unwrap_or(0)) };
        let (major, minor) = context.compute_capability().w()?;
        let (mut driver, mut release_threshold_bytes) = (0, 0_u64);
        // SAFETY: a place for an integer.
        unsafe { sys::cuDriverGetVersion(&raw mut driver) }.result().w()?;
        if context.has_async_alloc() {
            // SAFETY: as in `open`.
            unsafe {
                let pool = result::device::get_default_mem_pool(context.cu_device()).w()?;
                let place = (&raw mut release_threshold_bytes).cast();
                result::mem_pool::get_attribute(pool, RELEASE_THRESHOLD, place).w()?;
            }
        }
        let (free, total) = context.mem_get_info().w()?;
        Ok(GpuFacts {
            index: context.ordinal(),
            name: context.name().w()?,
            driver: format!("{}.{}", driver / 1000, driver % 1000 / 10),
            compute_capability: format!("{major}.{minor}"),
            n_multiprocessors: self.n_multiprocessors,
            total_bytes: total as u64,
            free_bytes: free as u64,
            clock_khz: number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
            memory_clock_khz: number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?,
            bus_bits: number(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?,
            release_threshold_bytes,
            uses_tf32: candle_core::cuda_backend::gemm_reduced_precision_f32(),
        })
    }

    /// The GPU behind a device; `None` for the CPU.
    ///
    /// # Errors
    /// The driver's.
    pub fn of(device: &Device) -> Result<Option<Self>> {
        let Device::Cuda(device) = device else { return Ok(None) };
        let stream = device.cuda_stream();
        let n = stream.context().attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).w()?;
        let n_multiprocessors = usize::try_from(n).unwrap_or(1).max(1);
        Ok(Some(Self { device: device.clone(), functions: Arc::default(), n_multiprocessors }))
    }

    #[must_use]
    pub fn n_multiprocessors(&self) -> usize {
        self.n_multiprocessors
    }

    /// Bytes that are 0.
    ///
    /// # Errors
    /// The driver's, if there is not as much.
    pub fn zeroed(&self, n_bytes: usize) -> Result<Memory> {
        let slice = if n_bytes > 0 { Some(self.device.alloc_zeros::<u8>(n_bytes)?) } else { None };
        count(|counts| counts.allocations += u64::from(n_bytes > 0));
        Ok(Memory { gpu: self.clone(), slice })
    }

    /// Bytes that hold what they happen to: only for what is written whole before it is read.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn uninitialized(&self, n_bytes: usize) -> Result<Memory> {
        // SAFETY: plain bytes, which any value is a valid one of.
        let slice = if n_bytes > 0 { Some(unsafe { self.device.alloc::<u8>(n_bytes) }?) } else { None };
        count(|counts| counts.allocations += u64::from(n_bytes > 0));
        Ok(Memory { gpu: self.clone(), slice })
    }

    /// Copies words to the GPU.
    ///
    /// # Errors
    /// The driver's.
    pub fn upload(&self, words: &[u32]) -> Result<Memory> {
        if words.is_empty() {
            return self.zeroed(0);
        }
        count(|counts| {
            counts.allocations += 1;
            counts.uploads += 1;
        });
        let slice = self.device.clone_htod(bytemuck::cast_slice::<u32, u8>(words))?;
        Ok(Memory { gpu: self.clone(), slice: Some(slice) })
    }

    /// Rows of a tensor `[tokens, heads, head_dim]`, read in place where its rows lie together, and copied once where they do not.
    ///
    /// # Errors
    /// A tensor that is not f32 or not on this GPU; candle's.
    pub(super) fn tensor_rows(&self, tensor: &Tensor) -> Result<TensorRows> {
        let (n_tokens, heads, head_dim) = tensor.dims3()?;
        let strides = tensor.stride();
        // A token that is shown several times has no rows of its own to be read.
        let has_rows = n_tokens <= 1 || strides[0] >= heads * head_dim;
        let in_place = strides[2] == 1 && (strides[1] == head_dim || heads == 1) && has_rows;
        let tensor = if in_place { tensor.clone() } else { tensor.contiguous()? };
        let tensor = if tensor.dtype() == DType::F32 { tensor } else { tensor.to_dtype(DType::F32)?.contiguous()? };
        let (address, token_stride) = {
            let (storage, layout) = tensor.storage_and_layout();
            (self.address_of(&storage)? + 4 * layout.start_offset() as Address, layout.stride()[0])
        };
        Ok(TensorRows { address, token_stride, n_tokens, heads, head_dim, tensor })
    }

    /// A new f32 tensor `[tokens, heads, head_dim]` that a kernel is to fill.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn new_rows(&self, n_tokens: usize, heads: usize, head_dim: usize) -> Result<TensorRows> {
        count(|counts| counts.allocations += 1);
        // SAFETY: plain numbers; the kernel that it is made for writes each of them before anybody reads one.
        let slice = unsafe { self.device.alloc::<f32>(n_tokens * heads * head_dim) }?;
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, self.device.clone()));
        let tensor =
            Tensor::from_storage(storage, (n_tokens, heads, head_dim), candle_core::op::BackpropOp::none(), false);
        self.tensor_rows(&tensor)
    }

    fn address_of(&self, storage: &Storage) -> Result<Address> {
        let Storage::Cuda(storage) = storage else {
            return Err(Error::Msg("the rows are not on the GPU that the cache is on".into()));
        };
        if storage.device.id() != self.device.id() {
            return Err(Error::Msg("the rows are on another GPU than the cache, or on another stream of it".into()));
        }
        let stream = self.device.cuda_stream();
        Ok(storage.as_cuda_slice::<f32>()?.device_ptr(&stream).0)
    }

    /// Copies bytes between two places that do not overlap.
    ///
    /// # Errors
    /// Ranges outside of the memory; the driver's.
    pub fn copy(&self, from: &Memory, from_byte: usize, to: &mut Memory, to_byte: usize, n_bytes: usize) -> Result<()> {
        let inside =
            |memory: &Memory, byte: usize| byte.checked_add(n_bytes).is_some_and(|end| end <= memory.n_bytes());
        if !inside(from, from_byte) || !inside(to, to_byte) {
            return Err(Error::Msg("a copy beyond the memory of a cache".into()));
        }
        if n_bytes == 0 {
            return Ok(());
        }
        count(|counts| counts.device_copies += 1);
        let stream = self.device.cuda_stream();
        let (from, to) = (from.address() + from_byte as Address, to.address() + to_byte as Address);
        stream.context().bind_to_thread().w()?;
        // SAFETY: both ranges lie inside of memory that is alive, and whoever gives it back does so on the same stream, behind this.
        unsafe { result::memcpy_dtod_async(to, from, n_bytes, stream.cu_stream()) }.w()
    }

    /// Runs a kernel.
    ///
    /// # Errors
    /// No such kernel; what the driver refuses.
    ///
    /// # Safety
    /// The arguments are those that the kernel declares, and every address is good for what it does with it.
    pub(super) unsafe fn launch(&self, name: &str, geometry: Geometry, arguments: &[Argument]) -> Result<()> {
        let function = self.function(name)?;
        let stream = self.device.cuda_stream();
        let mut launch = stream.launch_builder(&function);
        for argument in arguments {
            match argument {
                Argument::Address(x) => launch.arg(x),
                Argument::Int(x) => launch.arg(x),
                Argument::Word(x) => launch.arg(x),
                Argument::Layer(x) => launch.arg(x),
                Argument::Shape(x) => launch.arg(x),
                Argument::Out(x) => launch.arg(x),
            };
        }
        let [x, y, z] = geometry.grid;
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (geometry.n_threads, 1, 1),
            shared_mem_bytes: geometry.shared_bytes,
        };
        count(|counts| counts.launches += 1);
        // SAFETY: what the caller promised.
        unsafe { launch.launch(config) }.w()?;
        Ok(())
    }

    fn function(&self, name: &str) -> Result<CudaFunction> {
        let mut functions =
            self.functions.lock().map_err(|_| Error::Msg("another thread failed at a kernel".into()))?;
        if let Some(function) = functions.get(name) {
            return Ok(function.clone());
        }
        let module = match name.split('_').next() {
            Some("append" | "seal") => 0,
            Some("walk" | "merge" | "weights" | "add") => 1,
            Some("prefill") => 2,
            _ => 3,
        };
        let (module, ptx) = MODULES[module];
        let function = self.device.get_or_load_custom_func(name, module, ptx)?.into_cuda_function();
        functions.insert(name.to_owned(), function.clone());
        Ok(function)
    }
}

impl Memory {
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.slice.as_ref().map_or(0, CudaSlice::len)
    }

    /// Where it is; 0 if it is nothing.
    pub(super) fn address(&self) -> Address {
        let stream = self.gpu.device.cuda_stream();
        self.slice.as_ref().map_or(0, |slice| slice.device_ptr(&stream).0)
    }

    /// Copies bytes to the host, which waits for everything that was launched before.
    ///
    /// # Errors
    /// A range outside; the driver's.
    pub fn download(&self, range: Range<usize>) -> Result<Vec<u8>> {
        let Some(slice) = self.slice.as_ref().filter(|_| !range.is_empty()) else { return Ok(vec![]) };
        let view = slice.try_slice(range).ok_or_else(|| Error::Msg("a copy beyond the memory of a cache".into()))?;
        count(|counts| counts.downloads += 1);
        self.gpu.device.clone_dtoh(&view)
    }
}
