//! `kvlab doctor --gpu`: everything that a person with a GPU can find out for the others, in one report.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::atomic::Ordering,
};

use anyhow::Context;
use candle_core::Device;
use clap::Parser;
use serde::Serialize;

use crate::{
    cli::{CANCEL, CANCELLED, bench},
    experiment::conformance::{ATTENTION, Conformed, LOGITS, LOSSY_LOGITS, against_cpu, goldens},
    measure::{
        device::{DeviceChoice, GpuFacts, copy_bytes_per_sec, facts, pool_in_words},
        machine::Machine,
    },
    model::{Config, WeightType},
    report::{
        files::{write_json, write_whole},
        gpu_model::{self, KNOWN_GPUS},
        units,
    },
};

/// What is copied to see how fast the memory is; less on a GPU with little of it.
const COPY_BYTES: usize = 256 << 20;

/// The report, as `report.json` has it.
#[derive(Debug, Serialize)]
struct Report {
    kvlab: String,
    machine: Machine,
    gpu: GpuFacts,
    /// Bytes read and written in a second by a copy inside the GPU's memory.
    copy_bytes_per_sec: f64,
    /// By the driver's clocks; 0 if it does not say.
    peak_bytes_per_sec: f64,
    conformance: Vec<Conformed>,
}

/// # Errors
/// A GPU that does not work, a folder that cannot be written.
pub fn run(choice: DeviceChoice, out: &Path, quick: bool) -> anyhow::Result<ExitCode> {
    let DeviceChoice::Cuda(index) = choice else {
        anyhow::bail!("--device {choice}: --gpu checks a GPU, which is cuda or cuda:N; nothing was run");
    };
    let (device, _) = DeviceChoice::Cuda(index).open()?;
    let gpu = facts(&device, index)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", describe(&gpu))?;

    // An earlier report would pass for this one's.
    for name in ["report.md", "report.json"] {
        match fs::remove_file(out.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be replaced", out.join(name).display()));
            }
            _ => {}
        }
    }
    let conformance = conformance(&device, &mut stdout)?;
    if CANCEL.load(Ordering::Relaxed) {
        return Ok(cancelled());
    }
    let n_bytes = COPY_BYTES.min(usize::try_from(gpu.free_bytes / 4).unwrap_or(COPY_BYTES));
    let copied = copy_bytes_per_sec(&device, n_bytes)?;
    let peak = gpu.peak_bytes_per_sec();
    writeln!(stdout, "copy       {}", bandwidth(copied, peak))?;
    fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    drop(stdout);

    let report = Report {
        kvlab: format!("{} ({})", env!("CARGO_PKG_VERSION"), option_env!("KVLAB_COMMIT").unwrap_or("no commit")),
        machine: Machine::detect(),
        peak_bytes_per_sec: peak,
        copy_bytes_per_sec: copied,
        conformance,
        gpu,
    };
    write_json(&out.join("report.json"), &report)?;
    let code = benchmark(index, out, quick)?;
    if CANCEL.load(Ordering::Relaxed) {
        return Ok(cancelled());
    }
    anyhow::ensure!(code == ExitCode::SUCCESS, "the benchmark failed; report.json is in {}", out.display());
    let arms = fs::read_to_string(out.join("bench/summary.md")).context("the benchmark left no table")?;
    write_whole(&out.join("report.md"), markdown(&report, &arms)?.as_bytes())?;
    let n_bad = report.conformance.iter().filter(|conformed| !conformed.is_good()).count();
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "report     {}", out.join("report.md").display())?;
    if n_bad > 0 {
        writeln!(
            stdout,
            "{n_bad} of {} checks failed: this GPU does not compute what it should",
            report.conformance.len()
        )?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn cancelled() -> ExitCode {
    let _ = writeln!(
        io::stderr(),
        "cancelled; what was measured is kept where it was written, and the same command begins anew"
    );
    ExitCode::from(CANCELLED)
}

/// One line of a GPU.
pub fn describe(gpu: &GpuFacts) -> String {
    let GpuFacts { index, name, driver, compute_capability, n_multiprocessors, total_bytes, free_bytes, .. } = gpu;
    let kept = pool_in_words(gpu.release_threshold_bytes);
    format!(
        "cuda:{index}: {name}, compute capability {compute_capability}, {n_multiprocessors} multiprocessors, {}, {} free; driver for CUDA \
         {driver}; pool {kept}; TF32 {}",
        units::bytes(*total_bytes),
        units::bytes(*free_bytes),
        if gpu.uses_tf32 { "on" } else { "off" },
    )
}

fn bandwidth(copied: f64, peak: f64) -> String {
    let share = if peak > 0.0 {
        format!(", {:.0} % of the {:.0} GB/s that its clocks allow", 100.0 * copied / peak, peak / 1e9)
    } else {
        ", of a peak that the driver does not say".to_owned()
    };
    format!("{:.1} GB/s read and written inside its memory{share}", copied / 1e9)
}

fn conformance(device: &Device, out: &mut impl Write) -> anyhow::Result<Vec<Conformed>> {
    let mut all = vec![];
    let mut failed = None;
    let mut seen = |conformed: Conformed| {
        let verdict = if conformed.is_good() { "ok  " } else { "FAIL" };
        let printed = writeln!(
            out,
            "{verdict}       {} like {}: largest difference {:.1e}, {} of {} rows have another largest",
            conformed.lane,
            conformed.reference,
            conformed.max_logit_difference,
            conformed.other_tokens,
            conformed.logit_rows
        );
        failed = failed.take().or(printed.err());
        all.push(conformed);
    };
    goldens(device, &CANCEL)?.into_iter().for_each(&mut seen);
    if let Err(error) = against_cpu(device, &CANCEL, &mut seen)
        && !error.is_cancelled()
    {
        return Err(error.into());
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(all),
    }
}

/// `kvlab bench` on this GPU, into a folder of its own.
fn benchmark(index: usize, out: &Path, quick: bool) -> anyhow::Result<ExitCode> {
    #[derive(Parser)]
    struct Bench {
        #[command(flatten)]
        args: bench::Args,
    }
    let folder = out.join("bench");
    let device = format!("cuda:{index}");
    let mut words = vec!["bench", "--device", &device, "--fresh", "--out"];
    let folder = folder.to_str().context("the folder's name is no text")?;
    words.push(folder);
    if quick {
        words.push("--quick");
    } else {
        words.extend(["--model", "story", "--model", "shape:gpt2", "--depths", "128,512,900", "--batches", "1,8"]);
        words.extend(["--weights", "f32,f16,bf16", "--lanes"]);
        words.push("none,concat,contiguous,paged:16,paged:16+bf16,paged:16+int8,paged:16+q4_0,paged:32+kivi:4");
    }
    bench::run(&Bench::try_parse_from(words)?.args)
}

fn markdown(report: &Report, arms: &str) -> anyhow::Result<String> {
    let Report { kvlab, machine, gpu, copy_bytes_per_sec, peak_bytes_per_sec, conformance } = report;
    let mut text =
        format!("# {}\n\nkvlab {kvlab}, {} on {}. {}.\n\n", gpu.name, machine.os, machine.cpu, describe(gpu));
    let _ = writeln!(
        text,
        "Clock at most {} MHz, memory {} MHz, bus of {} bits. Copy: {}.\n",
        gpu.clock_khz / 1000,
        gpu.memory_clock_khz / 1000,
        gpu.bus_bits,
        bandwidth(*copy_bytes_per_sec, *peak_bytes_per_sec)
    );
    let _ = writeln!(
        text,
        "## Does it compute what it should\n\nLogits against transformers' (a golden checkpoint) and against the same lane on the CPU (the embedded \
         model, with chunks, batches, forks and steps that are undone). Exact lanes have to lie within {LOGITS}, lanes that round within \
         {LOSSY_LOGITS} (a hair may decide between two codes of a value), attention weights within one step of a byte, attention by itself within \
         {ATTENTION}. Nowhere may another token be the likeliest that was not as good as that.\n\n| lane | like | rows | largest difference | rows with another largest | |\n|---|---|---:|---:|---:|---|"
    );
    for conformed in conformance {
        let Conformed { lane, reference, logit_rows, max_logit_difference, other_tokens, .. } = conformed;
        let verdict = if conformed.is_good() { "ok" } else { "FAIL" };
        let _ = writeln!(
            text,
            "| `{lane}` | {reference} | {logit_rows} | {max_logit_difference:.1e} | {other_tokens} | {verdict} |"
        );
    }
    let gpt2 = Config::shape("gpt2", None).context("no shape of GPT-2")?;
    let measured = [("this one, as its memory was copied", *copy_bytes_per_sec)];
    let gpus: Vec<(&str, f64)> = measured.into_iter().chain(KNOWN_GPUS).collect();
    let _ = writeln!(text, "\n## Benchmark\n\nMeasured; each step waits for the device.\n\n{arms}");
    let _ = writeln!(
        text,
        "\n## What it has to move: GPT-2 small\n\n{}",
        gpu_model::tables(&gpt2, WeightType::F32, &gpus)?
    );
    Ok(text)
}
