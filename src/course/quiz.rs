//! Questions with one right answer, each explained.

use serde::Deserialize;

const QUESTIONS: &str = include_str!("quiz.json");

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// The lab that it belongs to.
    pub lab: u8,
    pub question: String,
    pub choices: Vec<String>,
    /// The right one, from 0.
    pub answer: usize,
    pub why: String,
}

/// The letters that choices go by.
pub const LETTERS: [char; 4] = ['a', 'b', 'c', 'd'];

/// All questions, those of the first lab first.
#[must_use]
pub fn questions() -> Vec<Question> {
    serde_json::from_str(QUESTIONS).unwrap_or_default()
}

impl Question {
    /// The choice with a letter, in either case.
    #[must_use]
    pub fn choice(&self, letter: &str) -> Option<usize> {
        let mut letters = letter.trim().chars();
        let (letter, rest) = (letters.next()?.to_ascii_lowercase(), letters.next());
        let index = LETTERS.iter().position(|known| *known == letter)?;
        (rest.is_none() && index < self.choices.len()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_one_right_answer_and_says_why() {
        let questions = questions();
        assert!(questions.len() >= 20, "{}", questions.len());
        assert!(questions.iter().map(|question| question.lab).is_sorted());
        for Question { question, choices, answer, why, lab } in &questions {
            assert!((3..=LETTERS.len()).contains(&choices.len()) && *answer < choices.len(), "{question}");
            assert!((1..=8).contains(lab) && why.len() > 60 && question.ends_with('?'), "{question}");
            assert!((1..choices.len()).all(|n| !choices[..n].contains(&choices[n])), "{question}");
        }
        // Whoever always says the same letter knows nothing.
        for (answer, letter) in LETTERS.iter().enumerate().take(3) {
            let share = questions.iter().filter(|question| question.answer == answer).count() * 100 / questions.len();
            assert!((15..=50).contains(&share), "{share} % of the answers are {letter}");
        }
    }

    #[test]
    fn a_choice_is_a_letter() {
        let question = &questions()[0];
        assert_eq!([question.choice("a"), question.choice(" B\n"), question.choice("")], [Some(0), Some(1), None]);
        assert_eq!([question.choice("ab"), question.choice("z"), question.choice("1")], [None; 3]);
    }
}
