//! A plan of capacity: how many users fit into a memory, lane by lane. As data for JSON, as tables for people.

mod ask;
mod tables;

use serde::{Serialize, Serializer};

use crate::{
    cache::{CacheError, CacheSpec, LaneBytes, Lengths, Retention, capacity::Demand, lengths::Mean},
    model::KnownModel,
};

pub use ask::{Ask, AskError, DEFAULT_LANES, cached_lanes};
pub use tables::DEFINITIONS;

/// What a plan is asked. Lengths lie between `shared_prefix + 1` and `context`.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    #[serde(serialize_with = "model")]
    pub model: KnownModel,
    /// For keys, values and scales alone.
    pub memory_bytes: u64,
    /// Tokens of a user at most, prompt and answer.
    pub context: u64,
    #[serde(serialize_with = "text")]
    pub lengths: Lengths,
    pub shared_prefix: u64,
    /// Users that are to fit.
    pub users: Option<u64>,
}

/// The answers for every lane; [`DEFINITIONS`] says what they mean.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    #[serde(flatten)]
    pub question: Question,
    pub mean_length: f64,
    pub lanes: Vec<LanePlan>,
}

/// One lane's part of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct LanePlan {
    #[serde(serialize_with = "text")]
    pub lane: CacheSpec,
    pub block_len: u64,
    pub block_bytes: u64,
    pub token_bytes: u64,
    pub sequence_bytes: u64,
    pub formula_token_bytes: u64,
    pub worst_case: Answer,
    pub live_length: Answer,
    pub shared_prefix: Answer,
    /// Tokens of a single user; the next one does not fit.
    pub one_user_tokens: u64,
    pub full_context: FullContext,
    pub mean_user: MeanUser,
    /// For a moment, while one layer of a `concat` sequence grows to the whole context.
    pub regrowth_bytes: u64,
}

/// Users that fit in one of the three ways, and what as many as were asked for need.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Answer {
    pub users: u64,
    /// What those users take of the memory.
    pub bytes: u64,
    pub asked: Option<Asked>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Asked {
    pub needed_bytes: u64,
    pub fits: bool,
}

/// One user with the whole context: the formula beside a store for that user.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FullContext {
    pub formula_bytes: u64,
    pub reserved_bytes: u64,
    pub reserved_over_formula: f64,
}

/// A user of the lengths' distribution, on average: the formula beside what it holds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MeanUser {
    pub formula_bytes: f64,
    pub held_bytes: f64,
    pub held_over_formula: f64,
}

impl Plan {
    /// # Errors
    /// [`CacheError::Refused`], [`CacheError::Shape`]; [`CacheError::TooLarge`] for what no 64 bits count.
    pub fn new(question: Question, lanes: &[CacheSpec]) -> Result<Self, CacheError> {
        let mean_length = ratio(question.lengths.mean(|len| len));
        let lanes = lanes.iter().map(|&lane| LanePlan::new(&question, lane)).collect::<Result<_, _>>()?;
        Ok(Self { question, mean_length, lanes })
    }
}

impl LanePlan {
    fn new(question: &Question, lane: CacheSpec) -> Result<Self, CacheError> {
        let Question { context, lengths, shared_prefix, memory_bytes, .. } = question;
        let (context, memory_bytes) = (*context, *memory_bytes);
        let shape = question.model.kv_shape(usize::try_from(context).map_err(|_| CacheError::TooLarge)?);
        let bytes = LaneBytes::of(lane, shape)?;
        let (worst_case, live_length) = (bytes.worst_case(context), bytes.live_length(lengths, context));
        let answer = |demand: &Demand| Answer::new(&bytes, demand, question);
        // Past this context no residual is cut short by it; if a whole one does not fit, the memory ends before.
        let endless = LaneBytes::of(lane, crate::cache::KvShape { max_seq_len: usize::MAX, ..shape })?;
        let one_user_tokens =
            endless.one_user_tokens(memory_bytes).max(bytes.one_user_tokens(memory_bytes).min(context));

        let formula_token_bytes = shape.formula_bytes_per_token(lane.format);
        let formula_bytes = formula_token_bytes.checked_mul(context).ok_or(CacheError::TooLarge)?;
        let reserved_bytes = bytes.reserved_bytes(1, context).ok_or(CacheError::TooLarge)?;
        let mean_formula_bytes = ratio(lengths.mean(|len| len)) * float(formula_token_bytes);
        let held_bytes = float(bytes.sequence_bytes) + ratio(live_length.own_blocks) * float(bytes.block_bytes());
        Ok(Self {
            lane,
            block_len: bytes.block_len,
            block_bytes: bytes.block_bytes(),
            token_bytes: bytes.token_bytes(),
            sequence_bytes: bytes.sequence_bytes,
            formula_token_bytes,
            worst_case: answer(&worst_case)?,
            live_length: answer(&live_length)?,
            shared_prefix: answer(&bytes.shared_prefix(lengths, *shared_prefix, context))?,
            one_user_tokens,
            full_context: FullContext {
                formula_bytes,
                reserved_bytes,
                reserved_over_formula: float(reserved_bytes) / float(formula_bytes),
            },
            mean_user: MeanUser {
                formula_bytes: mean_formula_bytes,
                held_bytes,
                held_over_formula: held_bytes / mean_formula_bytes,
            },
            regrowth_bytes: bytes.regrowth_bytes(context).ok_or(CacheError::TooLarge)?,
        })
    }

    fn evicts(&self) -> bool {
        self.lane.retention != Retention::All
    }
}

impl Answer {
    fn new(bytes: &LaneBytes, demand: &Demand, question: &Question) -> Result<Self, CacheError> {
        let needed = |users| bytes.bytes(demand, users).ok_or(CacheError::TooLarge);
        let asked = question.users.map(needed).transpose()?;
        let asked = asked.map(|needed_bytes| Asked { needed_bytes, fits: needed_bytes <= question.memory_bytes });
        let users = bytes.users(demand, question.memory_bytes);
        // Without a user nothing is shared either.
        let bytes = if users == 0 { 0 } else { needed(users)? };
        Ok(Self { users, bytes, asked })
    }
}

fn text<T: ToString, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn model<S: Serializer>(model: &KnownModel, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shape<'a> {
        name: &'a str,
        n_layer: usize,
        n_head: usize,
        n_kv_head: usize,
        head_dim: usize,
        n_positions: Option<usize>,
    }
    let KnownModel { name, n_layer, heads, n_positions } = model;
    let shape = Shape {
        name,
        n_layer: *n_layer,
        n_head: heads.n_head,
        n_kv_head: heads.n_kv_head,
        head_dim: heads.head_dim,
        n_positions: *n_positions,
    };
    shape.serialize(serializer)
}

#[expect(clippy::cast_precision_loss, reason = "means and ratios to be read, not counted")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "means and ratios to be read, not counted")]
fn ratio(mean: Mean) -> f64 {
    mean.sum as f64 / mean.weight as f64
}
