//! Guided tours: a learner predicts, runs, and compares with what was measured. State and content, free of egui.
//!
//! A [`Tour`] is a list of [`Step`]s in a file of its own; [`Learn`] is where a learner is in them. A step never acts by
//! itself: it offers a [`LearnAction`], and the window carries it out. Its numbers come from [`Seen`], the run and the
//! measurement of quality as the window knows them.

mod bits;
mod decode;
mod memory;
mod paging;
mod progress;
mod seen;
mod tour;
mod window;

pub use progress::{Answer, Learn};
pub use seen::Seen;
pub use tour::{Goal, LearnAction, Offer, Question, Setup, Step, Tour};

/// All tours, in the order in which they build on each other.
pub static TOURS: [&Tour; 5] = [&decode::TOUR, &memory::TOUR, &paging::TOUR, &bits::TOUR, &window::TOUR];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{Pane, spots},
        cache::spec::parse_lanes,
    };

    fn steps() -> impl Iterator<Item = (String, &'static Step)> {
        TOURS.iter().flat_map(|tour| tour.steps.iter().map(|step| (format!("{}: {}", tour.title, step.title), step)))
    }

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    #[test]
    fn tours_and_texts_keep_to_their_limits() {
        for tour in TOURS {
            assert!((6..=10).contains(&tour.steps.len()), "{}: {} steps", tour.title, tour.steps.len());
            assert!(words(tour.sentence) <= 25 && tour.minutes > 0, "{}", tour.title);
        }
        for (name, step) in steps() {
            assert!((8..=60).contains(&words(step.text)), "{name}: {} words", words(step.text));
            assert!(words(step.title) <= 8, "{name}");
        }
    }

    #[test]
    fn questions_have_an_answer_and_a_reason() {
        for (name, Step { question, .. }) in steps() {
            let Some(Question { asks, choices, right, because }) = question else { continue };
            assert!((3..=4).contains(&choices.len()) && *right < choices.len() && asks.ends_with('?'), "{name}");
            assert!((5..=45).contains(&words(because)), "{name}: {} words", words(because));
        }
        for tour in TOURS {
            assert!(
                tour.steps.iter().filter(|step| step.question.is_some()).count() >= 3,
                "{} asks little",
                tour.title
            );
        }
    }

    #[test]
    fn nothing_is_revealed_that_was_not_asked_before() {
        for (name, step) in steps() {
            assert!(step.reveal.is_none() || step.question.is_some(), "{name}");
        }
    }

    #[test]
    fn actions_and_places_exist() {
        for (name, step) in steps() {
            assert!(step.spot.is_none_or(|spot| spots::ALL.iter().any(|(known, _)| *known == spot)), "{name}");
            match step.offer.map(|offer| offer.action) {
                Some(LearnAction::Show(pane)) => assert!(pane.parse::<Pane>().is_ok(), "{name}: {pane}"),
                Some(LearnAction::Run(setup)) => {
                    assert!(parse_lanes(setup.lanes).is_ok() && setup.tokens > 20, "{name}");
                    assert!(setup.prompt.is_none_or(|prompt| !prompt.is_empty()), "{name}");
                }
                Some(LearnAction::MeasureQuality(lanes)) => {
                    let lanes = parse_lanes(lanes).expect("lanes");
                    assert!(!lanes.contains(&crate::cache::Lane::None), "{name}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn nothing_was_run_yet_and_every_step_says_what_to_do() {
        let (run, quality) = <_>::default();
        let seen = Seen { run: &run, quality: &quality };
        for (name, step) in steps() {
            assert!(step.goal.is_none_or(|goal| !(goal.is_met)(&seen)), "{name} is met by nothing");
            assert!(step.goal.is_none() || !step.is_done(&seen), "{name} is done by nothing");
            if let Some(reveal) = step.reveal
                && let Err(missing) = reveal(&seen)
            {
                assert!(words(missing) >= 4 && missing.ends_with('.'), "{name}: {missing}");
            }
        }
    }
}
