fn main() -> std::process::ExitCode {
    labkit::main(&lab02::LAB)
}
