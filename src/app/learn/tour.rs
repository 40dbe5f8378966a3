//! What a tour is made of.

use super::Seen;

/// A guided tour: it says what to watch for, lets it happen, and explains what was measured.
pub struct Tour {
    pub title: &'static str,
    /// What a learner will know afterwards.
    pub sentence: &'static str,
    pub minutes: u32,
    pub steps: &'static [Step],
}

/// One step, drawn on a narrow panel.
pub struct Step {
    pub title: &'static str,
    /// At most 60 words.
    pub text: &'static str,
    /// A place of [`spots`](crate::app::spots) that it points at.
    pub spot: Option<&'static str>,
    /// Asked before anything is offered or revealed, and judged when all of it [is done](Self::is_done): who predicts learns
    /// more (predict, observe, explain; White and Gunstone 1992).
    pub question: Option<Question>,
    pub offer: Option<Offer>,
    pub goal: Option<Goal>,
    /// The measured numbers, or what has to be done to have some.
    pub reveal: Option<Reveal>,
}

/// Says what was measured.
pub type Reveal = fn(&Seen<'_>) -> Result<String, &'static str>;

/// A prediction to make.
#[derive(Clone, Copy)]
pub struct Question {
    pub asks: &'static str,
    pub choices: &'static [&'static str],
    /// Which of the choices is right.
    pub right: usize,
    /// Why it is.
    pub because: &'static str,
}

/// A button, and what the window does when it is pressed.
#[derive(Clone, Copy)]
pub struct Offer {
    pub button: &'static str,
    pub action: LearnAction,
}

/// What is to have happened, in words and as a test.
#[derive(Clone, Copy)]
pub struct Goal {
    pub words: &'static str,
    pub is_met: fn(&Seen<'_>) -> bool,
}

/// What a tour asks of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnAction {
    /// Shows a pane, by its name.
    Show(&'static str),
    /// Fills in the form and runs it to its end.
    Run(Setup),
    /// Makes one token of every lane and pauses; begins a run with the form as it is if none is under way.
    Step,
    /// Forks the first `paged` lane of a run under way.
    Fork,
    /// Measures the quality of these lanes on held-out stories, and shows the pane.
    MeasureQuality(&'static str),
}

/// A run, but for the model: tours are about the story model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub lanes: &'static str,
    /// Tokens to generate.
    pub tokens: usize,
    /// `None`: [`DEFAULT_PROMPT`](crate::experiment::DEFAULT_PROMPT).
    pub prompt: Option<&'static str>,
    /// Every lane reads the first lane's tokens, whatever it would have said (teacher forcing).
    pub forced: bool,
}

impl Step {
    /// A step with nothing in it, to begin with.
    pub(super) const BLANK: Self =
        Self { title: "", text: "", spot: None, question: None, offer: None, goal: None, reveal: None };

    /// True once what the step asks for has happened and its numbers are there. One that asks for nothing is done.
    #[must_use]
    pub fn is_done(&self, seen: &Seen<'_>) -> bool {
        self.goal.is_none_or(|goal| (goal.is_met)(seen)) && self.reveal.is_none_or(|reveal| reveal(seen).is_ok())
    }
}

impl Setup {
    /// A run of the default prompt.
    pub(super) const fn new(lanes: &'static str, tokens: usize) -> Self {
        Self { lanes, tokens, prompt: None, forced: false }
    }
}

/// A button that shows a pane.
pub(super) const fn show(button: &'static str, pane: &'static str) -> Offer {
    Offer { button, action: LearnAction::Show(pane) }
}

/// A button that runs lanes.
pub(super) const fn run(button: &'static str, setup: Setup) -> Offer {
    Offer { button, action: LearnAction::Run(setup) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{
        quality::QualityState,
        state::{Phase, RunState},
    };

    #[test]
    fn a_step_is_done_when_its_goal_is_met_and_its_numbers_are_there() {
        let goal = Goal { words: "it is over", is_met: |seen| seen.run.phase.is_over() };
        let reveal: Reveal = |seen| if seen.run.tokens > 0 { Ok("1.".into()) } else { Err("Make a token.") };
        let both = Step { goal: Some(goal), reveal: Some(reveal), ..Step::BLANK };
        let (mut run, quality) = (RunState::default(), QualityState::default());
        let mut is_done = |phase, tokens| {
            (run.phase, run.tokens) = (phase, tokens);
            both.is_done(&Seen { run: &run, quality: &quality })
        };
        assert!(!is_done(Phase::Running, 0) && !is_done(Phase::Running, 1) && !is_done(Phase::Finished, 0));
        assert!(is_done(Phase::Finished, 1));
        assert!(Step::BLANK.is_done(&Seen { run: &RunState::default(), quality: &quality }));
    }
}
