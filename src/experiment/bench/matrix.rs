//! Everything that is to be measured, in groups whose arms take turns.

use std::fmt;

use super::{
    BenchError,
    local::Subject,
    test::{Test, Work},
};
use crate::{
    cache::Lane,
    model::{Config, WeightType},
};

/// Who runs an arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    Kvlab(Subject),
    /// The peer's number among those that were started, and what it calls its cache.
    Peer {
        peer: usize,
        lane: String,
    },
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kvlab(subject) => subject.fmt(f),
            Self::Peer { lane, .. } => f.pad(lane),
        }
    }
}

/// One arm of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    pub engine: Engine,
    pub weights: WeightType,
    pub threads: usize,
}

/// Arms of one test that take turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub test: Test,
    pub arms: Vec<Arm>,
}

/// The axes of the matrix, of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    pub engines: Vec<(Engine, Vec<WeightType>)>,
    pub threads: Vec<usize>,
    /// Lengths of prompts; each is a `pp` test.
    pub prompts: Vec<usize>,
    /// Tokens of a `tg` test; 0 leaves those out.
    pub tokens: usize,
    pub depths: Vec<usize>,
    pub batches: Vec<usize>,
}

/// More of anything is a slip of the finger, and would only be found out after days.
const MOST_ARMS: usize = 10_000;
const MOST_BATCH: usize = 4096;

impl Matrix {
    /// All groups that `config` has the context for, and the names of the tests that it has not.
    ///
    /// # Errors
    /// [`BenchError::Matrix`] if nothing is left, or far too much.
    pub fn groups(&self, config: &Config) -> Result<(Vec<Group>, Vec<String>), BenchError> {
        let bad = |reason: String| Err(BenchError::Matrix(reason));
        if let Some(batch) = self.batches.iter().find(|batch| **batch == 0 || **batch > MOST_BATCH) {
            return bad(format!("a batch of {batch} sequences; give 1 to {MOST_BATCH}"));
        }
        if self.prompts.contains(&0) {
            return bad("a prompt of 0 tokens has nothing to time; leave --prompts empty for no prompts".into());
        }
        let mut arms = vec![];
        for (engine, weights) in &self.engines {
            for weights in weights {
                arms.extend(self.threads.iter().map(|threads| Arm {
                    engine: engine.clone(),
                    weights: *weights,
                    threads: *threads,
                }));
            }
        }
        let mut tests = vec![];
        for &batch in &self.batches {
            tests.extend(self.prompts.iter().map(|&tokens| Test { work: Work::Prefill, tokens, depth: 0, batch }));
            let depths = self.depths.iter().filter(|_| self.tokens > 0);
            tests.extend(depths.map(|&depth| Test { work: Work::Decode, tokens: self.tokens, depth, batch }));
        }
        tests.dedup();
        let (tests, too_long): (Vec<Test>, Vec<Test>) =
            tests.into_iter().partition(|test| test.context() <= config.n_positions);
        let too_long: Vec<String> = too_long.iter().map(Test::to_string).collect();
        if tests.is_empty() || arms.is_empty() {
            let context = config.n_positions;
            return bad(match too_long.len() {
                0 => "nothing to measure: give --prompts, or --tokens and --depths".into(),
                _ => format!("the context of the model ends at {context} tokens, too few for {}", too_long.join(", ")),
            });
        }
        if arms.len().saturating_mul(tests.len()) > MOST_ARMS {
            return bad(format!("{} arms times {} tests is more than {MOST_ARMS}", arms.len(), tests.len()));
        }
        Ok((tests.into_iter().map(|test| Group { test, arms: arms.clone() }).collect(), too_long))
    }
}

/// A forward pass of more operations than this is not waited for: minutes for one number.
const MOST_FLOPS: f64 = 4e12;

/// Why an arm is left out of its group, if it is.
#[must_use]
pub fn reason_to_skip(engine: &Engine, test: Test, flops_of_step: f64) -> Option<String> {
    if matches!(engine, Engine::Kvlab(Subject::Lane(Lane::None))) && test.batch > 1 {
        return Some("without a cache one sequence runs alone".into());
    }
    (flops_of_step > MOST_FLOPS).then(|| format!("one step is {:.1} TFLOP, minutes on a CPU", flops_of_step / 1e12))
}

/// Lanes by name: those of the lab, and `candle:concat` and `candle:kv`.
///
/// # Errors
/// [`BenchError::Matrix`]
pub fn parse_subjects(text: &str) -> Result<Vec<Subject>, BenchError> {
    let subject = |name: &str| match name.trim().parse() {
        Ok(candle) => Ok(Subject::Candle(candle)),
        Err(()) => name.trim().parse::<Lane>().map(Subject::Lane),
    };
    let subjects = text.split(',').map(subject).collect::<Result<Vec<_>, _>>();
    let subjects =
        subjects.map_err(|e| BenchError::Matrix(format!("{e}; besides there are candle:concat and candle:kv")))?;
    let mut seen = vec![];
    for subject in subjects {
        if !seen.contains(&subject) {
            seen.push(subject);
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> Matrix {
        let engine = |name: &str| Engine::Kvlab(parse_subjects(name).expect("a lane")[0]);
        Matrix {
            engines: vec![
                (engine("contiguous"), vec![WeightType::F32, WeightType::Bf16]),
                (engine("candle:kv"), vec![WeightType::F32]),
            ],
            threads: vec![1, 2],
            prompts: vec![512],
            tokens: 16,
            depths: vec![0, 512, 1020],
            batches: vec![1, 8],
        }
    }

    #[test]
    fn groups_are_all_combinations_that_fit_the_context() {
        let config = Config::shape("gpt2", None).expect("known");
        let (groups, too_long) = matrix().groups(&config).expect("groups");
        let tests: Vec<String> = groups.iter().map(|group| group.test.to_string()).collect();
        assert_eq!(tests, ["pp512", "tg16", "tg16@d512", "pp512@b8", "tg16@b8", "tg16@d512,b8"]);
        assert!(groups.iter().all(|group| group.arms.len() == 6));
        assert_eq!(too_long, ["tg16@d1020", "tg16@d1020,b8"]);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let config = Config::shape("gpt2", None).expect("known");
        let why = |change: &dyn Fn(&mut Matrix)| {
            let mut matrix = matrix();
            change(&mut matrix);
            matrix.groups(&config).expect_err("refused").to_string()
        };
        assert!(why(&|m| m.batches = vec![0]).contains("a batch of 0"));
        assert!(why(&|m| m.prompts = vec![0]).contains("0 tokens"));
        assert!(why(&|m| (m.prompts, m.tokens) = (vec![], 0)).contains("nothing to measure"));
        assert!(why(&|m| (m.prompts, m.depths) = (vec![], vec![2000])).contains("ends at 1024"));
        assert!(why(&|m| m.threads = (1..4000).collect()).contains("more than"));
        assert!(parse_subjects("contiguous,nothing").is_err_and(|e| e.to_string().contains("candle:kv")));
        assert_eq!(parse_subjects("paged, paged:16,candle:concat").expect("lanes").len(), 2, "the same lane once");
    }
}
