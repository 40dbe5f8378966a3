//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    kvlab::cli::main()
}
