//! The labs of a clone as they were read last: their pages, their hints, and how far somebody is.

use std::path::{Path, PathBuf};

use super::page::{Part, parse};
use crate::course::{Course, CourseError, Lab, Progress, hints::Hints};

/// All labs of a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    pub course: Course,
    pub pages: Vec<Page>,
    pub progress: Progress,
}

/// One lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub lab: Lab,
    pub parts: Vec<Part>,
    pub hints: Hints,
}

impl Shelf {
    /// Reads the labs of a clone, or of the one around the folder that the program was started in.
    ///
    /// # Errors
    /// [`CourseError`]
    pub fn read(root: Option<&Path>) -> Result<Self, CourseError> {
        let course = root.map_or_else(Course::here, Course::at)?;
        let page = |lab: &Lab| {
            let hints = lab.hints().unwrap_or_default();
            Ok(Page { lab: lab.clone(), parts: parse(&lab.readme()?), hints })
        };
        let pages = course.labs.iter().map(page).collect::<Result<_, CourseError>>()?;
        let progress = Progress::read(&course.progress_path());
        Ok(Self { course, pages, progress })
    }

    #[must_use]
    pub fn page(&self, lab: u8) -> Option<&Page> {
        self.pages.iter().find(|page| page.lab.number == lab)
    }

    /// How far somebody is with a lab, in two or three words.
    #[must_use]
    pub fn words(&self, page: &Page) -> String {
        match self.progress.get(page.lab.number) {
            None => "not started".into(),
            Some(entry) if entry.is_done() => "passed".into(),
            Some(entry) => entry.task.map_or_else(
                || "started".into(),
                |task| format!("task {task} of {}", page.hints.tasks().count().max(task)),
            ),
        }
    }

    /// The task that somebody is at: by the last check, and before it the first.
    #[must_use]
    pub fn task(&self, page: &Page) -> Option<usize> {
        let next = self.progress.get(page.lab.number).and_then(|entry| entry.task);
        next.or_else(|| page.hints.tasks().next())
    }
}

impl Page {
    /// The learner's file, as seen from the clone.
    #[must_use]
    pub fn exercise(&self, course: &Course) -> PathBuf {
        let path = self.lab.exercise();
        path.strip_prefix(&course.root).map_or_else(|_| path.clone(), Path::to_owned)
    }
}
