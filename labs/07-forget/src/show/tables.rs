//! What was read, in numbers.

use std::io::Write;

use anyhow::{Context, Result};
use kvlab::{
    experiment::quality::RECALL_BUCKETS,
    measure::stats::{mean, standard_error},
    report::units::count,
};
use labkit::story::Story;

use super::{
    Size, policies,
    read::{Fact, Left, Read, StoryRead},
};

/// All of it.
pub fn show(story: &Story, read: &Read, size: Size, out: &mut dyn Write) -> Result<()> {
    let n: usize = read.policies[0].iter().map(|story| story.kls.len()).sum();
    writeln!(
        out,
        "The story model over your policies: {} held-out stories, {} predictions. Each policy but the first keeps {} tokens.\n",
        read.passages.len(),
        count(n as u64),
        size.budget
    )?;
    loss(read, size, out)?;
    recall(read, size, out)?;
    map(read, size, out)?;
    example(story, read, size, out)
}

fn loss(read: &Read, size: Size, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "{:<22}{:>10}{:>10}{:>11}{:>26}", "", "tokens", "bytes", "KL", "loss more than everything")?;
    writeln!(out, "{:<22}{:>10}{:>10}{:>11}{:>26}", "kept", "at end", "at most", "mean", "mean +- standard error")?;
    for ((name, _), stories) in policies(size.budget).iter().zip(&read.policies) {
        let of_stories = |numbers: fn(&StoryRead) -> &Vec<f64>| -> Vec<f64> {
            stories.iter().filter_map(|story| mean(numbers(story))).collect()
        };
        let (kl, more) = (of_stories(|story| &story.kls), of_stories(|story| &story.more_loss));
        let peak = stories.iter().map(|story| story.peak_bytes).max().context("there are stories")?;
        writeln!(
            out,
            "{name:<22}{:>10}{:>10}{:>11.2e}{:>26}",
            stories[0].positions.len(),
            count(peak as u64),
            mean(&kl).context("there are stories")?,
            format!("{:+.4} +- {:.4}", mean(&more).context("there are stories")?, standard_error(&more).unwrap_or(0.0))
        )?;
    }
    writeln!(out)?;
    Ok(())
}

/// `right of asked`, and the share.
fn share<'a>(facts: impl Iterator<Item = &'a Fact>) -> String {
    let (mut right, mut asked) = (0, 0);
    for fact in facts {
        (right, asked) = (right + u32::from(fact.is_right), asked + 1);
    }
    if asked == 0 {
        "-".into()
    } else {
        format!("{right}/{asked} {:>3.0} %", f64::from(100 * right) / f64::from(asked))
    }
}

fn recall(read: &Read, size: Size, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "Facts that the story told and asks for again: how many are right, by the tokens since the last mention."
    )?;
    write!(out, "{:<22}", "kept")?;
    for (from, to) in RECALL_BUCKETS {
        write!(out, "{:>14}", format!("{from}-{to}"))?;
    }
    writeln!(out)?;
    for ((name, _), stories) in policies(size.budget).iter().zip(&read.policies) {
        let facts = || stories.iter().flat_map(|story| &story.facts);
        write!(out, "{name:<22}")?;
        for (from, to) in RECALL_BUCKETS {
            write!(out, "{:>14}", share(facts().filter(|fact| (from..to).contains(&fact.distance))))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "\nThe same facts, by what of them is in the cache when they are asked for.")?;
    writeln!(out, "{:<22}{:>18}{:>18}{:>18}", "kept", "last mention", "word earlier only", "neither")?;
    for ((name, _), stories) in policies(size.budget).iter().zip(&read.policies) {
        write!(out, "{name:<22}")?;
        for left in [Left::LastMention, Left::Earlier, Left::Nothing] {
            write!(
                out,
                "{:>18}",
                share(stories.iter().flat_map(|story| &story.facts).filter(|fact| fact.left == left))
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    Ok(())
}

/// Tokens that a character stands for.
const CELL: usize = 16;

fn map(read: &Read, size: Size, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "Who is left at the end of the first story; a character is {CELL} tokens: . none, + up to half of them, # more.\n"
    )?;
    for ((name, _), stories) in policies(size.budget).iter().zip(&read.policies) {
        let positions = &stories[0].positions;
        let cell = |cell: usize| match positions.iter().filter(|position| **position / CELL == cell).count() {
            0 => '.',
            n if n <= CELL / 2 => '+',
            _ => '#',
        };
        let cells: String = (0..size.tokens.div_ceil(CELL)).map(cell).collect();
        writeln!(out, "{name:<22}{cells}")?;
    }
    writeln!(out)?;
    Ok(())
}

/// The first fact that the window misses for having lost it, and that heavy hitters still know; or the first that the window misses.
fn example(story: &Story, read: &Read, size: Size, out: &mut dyn Write) -> Result<()> {
    let facts = |policy: usize| read.policies[policy].iter().flat_map(|story| &story.facts);
    let is_lost =
        |(window, heavy): &(&Fact, &Fact)| !window.is_right && window.left != Left::LastMention && heavy.is_right;
    let found = facts(1).zip(facts(3)).find(is_lost).map(|(window, _)| window);
    let Some(fact) = found.or_else(|| facts(1).find(|fact| !fact.is_right)) else { return Ok(()) };
    let ids = &read.passages[fact.story].ids;
    let told = fact.position - fact.distance;
    let text = |from: usize, to: usize| story.text(&ids[from..to.min(ids.len())]);
    let words = |text: String| text.replace('\n', " ").trim().to_owned();
    writeln!(out, "One of them, in story {}:", fact.story + 1)?;
    writeln!(out, "  token {told:>4}: .. {} ..", words(text(told.saturating_sub(6), told + 4)?))?;
    writeln!(
        out,
        "  token {:>4}: .. {} ___",
        fact.position,
        words(text(fact.position.saturating_sub(12), fact.position)?)
    )?;
    for (policy, (name, _)) in policies(size.budget).iter().enumerate() {
        let same = facts(policy).find(|other| (other.story, other.position) == (fact.story, fact.position));
        let Some(same) = same else { continue };
        let kept = if same.left == Left::LastMention { "the mention is kept" } else { "the mention is gone" };
        let said = words(story.text(&[same.said])?);
        let mark = if same.is_right { "right" } else { "wrong" };
        writeln!(out, "  {name:<22}{said:<12}{mark:<8}{kept}")?;
    }
    Ok(())
}
