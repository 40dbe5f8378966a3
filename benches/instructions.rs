//! The integers of a cache, to be counted: `scripts/instruction-counts.sh` runs each operation under callgrind and compares the
//! number of its instructions with `instructions.json`.
//!
//! ```text
//! instructions --list           the names, one a line, and how often each is done in a run
//! instructions tables/fork      prepares the operation and runs it once
//! instructions                  each of them once, as `cargo bench` does, which counts nothing
//! ```

mod integers;

use std::{
    hint::black_box,
    io::{self, Write},
    process::ExitCode,
};

use integers::OPERATIONS;

/// Callgrind counts while this runs, and only then.
#[inline(never)]
fn measured(operation: &mut dyn FnMut()) {
    operation();
    // Something is left to do after the call, so that it is no jump out of here.
    black_box(());
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for operation in &OPERATIONS {
            writeln!(io::stdout(), "{} {}", operation.name, operation.times)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // cargo and criterion's habits add flags, which mean nothing here.
    let named = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen = OPERATIONS.iter().filter(|operation| named.is_none_or(|name| name == operation.name));
    let mut n_run = 0;
    for operation in chosen {
        let mut run = (operation.prepare)();
        measured(&mut run);
        n_run += 1;
    }
    if n_run == 0 {
        writeln!(io::stderr(), "no such operation; --list names them all")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
