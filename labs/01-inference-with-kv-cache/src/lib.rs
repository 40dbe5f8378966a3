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
//! - [`mine`]: your cache as a lane of kvlab
//! - [`variants`]: the exercise, the solution and the mistakes by their names
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

pub mod mine;

pub mod solution;

pub mod variants;

pub mod wrong;

/// This lab.
pub static LAB: labkit::Lab = labkit::Lab {
    number: 1,
    title: "Inference without and with a KV cache",
    readme: include_str!("../README.md"),
    hints: include_str!("../hints.md"),
    variants: variants::VARIANTS,
    next: "Now measure it: cargo run --release -p lab01 -- bench --out latency.svg",
    show,
    window: labkit::Window {
        lanes: "none,contiguous,mine",
        pane: "Cost",
        tokens: 200,
        mine: Some(labkit::Mine {
            exercise: |shape| labkit::for_story(shape, || mine::exercise(shape.n_layer)),
            solution: |shape| labkit::for_story(shape, || mine::solution(shape.n_layer)),
        }),
    },
};

/// Lets both loops of a variant continue a text.
fn show(variant: &str, out: &mut dyn std::io::Write) -> anyhow::Result<()> {
    let (generate, mistake_in) = variants::generator(variant)?;
    let options = generate::Options { prompt: checks::PROMPTS[0].into(), tokens: 24, chunk: 7, mistake_in };
    generate(&checks::Reference::new()?, &given::Model::story()?, &options, out)
}
