//! Tells the binary which commit it was built from, where that is known.

#![allow(clippy::print_stdout, reason = "cargo reads a build script's standard output")]

use std::process::Command;

fn main() {
    // An edited source makes the checkout dirty, and the commit must say so.
    for source in ["src", "assets", "Cargo.toml", "Cargo.lock", "build.rs"] {
        println!("cargo:rerun-if-changed={source}");
    }
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/index");
    let commit = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=10"]).output();
    if let Ok(output) = commit
        && output.status.success()
    {
        println!("cargo:rustc-env=KVLAB_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
