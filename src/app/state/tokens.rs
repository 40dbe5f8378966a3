//! Between tokens and the text of a lane: what a token says, and which token a place of the text belongs to.

use super::LaneState;

impl LaneState {
    /// What the lane said as its generated token `step`, counted from 0; empty where the token completes no character.
    #[must_use]
    pub fn said(&self, step: usize) -> Option<&str> {
        self.text.get(self.token_start(step)?..*self.text_ends.get(step)?)
    }

    /// Where token `step` begins in the text, in bytes; the text's end for the token that comes next.
    #[must_use]
    pub fn token_start(&self, step: usize) -> Option<usize> {
        match step.checked_sub(1) {
            None => Some(0),
            Some(before) => self.text_ends.get(before).copied(),
        }
    }

    /// The token that the byte `at` of the text belongs to: of tokens that make one character together, the last.
    #[must_use]
    pub fn token_at(&self, at: usize) -> Option<usize> {
        let step = self.text_ends.partition_point(|end| *end <= at);
        (step < self.text_ends.len()).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use crate::app::state::RunState;

    #[test]
    fn tokens_and_places_of_the_text_find_each_other() {
        let mut run = RunState::of_trace(1, &[("none", None)], crate::app::worker::Facts::default());
        let lane = &mut run.lanes[0];
        lane.text = "a\u{e9} dog".into();
        lane.text_ends = vec![1, 1, 3, 7];
        assert_eq!(
            [0, 1, 2, 3, 4].map(|step| lane.said(step)),
            [Some("a"), Some(""), Some("\u{e9}"), Some(" dog"), None]
        );
        assert_eq!([0, 1, 2, 3, 6, 7].map(|at| lane.token_at(at)), [0, 2, 2, 3, 3, 9].map(|n| (n < 9).then_some(n)));
        assert_eq!([0, 3, 4, 5].map(|step| lane.token_start(step)), [Some(0), Some(3), Some(7), None]);
    }
}
