//! What an experiment is asked to do, and what it tells of it: the lines of a trace.

use serde::{Deserialize, Serialize};

use crate::{
    cache::PoolPicture,
    engine::{Attention, Sampling, StepRecord},
};

/// What every lane of an experiment does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "switches that a person may combine in any way")]
pub struct Workload {
    pub prompt_ids: Vec<u32>,
    /// Tokens to generate; exactly so many unless `stop_at_eos`.
    pub max_new_tokens: usize,
    pub sampling: Sampling,
    pub prefill_chunk: Option<usize>,
    pub stop_at_eos: bool,
    /// Bytes of keys, values and scales per lane.
    pub memory_limit_bytes: Option<u64>,
    /// A cached lane runs every token untimed before it is timed. Traces from before there was a choice did not.
    #[serde(default)]
    pub rehearse: bool,
    /// Every lane is fed the first lane's tokens, whatever it would have said itself (teacher forcing). Records and texts are what it
    /// would have said.
    #[serde(default)]
    pub forced: bool,
    /// Every prediction is compared with the first lane's, untimed, for as long as both read the same tokens.
    #[serde(default)]
    pub compares: bool,
}

/// How a lane ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneEnd {
    /// All tokens were generated.
    Finished,
    /// The model ended its text (`--stop-eos`).
    EndOfText,
    /// An error; what was generated before it stands.
    Failed(String),
}

/// What happened when an experiment made a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LaneEvent {
    /// A lane generated a token. `text` is what the token completes, maybe nothing yet.
    #[serde(rename = "record")]
    Token {
        lane: usize,
        #[serde(flatten)]
        record: StepRecord,
        text: String,
    },
    /// A lane ended; `text` is what its stream still held.
    #[serde(rename = "lane_end")]
    Ended { lane: usize, end: LaneEnd, text: String },
    /// The blocks of a lane with a cache and of its forks, whenever a table or what is evicted or sealed changed, and after every
    /// token while there are forks.
    Blocks { lane: usize, picture: PoolPicture },
    /// A fork began after `start` generated tokens of its lane, which it shares.
    Forked { lane: usize, fork: usize, start: usize },
    /// A fork generated a token.
    ForkToken { lane: usize, fork: usize, token_id: u32, text: String },
    /// A fork ended before its lane.
    ForkEnded { lane: usize, fork: usize, reason: String },
    /// What the tokens of the watched lane's last step looked at.
    Attention { lane: usize, attention: Attention },
    /// How far the prediction of token `step` lies from the first lane's, after the same tokens.
    Compared {
        lane: usize,
        step: usize,
        /// Kullback-Leibler divergence of the first lane's prediction against this one's, in nats.
        kl_nats: f64,
        /// Both hold the same token for the likeliest.
        agrees: bool,
    },
    /// A lane goes on in another cache from token `step` on.
    Switched {
        lane: usize,
        step: usize,
        /// What the lane is called from now on.
        name: String,
        /// Tokens that were run again for it, and how long that took.
        tokens_in: usize,
        secs: f64,
    },
}

impl LaneEvent {
    /// The number of the lane it is about.
    #[must_use]
    pub fn lane(&self) -> usize {
        match self {
            Self::Token { lane, .. }
            | Self::Ended { lane, .. }
            | Self::Blocks { lane, .. }
            | Self::Forked { lane, .. }
            | Self::ForkToken { lane, .. }
            | Self::ForkEnded { lane, .. }
            | Self::Attention { lane, .. }
            | Self::Compared { lane, .. }
            | Self::Switched { lane, .. } => *lane,
        }
    }

    /// The same event of another lane.
    #[must_use]
    pub fn of_lane(mut self, number: usize) -> Self {
        match &mut self {
            Self::Token { lane, .. }
            | Self::Ended { lane, .. }
            | Self::Blocks { lane, .. }
            | Self::Forked { lane, .. }
            | Self::ForkToken { lane, .. }
            | Self::ForkEnded { lane, .. }
            | Self::Attention { lane, .. }
            | Self::Compared { lane, .. }
            | Self::Switched { lane, .. } => *lane = number,
        }
        self
    }
}
