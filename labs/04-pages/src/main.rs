fn main() -> std::process::ExitCode {
    labkit::main(&lab04::LAB)
}
