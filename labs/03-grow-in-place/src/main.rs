fn main() -> std::process::ExitCode {
    labkit::main(&lab03::LAB)
}
