//! `kvlab doctor`: what this machine is and can.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use anyhow::Context;
use candle_core::Device;

use crate::{
    engine::record::weight_bytes,
    measure::{
        device::gpus,
        machine::{Machine, available_memory_bytes, read_bandwidth_bytes_per_sec, simd_path},
    },
    model::{Config, ModelSource, WeightType},
    report::{
        gpu_model::{self, KNOWN_GPUS},
        units,
    },
};

mod gpu;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kvlab doctor                          this machine in a few lines
  kvlab doctor --gpu --out my-gpu       on a machine with a GPU: checks, bandwidth, benchmarks, one report
  kvlab doctor --gpu-model              bytes and floors of a decoded token on known GPUs: a model, needs none")]
pub struct Args {
    /// Check and measure a GPU: conformance with the CPU and with golden logits, bandwidth, the benchmark matrix; minutes
    #[arg(long)]
    gpu: bool,
    /// The GPU: cuda or cuda:N
    #[arg(long, default_value = "cuda", requires = "gpu")]
    device: String,
    /// Folder for report.md, report.json and the benchmark; a report that is there is replaced
    #[arg(long, value_name = "DIR", default_value = "gpu-report", requires = "gpu")]
    out: PathBuf,
    /// A small benchmark only
    #[arg(long, requires = "gpu")]
    quick: bool,
    /// What a decoded token of GPT-2 small moves on a GPU, and the floor under its time on known ones, computed
    #[arg(long, conflicts_with = "gpu")]
    gpu_model: bool,
}

/// # Errors
/// An embedded model that does not load, a GPU that does not work, or standard output.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.gpu {
        return gpu::run(args.device.parse()?, &args.out, args.quick);
    }
    if args.gpu_model {
        let gpt2 = Config::shape("gpt2", None).context("no shape of GPT-2")?;
        write!(io::stdout(), "{}", gpu_model::tables(&gpt2, WeightType::F32, &KNOWN_GPUS)?)?;
        return Ok(ExitCode::SUCCESS);
    }
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
    match gpus() {
        Ok(gpus) => {
            for gpu in gpus {
                match gpu {
                    Ok(gpu) => writeln!(out, "           {}", gpu::describe(&gpu))?,
                    Err(reason) => writeln!(out, "           {reason}")?,
                }
            }
            writeln!(
                out,
                "           cuda:0 is what `--device auto` uses; `kvlab doctor --gpu` checks and measures it"
            )?;
        }
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
