//! Where to compute: the CPU, or a GPU that works.

use std::{sync::OnceLock, time::Instant};

use candle_core::{Device, Tensor};

use crate::gpu::{self, Gpu};

use super::stats::median;

pub use crate::gpu::GpuFacts;

/// What `--device` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// CUDA if it works, else the CPU.
    Auto,
    Cpu,
    Cuda(usize),
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("unknown device `{0}`; devices are auto, cpu, cuda and cuda:N")]
    Unknown(String),
    #[error(
        "this kvlab was built without CUDA; build it with `cargo build --release --features cuda`, or use --device cpu"
    )]
    BuiltWithoutCuda,
    #[error("CUDA device {index} cannot be used: {reason}")]
    Cuda { index: usize, reason: String },
}

impl std::str::FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown(text.into())),
        }
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// The device, and for `auto` why it is not CUDA.
    ///
    /// # Errors
    /// [`DeviceError`] when a device was asked for by name and does not work.
    pub fn open(self) -> Result<(Device, Option<String>), DeviceError> {
        match self {
            Self::Cpu => Ok((Device::Cpu, None)),
            Self::Cuda(index) => cuda(index).map(|device| (device, None)),
            Self::Auto => match cuda(0) {
                Ok(device) => Ok((device, None)),
                Err(reason) => Ok((Device::Cpu, Some(reason.to_string()))),
            },
        }
    }
}

/// Opens a device after what was said of its pool.
fn cuda(index: usize) -> Result<Device, DeviceError> {
    if !cfg!(feature = "cuda") {
        return Err(DeviceError::BuiltWithoutCuda);
    }
    let device = gpu::open(index, pool_threshold_bytes()).and_then(|device| try_out(&device).map(|()| device));
    device.map_err(|e| DeviceError::Cuda { index, reason: reason(&e) })
}

/// A kernel of candle's and one of ours: a driver may be there and take neither, if it is older than the toolkit that compiled them.
fn try_out(device: &Device) -> candle_core::Result<()> {
    let x = Tensor::new(&[0.0_f32, 1.0], device)?;
    let largest = Gpu::of(device)?.map(|gpu| gpu.argmax(&(&x + &x)?)).transpose()?.flatten();
    if largest == Some(1) { Ok(()) } else { Err(candle_core::Error::Msg("its kernels compute wrong numbers".into())) }
}

/// One line of an error of the driver.
fn reason(error: &candle_core::Error) -> String {
    let text = error.to_string();
    let name = text.split_once("DriverError(").and_then(|(_, rest)| rest.split([',', ')']).next());
    match name {
        Some("CUDA_ERROR_NO_DEVICE") => "the driver finds no GPU (CUDA_ERROR_NO_DEVICE)".into(),
        Some("CUDA_ERROR_INVALID_DEVICE") => "there is no GPU of that number (CUDA_ERROR_INVALID_DEVICE)".into(),
        Some("CUDA_ERROR_UNSUPPORTED_PTX_VERSION") => {
            "its driver is older than the toolkit that compiled the kernels (CUDA_ERROR_UNSUPPORTED_PTX_VERSION); update the driver, or \
             build with an older toolkit"
                .into()
        }
        Some(name @ ("CUDA_ERROR_NO_BINARY_FOR_GPU" | "CUDA_ERROR_INVALID_PTX")) => {
            format!("the kernels were compiled for another architecture ({name}); build on this machine, or with its CUDA_COMPUTE_CAP")
        }
        _ => text.lines().next().unwrap_or_default().to_owned(),
    }
}

/// Freed memory that a GPU's pool keeps for the next allocation. Drivers give it back at every synchronisation if nobody says otherwise, and the next
/// token asks for it anew.
static POOL_THRESHOLD_BYTES: OnceLock<u64> = OnceLock::new();

/// To be said before a device is opened; the first word counts.
pub fn set_pool_threshold_bytes(bytes: u64) {
    let _ = POOL_THRESHOLD_BYTES.set(bytes);
}

/// All of it, unless somebody said otherwise.
#[must_use]
pub fn pool_threshold_bytes() -> u64 {
    POOL_THRESHOLD_BYTES.get().copied().unwrap_or(u64::MAX)
}

/// How records name a device: the CPU as they always did, a GPU with what its numbers depend on.
#[must_use]
pub fn name_of(device: &Device) -> String {
    let Device::Cuda(_) = device else { return format!("{:?}", device.location()) };
    match facts(device, 0) {
        Ok(GpuFacts { index, name, driver, release_threshold_bytes, uses_tf32, .. }) => {
            let (kept, tf32) = (pool_in_words(release_threshold_bytes), if uses_tf32 { "on" } else { "off" });
            format!("cuda:{index} {name}; driver for CUDA {driver}, pool {kept}, TF32 {tf32}")
        }
        Err(_) => format!("{:?}", device.location()),
    }
}

/// What a pool does with freed memory.
#[must_use]
pub fn pool_in_words(release_threshold_bytes: u64) -> String {
    match release_threshold_bytes {
        0 => "gives freed memory back at every synchronisation".to_owned(),
        u64::MAX => "keeps freed memory".to_owned(),
        bytes => format!("keeps up to {bytes} bytes of freed memory"),
    }
}

/// Every GPU that the driver has, as it describes it or why it cannot be used; or in one line why there is none.
///
/// # Errors
/// [`DeviceError`]
pub fn gpus() -> Result<Vec<Result<GpuFacts, DeviceError>>, DeviceError> {
    if !cfg!(feature = "cuda") {
        return Err(DeviceError::BuiltWithoutCuda);
    }
    let failed = |index: usize| move |e: candle_core::Error| DeviceError::Cuda { index, reason: reason(&e) };
    let n = gpu::n_devices().map_err(failed(0))?;
    if n == 0 {
        return Err(DeviceError::Cuda { index: 0, reason: "the driver finds no GPU".into() });
    }
    Ok((0..n).map(|index| facts(&cuda(index)?, index)).collect())
}

/// What the driver says of a device.
///
/// # Errors
/// [`DeviceError::Cuda`], also for the CPU.
pub fn facts(device: &Device, index: usize) -> Result<GpuFacts, DeviceError> {
    let failed = |e: candle_core::Error| DeviceError::Cuda { index, reason: reason(&e) };
    let Some(gpu) = Gpu::of(device).map_err(failed)? else {
        return Err(DeviceError::Cuda { index, reason: "this is the CPU".into() });
    };
    gpu.facts().map_err(failed)
}

const COPY_REPEATS: usize = 5;

/// Bytes per second that a GPU reads and writes together while it copies `n_bytes` inside its memory: the median of several copies, each
/// waited for.
///
/// # Errors
/// [`DeviceError::Cuda`], also for the CPU.
pub fn copy_bytes_per_sec(device: &Device, n_bytes: usize) -> Result<f64, DeviceError> {
    let failed = |e: candle_core::Error| DeviceError::Cuda { index: 0, reason: reason(&e) };
    let Some(gpu) = Gpu::of(device).map_err(failed)? else {
        return Err(DeviceError::Cuda { index: 0, reason: "this is the CPU".into() });
    };
    let (from, mut to) = (gpu.zeroed(n_bytes).map_err(failed)?, gpu.zeroed(n_bytes).map_err(failed)?);
    let mut copy = || {
        device.synchronize()?;
        let started = Instant::now();
        gpu.copy(&from, 0, &mut to, 0, n_bytes)?;
        device.synchronize()?;
        candle_core::Result::Ok(started.elapsed().as_secs_f64())
    };
    // The first one touches the memory.
    copy().map_err(failed)?;
    let secs = (0..COPY_REPEATS).map(|_| copy()).collect::<candle_core::Result<Vec<f64>>>().map_err(failed)?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let moved = (2 * n_bytes) as f64;
    Ok(median(&secs).map_or(0.0, |secs| moved / secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_parse_and_say_what_is_wrong() {
        assert_eq!("cuda:3".parse::<DeviceChoice>().ok(), Some(DeviceChoice::Cuda(3)));
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(2)] {
            assert_eq!(choice.to_string().parse::<DeviceChoice>().ok(), Some(choice));
        }
        assert!("tpu".parse::<DeviceChoice>().is_err_and(|e| e.to_string().contains("auto, cpu, cuda")));
        assert!(DeviceChoice::Auto.open().is_ok());
        if !cfg!(feature = "cuda") {
            let error = DeviceChoice::Cuda(0).open().expect_err("a CPU build has no CUDA");
            assert!(error.to_string().contains("--features cuda"));
        }
    }

    #[test]
    fn a_driver_error_is_one_line() {
        let error = candle_core::Error::Msg("DriverError(CUDA_ERROR_NO_DEVICE, \"no device\")\n at line".into());
        assert_eq!(reason(&error), "the driver finds no GPU (CUDA_ERROR_NO_DEVICE)");
        let old = candle_core::Error::Msg("DriverError(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, \"x\")".into());
        assert!(reason(&old).contains("update the driver"));
        assert_eq!(reason(&candle_core::Error::Msg("one\ntwo".into())), "one");
    }
}
