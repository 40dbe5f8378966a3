//! Lab 01: GPT-2 inference without and with a KV cache. Start with `README.md`.
//!
//! In reading order:
//!
//! - [`given`]: GPT-2 around its attention, and the sampler; nothing to change
//! - [`exercise`]: **your file**
//! - [`contract`]: the functions every variant of the exercise has
//! - [`checks`]: named checks, in the order of the tasks
//! - [`mod@generate`]: what the two loops write
//! - [`mod@bench`]: token-by-token latency of the two loops, as a table and an SVG
//! - [`solution`]: one way to do it
//! - [`wrong`]: mistakes people make, each caught by a check

#![allow(clippy::missing_errors_doc, reason = "every error is candle's, or says itself what to do")]
#![allow(clippy::cast_precision_loss, reason = "sizes of a small model and counts of tokens")]

pub mod given;

#[allow(unused_variables, unused_imports, dead_code, reason = "an exercise does not use its arguments yet")]
#[allow(clippy::all, clippy::pedantic, reason = "the learner's own style is welcome")]
pub mod exercise;

pub mod contract;

pub mod checks;

pub mod bench;

pub mod generate;

pub mod solution;

pub mod wrong;
