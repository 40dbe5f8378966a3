//! The story model over the learner's pages and over kvlab's own: the same tokens, and the time of each.

use std::{
    io::Write,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::{Context, Result};
use kvlab::{
    cache::{GuestBytes, GuestCache},
    engine::{Session, SessionConfig},
    measure::stats::median,
    report::units::{bytes, secs},
};
use labkit::story::{PROMPT, Story};

use crate::given::CONTEXT;

/// A median over this many tokens at either end.
const EDGE: usize = 64;
/// Whole runs of each cache, in turns. What else the machine does only ever adds time, so of a token's times the shortest counts.
const ROUNDS: usize = 3;

/// The learner's cache in blocks of so many tokens.
type NewCache = fn(usize) -> Box<dyn GuestCache>;

/// What the model did over one cache.
struct Measured {
    name: String,
    tokens: Vec<u32>,
    /// Seconds of each pass of one token.
    secs: Vec<f64>,
    bytes: GuestBytes,
}

/// The story model over blocks of three lengths and over kvlab's own.
pub fn table(cache: NewCache, n_new: usize, out: &mut dyn Write) -> Result<()> {
    let story = Story::load()?;
    writeln!(
        out,
        "{:<18}{:>12}{:>12}{:>12}{:>12}{:>14}",
        "story model", "early", "late", "used", "reserved", "same tokens"
    )?;
    let mut measured: Vec<Measured> = vec![];
    for round in 0..ROUNDS {
        let lanes = ["contiguous", "paged:16"].map(|name| lane(&story, name, n_new));
        let guests = [1, 16, 64].map(|block_len| guest(&story, cache, block_len, n_new));
        for (i, again) in lanes.into_iter().chain(guests).enumerate() {
            let again = again?;
            if round == 0 {
                measured.push(again);
            } else {
                measured[i].secs.iter_mut().zip(&again.secs).for_each(|(best, again)| *best = best.min(*again));
            }
        }
    }
    let expected = measured[0].tokens.clone();
    for Measured { name, tokens, secs: times, bytes: taken } in &measured {
        let edge = EDGE.min(times.len());
        let [early, late] =
            [&times[..edge], &times[times.len() - edge..]].map(|times| median(times).map_or("-".into(), secs));
        let same = tokens.iter().zip(&expected).take_while(|(yours, theirs)| yours == theirs).count();
        let [used, reserved] = [taken.used_bytes, taken.reserved_bytes].map(bytes);
        writeln!(out, "{name:<18}{early:>12}{late:>12}{used:>12}{reserved:>12}{:>14}", format!("{same} of {n_new}"))?;
    }
    writeln!(
        out,
        "\nearly, late: the median time of a whole pass over the first and the last {EDGE} of {n_new} new tokens, of each the shortest\n\
         of {ROUNDS} runs.\n\
         same tokens: the first ones that are those of kvlab's contiguous.\n"
    )?;
    Ok(())
}

/// The story model over a lane of kvlab.
fn lane(story: &Story, name: &str, n_new: usize) -> Result<Measured> {
    let never = AtomicBool::new(false);
    let mut session = Session::new(Arc::clone(&story.0), name.parse()?, SessionConfig::default())?;
    session.prefill(&story.tokens(PROMPT)?, &never)?;
    let records = (1..n_new).map(|_| session.decode(&never)).collect::<Result<Vec<_>, _>>()?;
    let taken = session.cache().context("the lane has a cache")?.0.footprint();
    let (reserved_bytes, used_bytes, copied_bytes) = (taken.reserved_bytes, taken.used_bytes, taken.copied_bytes);
    Ok(Measured {
        name: format!("kvlab {name}"),
        tokens: session.generated().to_vec(),
        secs: records.iter().map(|record| record.total_secs).collect(),
        bytes: GuestBytes { reserved_bytes, used_bytes, copied_bytes },
    })
}

/// The story model over the learner's pages.
fn guest(story: &Story, cache: NewCache, block_len: usize, n_new: usize) -> Result<Measured> {
    let mut cache = Timed { cache: cache(block_len), passes: vec![] };
    let tokens = story.generate(&mut cache, PROMPT, CONTEXT, n_new)?;
    // The first pass is the prompt's; the last one ends when no other begins.
    cache.passes.push(Instant::now());
    let secs = cache.passes.windows(2).skip(1).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    Ok(Measured { name: format!("yours, {block_len}"), tokens, secs, bytes: cache.bytes() })
}

/// A guest that notes when each pass begins.
struct Timed {
    cache: Box<dyn GuestCache>,
    passes: Vec<Instant>,
}

impl GuestCache for Timed {
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        if layer == 0 {
            self.passes.push(Instant::now());
        }
        self.cache.append(layer, k, v);
    }

    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
        self.cache.attend(layer, q)
    }

    fn bytes(&self) -> GuestBytes {
        self.cache.bytes()
    }
}
