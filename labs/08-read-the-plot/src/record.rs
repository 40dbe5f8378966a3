//! Records the traces of this lab: the story model over caches with a fault planted in them.

mod cache;
mod run;

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use candle_core::Device;
use kvlab::model::ModelSource;

pub use cache::Kind;

/// One trace.
struct Recipe {
    name: char,
    kind: Kind,
    /// Tokens of each prompt, from the beginning of a held-out story.
    prompt: usize,
    chats: usize,
    /// Tokens of each chat behind its prompt.
    new: usize,
    /// Tokens at which another program begins and stops to compute.
    burns: Option<(usize, usize)>,
}

const RECIPES: [Recipe; 7] = [
    Recipe { name: 'a', kind: Kind::Reserves, prompt: 40, chats: 5, new: 36, burns: None },
    Recipe { name: 'b', kind: Kind::Copies, prompt: 120, chats: 1, new: 180, burns: None },
    Recipe { name: 'c', kind: Kind::Plain, prompt: 80, chats: 1, new: 180, burns: Some((90, 130)) },
    Recipe { name: 'd', kind: Kind::Plain, prompt: 60, chats: 1, new: 180, burns: None },
    Recipe { name: 'e', kind: Kind::Leaks, prompt: 40, chats: 5, new: 36, burns: None },
    Recipe { name: 'f', kind: Kind::Tunes, prompt: 80, chats: 1, new: 180, burns: None },
    Recipe { name: 'g', kind: Kind::Starts, prompt: 20, chats: 1, new: 180, burns: None },
];

/// `record [--out FOLDER] [TRACE ..]`
#[must_use]
pub fn main(args: &[String]) -> ExitCode {
    record(args).map_or_else(
        |error| {
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn record(args: &[String]) -> Result<()> {
    let (mut folder, mut names) = (None, vec![]);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--out" => folder = Some(PathBuf::from(args.next().context("--out needs a folder")?)),
            name => names.push(name.to_owned()),
        }
    }
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("traces"));
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let model = Arc::new(ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &AtomicBool::new(false))?);
    let mut out = io::stdout().lock();
    for recipe in RECIPES.iter().filter(|recipe| names.is_empty() || names.contains(&recipe.name.to_string())) {
        let path = folder.join(format!("{}.jsonl", recipe.name));
        let bytes = run::record(&model, recipe)?;
        fs::write(&path, &bytes).with_context(|| format!("{} cannot be written", path.display()))?;
        writeln!(out, "{} {} KiB", path.display(), bytes.len() / 1024)?;
    }
    Ok(())
}

/// The name under which this program is the other program.
pub const BURN: &str = "burn";

/// Keeps every core busy for some seconds, or until it is ended.
#[must_use]
pub fn burn() -> ExitCode {
    let until = Instant::now() + Duration::from_secs(20);
    let spin = move || while Instant::now() < until {};
    let threads: Vec<_> = (0..2 * cores()).map(|_| thread::spawn(spin)).collect();
    for thread in threads {
        drop(thread.join());
    }
    ExitCode::SUCCESS
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Another program that computes until this is dropped.
struct Burning(Child);

impl Burning {
    fn start() -> Result<Self> {
        let program = env::current_exe()?;
        Ok(Self(Command::new(program).arg(BURN).stdin(Stdio::null()).spawn()?))
    }
}

impl Drop for Burning {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
