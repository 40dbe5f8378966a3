//! Where the labs are, and what there is in each.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use super::hints::Hints;

/// Why a lab cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum CourseError {
    #[error(
        "no labs here: {} and the folders above it have no `labs` with a `kit` in it. Run this inside a clone of kvlab's repository, or name it with --root",
        from.display()
    )]
    NoCourse { from: PathBuf },
    #[error("there is no lab {number}; there are {known}")]
    NoLab { number: u8, known: String },
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be written: {source}; nothing was changed", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cargo cannot be started: {0}. It comes with Rust; the README says how to install it")]
    Cargo(io::Error),
    #[error("cancelled; nothing was changed")]
    Cancelled,
    #[error("lab {number} gave no report: {said}")]
    NoReport { number: u8, said: String },
}

/// The folder of a clone, and its labs in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    pub root: PathBuf,
    pub labs: Vec<Lab>,
}

/// One lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lab {
    pub number: u8,
    /// As its README's heading has it.
    pub title: String,
    pub folder: PathBuf,
}

impl Course {
    /// The course around the folder that the program was started in.
    ///
    /// # Errors
    /// [`CourseError::NoCourse`]
    pub fn here() -> Result<Self, CourseError> {
        let from = env::current_dir().unwrap_or_default();
        let root = from.ancestors().find(|folder| folder.join("labs/kit/Cargo.toml").is_file());
        root.map_or_else(|| Err(CourseError::NoCourse { from: from.clone() }), Self::at)
    }

    /// The course of a clone: folders like `labs/02-count-the-bytes`.
    ///
    /// # Errors
    /// [`CourseError::NoCourse`] where there is none, [`CourseError::Read`]
    pub fn at(root: &Path) -> Result<Self, CourseError> {
        let folder = root.join("labs");
        let entries = fs::read_dir(&folder).map_err(|_| CourseError::NoCourse { from: root.to_owned() })?;
        let mut labs: Vec<Lab> = entries.filter_map(|entry| Lab::at(&entry.ok()?.path())).collect();
        if labs.is_empty() {
            return Err(CourseError::NoCourse { from: root.to_owned() });
        }
        labs.sort_by_key(|lab| lab.number);
        Ok(Self { root: root.to_owned(), labs })
    }

    /// A lab by its number.
    ///
    /// # Errors
    /// [`CourseError::NoLab`]
    pub fn lab(&self, number: u8) -> Result<&Lab, CourseError> {
        let known = || self.labs.iter().map(|lab| lab.number.to_string()).collect::<Vec<_>>().join(", ");
        self.labs.iter().find(|lab| lab.number == number).ok_or_else(|| CourseError::NoLab { number, known: known() })
    }

    /// Where progress is kept.
    #[must_use]
    pub fn progress_path(&self) -> PathBuf {
        self.root.join("labs/progress.txt")
    }
}

impl Lab {
    /// `None` for a folder that is no lab.
    fn at(folder: &Path) -> Option<Self> {
        let (number, _) = folder.file_name()?.to_str()?.split_once('-')?;
        let readme = fs::read_to_string(folder.join("README.md")).ok()?;
        let heading = readme.lines().next()?.trim_start_matches('#').trim();
        let title = heading.split_once(": ").map_or(heading, |(_, title)| title);
        Some(Self { number: number.parse().ok()?, title: title.to_owned(), folder: folder.to_owned() })
    }

    /// The name of its crate and of its program.
    #[must_use]
    pub fn package(&self) -> String {
        format!("lab{:02}", self.number)
    }

    #[must_use]
    pub fn exercise(&self) -> PathBuf {
        self.folder.join("src/exercise.rs")
    }

    /// The exercise as nobody has touched it.
    #[must_use]
    pub fn template(&self) -> PathBuf {
        self.folder.join("exercise.template.rs")
    }

    /// Its page.
    ///
    /// # Errors
    /// [`CourseError::Read`]
    pub fn readme(&self) -> Result<String, CourseError> {
        read(&self.folder.join("README.md"))
    }

    /// Its hints.
    ///
    /// # Errors
    /// [`CourseError::Read`]
    pub fn hints(&self) -> Result<Hints, CourseError> {
        Ok(Hints::parse(&read(&self.folder.join("hints.md"))?))
    }

    /// True until somebody writes in the exercise.
    ///
    /// # Errors
    /// [`CourseError::Read`]
    pub fn is_untouched(&self) -> Result<bool, CourseError> {
        Ok(read(&self.exercise())? == read(&self.template())?)
    }
}

pub(super) fn read(path: &Path) -> Result<String, CourseError> {
    fs::read_to_string(path).map_err(|source| CourseError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labs_of_this_repository_are_found_in_order() {
        let course = Course::at(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("labs");
        let numbers: Vec<u8> = course.labs.iter().map(|lab| lab.number).collect();
        assert!(numbers.is_sorted() && numbers[0] == 1, "{numbers:?}");
        assert_eq!(course.lab(1).expect("a lab").title, "inference without and with a KV cache");
        assert!(course.lab(99).expect_err("none").to_string().starts_with("there is no lab 99; there are 1, 2"));
    }

    #[test]
    fn elsewhere_there_is_no_course() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(matches!(Course::at(folder.path()), Err(CourseError::NoCourse { .. })));
    }
}
