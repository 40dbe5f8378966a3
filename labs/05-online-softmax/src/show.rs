//! What the learner's code holds and how long it takes, measured.

mod one_query;
mod story_model;

use std::{io::Write, ops::Range};

use anyhow::{Result, bail};
use kvlab::report::units::count;
use labkit::{Caught, caught};

use crate::{
    exercise,
    given::{Reader, Rows, State},
    solution,
};

/// Tokens that one query attends to.
const LENGTHS: [usize; 5] = [1_024, 4_096, 16_384, 65_536, 131_072];
/// Tokens that the story model generates.
const NEW_TOKENS: usize = 400;

/// What is shown of a module.
#[derive(Clone, Copy)]
struct Yours {
    softmax: fn(&mut [f32]),
    empty: fn(usize) -> State,
    partial: fn(&[f32], &mut Reader, usize) -> State,
    finish: fn(State) -> Vec<f32>,
    attend: fn(&[f32], &Rows) -> Vec<f32>,
    merge: fn(&mut State, &State),
    parts: fn(usize, usize) -> Vec<Range<usize>>,
    attend_split: fn(&[f32], &Rows, usize) -> Vec<f32>,
}

macro_rules! yours {
    ($module:ident) => {
        Yours {
            softmax: $module::softmax,
            empty: $module::empty,
            partial: $module::partial,
            finish: $module::finish,
            attend: $module::attend,
            merge: $module::merge,
            parts: $module::parts,
            attend_split: $module::attend_split,
        }
    };
}

/// See [`tables`].
pub fn show(variant: &str, out: &mut dyn Write) -> Result<()> {
    tables(variant, &LENGTHS, NEW_TOKENS, out)
}

/// A line for each of `lengths`, then one for each way to attend under the story model, over `n_new` tokens.
pub fn tables(variant: &str, lengths: &[usize], n_new: usize, out: &mut dyn Write) -> Result<()> {
    let yours = match variant {
        "exercise" => yours!(exercise),
        "solution" => yours!(solution),
        other => bail!("`show` runs your exercise or the solution, not {other}"),
    };
    let mut text = vec![];
    match caught(|| {
        one_query::show(yours, lengths, &mut text).and_then(|()| story_model::show(yours, n_new, &mut text))
    }) {
        Ok(()) => out.write_all(&text)?,
        Err(Caught::Todo(text)) => bail!("nothing to show yet: {text}"),
        Err(Caught::Panic(text)) => bail!("the code panicked: {text}"),
        Err(Caught::Error(error)) => return Err(error),
    }
    Ok(())
}

fn exact_bytes(n: usize) -> String {
    format!("{} B", count(n as u64))
}
