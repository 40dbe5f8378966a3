//! What each policy forgets, and what it costs the story model.

mod read;
mod tables;

use std::io::Write;

use anyhow::{Result, bail};
use labkit::{Caught, caught, story::Story};

use crate::{exercise, given::Policy, mine::forget, solution};

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Held-out stories, which the model has not learned from.
    pub stories: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Tokens that each policy keeps.
    pub budget: usize,
}

const SIZE: Size = Size { stories: 6, tokens: 1024, budget: 256 };

/// Of each story; the others come one by one, as in `kvlab quality`.
const PROMPT_TOKENS: usize = 64;

/// All, and policies that keep as many tokens.
fn policies(budget: usize) -> [(&'static str, Policy); 4] {
    let half = budget / 2;
    [
        ("everything", Policy::All),
        ("window", Policy::Window { sinks: 0, recent: budget }),
        ("4 sinks and window", Policy::Window { sinks: 4, recent: budget - 4 }),
        ("heavy hitters", Policy::Heavy { heavy: half, recent: budget - half }),
    ]
}

/// See [`tables`].
pub fn show(variant: &str, out: &mut dyn Write) -> Result<()> {
    tables(variant, SIZE, out)
}

/// What is lost, what is recalled, and where the tokens are that are left.
pub fn tables(variant: &str, size: Size, out: &mut dyn Write) -> Result<()> {
    let forget = match variant {
        "exercise" => forget!(exercise),
        "solution" => forget!(solution),
        other => bail!("`show` runs your exercise or the solution, not {other}"),
    };
    let mut text = vec![];
    let result = caught(|| {
        let story = Story::load()?;
        let read = read::read(&story, forget, size)?;
        tables::show(&story, &read, size, &mut text)
    });
    match result {
        Ok(()) => out.write_all(&text)?,
        Err(Caught::Todo(text)) => bail!("nothing to show yet: {text}"),
        Err(Caught::Panic(text)) => bail!("the code panicked: {text}"),
        Err(Caught::Error(error)) => return Err(error),
    }
    Ok(())
}
