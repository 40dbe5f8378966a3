use std::{env, process::ExitCode};

fn main() -> ExitCode {
    // Beside what every lab does: the traces are made here.
    match env::args().nth(1).as_deref() {
        Some("record") => lab08::record::main(&env::args().skip(2).collect::<Vec<_>>()),
        Some(lab08::record::BURN) => lab08::record::burn(),
        _ => labkit::main(&lab08::LAB),
    }
}
