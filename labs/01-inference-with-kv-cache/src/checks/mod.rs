//! Named checks, in the order of the tasks. They stop after the first task that is not done, so that one thing is to be
//! read at a time.

mod attention;
mod cache;
mod caught;
mod generation;

use std::io::{self, Write};

use anyhow::Result;

use crate::{contract::Lab, given::Model};
pub use caught::{Caught, caught};
pub use generation::{PROMPTS, Reference};

/// One check of one task.
#[derive(Clone, Copy)]
pub struct Check {
    pub task: usize,
    pub name: &'static str,
    run: fn(&Reference, &Model) -> Result<()>,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// A `todo!` was reached; its text.
    NotWritten(String),
    /// What was expected, what came, where to look.
    Failed(String),
}

/// What the checks found.
pub struct Report {
    pub results: Vec<(Check, Verdict)>,
    /// Checks of later tasks, which were not run.
    pub waiting: usize,
}

/// Every check of a variant.
#[must_use]
pub fn all<L: Lab>() -> Vec<Check> {
    let check = |task, name, run| Check { task, name, run };
    vec![
        check(1, "attention_matches_the_definition", attention::matches_the_definition::<L>),
        check(1, "attention_is_causal", attention::is_causal::<L>),
        check(2, "uncached_loop_runs_everything_again", generation::uncached_loop_runs_everything_again::<L>),
        check(2, "uncached_tokens_equal_kvlab", generation::uncached_tokens_equal_kvlab::<L>),
        check(3, "cache_appends_in_order", cache::appends_in_order::<L>),
        check(3, "cache_keeps_layers_apart", cache::keeps_layers_apart::<L>),
        check(4, "positions_start_after_the_past", cache::positions_start_after_the_past::<L>),
        check(5, "one_query_sees_the_whole_cache", attention::one_query_sees_the_whole_cache::<L>),
        check(5, "chunked_attention_equals_whole", attention::chunked_equals_whole::<L>),
        check(6, "positions_continue_after_prefill", generation::positions_continue_after_prefill::<L>),
        check(6, "chunked_prefill_equals_whole", generation::chunked_prefill_equals_whole::<L>),
        check(7, "each_token_runs_once", generation::each_token_runs_once::<L>),
        check(7, "cached_tokens_equal_uncached", generation::cached_tokens_equal_uncached::<L>),
    ]
}

/// Runs the checks of `L` up to the first task with one that does not pass.
#[must_use]
pub fn run<L: Lab>(reference: &Reference, model: &Model) -> Report {
    let all = all::<L>();
    let mut results: Vec<(Check, Verdict)> = vec![];
    for check in &all {
        let last_task_done =
            results.iter().all(|(before, verdict)| before.task == check.task || *verdict == Verdict::Passed);
        // A second `todo!` of the same task would say the same thing again.
        let same_todo = results.last().is_some_and(|(_, verdict)| matches!(verdict, Verdict::NotWritten(_)));
        if !last_task_done || same_todo {
            break;
        }
        model.take_passes();
        let verdict = match caught(|| (check.run)(reference, model)) {
            Ok(()) => Verdict::Passed,
            Err(Caught::Todo(text)) => Verdict::NotWritten(text),
            Err(Caught::Panic(text)) => Verdict::Failed(format!("the code panicked: {text}")),
            Err(Caught::Error(error)) => Verdict::Failed(without_backtrace(&format!("{error:#}"))),
        };
        results.push((*check, verdict));
    }
    let waiting = all.len() - results.len();
    Report { results, waiting }
}

/// candle's errors carry a backtrace where `RUST_BACKTRACE` asks for one; the sentence is what helps.
fn without_backtrace(error: &str) -> String {
    let is_frame = |line: &&str| line.trim_start().split_once(": ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
    error.lines().take_while(|line| !is_frame(line)).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

impl Report {
    #[must_use]
    pub fn passed(&self) -> bool {
        self.waiting == 0 && self.results.iter().all(|(_, verdict)| *verdict == Verdict::Passed)
    }

    /// One line a check, and a sentence for each that did not pass.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for (Check { task, name, .. }, verdict) in &self.results {
            match verdict {
                Verdict::Passed => writeln!(out, "task {task}  ok      {name}")?,
                Verdict::NotWritten(text) => {
                    writeln!(out, "task {task}  to do   {name}\n\n  not written yet: {text}\n")?;
                    let begin = if *task == 1 { "your work starts here" } else { "here it goes on" };
                    writeln!(out, "This is expected: {begin}, in src/exercise.rs.")?;
                }
                Verdict::Failed(text) => writeln!(out, "task {task}  FAILED  {name}\n\n  {text}\n")?,
            }
        }
        if self.passed() {
            writeln!(
                out,
                "\nAll {} checks pass. Now measure it: cargo run --release -p lab01 -- bench --out latency.svg",
                self.results.len()
            )?;
        } else if self.waiting > 0 {
            let wait = if self.waiting == 1 { "check waits" } else { "checks wait" };
            writeln!(out, "{} more {wait} behind this task.", self.waiting)?;
        }
        Ok(())
    }
}
