//! How long users' sequences are: a distribution over whole numbers of tokens, so that means are exact.
//!
//! ```text
//! lengths = "fixed" ":" N                         every user has N tokens
//!         | "uniform" ":" A "-" B                 A, A + 1, .. B, equally likely
//!         | "list" ":" share { "," share }        a histogram
//! share   = N [ "*" WEIGHT ]                      WEIGHT from 1, default 1
//! ```

use std::{fmt, str::FromStr};

/// No length and no weight may exceed this; it keeps sums inside `u128`.
pub const MAX_TOKENS: u64 = 1 << 24;

/// Tokens of a user met at a random moment, all of them: prompt, answer so far, shared prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// `from ..= to`, equally likely.
    Uniform { from: u64, to: u64 },
    /// `(tokens, weight)`, not empty.
    List(Vec<(u64, u64)>),
}

/// A mean over a distribution: `sum / weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mean {
    pub sum: u128,
    pub weight: u128,
}

/// Why a distribution was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthsError {
    #[error("unknown distribution `{0}`; write fixed:N, uniform:A-B, or list:N,N*WEIGHT,...")]
    Unknown(String),
    #[error("`{0}` is no whole number from 1 to {MAX_TOKENS}")]
    BadNumber(String),
    #[error("`{0}` runs backwards; write the smaller number first")]
    Backwards(String),
}

impl Mean {
    /// The same for every user.
    #[must_use]
    pub fn constant(value: u64) -> Self {
        Self { sum: value.into(), weight: 1 }
    }

    /// `users` times the mean, rounded up; `None` if that is no `u64`.
    #[must_use]
    pub fn times(self, users: u64) -> Option<u64> {
        let total = self.sum.checked_mul(users.into())?.div_ceil(self.weight);
        u64::try_from(total).ok()
    }
}

impl Lengths {
    #[must_use]
    pub fn shortest(&self) -> u64 {
        match self {
            Self::Uniform { from, .. } => *from,
            Self::List(shares) => shares.iter().map(|(tokens, _)| *tokens).min().unwrap_or(0),
        }
    }

    #[must_use]
    pub fn longest(&self) -> u64 {
        match self {
            Self::Uniform { to, .. } => *to,
            Self::List(shares) => shares.iter().map(|(tokens, _)| *tokens).max().unwrap_or(0),
        }
    }

    /// The mean of `of(tokens)`: a sum over every length, not `of` the mean length.
    #[must_use]
    pub fn mean(&self, of: impl Fn(u64) -> u64) -> Mean {
        match self {
            Self::Uniform { from, to } => {
                Mean { sum: (*from..=*to).map(|tokens| u128::from(of(tokens))).sum(), weight: (to - from + 1).into() }
            }
            Self::List(shares) => Mean {
                sum: shares.iter().map(|&(tokens, weight)| u128::from(of(tokens)) * u128::from(weight)).sum(),
                weight: shares.iter().map(|&(_, weight)| u128::from(weight)).sum(),
            },
        }
    }
}

fn number(text: &str) -> Result<u64, LengthsError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|n| digits && (1..=MAX_TOKENS).contains(n));
    number.ok_or_else(|| LengthsError::BadNumber(text.into()))
}

impl FromStr for Lengths {
    type Err = LengthsError;

    fn from_str(text: &str) -> Result<Self, LengthsError> {
        let unknown = || LengthsError::Unknown(text.into());
        let (kind, rest) = text.trim().split_once(':').ok_or_else(unknown)?;
        match kind {
            "fixed" => Ok(Self::List(vec![(number(rest)?, 1)])),
            "uniform" => {
                let (from, to) = rest.split_once('-').ok_or_else(unknown)?;
                let (from, to) = (number(from)?, number(to)?);
                if from > to { Err(LengthsError::Backwards(rest.into())) } else { Ok(Self::Uniform { from, to }) }
            }
            "list" => {
                let share = |share: &str| match share.split_once('*') {
                    Some((tokens, weight)) => Ok((number(tokens)?, number(weight)?)),
                    None => Ok((number(share)?, 1)),
                };
                rest.split(',').map(|text| share(text.trim())).collect::<Result<_, _>>().map(Self::List)
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Lengths {
    /// The shortest text that parses back to the same distribution.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform { from, to } => write!(f, "uniform:{from}-{to}"),
            Self::List(shares) if matches!(shares.as_slice(), [(_, 1)]) => write!(f, "fixed:{}", shares[0].0),
            Self::List(shares) => {
                f.write_str("list:")?;
                for (i, (tokens, weight)) in shares.iter().enumerate() {
                    f.write_str(if i > 0 { "," } else { "" })?;
                    write!(f, "{tokens}")?;
                    if *weight != 1 {
                        write!(f, "*{weight}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Lengths {
        text.parse().expect(text)
    }

    #[test]
    fn the_grammar_reads_back_what_it_prints() {
        for text in ["fixed:7", "uniform:1-1024", "list:100,200,400", "list:128*60,1024*5", "list:9*2"] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse(" list:1, 2*3 "), Lengths::List(vec![(1, 1), (2, 3)]));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let refusal = |text: &str| text.parse::<Lengths>().expect_err(text).to_string();
        for text in ["", "7", "normal:3", "uniform:5", "fixed"] {
            assert!(refusal(text).contains("unknown distribution"), "{text}");
        }
        for text in ["fixed:0", "fixed:-1", "fixed:+1", "fixed:1.5", "uniform:0-4", "list:", "list:1,,2", "list:4*0"] {
            assert!(refusal(text).contains("no whole number"), "{text}");
        }
        assert!(refusal("fixed:16777217").contains("16777216"));
        assert!(refusal("uniform:9-8").contains("backwards"));
    }

    #[test]
    fn means_are_sums_over_every_length() {
        let blocks = |tokens: u64| tokens.div_ceil(16);
        // 1, 1, 2 blocks; the mean length, 13, would be one block.
        assert_eq!(parse("list:2,16,21").mean(blocks), Mean { sum: 4, weight: 3 });
        assert_eq!(parse("uniform:15-18").mean(blocks), Mean { sum: 6, weight: 4 });
        assert_eq!(parse("list:16*3,17").mean(blocks), Mean { sum: 5, weight: 4 });
        assert_eq!((parse("list:9,3,5").shortest(), parse("list:9,3,5").longest()), (3, 9));
        let mean = Mean { sum: 4, weight: 3 };
        assert_eq!((mean.times(0), mean.times(1), mean.times(3)), (Some(0), Some(2), Some(4)));
        assert_eq!(Mean::constant(u64::MAX).times(2), None);
    }
}
