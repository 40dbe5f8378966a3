//! Runs on disk: JSON lines, written while the run goes on.
//!
//! ```text
//! {"type":"header", schema, machine, model, lanes, workload, ...}
//! {"type":"record", lane, step, phase, ..., text}
//! {"type":"lane_end", lane, end}
//! {"type":"blocks" | "forked" | "fork_token" | "fork_ended" | "attention" | "compared" | "switched", lane, ...}     see LaneEvent
//! {"type":"end", outcome}
//! ```
//!
//! Every line is flushed when it is written, so whatever stops a run, the trace is whole up to its last
//! line. A trace without an `end` line was cut off, and [`Trace::read`] says so.

use std::{
    io::{self, BufRead, Write},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    cache::{PoolPicture, SequencePicture, blocks::NO_BLOCK},
    engine::Attention,
    measure::{device::name_of, floor::Floor, machine::Machine},
    model::LoadedModel,
};

use super::{Experiment, LaneEvent, Workload};

/// Raised when a reader of older traces must know.
/// 4 added comparisons with the first lane, and lanes that go on in another cache.
/// 3 added evicted and sealed tokens to the tables of a sequence, and what they take to records.
/// 2 added blocks, forks, attention and the pieces of the prompt (the rows of attention were numbers before it was finished).
pub const SCHEMA: u32 = 4;

/// How large a model is, for whoever reads a trace without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelShape {
    pub n_params: u64,
    pub n_layer: usize,
    pub n_head: usize,
    pub n_embd: usize,
    pub n_positions: usize,
    /// Random weights: the text means nothing.
    pub is_random: bool,
}

impl ModelShape {
    #[must_use]
    pub fn of(model: &LoadedModel) -> Self {
        let config = model.model.config();
        Self {
            n_params: config.n_params(),
            n_layer: config.n_layer,
            n_head: config.n_head,
            n_embd: config.n_embd,
            n_positions: config.n_positions,
            is_random: model.source.is_random(),
        }
    }
}

/// Of two runs side by side: the prompt of the second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecondPrompt {
    /// The first lane of the second run.
    pub first_lane: usize,
    pub tokens: usize,
    /// The text of each token.
    pub pieces: Vec<String>,
}

/// What a run was, before its first record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub schema: u32,
    pub kvlab_version: String,
    /// The commit kvlab was built from, if it was built in a checkout.
    pub commit: Option<String>,
    pub started_unix_secs: u64,
    pub machine: Machine,
    pub device: String,
    pub model: String,
    pub model_hash: String,
    #[serde(default)]
    pub shape: Option<ModelShape>,
    pub lanes: Vec<String>,
    pub prompt: Option<String>,
    /// The text of each token of the prompt, where there is a tokenizer.
    #[serde(default)]
    pub prompt_pieces: Vec<String>,
    pub workload: Workload,
    /// `None` of a run alone, and of two that have the same prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_prompt: Option<SecondPrompt>,
    /// What the machine could do at best; `None` where it was not measured: on a GPU, and in traces from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Floor>,
}

/// What this machine can do at best for a model; `None` on a GPU.
#[must_use]
pub fn floor_of(model: &LoadedModel) -> Option<Floor> {
    model.model.weight_memory().map(|weights| Floor::measure(&weights.buffers()))
}

impl Header {
    /// Of an experiment that is about to begin, on this machine and now.
    #[must_use]
    pub fn of(experiment: &Experiment, prompt: Option<String>, floor: Option<Floor>) -> Self {
        let model = experiment.model();
        Self {
            schema: SCHEMA,
            kvlab_version: env!("CARGO_PKG_VERSION").into(),
            commit: option_env!("KVLAB_COMMIT").map(str::to_owned),
            started_unix_secs: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            machine: Machine::detect(),
            device: name_of(model.model.device()),
            model: model.source.to_string(),
            model_hash: model.hash.clone(),
            shape: Some(ModelShape::of(model)),
            lanes: experiment.names().to_vec(),
            prompt,
            prompt_pieces: model.pieces(&experiment.workload().prompt_ids),
            workload: experiment.workload().clone(),
            second_prompt: None,
            floor,
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Finished,
    Cancelled,
    /// The engine could not go on. A lane that fails ends alone, and its run finishes.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "nearly every line is an event")]
enum Line {
    Header(Box<Header>),
    End {
        outcome: Outcome,
    },
    #[serde(untagged)]
    Event(LaneEvent),
}

/// Writes a trace, a whole line at a time.
pub struct TraceWriter<W: Write> {
    out: W,
    lines: usize,
}

impl<W: Write> TraceWriter<W> {
    /// # Errors
    /// Those of writing.
    pub fn new(out: W, header: Header) -> io::Result<Self> {
        let mut writer = Self { out, lines: 0 };
        writer.write(&Line::Header(Box::new(header)))?;
        Ok(writer)
    }

    /// # Errors
    /// Those of writing; [`Self::whole_lines`] says how much is on disk.
    pub fn event(&mut self, event: &LaneEvent) -> io::Result<()> {
        self.write(event)
    }

    /// # Errors
    /// Those of writing.
    pub fn finish(mut self, outcome: Outcome) -> io::Result<W> {
        self.write(&Line::End { outcome })?;
        Ok(self.out)
    }

    /// What it writes to, of a run that is not over.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// Lines that were written and flushed without an error.
    #[must_use]
    pub fn whole_lines(&self) -> usize {
        self.lines
    }

    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.out.write_all(&bytes)?;
        self.out.flush()?;
        self.lines += 1;
        Ok(())
    }
}

/// No run has more tokens, blocks or heads than these; a trace that says so is damaged.
const MOST_TOKENS: usize = 1 << 20;
const MOST_HEADS: usize = 1 << 13;
const MOST_SEQUENCES: usize = 64;
const MOST_LANES: usize = 256;
const MOST_TOKEN_BYTES: u64 = 1 << 40;

/// What is impossible about a header or an event, if anything: whoever draws a trace relies on its numbers.
fn fault(header: &Header, event: &LaneEvent) -> Option<String> {
    let lanes = header.lanes.len();
    if event.lane() >= lanes {
        return Some(format!("it names lane {} and has {lanes}", event.lane()));
    }
    let bounded = |what: &str, value: usize, most: usize| {
        (value > most).then(|| format!("{what} {value} is more than a run can have ({most})"))
    };
    match event {
        LaneEvent::Token { record, .. } => bounded("step", record.step, MOST_TOKENS),
        LaneEvent::Blocks { picture, .. } => {
            let PoolPicture { block_len, n_blocks, token_bytes, sequences } = picture;
            let is_wrong = |sequence: &SequencePicture| {
                let SequencePicture { len, blocks, evicted, sealed } = sequence;
                let is_past = blocks.iter().any(|block| *block != NO_BLOCK && *block as usize >= *n_blocks);
                let is_range = |(start, end): &(usize, usize)| start < end && end <= len;
                let are_rising = evicted.windows(2).all(|pair| pair[0].1 < pair[1].0);
                let is_outside =
                    !evicted.iter().all(is_range) || !are_rising || sealed.is_some_and(|sealed| sealed > *len);
                *len > MOST_TOKENS
                    || is_past
                    || is_outside
                    || !gives_back_only_what_is_evicted(sequence, *block_len)
                    || (*n_blocks > 0 && *len > blocks.len().saturating_mul(*block_len))
            };
            bounded("block length", *block_len, MOST_TOKENS)
                .or_else(|| bounded("number of blocks", *n_blocks, MOST_TOKENS))
                .or_else(|| bounded("number of sequences", sequences.len(), MOST_SEQUENCES))
                .or_else(|| (*block_len == 0).then(|| "its blocks hold no token".into()))
                .or_else(|| (*token_bytes > MOST_TOKEN_BYTES).then(|| format!("a token takes {token_bytes} bytes")))
                .or_else(|| sequences.iter().any(is_wrong).then(|| "a block table does not fit its pool".into()))
        }
        LaneEvent::Attention { attention, .. } => {
            let Attention { n_layer, n_head, first, rows } = attention;
            let heads = n_layer.saturating_mul(*n_head);
            let fits = |(row, position): (&Arc<[u8]>, usize)| row.len() == heads * (position + 1);
            bounded("number of heads", heads, MOST_HEADS)
                .or_else(|| bounded("position", first.saturating_add(rows.len()), MOST_TOKENS))
                .or_else(|| (heads == 0).then(|| "its attention has no heads".into()))
                .or_else(|| {
                    (!rows.iter().zip(*first..).all(fits)).then(|| "a row of attention has a wrong length".into())
                })
        }
        LaneEvent::Forked { fork, start, .. } => {
            bounded("fork", *fork, MOST_SEQUENCES).or_else(|| bounded("token", *start, MOST_TOKENS))
        }
        LaneEvent::Compared { step, kl_nats, .. } => bounded("step", *step, MOST_TOKENS)
            .or_else(|| (!(kl_nats.is_finite() && *kl_nats >= 0.0)).then(|| "a divergence is no number".into())),
        LaneEvent::Switched { step, tokens_in, .. } => {
            bounded("step", *step, MOST_TOKENS).or_else(|| bounded("token", *tokens_in, MOST_TOKENS))
        }
        LaneEvent::Ended { .. } | LaneEvent::ForkToken { .. } | LaneEvent::ForkEnded { .. } => None,
    }
}

/// Records and forks of a lane come one after the other, so there are never more of them than lines. `told` counts both for each lane.
fn out_of_turn(told: &mut [(usize, usize)], event: &LaneEvent) -> Option<String> {
    let (records, forks) = told.get_mut(event.lane())?;
    let (what, number, next) = match event {
        LaneEvent::Token { record, .. } => ("step", record.step, records),
        LaneEvent::Forked { fork, .. } => ("fork", *fork, forks),
        _ => return None,
    };
    if number != *next {
        return Some(format!("{what} {number} stands where {next} is due"));
    }
    *next += 1;
    None
}

/// A block is given back once it is full and all its tokens are evicted. `evicted` must be in order.
fn gives_back_only_what_is_evicted(sequence: &SequencePicture, block_len: usize) -> bool {
    let SequencePicture { blocks, evicted, .. } = sequence;
    let given_back = blocks.iter().enumerate().filter(|(_, block)| **block == NO_BLOCK);
    given_back.map(|(place, _)| place.saturating_mul(block_len)).all(|start| {
        let end = start.saturating_add(block_len);
        let gap = evicted.get(evicted.partition_point(|gap| gap.1 < end));
        gap.is_some_and(|gap| gap.0 <= start && end <= gap.1)
    })
}

/// A trace that was read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub header: Header,
    pub events: Vec<LaneEvent>,
    /// `None`: the trace was cut off after the last whole line.
    pub outcome: Option<Outcome>,
}

impl Trace {
    /// Reads to the end, or to the last whole line of a trace that was cut off.
    ///
    /// # Errors
    /// Reading, a first line that is no header, a schema that is newer than this kvlab, or a damaged line
    /// before the last one.
    pub fn read(input: impl BufRead) -> io::Result<Self> {
        let bad = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        let mut lines = input.split(b'\n').peekable();
        let first = lines.next().ok_or_else(|| bad("the trace is empty".into()))??;
        // The schema first: whatever else a newer header has, this is where it says so.
        let schema = serde_json::from_slice(&first)
            .ok()
            .and_then(|line: serde_json::Value| (line["type"] == "header").then(|| line["schema"].as_u64()).flatten());
        match schema {
            Some(newer) if newer > u64::from(SCHEMA) => {
                return Err(bad(format!("the trace has schema {newer}, newer than {SCHEMA}; update kvlab")));
            }
            Some(_) => {}
            None if first.starts_with(br#"{"type":"header""#) => {
                return Err(bad("the header of the trace is damaged, or cut off in its middle".into()));
            }
            None => return Err(bad("not a kvlab trace: its first line is no header".into())),
        }
        let header = match serde_json::from_slice(&first) {
            Ok(Line::Header(header)) => *header,
            Ok(_) => return Err(bad("not a kvlab trace: its first line is no header".into())),
            Err(error) => return Err(bad(format!("the header of the trace is damaged: {error}"))),
        };
        let Workload { prompt_ids, max_new_tokens, .. } = &header.workload;
        let second_tokens = header.second_prompt.as_ref().map_or(0, |prompt| prompt.tokens);
        if prompt_ids.len() > MOST_TOKENS || *max_new_tokens > MOST_TOKENS || second_tokens > MOST_TOKENS {
            return Err(bad("the header of the trace is damaged: no run has so many tokens".into()));
        }
        if header.lanes.len() > MOST_LANES {
            return Err(bad("the header of the trace is damaged: no run has so many lanes".into()));
        }
        let (mut events, mut outcome) = (vec![], None);
        let mut told = vec![(0, 0); header.lanes.len()];
        while let Some(line) = lines.next() {
            match serde_json::from_slice(&line?) {
                Ok(Line::Event(event)) => match fault(&header, &event).or_else(|| out_of_turn(&mut told, &event)) {
                    Some(fault) => return Err(bad(format!("line {} is damaged: {fault}", events.len() + 2))),
                    None => events.push(event),
                },
                Ok(Line::End { outcome: end }) => outcome = Some(end),
                Ok(Line::Header(_)) => return Err(bad("a second header".into())),
                Err(_) if lines.peek().is_none() => break,
                Err(e) => return Err(bad(format!("line {} is damaged: {e}", events.len() + 2))),
            }
        }
        Ok(Self { header, events, outcome })
    }
}
