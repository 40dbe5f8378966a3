//! The learner's numbers beside real caches: the story model runs, and its caches are asked what they took.

use std::io::Write;

use anyhow::{Context, Result, bail};
use kvlab::report::units::bytes;
use labkit::{
    Caught, caught,
    story::{PROMPT, Story},
};

use crate::{
    exercise,
    given::{GPT2, LLAMA_7B, LLAMA_70B, STORY, Shape},
    solution,
};

const NEW_TOKENS: usize = 100;

/// The functions that are shown; each gives bytes.
struct Yours {
    token: fn(&Shape, u64) -> u64,
    quantized_token: fn(&Shape, u64, u64, u64) -> u64,
    held: fn(&[u64], u64, u64) -> u64,
}

/// A table of models, then lanes that ran.
pub fn show(variant: &str, out: &mut dyn Write) -> Result<()> {
    let yours = match variant {
        "exercise" => Yours {
            token: exercise::token_bytes,
            quantized_token: exercise::quantized_token_bytes,
            held: exercise::held_bytes,
        },
        "solution" => Yours {
            token: solution::token_bytes,
            quantized_token: solution::quantized_token_bytes,
            held: solution::held_bytes,
        },
        other => bail!("`show` runs your exercise or the solution, not {other}"),
    };
    let mut table = vec![];
    match caught(|| numbers(&yours, &mut table)) {
        Ok(()) => out.write_all(&table)?,
        Err(Caught::Todo(text)) => bail!("nothing to show yet: {text}"),
        Err(Caught::Panic(text)) => bail!("the code panicked: {text}"),
        Err(Caught::Error(error)) => return Err(error),
    }
    Ok(())
}

fn numbers(yours: &Yours, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "{:<12} {:>14} {:>14} {:>16}", "model", "f16, a token", "4,096 tokens", "100 x 4,096")?;
    for (name, shape) in [("story", STORY), ("gpt2", GPT2), ("7b", LLAMA_7B), ("70b", LLAMA_70B)] {
        let token = (yours.token)(&shape, 16);
        let of = |tokens: u64| bytes(token.saturating_mul(tokens));
        writeln!(out, "{name:<12} {:>14} {:>14} {:>16}", of(1), of(4096), of(409_600))?;
    }
    writeln!(
        out,
        "\nThe story model, {NEW_TOKENS} new tokens. Yours is computed, measured is what kvlab's cache says of its allocations.\n"
    )?;
    writeln!(out, "{:<18} {:>8} {:>14} {:>14} {:>14}", "lane", "tokens", "yours, held", "measured", "reserved")?;
    let model = Story::load()?;
    for (lane, block_len, token) in [
        ("paged:16", 16, (yours.token)(&STORY, 32)),
        ("paged:64", 64, (yours.token)(&STORY, 32)),
        ("paged:16+int8", 16, (yours.quantized_token)(&STORY, 8, 32, 32)),
        ("paged:16+q4_0", 16, (yours.quantized_token)(&STORY, 4, 32, 16)),
    ] {
        let session = model.run(lane, PROMPT, NEW_TOKENS)?;
        let footprint = session.cache().context("the lane has a cache")?.0.footprint();
        let tokens = footprint.live_tokens;
        let held = (yours.held)(&[tokens], block_len, token);
        let mark = if held == footprint.held_bytes { "" } else { "   differs" };
        writeln!(
            out,
            "{lane:<18} {tokens:>8} {held:>14} {:>14} {:>14}{mark}",
            footprint.held_bytes, footprint.reserved_bytes
        )?;
    }
    writeln!(out, "\nBytes. Reserved is what the store allocated for one user of the whole context of 1,024 tokens.")?;
    Ok(())
}
