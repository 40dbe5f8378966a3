//! The story model over the learner's tiles, beside kvlab's own attention.

use std::{
    io::Write,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::Result;
use kvlab::{
    cache::GuestStep,
    engine::{Session, SessionConfig},
    measure::stats::median,
    model::Logits,
    report::units::secs,
};
use labkit::story::{PROMPT, Story};

use super::{Yours, exact_bytes};
use crate::mine::{Attention, CONTEXT, guest};

/// A median over this many tokens at either end.
const EDGE: usize = 64;
/// Whole runs with each attention, in turns; of a token's times the shortest counts.
const ROUNDS: usize = 3;

/// Greedy tokens, and the time of each pass of one token.
struct Written {
    tokens: Vec<u32>,
    times: Vec<f64>,
}

/// A line for each way to attend, over `n_new` tokens.
pub fn show(yours: Yours, n_new: usize, out: &mut dyn Write) -> Result<()> {
    let story = Story::load()?;
    let in_tiles = |tile| Attention { tile, attend: yours.attend, split: None };
    let ways = [
        ("one tile of 1,024", Some(in_tiles(CONTEXT))),
        ("tiles of 64", Some(in_tiles(64))),
        ("tiles of 64, 4 parts", Some(Attention { split: Some((4, yours.attend_split)), ..in_tiles(64) })),
        ("kvlab contiguous", None),
    ];
    let mut written: Vec<Written> = vec![];
    for round in 0..ROUNDS {
        for (i, (_, attention)) in ways.into_iter().enumerate() {
            let again = attention.map_or_else(|| lane(&story, n_new), |attention| run(&story, attention, n_new))?;
            if round == 0 {
                written.push(again);
            } else {
                written[i].times.iter_mut().zip(again.times).for_each(|(best, again)| *best = best.min(again));
            }
        }
    }
    writeln!(out, "The story model, {n_new} new tokens.")?;
    let titles = ["scores held", "token, early", "token, late", "kvlab's tokens"];
    writeln!(out, "{:<22}{}", "attention", titles.map(|title| format!("{title:>16}")).concat())?;
    let theirs = &written[ways.len() - 1].tokens;
    for ((name, attention), Written { tokens, times }) in ways.iter().zip(&written) {
        let held = attention.map_or("-".into(), |attention| exact_bytes(attention.tile * size_of::<f32>()));
        let edge = EDGE.min(times.len());
        let [early, late] =
            [&times[..edge], &times[times.len() - edge..]].map(|times| median(times).map_or("-".into(), secs));
        let same = tokens.iter().zip(theirs).take_while(|(yours, theirs)| yours == theirs).count();
        let cells = [held, early, late, format!("{same} of {n_new}")].map(|cell| format!("{cell:>16}"));
        writeln!(out, "{name:<22}{}", cells.concat())?;
    }
    writeln!(
        out,
        "\nscores held     the buffer of one reader: one query of one head at a time\n\
         token           the median of the first and the last {EDGE} tokens, the whole pass, of each token the shortest of {ROUNDS} runs\n\
         kvlab's tokens  how many are the same before the first that differs"
    )?;
    Ok(())
}

/// Over your attention.
fn run(story: &Story, attention: Attention, n_new: usize) -> Result<Written> {
    let (model, never) = (&story.0.model, AtomicBool::new(false));
    let mut cache = guest(attention);
    let (mut input, mut past) = (story.tokens(PROMPT)?, 0);
    let (mut tokens, mut times) = (vec![], vec![]);
    while tokens.len() < n_new {
        let start = Instant::now();
        let mut step = GuestStep::new(cache.as_mut(), model.config().heads(), past, input.len());
        let logits = model.forward(&input, &mut step, None, Logits::Last, &never)?;
        let token = logits.get(0)?.argmax(0)?.to_scalar::<u32>()?; // [1, V] -> [V]
        if past > 0 {
            times.push(start.elapsed().as_secs_f64());
        }
        past += input.len();
        tokens.push(token);
        input = vec![token];
    }
    Ok(Written { tokens, times })
}

/// The same over kvlab's own.
fn lane(story: &Story, n_new: usize) -> Result<Written> {
    let never = AtomicBool::new(false);
    let mut session = Session::new(Arc::clone(&story.0), "contiguous".parse()?, SessionConfig::default())?;
    session.prefill(&story.tokens(PROMPT)?, &never)?;
    let records = (1..n_new).map(|_| session.decode(&never)).collect::<Result<Vec<_>, _>>()?;
    let times = records.iter().map(|record| record.total_secs).collect();
    Ok(Written { tokens: session.generated().to_vec(), times })
}
