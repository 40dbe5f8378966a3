//! What a lab is made of, and that it keeps its promises.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{Check, Hints, LEVELS, Report, Verdict, Window, print, run};

/// One module that is checked.
#[derive(Clone, Copy)]
pub struct Variant {
    pub name: &'static str,
    pub checks: &'static [Check],
    /// Of a mistake: the check that catches it.
    pub caught_by: Option<&'static str>,
}

/// A lab, as its crate describes it.
pub struct Lab {
    pub number: u8,
    pub title: &'static str,
    pub readme: &'static str,
    pub hints: &'static str,
    /// See [`crate::variants!`].
    pub variants: &'static [Variant],
    /// What to do when all checks pass.
    pub next: &'static str,
    /// What the learner's code does, measured: `show`, with the name of a variant.
    pub show: fn(variant: &str, out: &mut dyn Write) -> Result<()>,
    pub window: Window,
}

impl Lab {
    #[must_use]
    pub fn hints(&self) -> Hints {
        Hints::parse(self.hints)
    }

    /// A variant by its name.
    ///
    /// # Errors
    /// A sentence with the names there are.
    pub fn variant(&self, name: &str) -> Result<&'static Variant> {
        let names = || self.variants.iter().map(|variant| variant.name).collect::<Vec<_>>().join(", ");
        let found = self.variants.iter().find(|variant| variant.name == name);
        found.with_context(|| format!("no variant `{name}`; there are {}", names()))
    }

    /// Checks a variant.
    ///
    /// # Errors
    /// See [`Lab::variant`].
    pub fn check(&self, name: &str) -> Result<Report> {
        Ok(run(self.variant(name)?.checks))
    }

    /// What every lab promises; its test calls this. The solution passes; each mistake fails the check that is named for it, with a
    /// sentence, and passes all before; each says at its top what is wrong; the exercise, unless somebody works on it, compiles, has not
    /// been written, and is what a reset restores; each task has hints in every level; the README shows the first run.
    ///
    /// `folder` is the crate's.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn keeps_its_promises(&self, folder: &Path) -> Result<()> {
        let solution = self.check("solution")?;
        ensure!(solution.passed(), "the solution fails: {:?}", solution.first_open());
        let checks = self.variant("solution")?.checks;
        let wrong: Vec<&Variant> = self.variants.iter().filter(|variant| variant.caught_by.is_some()).collect();
        ensure!(wrong.len() >= 3, "{} planted mistakes are too few", wrong.len());
        for variant in wrong {
            Self::is_caught(variant, folder)?;
        }
        let files = fs::read_dir(folder.join("src/wrong"))?.count();
        let listed = self.variants.iter().filter(|variant| variant.caught_by.is_some()).count();
        ensure!(files == listed + 1, "src/wrong has {files} files for {listed} mistakes and mod.rs");
        let hints = self.hints();
        for task in checks.iter().map(|check| check.task) {
            let levels =
                (1..=LEVELS).filter(|level| hints.get(task, *level).is_some_and(|hint| hint.len() > 20)).count();
            ensure!(levels == LEVELS, "task {task} has {levels} hints of {LEVELS}");
        }
        self.exercise_is_untouched(folder)
    }

    fn is_caught(variant: &Variant, folder: &Path) -> Result<()> {
        let (name, caught_by) = (variant.name, variant.caught_by.unwrap_or_default());
        let report = run(variant.checks);
        let first = report.first_open().with_context(|| format!("{name} passes all checks"))?;
        ensure!(
            first.name == caught_by,
            "{name} is caught by {} and not by {caught_by}: {:?}",
            first.name,
            first.verdict
        );
        let Verdict::Failed(why) = &first.verdict else { anyhow::bail!("{name} is not written") };
        ensure!(why.len() > 30, "{name}: `{why}` does not help");
        let path = folder.join(format!("src/wrong/{name}.rs"));
        let text = fs::read_to_string(&path).with_context(|| format!("{} is missing", path.display()))?;
        ensure!(text.starts_with("//! WRONG: "), "{name} does not say what is wrong");
        ensure!(text.contains(&format!("`{caught_by}`")), "{name} does not name the check that catches it");
        Ok(())
    }

    /// Who works on the exercise keeps a green `cargo test`.
    fn exercise_is_untouched(&self, folder: &Path) -> Result<()> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| format!("{name} is missing"));
        let (exercise, template) = (read("src/exercise.rs")?, read("exercise.template.rs")?);
        if exercise != template {
            return Ok(());
        }
        let report = self.check("exercise")?;
        let first = report.first_open().context("the exercise passes as it is shipped")?;
        ensure!(
            report.results.len() == 1 && matches!(first.verdict, Verdict::NotWritten(_)),
            "the exercise is red for another reason: {first:?}"
        );
        let mut shown = vec![];
        print(&report, &mut shown, self.next)?;
        let shown = String::from_utf8(shown)?;
        ensure!(self.readme.contains(shown.trim()), "the README shows another first run than this:\n{shown}");
        Ok(())
    }
}
