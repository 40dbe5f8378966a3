//! What the story model predicts over each format, on the same tokens, and what it writes by itself.

use std::{io::Write, sync::atomic::AtomicBool};

use anyhow::{Context, Result};
use kvlab::{
    cache::{GuestCache, GuestStep},
    measure::{
        quality::Prediction,
        stats::{mean, standard_error},
    },
    model::{Logits, Passage},
    report::units::count,
};
use labkit::story::{PROMPT, Story};

use super::{EXACT, SCHEMES, Size};
use crate::{
    given::{HEAD_DIM, N_HEAD, N_LAYER},
    mine::{Guest, Scheme},
    stored::Codec,
};

/// What some stories were read as.
pub struct Read {
    /// Of every token but the first of each story.
    predictions: Vec<Prediction>,
    /// `-ln p` of the token that came, in nats.
    losses: Vec<f64>,
    /// One for each story, as it was at its end.
    pub caches: Vec<Guest>,
    n_tokens: usize,
}

/// Reads stories token by token, whatever is predicted, over a cache for each.
pub fn read(story: &Story, new: &mut dyn FnMut() -> Guest, size: Size) -> Result<Read> {
    let (model, never) = (&story.0.model, AtomicBool::new(false));
    let mut read = Read { predictions: vec![], losses: vec![], caches: vec![], n_tokens: 0 };
    for mut passage in Passage::held_out_stories()?.into_iter().take(size.stories) {
        passage.truncate(size.tokens);
        let mut cache = new();
        for (past, pair) in passage.ids.windows(2).enumerate() {
            let mut step = GuestStep::new(&mut cache, model.config().heads(), past, 1);
            let logits = model.forward(&pair[..1], &mut step, None, Logits::Last, &never)?;
            let prediction =
                Prediction::of(&logits.get(0)?.to_vec1::<f32>()?) // [1, V] -> [V]
                    .context("a logit is no finite number: did a scale become NaN or infinite?")?;
            read.losses.push(prediction.nll(pair[1] as usize).context("the token is in the vocabulary")?);
            read.predictions.push(prediction);
            read.n_tokens += 1;
        }
        read.caches.push(cache);
    }
    Ok(read)
}

/// A line for each scheme, against the `exact` one.
pub fn show(story: &Story, codec: Codec, exact: &Read, size: Size, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "The story model over your formats: {} held-out stories, {} predictions; and {} tokens of its own.",
        exact.caches.len(),
        count(exact.losses.len() as u64),
        size.new
    )?;
    let titles = ["bytes", "long", "KL", "KL", "same", "loss more than f32", "own words"];
    let widths = [9, 8, 10, 10, 11, 24, 14];
    let line = |cells: [&str; 7]| -> String {
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect::<Vec<_>>().concat()
    };
    writeln!(out, "{:<24}{}", "", line(titles))?;
    writeln!(
        out,
        "{:<24}{}",
        "cache",
        line(["a token", "text", "mean", "at most", "first", "mean +- standard error", "the same"])
    )?;
    let mut own: Option<Vec<u32>> = None;
    for (name, scheme) in SCHEMES {
        let again;
        let of_scheme = if scheme == EXACT {
            exact
        } else {
            again = read(story, &mut || Guest::new(codec, scheme), size)?;
            &again
        };
        let pairs = || exact.predictions.iter().zip(&of_scheme.predictions);
        let kls: Vec<f64> = pairs().filter_map(|(exact, other)| exact.kl(other)).collect();
        let same = pairs().filter(|(exact, other)| exact.best() == other.best()).count();
        let more: Vec<f64> = exact.losses.iter().zip(&of_scheme.losses).map(|(exact, other)| other - exact).collect();
        let bytes: u64 = of_scheme.caches.iter().map(|cache| cache.bytes().used_bytes).sum();

        let mut cache = Guest::new(codec, scheme);
        let tokens = story.generate(&mut cache, PROMPT, usize::MAX, size.new)?;
        let own = own.get_or_insert_with(|| tokens.clone());
        let equal = tokens.iter().zip(own.iter()).take_while(|(a, b)| a == b).count();
        #[expect(clippy::cast_precision_loss, reason = "some thousand tokens")]
        let cells = [
            format!("{:.0}", bytes as f64 / of_scheme.n_tokens as f64),
            format!("{:.0}", long_text(codec, scheme)),
            format!("{:.1e}", mean(&kls).context("there are tokens")?),
            format!("{:.1e}", kls.iter().copied().fold(0.0, f64::max)),
            format!("{:.2} %", 100.0 * same as f64 / of_scheme.n_tokens as f64),
            format!(
                "{:+.5} +- {:.5}",
                mean(&more).context("there are tokens")?,
                standard_error(&more).context("there are tokens")?
            ),
            format!("{equal} of {}", size.new),
        ];
        writeln!(out, "{name:<24}{}", line(cells.each_ref().map(String::as_str)))?;
    }
    writeln!(
        out,
        "\nbytes a token     what the buffers hold, newest tokens in f32 included, divided by the tokens\n\
         long text         the same of 100,000 tokens, by your task 6\n\
         KL                how much the prediction differs from that over f32, in nats; 0 is not at all\n\
         same first        how often the likeliest token is the same\n\
         loss more         -ln p of the token that came, less that over f32, in nats; the error as if predictions were independent\n\
         own words         greedy tokens that are the same before the first that differs"
    )?;
    Ok(())
}

/// Bytes of a token, all layers and heads, where the newest tokens hardly count.
#[expect(clippy::cast_precision_loss, reason = "some gigabytes")]
fn long_text(codec: Codec, scheme: Scheme) -> f64 {
    let n_tokens = 100_000;
    let of = |format| (codec.bytes)(format, n_tokens, HEAD_DIM, scheme.residual) * N_LAYER * N_HEAD;
    (of(scheme.keys) + of(scheme.values)) as f64 / n_tokens as f64
}
