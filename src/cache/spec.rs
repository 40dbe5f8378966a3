//! The cache specification: three independent questions, one grammar.
//!
//! ```text
//! lane      = "none" | "mine" | layout { "+" part }
//! layout    = "concat" | "contiguous" | "paged" [ ":" B ]            B from 1, default 16
//! part      = format | retention | "rot"                             each axis at most once, any order
//! format    = "f32" | "f16" | "bf16" | "f8" | "int8" | "q8_0" | "q4_0" | "int4"
//!           | "kivi" ":" BITS [ "/" R ] | "kvq" ":" BITS
//! retention = "all" | "window" ":" SINKS "/" RECENT | ( "h2o" | "h2o-mean" ) ":" HEAVY "/" RECENT
//! lanes     = lane { "," lane }
//! ```
//!
//! The parser refuses what can never mean anything. What depends on the model's shape is refused when the store is built.

use std::{fmt, str::FromStr};

/// What a lane does with keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// No cache: every step re-runs the model over the whole sequence.
    None,
    /// A learner's own cache, which a lab registers ([`super::guest::register`]).
    Mine,
    /// Keys and values are stored as the specification says.
    Cache(CacheSpec),
}

/// The answers to the three questions: where rows live, how a row is stored, which rows stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheSpec {
    pub layout: Layout,
    pub format: Format,
    /// Hadamard rotation of keys, queries and values before they are stored.
    pub rotate: bool,
    pub retention: Retention,
}

/// Where do the tokens' rows live?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// A new, exactly sized buffer every step, into which everything is copied: naive code.
    Concat,
    /// One reserved buffer per sequence, written in place.
    Contiguous,
    /// Blocks of `block_len` tokens from a shared pool, found through a block table (vLLM).
    Paged { block_len: usize },
}

/// How is a row stored?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    F16,
    Bf16,
    F8,
    /// Symmetric absolute-maximum scale per token and head, 8-bit codes.
    Int8,
    Q8_0,
    Q4_0,
    Int4,
    Kivi {
        bits: u8,
        residual: usize,
    },
    Kvq {
        bits: u8,
    },
}

/// Which tokens stay?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retention {
    All,
    Window {
        sinks: usize,
        recent: usize,
    },
    /// The tokens that got most attention so far, and the newest.
    H2o {
        heavy: usize,
        recent: usize,
    },
    /// The same, by the attention that a token got from each query since.
    H2oMean {
        heavy: usize,
        recent: usize,
    },
}

/// Block length of `paged` when none is given (vLLM's default).
pub const DEFAULT_BLOCK_LEN: usize = 16;
/// Tokens KIVI keeps in full precision when none are given.
pub const DEFAULT_KIVI_RESIDUAL: usize = 32;
/// Formats that quantize along tokens do so in groups of this many.
pub const TOKEN_GROUP: usize = 32;
/// No number in a specification may exceed this; it keeps every later product inside `usize`.
pub const MAX_NUMBER: usize = 1 << 24;

const KIVI_BITS: [u8; 3] = [2, 4, 8];
const KIVI_REASON: &str = "kivi takes 2, 4 or 8 bits";
const KVQ_BITS: [u8; 3] = [2, 3, 4];
const KVQ_REASON: &str = "kvq takes 2, 3 or 4 bits";

/// Why a specification was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("empty lane; try `none`, `contiguous`, `paged:16` or `paged:16+int8`")]
    Empty,
    #[error("unknown layout `{0}`; a lane starts with `none`, `concat`, `contiguous` or `paged[:B]`")]
    UnknownLayout(String),
    #[error(
        "unknown part `{0}`; parts are f32, f16, bf16, f8, int8, q8_0, q4_0, int4, kivi:BITS[/R], kvq:BITS, \
         rot, all, window:SINKS/RECENT, h2o:HEAVY/RECENT, h2o-mean:HEAVY/RECENT"
    )]
    UnknownPart(String),
    #[error("`{part}`: {reason}")]
    BadNumber { part: String, reason: &'static str },
    #[error("two {axis}s in one lane (`{first}` and `{second}`); each axis takes one answer")]
    Twice { axis: &'static str, first: String, second: String },
    #[error("`none` is no cache, so it takes no parts (`+{0}`)")]
    NoneTakesNoParts(String),
    #[error("{0}")]
    Meaningless(String),
}

impl Lane {
    /// True where the lane must produce the tokens that no cache produces.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        match self {
            Self::None => true,
            // Nobody knows.
            Self::Mine => false,
            Self::Cache(spec) => spec.format == Format::F32 && !spec.rotate && spec.retention == Retention::All,
        }
    }
}

impl CacheSpec {
    /// `layout` with exact rows and nothing evicted.
    #[must_use]
    pub fn exact(layout: Layout) -> Self {
        Self { layout, format: Format::F32, rotate: false, retention: Retention::All }
    }

    /// What can never mean anything, whatever the model. The parser refuses it, and so does the store, since a specification can be
    /// put together by hand.
    pub(super) fn check_meaning(&self) -> Result<(), SpecError> {
        let bad = |part: String, reason| Err(SpecError::BadNumber { part, reason });
        let residual = if let Format::Kivi { residual, .. } = self.format { residual } else { 0 };
        let (first, recent) = match self.retention {
            Retention::All => (0, 1),
            Retention::Window { sinks: first, recent }
            | Retention::H2o { heavy: first, recent }
            | Retention::H2oMean { heavy: first, recent } => (first, recent),
        };
        if [residual, first, recent].into_iter().any(|number| number > MAX_NUMBER) {
            return bad(self.to_string(), "the number is too large");
        }
        if recent == 0 {
            return bad(self.retention.to_string(), "at least 1 recent token must stay");
        }
        match self.format {
            Format::Kivi { bits, .. } if !KIVI_BITS.contains(&bits) => {
                return bad(self.format.to_string(), KIVI_REASON);
            }
            Format::Kvq { bits } if !KVQ_BITS.contains(&bits) => return bad(self.format.to_string(), KVQ_REASON),
            _ => {}
        }
        if let Layout::Paged { block_len } = self.layout
            && !(1..=MAX_NUMBER).contains(&block_len)
        {
            return bad(self.layout.to_string(), "a block holds at least 1 token, and not more than a number can say");
        }
        let groups_tokens = matches!(self.format, Format::Kivi { .. });
        match self.layout {
            Layout::Concat if groups_tokens => Err(SpecError::Meaningless(format!(
                "`{}` quantizes whole blocks once they are sealed, and `concat` never seals one",
                self.format
            ))),
            Layout::Paged { block_len } if groups_tokens && block_len % TOKEN_GROUP != 0 => {
                Err(SpecError::Meaningless(format!(
                    "`{}` quantizes groups of {TOKEN_GROUP} tokens, so its block length must be a multiple of \
                     {TOKEN_GROUP}, not {block_len}",
                    self.format
                )))
            }
            _ => Ok(()),
        }
    }
}

fn number(part: &str, text: &str) -> Result<usize, SpecError> {
    let bad = |reason| SpecError::BadNumber { part: part.into(), reason };
    // `usize::from_str` also takes a leading `+`, which the grammar uses as its separator.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad("a whole number is expected"));
    }
    match text.parse() {
        Ok(n) if n <= MAX_NUMBER => Ok(n),
        _ => Err(bad("the number is too large")),
    }
}

fn pair(part: &str, text: &str) -> Result<(usize, usize), SpecError> {
    let (a, b) = text
        .split_once('/')
        .filter(|(_, second)| !second.contains('/'))
        .ok_or(SpecError::BadNumber { part: part.into(), reason: "two numbers are expected, as in 4/256" })?;
    Ok((number(part, a)?, number(part, b)?))
}

fn bits(part: &str, text: &str, allowed: &[u8], reason: &'static str) -> Result<u8, SpecError> {
    let bits = number(part, text)?;
    match u8::try_from(bits) {
        Ok(b) if allowed.contains(&b) => Ok(b),
        _ => Err(SpecError::BadNumber { part: part.into(), reason }),
    }
}

fn parse_layout(text: &str) -> Result<Layout, SpecError> {
    match text.split_once(':') {
        None if text == "concat" => Ok(Layout::Concat),
        None if text == "contiguous" => Ok(Layout::Contiguous),
        None if text == "paged" => Ok(Layout::Paged { block_len: DEFAULT_BLOCK_LEN }),
        Some(("paged", len)) => match number(text, len)? {
            0 => Err(SpecError::BadNumber { part: text.into(), reason: "a block holds at least 1 token" }),
            block_len => Ok(Layout::Paged { block_len }),
        },
        _ => Err(SpecError::UnknownLayout(text.into())),
    }
}

fn parse_format(text: &str) -> Result<Option<Format>, SpecError> {
    Ok(Some(match text.split_once(':') {
        None => match text {
            "f32" => Format::F32,
            "f16" => Format::F16,
            "bf16" => Format::Bf16,
            "f8" => Format::F8,
            "int8" => Format::Int8,
            "q8_0" => Format::Q8_0,
            "q4_0" => Format::Q4_0,
            "int4" => Format::Int4,
            "kivi" => {
                return Err(SpecError::BadNumber {
                    part: text.into(),
                    reason: "how many bits? As in kivi:4 or kivi:2/64",
                });
            }
            "kvq" => return Err(SpecError::BadNumber { part: text.into(), reason: "how many bits? As in kvq:3" }),
            _ => return Ok(None),
        },
        Some(("kivi", rest)) => {
            let (width, residual) = match rest.split_once('/') {
                Some((width, residual)) => (width, number(text, residual)?),
                None => (rest, DEFAULT_KIVI_RESIDUAL),
            };
            Format::Kivi { bits: bits(text, width, &KIVI_BITS, KIVI_REASON)?, residual }
        }
        Some(("kvq", width)) => Format::Kvq { bits: bits(text, width, &KVQ_BITS, KVQ_REASON)? },
        Some(_) => return Ok(None),
    }))
}

fn parse_retention(text: &str) -> Result<Option<Retention>, SpecError> {
    Ok(Some(match text.split_once(':') {
        None if text == "all" => Retention::All,
        Some(("window", rest)) => {
            let (sinks, recent) = pair(text, rest)?;
            Retention::Window { sinks, recent }
        }
        Some(("h2o", rest)) => {
            let (heavy, recent) = pair(text, rest)?;
            Retention::H2o { heavy, recent }
        }
        Some(("h2o-mean", rest)) => {
            let (heavy, recent) = pair(text, rest)?;
            Retention::H2oMean { heavy, recent }
        }
        _ => return Ok(None),
    }))
    .and_then(|retention| match retention {
        Some(
            Retention::Window { recent: 0, .. }
            | Retention::H2o { recent: 0, .. }
            | Retention::H2oMean { recent: 0, .. },
        ) => Err(SpecError::BadNumber { part: text.into(), reason: "at least 1 recent token must stay" }),
        other => Ok(other),
    })
}

fn set_once<T: fmt::Display>(slot: &mut Option<T>, axis: &'static str, value: T) -> Result<(), SpecError> {
    if let Some(first) = slot {
        return Err(SpecError::Twice { axis, first: first.to_string(), second: value.to_string() });
    }
    *slot = Some(value);
    Ok(())
}

impl FromStr for CacheSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = text.split('+').map(str::trim);
        let layout = parse_layout(parts.next().filter(|first| !first.is_empty()).ok_or(SpecError::Empty)?)?;
        let (mut format, mut rotate, mut retention) = (None, None, None);
        for part in parts {
            if part == "rot" {
                set_once(&mut rotate, "rotation", "rot")?;
            } else if let Some(f) = parse_format(part)? {
                set_once(&mut format, "format", f)?;
            } else if let Some(r) = parse_retention(part)? {
                set_once(&mut retention, "retention", r)?;
            } else {
                return Err(SpecError::UnknownPart(part.into()));
            }
        }
        let spec = Self {
            layout,
            format: format.unwrap_or(Format::F32),
            rotate: rotate.is_some(),
            retention: retention.unwrap_or(Retention::All),
        };
        spec.check_meaning()?;
        Ok(spec)
    }
}

impl FromStr for Lane {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let text = text.trim();
        match text.split_once('+') {
            None if text == "none" => Ok(Self::None),
            None if text == "mine" => Ok(Self::Mine),
            Some(("none", rest)) => Err(SpecError::NoneTakesNoParts(rest.into())),
            _ => text.parse().map(Self::Cache),
        }
    }
}

/// Parses `lane { "," lane }`.
///
/// # Errors
/// The first lane that cannot be read.
pub fn parse_lanes(text: &str) -> Result<Vec<Lane>, SpecError> {
    text.split(',').map(str::parse).collect()
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Mine => f.write_str("mine"),
            Self::Cache(spec) => spec.fmt(f),
        }
    }
}

impl fmt::Display for CacheSpec {
    /// The shortest text that parses back to the same specification.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layout.fmt(f)?;
        if self.format != Format::F32 {
            write!(f, "+{}", self.format)?;
        }
        if self.rotate {
            f.write_str("+rot")?;
        }
        if self.retention != Retention::All {
            write!(f, "+{}", self.retention)?;
        }
        Ok(())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Concat => f.write_str("concat"),
            Self::Contiguous => f.write_str("contiguous"),
            Self::Paged { block_len } => write!(f, "paged:{block_len}"),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("f32"),
            Self::F16 => f.write_str("f16"),
            Self::Bf16 => f.write_str("bf16"),
            Self::F8 => f.write_str("f8"),
            Self::Int8 => f.write_str("int8"),
            Self::Q8_0 => f.write_str("q8_0"),
            Self::Q4_0 => f.write_str("q4_0"),
            Self::Int4 => f.write_str("int4"),
            Self::Kivi { bits, residual } => write!(f, "kivi:{bits}/{residual}"),
            Self::Kvq { bits } => write!(f, "kvq:{bits}"),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Window { sinks, recent } => write!(f, "window:{sinks}/{recent}"),
            Self::H2o { heavy, recent } => write!(f, "h2o:{heavy}/{recent}"),
            Self::H2oMean { heavy, recent } => write!(f, "h2o-mean:{heavy}/{recent}"),
        }
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
