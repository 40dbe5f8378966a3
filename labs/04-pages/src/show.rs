//! Your pages at work: the story model over them, what users of different lengths waste, and what a prefix costs that all share.

mod model;

use std::io::Write;

use anyhow::{Context, Result, bail};
use kvlab::{
    cache::GuestCache,
    report::units::{bytes, count},
};
use labkit::{Caught, caught};

use crate::{
    exercise,
    given::{CONTEXT, Noise, Pages, STORY, Sequence, Shape, Usage},
    mine, solution,
};

/// Tokens that the story model writes.
const NEW_TOKENS: usize = 300;
/// Who chats in the second table.
const N_USERS: usize = 12;
/// Tokens of a prompt that all share in the third table, tokens of each user's own, users.
const PREFIX: (usize, usize, usize) = (200, 40, 8);
/// One layer, one number a token: the tables of users are about places, not about what is in them.
const TINY: Shape = Shape { n_layer: 1, n_head: 1, head_dim: 1 };

/// The functions that are shown.
struct Yours {
    cache: fn(usize) -> Box<dyn GuestCache>,
    grow: fn(&mut Pages, &mut Sequence, usize) -> Result<()>,
    fork: fn(&mut Pages, &Sequence) -> Sequence,
    close: fn(&mut Pages, Sequence) -> Result<()>,
    usage: fn(&Pages, &[&Sequence]) -> Usage,
}

/// See [`tables`].
pub fn show(variant: &str, out: &mut dyn Write) -> Result<()> {
    tables(variant, NEW_TOKENS, out)
}

/// Three tables: the model, users, a shared prefix.
pub fn tables(variant: &str, n_new: usize, out: &mut dyn Write) -> Result<()> {
    let yours = match variant {
        "exercise" => Yours {
            cache: mine::exercise_in_blocks_of,
            grow: exercise::grow,
            fork: exercise::fork,
            close: exercise::close,
            usage: exercise::usage,
        },
        "solution" => Yours {
            cache: mine::solution_in_blocks_of,
            grow: solution::grow,
            fork: solution::fork,
            close: solution::close,
            usage: solution::usage,
        },
        other => bail!("`show` runs your exercise or the solution, not {other}"),
    };
    let mut text = vec![];
    let result = caught(|| {
        model::table(yours.cache, n_new, &mut text)?;
        users(&yours, &mut text)?;
        prefix(&yours, &mut text)
    });
    match result {
        Ok(()) => out.write_all(&text)?,
        Err(Caught::Todo(text)) => bail!("nothing to show yet: {text}"),
        Err(Caught::Panic(text)) => bail!("the code panicked: {text}"),
        Err(Caught::Error(error)) => return Err(error),
    }
    Ok(())
}

/// Users with texts of many lengths, each in blocks of its own.
fn users(yours: &Yours, out: &mut dyn Write) -> Result<()> {
    let mut noise = Noise::new(7);
    let lengths: Vec<usize> = (0..N_USERS).map(|_| 10 + noise.below(500)).collect();
    writeln!(out, "{:<18}{:>12}{:>12}{:>10}{:>12}", format!("{N_USERS} users"), "held", "used", "wasted", "in tables")?;
    let tokens: usize = lengths.iter().sum();
    let contiguous = Usage { held: N_USERS * CONTEXT, used: tokens };
    line(out, "a whole context", contiguous, N_USERS)?;
    for block_len in [64, 16, 1] {
        let mut pages = Pages::new(TINY, (N_USERS * CONTEXT).div_ceil(block_len), block_len);
        let mut all: Vec<Sequence> = lengths.iter().map(|_| Sequence::default()).collect();
        // In turns, as they chat: blocks of one user lie anywhere.
        for part in 0..*lengths.iter().max().context("there are users")? {
            for (seq, _) in all.iter_mut().zip(&lengths).filter(|(_, len)| part < **len) {
                (yours.grow)(&mut pages, seq, 1)?;
            }
        }
        let entries = all.iter().map(|seq| seq.table.len()).sum();
        line(out, &format!("blocks of {block_len}"), (yours.usage)(&pages, &all.iter().collect::<Vec<_>>()), entries)?;
    }
    writeln!(
        out,
        "\nBytes of the story model, {} a token. held: nobody else can have it; used: there is a token in it; in tables: numbers that say\n\
         where texts lie. The users have {} to {} tokens, {} together.\n",
        bytes(STORY.token_bytes()),
        lengths.iter().min().context("there are users")?,
        lengths.iter().max().context("there are users")?,
        count(tokens as u64)
    )?;
    Ok(())
}

fn line(out: &mut dyn Write, name: &str, Usage { held, used }: Usage, entries: usize) -> Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let wasted = 100.0 * held.saturating_sub(used) as f64 / held.max(1) as f64;
    let [held, used] = [held, used].map(|tokens| bytes(tokens as u64 * STORY.token_bytes()));
    writeln!(out, "{name:<18}{held:>12}{used:>12}{:>10}{:>12}", format!("{wasted:.1} %"), count(entries as u64))?;
    Ok(())
}

/// Users whose texts begin alike: with a copy of the prefix each, and as forks.
fn prefix(yours: &Yours, out: &mut dyn Write) -> Result<()> {
    let (prefix, own, n) = PREFIX;
    writeln!(out, "{:<18}{:>12}{:>12}{:>12}{:>12}", "a shared prompt", "held", "used", "copied", "after all")?;
    for (name, forks) in [("each its own", false), ("forks", true)] {
        let mut pages = Pages::new(STORY, n * (prefix + own).div_ceil(16), 16);
        let mut all = vec![Sequence::default()];
        (yours.grow)(&mut pages, &mut all[0], prefix)?;
        for _ in 1..n {
            let next = if forks {
                (yours.fork)(&mut pages, &all[0])
            } else {
                let mut seq = Sequence::default();
                (yours.grow)(&mut pages, &mut seq, prefix)?;
                seq
            };
            all.push(next);
        }
        for _ in 0..own {
            for seq in &mut all {
                (yours.grow)(&mut pages, seq, 1)?;
            }
        }
        let Usage { held, used } = (yours.usage)(&pages, &all.iter().collect::<Vec<_>>());
        let copied = bytes(pages.copied_bytes);
        for seq in all {
            (yours.close)(&mut pages, seq)?;
        }
        let left = (yours.usage)(&pages, &[]).held;
        let [held, used, left] = [held, used, left].map(|tokens| bytes(tokens as u64 * STORY.token_bytes()));
        writeln!(out, "{name:<18}{held:>12}{used:>12}{copied:>12}{left:>12}")?;
    }
    writeln!(
        out,
        "\n{n} users with a prompt of {prefix} tokens in common and {own} of their own, blocks of 16. copied: before a write to a shared block.\n\
         after all: what is held when every user is gone."
    )?;
    Ok(())
}
