fn main() -> std::process::ExitCode {
    labkit::main(&lab05::LAB)
}
