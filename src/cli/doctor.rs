//! `kvlab doctor`: what this machine is and can.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use candle_core::Device;

use crate::{
    engine::record::weight_bytes,
    measure::machine::{DeviceChoice, Machine, available_memory_bytes, read_bandwidth_bytes_per_sec, simd_path},
    model::{Config, ModelSource, WeightType},
    report::units,
};

/// # Errors
/// An embedded model that does not load, or standard output.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let machine = Machine::detect();
    let simd = if machine.simd.is_empty() { "none detected".into() } else { machine.simd.join(" ") };
    writeln!(out, "kvlab      {} ({})", env!("CARGO_PKG_VERSION"), option_env!("KVLAB_COMMIT").unwrap_or("no commit"))?;
    writeln!(out, "system     {}", machine.os)?;
    writeln!(out, "processor  {}, {} cores", machine.cpu, machine.cores)?;
    writeln!(out, "threads    {} (--threads or RAYON_NUM_THREADS changes it)", machine.threads)?;
    writeln!(out, "SIMD       {simd}")?;
    writeln!(
        out,
        "kernels    {} (KVLAB_SIMD=portable, avx2 or avx512 takes another path)",
        simd_path().unwrap_or("unknown")
    )?;
    let free = available_memory_bytes().map_or_else(|| "unknown".into(), units::bytes);
    writeln!(out, "memory     {}, {free} free", units::bytes(machine.memory_bytes))?;
    let bandwidth = read_bandwidth_bytes_per_sec();
    writeln!(
        out,
        "bandwidth  {:.1} GB/s read by all threads (256 MiB, the fastest of 4 passes, median of 3)",
        bandwidth / 1e9
    )?;
    if let Some(gpt2) = Config::shape("gpt2", None) {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let floor = weight_bytes(&gpt2, WeightType::F32) as f64 / bandwidth;
        writeln!(out, "           so a token of GPT-2 small in f32 cannot take less than {} here", units::secs(floor))?;
    }
    writeln!(out, "devices    cpu: used by default")?;
    match DeviceChoice::Cuda(0).open() {
        Ok(_) => writeln!(out, "           cuda:0: works, and `--device auto` uses it")?,
        Err(reason) => writeln!(out, "           cuda: not used; {reason}")?,
    }
    let started = Instant::now();
    let story = ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &super::CANCEL)?;
    writeln!(
        out,
        "story      loads in {}, sha256 {}",
        units::secs(started.elapsed().as_secs_f64()),
        story.hash.get(..16).unwrap_or(&story.hash)
    )?;
    Ok(ExitCode::SUCCESS)
}
