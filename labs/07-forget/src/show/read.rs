//! Held-out stories, read under each policy.

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use kvlab::{
    cache::GuestStep,
    measure::quality::Prediction,
    model::{Logits, Passage, RecallMark},
};
use labkit::story::Story;

use super::{PROMPT_TOKENS, Size, policies};
use crate::mine::{Forget, Guest};

/// What a policy did to one story.
pub struct StoryRead {
    /// Of every token behind the prompt.
    pub kls: Vec<f64>,
    /// `-ln p` of the token that came, less that of the whole cache, in nats.
    pub more_loss: Vec<f64>,
    pub facts: Vec<Fact>,
    /// What is left at the end.
    pub positions: Vec<usize>,
    pub peak_bytes: usize,
}

/// A fact that the story told and asks for again.
pub struct Fact {
    pub story: usize,
    /// Index of the token that is asked for.
    pub position: usize,
    /// Tokens since it was last mentioned.
    pub distance: usize,
    pub is_right: bool,
    pub left: Left,
    /// The likeliest token instead.
    pub said: u32,
}

/// What is in the cache when a fact is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The word where it was mentioned last.
    LastMention,
    /// Only the same word farther back, maybe of another fact.
    Earlier,
    Nothing,
}

/// Everything that was read.
pub struct Read {
    pub passages: Vec<Passage>,
    /// `[policies][stories]`
    pub policies: Vec<Vec<StoryRead>>,
}

/// Reads each story token by token, whatever is predicted.
pub fn read(story: &Story, forget: Forget, size: Size) -> Result<Read> {
    let mut passages: Vec<Passage> = Passage::held_out_stories()?.into_iter().take(size.stories).collect();
    for passage in &mut passages {
        passage.truncate(size.tokens);
    }
    let policies = policies(size.budget);
    let mut read: Vec<Vec<StoryRead>> = policies.iter().map(|_| vec![]).collect();
    for (number, passage) in passages.iter().enumerate() {
        let mut exact: Option<Vec<Prediction>> = None;
        for ((_, policy), read) in policies.iter().zip(&mut read) {
            let mut guest = Guest::new(forget, *policy);
            let (predictions, mut facts) = predictions(story, passage, &mut guest)?;
            for fact in &mut facts {
                fact.story = number;
            }
            let exact = exact.get_or_insert_with(|| predictions.clone());
            let mut story_read = StoryRead {
                kls: vec![],
                more_loss: vec![],
                facts,
                peak_bytes: guest.peak_bytes,
                positions: guest.slots.positions,
            };
            for ((exact, got), token) in exact.iter().zip(&predictions).zip(&passage.ids[PROMPT_TOKENS + 1..]) {
                let nll = |of: &Prediction| of.nll(*token as usize).context("the token is in the vocabulary");
                story_read.kls.push(exact.kl(got).context("one vocabulary")?);
                story_read.more_loss.push(nll(got)? - nll(exact)?);
            }
            read.push(story_read);
        }
    }
    Ok(Read { passages, policies: read })
}

/// What is predicted after each token behind the prompt, and the facts among that.
fn predictions(story: &Story, passage: &Passage, guest: &mut Guest) -> Result<(Vec<Prediction>, Vec<Fact>)> {
    let (model, never) = (&story.0.model, AtomicBool::new(false));
    let (mut predictions, mut facts) = (vec![], vec![]);
    let mut past = 0;
    for new in std::iter::once(PROMPT_TOKENS).chain(std::iter::repeat_n(1, passage.ids.len() - PROMPT_TOKENS - 1)) {
        let kept = guest.slots.positions.clone();
        let mut step = GuestStep::new(guest, model.config().heads(), past, new);
        let logits = model.forward(&passage.ids[past..past + new], &mut step, None, Logits::Last, &never)?;
        past += new;
        if new > 1 {
            continue; // A prompt sees all of itself: nothing was forgotten yet.
        }
        let prediction = Prediction::of(&logits.get(0)?.to_vec1::<f32>()?) // [1, V] -> [V]
            .context("a logit is no finite number")?;
        if let Some(mark) = passage.recall.iter().find(|mark| mark.position == past) {
            facts.push(Fact {
                story: 0,
                position: mark.position,
                distance: mark.distance,
                is_right: prediction.best() == mark.token as usize,
                left: left(&kept, passage, *mark),
                said: u32::try_from(prediction.best())?,
            });
        }
        predictions.push(prediction);
    }
    Ok((predictions, facts))
}

/// `kept` are positions.
fn left(kept: &[usize], passage: &Passage, mark: RecallMark) -> Left {
    // The token before the one that is asked for has just been read; it is nobody's to forget.
    if mark.distance == 1 || kept.contains(&(mark.position - mark.distance)) {
        Left::LastMention
    } else if kept.iter().any(|position| passage.ids[*position] == mark.token) {
        Left::Earlier
    } else {
        Left::Nothing
    }
}
