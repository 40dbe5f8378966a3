//! The quiz in the window: which question is asked, what was answered, how many were right. The questions are those of `kvlab quiz`, in
//! its order.

use crate::course::quiz::{Question, questions};

/// How far somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiz {
    questions: Vec<Question>,
    /// The choice that was made, of each question.
    answers: Vec<Option<usize>>,
    /// Only the questions of one lab.
    only: Option<u8>,
    /// Among those that are asked.
    at: usize,
}

impl Default for Quiz {
    fn default() -> Self {
        let questions = questions();
        Self { answers: vec![None; questions.len()], questions, only: None, at: 0 }
    }
}

impl Quiz {
    /// The labs that have questions.
    #[must_use]
    pub fn labs(&self) -> Vec<u8> {
        let mut labs: Vec<u8> = self.questions.iter().map(|question| question.lab).collect();
        labs.dedup();
        labs
    }

    #[must_use]
    pub fn only(&self) -> Option<u8> {
        self.only
    }

    /// Asks the questions of one lab, or all; answers stay.
    pub fn ask_only(&mut self, lab: Option<u8>) {
        (self.only, self.at) = (lab, 0);
    }

    /// The questions that are asked, by their place among all.
    fn asked(&self) -> Vec<usize> {
        let is_asked = |index: &usize| self.only.is_none_or(|lab| self.questions[*index].lab == lab);
        (0..self.questions.len()).filter(is_asked).collect()
    }

    /// Which question is shown, from 1, of how many.
    #[must_use]
    pub fn place(&self) -> (usize, usize) {
        (self.at + 1, self.asked().len())
    }

    /// The question that is shown, and the choice that was made.
    #[must_use]
    pub fn question(&self) -> Option<(&Question, Option<usize>)> {
        let index = *self.asked().get(self.at)?;
        Some((&self.questions[index], self.answers[index]))
    }

    /// Chooses; who has chosen already stays with it.
    pub fn choose(&mut self, choice: usize) {
        if let Some(index) = self.asked().get(self.at).copied()
            && choice < self.questions[index].choices.len()
        {
            self.answers[index].get_or_insert(choice);
        }
    }

    /// Goes to the question before or after, if there is one.
    pub fn go(&mut self, is_forward: bool) {
        let last = self.asked().len().saturating_sub(1);
        self.at = if is_forward { (self.at + 1).min(last) } else { self.at.saturating_sub(1) };
    }

    /// Of the questions that are asked: how many were right, of how many that were answered.
    #[must_use]
    pub fn score(&self) -> (usize, usize) {
        let answered: Vec<usize> = self.asked().into_iter().filter(|index| self.answers[*index].is_some()).collect();
        let is_right = |index: &&usize| self.answers[**index] == Some(self.questions[**index].answer);
        (answered.iter().filter(is_right).count(), answered.len())
    }

    /// Of all questions: how many were answered, and how many there are.
    #[must_use]
    pub fn total(&self) -> (usize, usize) {
        (self.answers.iter().flatten().count(), self.answers.len())
    }

    /// True when every question that is asked was answered.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.score().1 == self.asked().len()
    }

    /// Forgets the answers to the questions that are asked, and begins with the first.
    pub fn again(&mut self) {
        for index in self.asked() {
            self.answers[index] = None;
        }
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(quiz: &mut Quiz, is_right: bool) {
        let (question, _) = quiz.question().expect("a question");
        let choice = if is_right { question.answer } else { (question.answer + 1) % question.choices.len() };
        quiz.choose(choice);
        quiz.go(true);
    }

    #[test]
    fn answers_are_counted_once() {
        let mut quiz = Quiz::default();
        let all = questions().len();
        assert_eq!((quiz.place(), quiz.score(), quiz.is_over()), ((1, all), (0, 0), false));
        answer(&mut quiz, false);
        answer(&mut quiz, true);
        assert_eq!((quiz.place().0, quiz.score()), (3, (1, 2)));
        quiz.go(false);
        quiz.go(false);
        let (question, chosen) = quiz.question().expect("the first");
        let right = question.answer;
        assert_ne!(chosen, Some(right));
        quiz.choose(right);
        assert_eq!(quiz.score(), (1, 2), "an answer is not taken back");
        quiz.choose(99);
        quiz.again();
        assert_eq!((quiz.place().0, quiz.score()), (1, (0, 0)));
    }

    #[test]
    fn the_questions_of_one_lab_have_a_score_of_their_own() {
        let mut quiz = Quiz::default();
        answer(&mut quiz, true);
        let lab = *quiz.labs().last().expect("labs");
        quiz.ask_only(Some(lab));
        let (at, of) = quiz.place();
        assert!(at == 1 && of < questions().len() && quiz.score() == (0, 0));
        (0..of).for_each(|_| answer(&mut quiz, true));
        assert_eq!((quiz.score(), quiz.is_over(), quiz.place()), ((of, of), true, (of, of)));
        quiz.again();
        quiz.ask_only(None);
        assert_eq!(quiz.score(), (1, 1), "the other lab's answer stays");
    }
}
