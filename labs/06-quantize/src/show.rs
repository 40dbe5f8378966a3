//! Loss against bytes, by the learner's own formats.

mod errors;
mod loss;

use std::io::Write;

use anyhow::{Result, bail};
use labkit::{Caught, caught, story::Story};

use crate::{
    exercise,
    given::{Format, GROUP},
    mine::{Guest, Scheme},
    solution,
    stored::codec,
};

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Held-out stories, which the model has not learned from.
    pub stories: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Tokens that are generated.
    pub new: usize,
}

const SIZE: Size = Size { stories: 6, tokens: 320, new: 300 };

const EXACT: Scheme = Scheme { keys: Format::F32, values: Format::F32, residual: 0 };

const SCHEMES: [(&str, Scheme); 6] = [
    ("f32", EXACT),
    ("f16", Scheme { keys: Format::F16, values: Format::F16, residual: 0 }),
    ("8 bits by token", Scheme { keys: Format::Int8, values: Format::Int8, residual: 0 }),
    ("8 bits, keys by channel", Scheme { keys: Format::Int8Channels, values: Format::Int8, residual: GROUP }),
    ("4 bits by token", Scheme { keys: Format::Int4, values: Format::Int4, residual: 0 }),
    ("4 bits, keys by channel", Scheme { keys: Format::Int4Channels, values: Format::Int4, residual: GROUP }),
];

/// See [`tables`].
pub fn show(variant: &str, out: &mut dyn Write) -> Result<()> {
    tables(variant, SIZE, out)
}

/// A table of errors of single numbers, then one of what the model makes of them.
pub fn tables(variant: &str, size: Size, out: &mut dyn Write) -> Result<()> {
    let codec = match variant {
        "exercise" => codec!(exercise),
        "solution" => codec!(solution),
        other => bail!("`show` runs your exercise or the solution, not {other}"),
    };
    let mut text = vec![];
    let result = caught(|| {
        let story = Story::load()?;
        let exact = loss::read(&story, &mut || Guest::new(codec, EXACT), size)?;
        errors::show(codec, &exact.caches, &mut text)?;
        loss::show(&story, codec, &exact, size, &mut text)
    });
    match result {
        Ok(()) => out.write_all(&text)?,
        Err(Caught::Todo(text)) => bail!("nothing to show yet: {text}"),
        Err(Caught::Panic(text)) => bail!("the code panicked: {text}"),
        Err(Caught::Error(error)) => return Err(error),
    }
    Ok(())
}
