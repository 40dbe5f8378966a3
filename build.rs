//! Tells the binary which commit it was built from, where that is known; with the feature `cuda`, compiles the kernels for a GPU.

#![allow(clippy::print_stdout, reason = "cargo reads a build script's standard output")]

use std::process::Command;

/// What kvlab is compiled from.
const SOURCES: [&str; 5] = ["src", "assets", "Cargo.toml", "Cargo.lock", "build.rs"];

fn main() {
    // An edited source makes the checkout dirty, and the commit must say so. Git itself is not watched: whoever commits a page or a lab's
    // exercise would compile kvlab anew, for minutes. So the commit is that of the last build that compiled other sources, and sources that
    // were built before they were committed stay `-dirty`; `touch build.rs` asks again.
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    #[cfg(feature = "cuda")]
    gpu_kernels();
    if let Some(version) = rustc() {
        println!("cargo:rustc-env=KVLAB_RUSTC={version}");
    }
    if let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) {
        let changed = [&["diff", "--quiet", "HEAD", "--"][..], &SOURCES].concat();
        let dirty = if git(&changed).is_some() { "" } else { "-dirty" };
        println!("cargo:rustc-env=KVLAB_COMMIT={commit}{dirty}");
    }
}

/// Compiles `src/kernels/cuda/*.cu` to PTX, which the driver turns into code for the GPU that it finds. candle's tool finds nvcc, and the
/// architecture: that of this machine's GPU, or `CUDA_COMPUTE_CAP`.
#[cfg(feature = "cuda")]
fn gpu_kernels() {
    println!("cargo:rerun-if-env-changed=CUDA_COMPUTE_CAP");
    // The plain architecture: what is compiled for 9.0a runs on no other.
    let architecture = cudaforge::detect_compute_cap().map_or(80, |found| found.base());
    let builder = cudaforge::KernelBuilder::new().compute_cap_arch(&architecture.to_string());
    let built = builder.source_dir("src/kernels/cuda").arg("-std=c++17").arg("-O3").build_ptx();
    if let Err(error) = built {
        println!("cargo::error=the kernels for a GPU were not compiled: {error}");
    }
}

/// The compiler's name and version, as it stands beside every measurement.
fn rustc() -> Option<String> {
    let compiler = std::env::var_os("RUSTC")?;
    let output = Command::new(compiler).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What git says; `None` without git or a repository.
fn git(arguments: &[&str]) -> Option<String> {
    // Without optional locks it leaves the index alone, whose change would run this again.
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
