fn main() -> std::process::ExitCode {
    labkit::main(&lab06::LAB)
}
