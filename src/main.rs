//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    kvlab::kernels::threads::fix_count();
    kvlab::cli::main()
}
