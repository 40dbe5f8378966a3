//! What a run shows beside its records: blocks, forks, attention, and the text of a token by its position.

use std::sync::Arc;

use super::{LaneState, RunState};
use crate::{app::comparison::reference, engine::Attention, experiment::LaneEvent};

/// A fork of a lane: what it shares, and what it says instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForkState {
    /// Generated tokens of the lane that it shares.
    pub start: usize,
    /// Which of the colours for forks it has: the first that no fork has that was open when it began.
    pub color: usize,
    pub text: String,
    /// Length of `text` after each of its own tokens.
    text_ends: Vec<usize>,
    /// Why it ended before its lane.
    pub end: Option<String>,
}

/// The attention of one lane, a row per token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttentionState {
    pub lane: usize,
    pub n_layer: usize,
    pub n_head: usize,
    /// Row `p` is `[n_layer, n_head, p + 1]`, in the codes of [`Attention`].
    pub rows: Vec<Arc<[u8]>>,
}

impl AttentionState {
    /// What the token at `position` looks at in one head: a code for each token up to itself.
    #[must_use]
    pub fn row(&self, layer: usize, head: usize, position: usize) -> &[u8] {
        let start = (layer * self.n_head + head) * (position + 1);
        self.rows.get(position).and_then(|row| row.get(start..=start + position)).unwrap_or_default()
    }
}

impl RunState {
    pub(super) fn look(&mut self, lane: usize, attention: Attention) {
        let Attention { n_layer, n_head, first, rows } = attention;
        match self.attention.iter_mut().find(|state| state.lane == lane) {
            Some(state) if state.rows.len() == first => state.rows.extend(rows),
            // From the first token on: a lane that is watched from now on. Rows that follow on nothing are of no use.
            Some(state) if first == 0 => *state = AttentionState { lane, n_layer, n_head, rows },
            None if first == 0 => self.attention.push(AttentionState { lane, n_layer, n_head, rows }),
            _ => {}
        }
    }

    /// What was known, or is known by now, of the tokens that had run after so many rounds: a lane may have been watched late.
    #[must_use]
    pub fn attention_at(&self, round: usize) -> Vec<AttentionState> {
        let cut = |known: &AttentionState| {
            let prompt_tokens = self.facts.as_ref().map_or(0, |facts| facts.prompt_of(known.lane).0);
            // The newest token has not run.
            let n = if round == 0 { 0 } else { prompt_tokens + round - 1 };
            AttentionState { rows: known.rows.iter().take(n).cloned().collect(), ..*known }
        };
        self.attention.iter().map(cut).collect()
    }

    /// What is known of a lane's attention.
    #[must_use]
    pub fn attention_of(&self, lane: usize) -> Option<&AttentionState> {
        self.attention.iter().find(|state| state.lane == lane && !state.rows.is_empty())
    }

    pub(super) fn apply_to_blocks(&mut self, event: LaneEvent) {
        let Some(lane) = self.lanes.get_mut(event.lane()) else { return };
        match event {
            LaneEvent::Blocks { picture, .. } => lane.blocks = Some(picture),
            LaneEvent::Forked { start, .. } => {
                let is_taken = |color: &usize| lane.forks.iter().any(|fork| fork.end.is_none() && fork.color == *color);
                let color = (0..=lane.forks.len()).find(|color| !is_taken(color)).unwrap_or(0);
                lane.forks.push(ForkState { start, color, ..ForkState::default() });
            }
            LaneEvent::ForkToken { fork, text, .. } => {
                if let Some(fork) = lane.forks.get_mut(fork) {
                    fork.text.push_str(&text);
                    fork.text_ends.push(fork.text.len());
                }
            }
            LaneEvent::ForkEnded { fork, reason, .. } => {
                if let Some(fork) = lane.forks.get_mut(fork) {
                    fork.end = Some(reason);
                }
            }
            _ => {}
        }
    }

    /// The text of the token at `position` of a sequence of a lane: 0 is the lane itself, then come its forks. `None` where
    /// no text is known, empty where the token completes no character.
    #[must_use]
    pub fn token_text(&self, lane: usize, sequence: usize, position: usize) -> Option<&str> {
        let (facts, own) = (self.facts.as_ref()?, self.lanes.get(lane)?);
        let (prompt_tokens, prompt_pieces) = facts.prompt_of(lane);
        let Some(generated) = position.checked_sub(prompt_tokens) else {
            return prompt_pieces.get(position).map(String::as_str);
        };
        let fork = sequence.checked_sub(1).and_then(|fork| own.forks.get(fork));
        let is_own = fork.is_some_and(|fork| generated >= fork.start);
        // What a lane that is fed tokens has read, and shares with its forks, is the first lane's text.
        if self.is_forced && !is_own {
            self.lanes.get(reference(&self.lanes, lane))?.piece(0, generated)
        } else {
            own.piece(sequence, generated)
        }
    }
}

impl LaneState {
    fn piece(&self, sequence: usize, generated: usize) -> Option<&str> {
        let fork = sequence.checked_sub(1).and_then(|fork| self.forks.get(fork));
        match fork {
            Some(fork) if generated >= fork.start => piece(&fork.text, &fork.text_ends, generated - fork.start),
            _ => piece(&self.text, &self.text_ends, generated),
        }
    }
}

fn piece<'a>(text: &'a str, ends: &[usize], index: usize) -> Option<&'a str> {
    let end = *ends.get(index)?;
    let start = index.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    text.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::worker::Facts,
        cache::{PoolPicture, SequencePicture, spec::parse_lanes},
    };

    fn run() -> RunState {
        let mut run = RunState::new(1, &parse_lanes("paged:2").expect("lane"), 9, String::new());
        run.facts = Some(Facts { prompt_tokens: 1, prompt_pieces: vec!["Mia".into()], ..Facts::default() });
        run.lanes[0].text = " has a dog".into();
        run.lanes[0].text_ends = vec![4, 6, 10];
        run
    }

    fn rows(first: usize, n: usize) -> Attention {
        let row = |position: usize| {
            (0..2 * (position + 1)).map(|i| u8::try_from(10 * position + i).expect("small")).collect()
        };
        Attention { n_layer: 1, n_head: 2, first, rows: (first..first + n).map(row).collect() }
    }

    #[test]
    fn attention_grows_row_by_row_for_each_lane() {
        let mut run = run();
        run.look(0, rows(1, 1));
        assert_eq!(run.attention, [], "it follows on nothing");
        run.look(0, rows(0, 2));
        run.look(0, rows(2, 1));
        run.look(0, rows(2, 1));
        let state = run.attention.first().expect("rows");
        assert_eq!(state.rows.len(), 3, "a row that came twice counts once");
        assert_eq!(state.row(0, 1, 2), [23, 24, 25]);
        assert_eq!(state.row(0, 0, 9), [] as [u8; 0]);
        run.look(3, rows(0, 1));
        let known: Vec<_> = run.attention.iter().map(|state| (state.lane, state.rows.len())).collect();
        assert_eq!(known, [(0, 3), (3, 1)]);
        run.look(0, rows(0, 1));
        assert_eq!(run.attention_of(0).map(|state| state.rows.len()), Some(1), "watched anew");
    }

    #[test]
    fn open_forks_never_share_a_colour() {
        let mut run = run();
        let fork = |run: &mut RunState| {
            let fork = run.lanes[0].forks.len();
            run.apply_to_lane(LaneEvent::Forked { lane: 0, fork, start: 1 });
        };
        for _ in 0..3 {
            fork(&mut run);
        }
        run.apply_to_lane(LaneEvent::ForkEnded { lane: 0, fork: 1, reason: String::new() });
        fork(&mut run);
        let colors: Vec<usize> = run.lanes[0].forks.iter().map(|fork| fork.color).collect();
        assert_eq!(colors, [0, 1, 2, 1]);
    }

    #[test]
    fn a_position_has_the_text_of_its_sequence() {
        let mut run = run();
        run.apply_to_lane(LaneEvent::Forked { lane: 0, fork: 0, start: 1 });
        run.apply_to_lane(LaneEvent::ForkToken { lane: 0, fork: 0, token_id: 5, text: " no".into() });
        let texts = |sequence| (0..4).map(|position| run.token_text(0, sequence, position)).collect::<Vec<_>>();
        assert_eq!(texts(0), [Some("Mia"), Some(" has"), Some(" a"), Some(" dog")]);
        assert_eq!(texts(1), [Some("Mia"), Some(" has"), Some(" no"), None]);
        let picture = PoolPicture { sequences: vec![SequencePicture::default()], ..PoolPicture::default() };
        run.apply_to_lane(LaneEvent::Blocks { lane: 0, picture: picture.clone() });
        assert_eq!(run.lanes[0].blocks, Some(picture));
    }
}
