fn main() -> std::process::ExitCode {
    labkit::main(&lab07::LAB)
}
