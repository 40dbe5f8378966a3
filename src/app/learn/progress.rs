//! Where a learner is: which tour, which step, and what was answered. It can be kept between two visits.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Seen, Step, TOURS, Tour};

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The number of a choice.
    Chosen(usize),
    Skipped,
}

/// A learner's place. What was kept of an older kvlab with other tours may point nowhere, and then nothing is shown of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learn {
    /// The tour that is shown; `None`: the list of tours.
    tour: Option<usize>,
    /// Of each tour that was begun.
    places: BTreeMap<usize, Place>,
}

/// A learner's place in one tour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    step: usize,
    /// By step.
    answers: BTreeMap<usize, Answer>,
    /// Steps whose prediction was judged, beside what was measured.
    judged: BTreeSet<usize>,
    /// It was gone through to its end at least once.
    is_finished: bool,
}

impl Learn {
    /// The tour that is shown, and its number.
    #[must_use]
    pub fn tour(&self) -> Option<(usize, &'static Tour)> {
        self.tour.and_then(|index| Some((index, *TOURS.get(index)?)))
    }

    /// The step of the tour that is shown, and its number from 0.
    #[must_use]
    pub fn step(&self) -> Option<(usize, &'static Step)> {
        let (index, tour) = self.tour()?;
        let number = self.step_of(index);
        tour.steps.get(number).map(|step| (number, step))
    }

    /// The step that a tour is at, counted from 0; one past its end is its last.
    #[must_use]
    pub fn step_of(&self, tour: usize) -> usize {
        let last = TOURS.get(tour).map_or(0, |tour| tour.steps.len() - 1);
        self.places.get(&tour).map_or(0, |place| place.step.min(last))
    }

    /// True for a tour that was gone through to its end.
    #[must_use]
    pub fn has_finished(&self, tour: usize) -> bool {
        self.places.get(&tour).is_some_and(|place| place.is_finished)
    }

    /// Shows a tour, at the step where it was left.
    pub fn enter(&mut self, tour: usize) {
        if tour < TOURS.len() {
            self.tour = Some(tour);
            self.places.entry(tour).or_default();
        }
    }

    /// Back to the list of tours. The place is kept.
    pub fn leave(&mut self) {
        self.tour = None;
    }

    /// One step on, if the question of this one was answered or skipped. After the last one the tour is finished.
    pub fn next(&mut self) {
        let Some((number, _)) = self.step().filter(|_| self.can_go_on()) else { return };
        let Some((index, tour)) = self.tour() else { return };
        let place = self.places.entry(index).or_default();
        if number + 1 < tour.steps.len() {
            place.step = number + 1;
        } else {
            // The next visit asks anew.
            *place = Place { is_finished: true, ..Place::default() };
            self.leave();
        }
    }

    /// One step back, as far as there is one.
    pub fn back(&mut self) {
        if let (Some((index, _)), Some((number, _))) = (self.tour(), self.step()) {
            self.places.entry(index).or_default().step = number.saturating_sub(1);
        }
    }

    /// What became of this step's question. A choice that there is not is none.
    #[must_use]
    pub fn answer(&self) -> Option<Answer> {
        let (number, step) = self.step()?;
        let question = step.question.as_ref()?;
        let answer = self.places.get(&self.tour?)?.answers.get(&number).copied();
        answer.filter(|answer| !matches!(answer, Answer::Chosen(choice) if *choice >= question.choices.len()))
    }

    /// Answers this step's question. Another answer can be given until the first one is judged.
    pub fn give(&mut self, answer: Answer) {
        if let (Some(tour), Some((number, step))) = (self.tour, self.step())
            && step.question.is_some()
            && !self.is_judged()
        {
            self.places.entry(tour).or_default().answers.insert(number, answer);
        }
    }

    /// Judges the prediction of this step if what the step asks for is done. It stays judged, whatever is run later.
    pub fn judge(&mut self, seen: &Seen<'_>) {
        if let (Some(tour), Some((number, step))) = (self.tour, self.step())
            && self.answer().is_some()
            && !self.is_judged()
            && step.is_done(seen)
        {
            self.places.entry(tour).or_default().judged.insert(number);
        }
    }

    /// True where the right answer of this step is told. Who skips a question predicts nothing, and is told at once.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let (Some(tour), Some((number, _))) = (self.tour, self.step()) else { return false };
        match self.answer() {
            None => false,
            Some(Answer::Skipped) => true,
            Some(Answer::Chosen(_)) => self.places.get(&tour).is_some_and(|place| place.judged.contains(&number)),
        }
    }

    /// True where nothing is left to be answered before the next step.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        self.step().is_some_and(|(_, step)| step.question.is_none() || self.answer().is_some())
    }

    /// How far the tour that is shown is: "step 3 of 8".
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let ((_, tour), (number, _)) = (self.tour()?, self.step()?);
        Some(format!("step {} of {}", number + 1, tour.steps.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{quality::QualityState, state::RunState};

    #[test]
    fn a_question_holds_the_learner_until_it_is_answered_or_skipped() {
        let mut learn = Learn::default();
        assert_eq!((learn.tour().is_none(), learn.words()), (true, None));
        learn.enter(0);
        assert_eq!(learn.words().as_deref(), Some("step 1 of 8"));
        while learn.step().is_some_and(|(_, step)| step.question.is_none()) {
            learn.next();
        }
        let (at, _) = learn.step().expect("a question");
        learn.next();
        assert_eq!(learn.step().map(|(number, _)| number), Some(at), "it waits for an answer");
        learn.give(Answer::Chosen(0));
        learn.next();
        assert_eq!(learn.step().map(|(number, _)| number), Some(at + 1));
        learn.back();
        assert_eq!((learn.step().map(|(number, _)| number), learn.answer()), (Some(at), Some(Answer::Chosen(0))));
    }

    #[test]
    fn a_prediction_can_be_changed_until_it_is_judged_and_not_before_the_goal_is_met() {
        let (run, quality) = (RunState::default(), QualityState::default());
        let nothing = Seen { run: &run, quality: &quality };
        let mut n_waiting = 0;
        for index in 0..TOURS.len() {
            let mut learn = Learn::default();
            learn.enter(index);
            while let Some((number, step)) = learn.step() {
                let name = format!("tour {index}, step {number}");
                if step.question.is_some() {
                    learn.judge(&nothing);
                    assert!(!learn.is_judged(), "{name}: nothing was answered");
                    learn.give(Answer::Chosen(0));
                    assert!(!learn.is_judged(), "{name}: nothing was looked at");
                    learn.give(Answer::Chosen(1));
                    learn.judge(&nothing);
                    learn.give(Answer::Chosen(2));
                    let is_judged = learn.is_judged();
                    assert_eq!(is_judged, step.is_done(&nothing), "{name}");
                    let expected = if is_judged { 1 } else { 2 };
                    assert_eq!(learn.answer(), Some(Answer::Chosen(expected)), "{name}");
                    assert!(step.goal.is_none() || !is_judged, "{name}: judged before its goal is met");
                    n_waiting += usize::from(!is_judged);
                }
                assert!(learn.can_go_on(), "{name}");
                learn.next();
            }
        }
        assert!(n_waiting > 20, "{n_waiting} predictions wait for numbers");
    }

    #[test]
    fn who_skips_a_question_is_told_at_once() {
        let mut learn = Learn::default();
        learn.enter(1);
        learn.give(Answer::Skipped);
        learn.give(Answer::Chosen(0));
        assert!(learn.is_judged() && learn.answer() == Some(Answer::Skipped));
    }

    #[test]
    fn a_tour_is_finished_after_its_last_step_and_begins_anew() {
        let mut learn = Learn::default();
        learn.enter(1);
        while learn.tour().is_some() {
            learn.give(Answer::Skipped);
            learn.next();
        }
        assert!(learn.has_finished(1) && !learn.has_finished(0));
        learn.enter(1);
        assert_eq!((learn.step().map(|(number, _)| number), learn.has_finished(1)), (Some(0), true));
    }

    #[test]
    fn progress_is_kept_and_places_of_other_tours_do_no_harm() {
        let mut learn = Learn::default();
        learn.enter(2);
        learn.give(Answer::Chosen(1));
        learn.next();
        learn.leave();
        let kept = serde_json::to_string(&learn).expect("it can be written");
        let mut read: Learn = serde_json::from_str(&kept).expect("it can be read");
        assert_eq!(read, learn);
        read.enter(2);
        assert_eq!(read.step_of(2), 1, "it goes on where it was left");
        read.enter(99);
        assert_eq!(read.tour().map(|(index, _)| index), Some(2), "there is no such tour");
        let odd = r#"{"tour":77,"places":{"0":{"step":500,"answers":{"7":{"Chosen":9}}}}}"#;
        let mut odd: Learn = serde_json::from_str(odd).expect("it is well formed");
        assert!(odd.tour().is_none() && odd.step().is_none());
        odd.next();
        odd.enter(0);
        assert_eq!(odd.step().map(|(number, _)| number), Some(7), "the last step");
        assert_eq!(odd.answer(), None, "there is no choice 9");
        assert_eq!(serde_json::from_str::<Learn>("{}").expect("all has defaults"), Learn::default());
    }
}
