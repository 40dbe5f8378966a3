//! What is timed, named as llama-bench names it.
//!
//! ```text
//! pp512           a prompt of 512 tokens in one forward pass
//! tg16            16 tokens, one after the other, from an empty cache
//! tg16@d512       the same behind 512 cached ones
//! tg16@d512,b8    the same for 8 sequences in one batch
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which half of inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Work {
    /// Prompt processing: one step over all tokens.
    #[serde(rename = "pp")]
    Prefill,
    /// Text generation: a step per token.
    #[serde(rename = "tg")]
    Decode,
}

/// One test of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Test {
    pub work: Work,
    /// Tokens of each sequence that are timed.
    pub tokens: usize,
    /// Tokens of each sequence that are cached before.
    pub depth: usize,
    /// Sequences in the batch.
    pub batch: usize,
}

impl Test {
    /// Positions that each sequence takes.
    #[must_use]
    pub fn context(&self) -> usize {
        self.depth.saturating_add(self.tokens)
    }

    /// Tokens that one step brings forward, of all sequences.
    #[must_use]
    pub fn tokens_per_step(&self) -> usize {
        match self.work {
            Work::Prefill => self.tokens * self.batch,
            Work::Decode => self.batch,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = match self.work {
            Work::Prefill => "pp",
            Work::Decode => "tg",
        };
        write!(f, "{work}{}", self.tokens)?;
        let depth = (self.depth > 0).then(|| format!("d{}", self.depth));
        let batch = (self.batch > 1).then(|| format!("b{}", self.batch));
        let more: Vec<String> = depth.into_iter().chain(batch).collect();
        if more.is_empty() { Ok(()) } else { write!(f, "@{}", more.join(",")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_llama_benchs() {
        let name = |work, tokens, depth, batch| Test { work, tokens, depth, batch }.to_string();
        assert_eq!(name(Work::Prefill, 512, 0, 1), "pp512");
        assert_eq!(name(Work::Decode, 128, 0, 1), "tg128");
        assert_eq!(name(Work::Decode, 128, 512, 1), "tg128@d512");
        assert_eq!(name(Work::Decode, 128, 512, 8), "tg128@d512,b8");
        assert_eq!(name(Work::Prefill, 512, 0, 4), "pp512@b4");
    }
}
