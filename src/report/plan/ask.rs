//! What a person asks of a plan, with blanks for what has a default. The command line and the window fill it in.

use super::{Plan, Question};
use crate::{
    cache::{
        CacheSpec, Lane, Lengths,
        spec::{SpecError, parse_lanes},
    },
    model::KnownModel,
    report::units::bytes,
};

/// What is compared unless a person says otherwise.
pub const DEFAULT_LANES: &str = "contiguous,paged:16,paged:16+f16,paged:16+int8";

/// A [`Question`] with blanks.
#[derive(Clone, Debug)]
pub struct Ask {
    pub model: KnownModel,
    /// For keys, values and scales alone.
    pub memory_bytes: u64,
    /// Tokens of a user at most; the model's positions if it is left out.
    pub context: Option<u64>,
    /// Live lengths; uniform, from one token after the shared prefix to the context, if they are left out.
    pub lengths: Option<Lengths>,
    /// Tokens that all users begin with; a quarter of the context, or of the shortest length, if it is left out.
    pub shared_prefix: Option<u64>,
    /// Users that are to fit.
    pub users: Option<u64>,
}

/// Why there is nothing to plan, in the words of the command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("`{model}` does not say where its positions end; give --context")]
    NoContext { model: String },
    #[error("--shared-prefix {shared_prefix} leaves no token of its own to a user with a context of {context}")]
    PrefixFillsContext { shared_prefix: u64, context: u64 },
    #[error("--lengths {lengths} reaches {longest} tokens, past a context of {context}; give a larger --context")]
    PastContext { lengths: Lengths, longest: u64, context: u64 },
    #[error(
        "--lengths {lengths} has users of {shortest} tokens, not more than the shared prefix of {shared_prefix} that is part of \
         them; give a smaller --shared-prefix"
    )]
    WithinPrefix { lengths: Lengths, shortest: u64, shared_prefix: u64 },
    #[error(transparent)]
    Lanes(#[from] SpecError),
    #[error("`none` keeps no cache, so there is nothing to plan; try contiguous or paged:16")]
    NoCache,
    #[error(
        "--memory {} does not hold one block: {block_len} token(s) of lane `{lane}` take {}",
        bytes(*memory_bytes),
        bytes(*needed_bytes)
    )]
    MemoryTooSmall { memory_bytes: u64, block_len: u64, lane: CacheSpec, needed_bytes: u64 },
}

impl Ask {
    /// The question with its defaults, its parts checked against each other.
    ///
    /// # Errors
    /// [`AskError`], where parts do not go together.
    pub fn question(self) -> Result<Question, AskError> {
        let Self { model, memory_bytes, context, lengths, shared_prefix, users } = self;
        let known = model.n_positions.map(|n| n as u64);
        let context = context.or(known).ok_or_else(|| AskError::NoContext { model: model.name.clone() })?;
        let shared_prefix = shared_prefix.unwrap_or_else(|| lengths.as_ref().map_or(context, Lengths::shortest) / 4);
        if shared_prefix >= context {
            return Err(AskError::PrefixFillsContext { shared_prefix, context });
        }
        let lengths = lengths.unwrap_or(Lengths::Uniform { from: shared_prefix + 1, to: context });
        let (shortest, longest) = (lengths.shortest(), lengths.longest());
        if longest > context {
            return Err(AskError::PastContext { lengths, longest, context });
        }
        if shortest <= shared_prefix {
            return Err(AskError::WithinPrefix { lengths, shortest, shared_prefix });
        }
        Ok(Question { model, memory_bytes, context, lengths, shared_prefix, users })
    }
}

/// Lanes to plan for: all of them store something.
///
/// # Errors
/// [`AskError::Lanes`] for text that names no lanes, [`AskError::NoCache`] where `none` is among them.
pub fn cached_lanes(text: &str) -> Result<Vec<CacheSpec>, AskError> {
    let spec = |lane| match lane {
        Lane::None | Lane::Mine => Err(AskError::NoCache),
        Lane::Cache(spec) => Ok(spec),
    };
    parse_lanes(text)?.into_iter().map(spec).collect()
}

impl Plan {
    /// The plan, unless the memory is too small for a single block of any lane.
    ///
    /// # Errors
    /// [`AskError::MemoryTooSmall`]
    pub fn check_memory(self) -> Result<Self, AskError> {
        if self.lanes.iter().any(|lane| lane.one_user_tokens > 0) {
            return Ok(self);
        }
        let Some(smallest) = self.lanes.iter().min_by_key(|lane| lane.block_bytes) else { return Ok(self) };
        Err(AskError::MemoryTooSmall {
            memory_bytes: self.question.memory_bytes,
            block_len: smallest.block_len,
            lane: smallest.lane,
            needed_bytes: smallest.block_bytes.saturating_add(smallest.sequence_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(model: &str) -> Ask {
        let model = model.parse().expect("a model");
        Ask { model, memory_bytes: 1 << 30, context: None, lengths: None, shared_prefix: None, users: None }
    }

    #[test]
    fn blanks_are_filled_from_the_model() {
        let question = ask("gpt2").question().expect("gpt2 says where it ends");
        assert_eq!((question.context, question.shared_prefix), (1024, 256));
        assert_eq!(question.lengths, Lengths::Uniform { from: 257, to: 1024 });
        let lengths = Some("fixed:20".parse().expect("lengths"));
        let question = Ask { lengths, ..ask("gpt2") }.question().expect("within the context");
        assert_eq!(question.shared_prefix, 5, "a quarter of the shortest length");
    }

    #[test]
    fn parts_that_do_not_go_together_are_named() {
        assert!(matches!(ask("2,4,2,64").question(), Err(AskError::NoContext { .. })));
        let prefix = Ask { shared_prefix: Some(1024), ..ask("gpt2") }.question();
        assert!(matches!(prefix, Err(AskError::PrefixFillsContext { context: 1024, .. })));
        let lengths = Some("fixed:64".parse().expect("lengths"));
        let within = Ask { lengths, shared_prefix: Some(64), ..ask("gpt2") }.question();
        assert!(matches!(within, Err(AskError::WithinPrefix { shortest: 64, .. })));
    }

    #[test]
    fn lanes_that_store_nothing_and_memory_for_nothing_are_refused() {
        assert_eq!(cached_lanes("contiguous,none").err(), Some(AskError::NoCache));
        assert!(matches!(cached_lanes("heap"), Err(AskError::Lanes(_))));
        let plan = |memory_bytes| {
            let question = Ask { memory_bytes, ..ask("gpt2") }.question().expect("a question");
            Plan::new(question, &cached_lanes("paged:16").expect("a lane")).expect("a plan").check_memory()
        };
        assert!(matches!(plan(1000), Err(AskError::MemoryTooSmall { block_len: 16, .. })));
        assert!(plan(1 << 30).is_ok());
    }
}
