//! `kvlab quiz`: questions on the KV cache, and why the answers are what they are.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Result, ensure};

use crate::course::quiz::{LETTERS, Question, questions};

const EXAMPLES: &str = "\
Examples:
  kvlab quiz                    all questions, answered with a letter each
  kvlab quiz --lab 4            those of lab 4
  kvlab quiz --answers          print them with their answers; for teachers";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only the questions of one lab
    #[arg(long, value_name = "N")]
    lab: Option<u8>,
    /// Print all with their answers and ask nothing
    #[arg(long)]
    answers: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let all = questions();
    let asked: Vec<&Question> = all.iter().filter(|question| args.lab.is_none_or(|lab| question.lab == lab)).collect();
    ensure!(!asked.is_empty(), "there are no questions on lab {}; there are on 1 to 8", args.lab.unwrap_or_default());
    let mut out = io::stdout().lock();
    if args.answers {
        for (number, question) in asked.iter().enumerate() {
            print_question(number, asked.len(), question, &mut out)?;
            writeln!(out, "Answer: {}. {}\n", LETTERS[question.answer], question.why)?;
        }
    } else {
        ask(&asked, &mut io::stdin().lock(), io::stdin().is_terminal(), &mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_question(number: usize, of: usize, question: &Question, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} of {of} (lab {}). {}\n", number + 1, question.lab, question.question)?;
    for (letter, choice) in LETTERS.iter().zip(&question.choices) {
        writeln!(out, "  {letter}  {choice}")?;
    }
    writeln!(out)
}

/// Asks one after the other, until the end of the input; says how many were right.
fn ask(asked: &[&Question], input: &mut dyn BufRead, is_terminal: bool, out: &mut dyn Write) -> io::Result<()> {
    let (mut right, mut answered) = (0, 0);
    'questions: for (number, question) in asked.iter().enumerate() {
        print_question(number, asked.len(), question, out)?;
        let choice = loop {
            write!(out, "Your answer (a letter, q ends): ")?;
            out.flush()?;
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 || line.trim().eq_ignore_ascii_case("q") {
                break 'questions;
            }
            if !is_terminal {
                writeln!(out, "{}", line.trim())?;
            }
            if let Some(choice) = question.choice(&line) {
                break choice;
            }
            writeln!(out, "That is none of the letters.")?;
        };
        answered += 1;
        if choice == question.answer {
            right += 1;
            writeln!(out, "\nRight. {}\n", question.why)?;
        } else {
            let (letter, words) = (LETTERS[question.answer], &question.choices[question.answer]);
            writeln!(out, "\nNot quite: {letter}, {words}. {}\n", question.why)?;
        }
    }
    writeln!(out, "\n{right} of {answered} right.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &str) -> String {
        let all = questions();
        let asked: Vec<&Question> = all.iter().take(2).collect();
        let mut out = vec![];
        ask(&asked, &mut input.as_bytes(), false, &mut out).expect("printed");
        String::from_utf8(out).expect("utf8")
    }

    #[test]
    fn right_and_wrong_answers_are_told_apart_and_explained() {
        let all = questions();
        let right = LETTERS[all[0].answer];
        let wrong = LETTERS[(all[1].answer + 1) % all[1].choices.len()];
        let said = answers(&format!("x\n{right}\n{wrong}\n"));
        assert!(
            said.contains("none of the letters") && said.contains("Right. ") && said.contains("Not quite: "),
            "{said}"
        );
        assert!(
            said.contains(&all[0].why) && said.contains(&all[1].why) && said.ends_with("1 of 2 right.\n"),
            "{said}"
        );
    }

    #[test]
    fn the_end_of_the_input_ends_it() {
        assert!(answers("").ends_with("0 of 0 right.\n"));
        assert!(answers("q\n").ends_with("0 of 0 right.\n"));
    }
}
