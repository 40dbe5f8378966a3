//! Compiles the kernels as C++ for this processor.

use std::{env, process::Command};

fn main() {
    // Another folder than kvlab's own, with a bug in it: `scripts/planted-bugs.sh` shows that the tests find it.
    println!("cargo::rerun-if-env-changed=KVLAB_EMULATED_KERNELS");
    let kernels = env::var("KVLAB_EMULATED_KERNELS").unwrap_or_else(|_| "../src/kernels/cuda".into());
    for path in ["include", "src", &kernels] {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-env-changed=KVLAB_EMULATOR_FLAGS");
    println!("cargo::rustc-check-cfg=cfg(no_emulator)");

    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).extra_warnings(true);
    build.includes(["include", &kernels]).files(["src/block.cpp", "src/kernels.cpp"]);
    // A GPU's compiler makes fused multiply-adds where it may, too; but where a kernel forbids it, none may be here.
    build.flag("-ffp-contract=off");
    // Fibers jump from stack to stack, which a fortified longjmp takes for a mistake.
    build.flag("-U_FORTIFY_SOURCE");
    // For sanitizers: their flags, and the libraries that these want.
    for flag in env::var("KVLAB_EMULATOR_FLAGS").unwrap_or_default().split_whitespace() {
        build.flag(flag);
    }
    println!("cargo::rerun-if-env-changed=KVLAB_EMULATOR_LIBRARIES");
    for library in env::var("KVLAB_EMULATOR_LIBRARIES").unwrap_or_default().split_whitespace() {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
    // Who has no C++ compiler, or a system whose threads cannot hand over to each other as Linux' can, builds all the rest.
    if is_linux() && has_compiler(&build) {
        build.compile("kvlab_emulator");
    } else {
        println!("cargo::warning=no C++ compiler for Linux here: the GPU's kernels are not tested");
        println!("cargo::rustc-cfg=no_emulator");
    }
}

fn is_linux() -> bool {
    // musl has no contexts to switch between.
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|is| is == value);
    is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu")
}

fn has_compiler(build: &cc::Build) -> bool {
    build.try_get_compiler().is_ok_and(|compiler| {
        Command::new(compiler.path()).arg("--version").output().is_ok_and(|output| output.status.success())
    })
}
