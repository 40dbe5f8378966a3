//! What the lab gives you: the traces as columns of numbers, and what an answer is made of. Nothing to change here.

use std::io;

use kvlab::{
    engine::{Phase, StepRecord},
    experiment::{LaneEvent, trace::Trace},
};

/// The traces, by name: `traces/a.jsonl` and so on.
pub const TRACES: [(char, &str); 7] = [
    ('a', include_str!("../traces/a.jsonl")),
    ('b', include_str!("../traces/b.jsonl")),
    ('c', include_str!("../traces/c.jsonl")),
    ('d', include_str!("../traces/d.jsonl")),
    ('e', include_str!("../traces/e.jsonl")),
    ('f', include_str!("../traces/f.jsonl")),
    ('g', include_str!("../traces/g.jsonl")),
];

/// A lane of a trace, in columns: place `i` is token `i` of the plot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lane {
    /// Seconds of the token. That of the first token of a chat is the prompt's.
    pub secs: Vec<f64>,
    /// Tokens in the cache after it.
    pub length: Vec<usize>,
    /// Bytes of rows that were moved, since the lane began.
    pub copied: Vec<u64>,
    /// Bytes that are taken from the system.
    pub reserved: Vec<u64>,
    /// Bytes with keys and values of this chat in them.
    pub used: Vec<u64>,
    /// The first token of each chat: `[0]` where there is one chat.
    pub starts: Vec<usize>,
}

impl Lane {
    fn push(&mut self, record: &StepRecord) {
        if record.phase == Phase::Prefill {
            self.starts.push(self.secs.len());
        }
        self.secs.push(record.total_secs);
        self.length.push(usize::try_from(record.cached_tokens).unwrap_or(usize::MAX));
        self.copied.push(record.copied_bytes);
        self.reserved.push(record.reserved_bytes);
        self.used.push(record.used_bytes);
    }

    /// Seconds of all tokens but those of prompts.
    #[must_use]
    pub fn decode_secs(&self) -> Vec<f64> {
        (0..self.secs.len()).filter(|token| !self.starts.contains(token)).map(|token| self.secs[token]).collect()
    }
}

/// What was recorded: the same chats over two caches, which took turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// kvlab's own cache: lane `contiguous`.
    pub kvlab: Lane,
    /// The one that is to be judged: lane `mine`.
    pub mine: Lane,
}

/// A trace of this lab.
///
/// # Errors
/// A name that there is not, and text that is no trace.
pub fn recorded(name: char) -> io::Result<Recorded> {
    let text = TRACES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    let text = text.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no trace {name}")))?;
    columns(&Trace::read(text.as_bytes())?)
}

/// The two lanes of a trace.
///
/// # Errors
/// Other lanes.
pub fn columns(trace: &Trace) -> io::Result<Recorded> {
    if trace.header.lanes != ["contiguous", "mine"] {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the lanes are not contiguous and mine"));
    }
    let mut lanes = [Lane::default(), Lane::default()];
    for event in &trace.events {
        if let LaneEvent::Token { lane, record, .. } = event {
            lanes[*lane].push(record);
        }
    }
    let [kvlab, mine] = lanes;
    Ok(Recorded { kvlab, mine })
}

/// What a trace shows of the lane `mine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing is wrong: it costs what such a cache has to cost.
    Nothing,
    /// The first tokens are slow and no later ones; whoever takes the mean counts them in.
    WarmUp,
    /// Each token copies all that is stored.
    CopiesPerToken,
    /// The time goes into starting pieces of work, and does not depend on how much there is in them.
    StartingWork,
    /// Chats end and their memory stays taken.
    NeverFreed,
    /// Far more memory is taken than used, from the start and for good: a decision, no leak.
    ReservedAhead,
    /// Somebody else computed on this machine for a while.
    OtherProgram,
}

/// What in the trace shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// `mine`: the time of a token falls once, near the beginning, and is level from there on.
    TimeFallsOnce,
    /// `mine`: the time of a token rises with the length of the text.
    TimeRises,
    /// `mine`: each token moves more bytes than the one before.
    CopiesRise,
    /// `mine`: time rises a little with the text, and nothing is copied, or kept, or slow all of a sudden.
    RisesAndNothingElse,
    /// `mine` takes longer than `contiguous` by the same time, however short or long the text is.
    SameExtraAtEveryLength,
    /// `reserved` is higher at the start of each chat than at the start of the one before.
    ReservedStepsUp,
    /// `reserved` is the same from the first token to the last, far above `used`.
    ReservedIsLevel,
    /// Both lanes get slow at the same tokens, and recover together.
    BothSlowTogether,
}

/// What is wrong with a trace, and where one sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `a` to `g`.
    pub trace: char,
    pub cause: Cause,
    pub evidence: Evidence,
    /// A token of the plot at which one sees it; task 6 says which for each cause.
    pub token: usize,
}

/// The middle of `numbers`; of an even count, between the two in the middle. 0 of nothing.
#[must_use]
pub fn median(numbers: &[f64]) -> f64 {
    kvlab::measure::stats::median(numbers).unwrap_or(0.0)
}
