//! How far somebody is, in a plain file: a line for each lab that was begun.

use std::{collections::BTreeMap, fmt, fs, io::Write, path::Path};

use super::{CourseError, Report};

/// The first line of the file.
const HEAD: &str = "# How far you are in the labs. `kvlab lab check N` writes it; delete it to forget.";

/// A lab that was begun: the checks that passed at the last look, of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub passed: usize,
    /// 0 until it was checked for the first time.
    pub of: usize,
    /// The task that is to be done next; `None` until it was checked, and when all pass.
    pub task: Option<usize>,
}

impl Entry {
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let (passed, of) = report.counts();
        Self { passed, of, task: report.first_open().map(|found| found.task) }
    }

    #[must_use]
    pub fn is_done(self) -> bool {
        self.of > 0 && self.passed == self.of
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { of: 0, .. } => f.write_str("started"),
            entry if entry.is_done() => write!(f, "passed, {} checks", entry.of),
            Self { passed, of, .. } => write!(f, "{passed} of {of} checks"),
        }
    }
}

/// All labs that were begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress(BTreeMap<u8, Entry>);

impl Progress {
    /// What the file says; no file, and lines that nobody can read, say nothing.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        Self(text.lines().filter_map(line).collect())
    }

    #[must_use]
    pub fn get(&self, lab: u8) -> Option<Entry> {
        self.0.get(&lab).copied()
    }

    pub fn set(&mut self, lab: u8, entry: Entry) {
        self.0.insert(lab, entry);
    }

    pub fn forget(&mut self, lab: u8) {
        self.0.remove(&lab);
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`CourseError::Write`]
    pub fn write(&self, path: &Path) -> Result<(), CourseError> {
        let failed = |source| CourseError::Write { path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let lines = self.0.iter().map(|(lab, Entry { passed, of, task })| {
            let task = task.map_or_else(String::new, |task| format!(", next is task {task}"));
            format!("lab {lab:02}: {passed} of {of} checks{task}\n")
        });
        write!(file, "{HEAD}\n{}", lines.collect::<String>()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// `lab 02: 4 of 9 checks, next is task 3`
fn line(line: &str) -> Option<(u8, Entry)> {
    let (lab, counts) = line.strip_prefix("lab ")?.split_once(": ")?;
    let (counts, next) = counts.split_once(" checks")?;
    let (passed, of) = counts.split_once(" of ")?;
    let task = next.strip_prefix(", next is task ").map(str::parse).transpose().ok()?;
    let entry = Entry { passed: passed.parse().ok()?, of: of.parse().ok()?, task };
    (entry.passed <= entry.of).then_some((lab.parse().ok()?, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_passed_over() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("progress.txt");
        assert_eq!(Progress::read(&path), Progress::default());
        let mut progress = Progress::default();
        progress.set(2, Entry { passed: 4, of: 9, task: Some(3) });
        progress.set(1, Entry::default());
        progress.write(&path).expect("written");
        let text = fs::read_to_string(&path).expect("written");
        assert_eq!(text, format!("{HEAD}\nlab 01: 0 of 0 checks\nlab 02: 4 of 9 checks, next is task 3\n"));
        fs::write(&path, text.clone() + "lab 3: many\nlab 04: 9 of 2 checks\nnonsense\n").expect("written");
        assert_eq!(Progress::read(&path), progress);
        progress.forget(2);
        assert_eq!((progress.get(1), progress.get(2)), (Some(Entry::default()), None));
    }

    #[test]
    fn entries_are_said() {
        let said = |passed, of| Entry { passed, of, task: None }.to_string();
        assert_eq!([said(0, 0), said(3, 9), said(9, 9)], ["started", "3 of 9 checks", "passed, 9 checks"]);
    }
}
