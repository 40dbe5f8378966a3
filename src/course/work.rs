//! What somebody does with a lab beside checking it: begin, note how far it came, go back to the beginning. In words, for whoever asked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Course, CourseError, Entry, Lab, Outcome, Progress, folder::read};

/// Says what a lab is about and which file is the learner's, and notes that it was begun.
///
/// # Errors
/// [`CourseError::Read`], [`CourseError::Write`]
pub fn start(course: &Course, lab: &Lab) -> Result<String, CourseError> {
    let readme = lab.readme()?;
    let goal =
        readme.lines().skip(1).skip_while(|line| line.trim().is_empty()).take_while(|line| !line.trim().is_empty());
    let goal = goal.collect::<Vec<_>>().join("\n");
    let near = |path: &Path| path.strip_prefix(&course.root).unwrap_or(path).display().to_string();
    let mut progress = Progress::read(&course.progress_path());
    if progress.get(lab.number).is_none() {
        progress.set(lab.number, Entry::default());
        progress.write(&course.progress_path())?;
    }
    let (number, title) = (lab.number, &lab.title);
    let (page, exercise) = (near(&lab.folder.join("README.md")), near(&lab.exercise()));
    Ok(format!(
        "Lab {number}: {title}\n\n{goal}\n\n\
         Read        {page}\n\
         Your file   {exercise}\n\
         Check it    kvlab lab check {number}    (or kvlab lab watch {number}, which checks whenever you save)\n"
    ))
}

/// Writes down how far a check came.
///
/// # Errors
/// [`CourseError::Write`]
pub fn note(course: &Course, lab: &Lab, outcome: &Outcome) -> Result<(), CourseError> {
    if let Outcome::Open(report) | Outcome::Passes(report) = outcome {
        let mut progress = Progress::read(&course.progress_path());
        progress.set(lab.number, Entry::of(report));
        progress.write(&course.progress_path())?;
    }
    Ok(())
}

/// Puts a lab back to its beginning, its progress too, and says where is what was written.
///
/// # Errors
/// Those of [`reset`]
pub fn put_back(course: &Course, lab: &Lab) -> Result<String, CourseError> {
    let Some(kept) = reset(lab)? else {
        return Ok(format!("Nothing was written in lab {}; it is as it was shipped.\n", lab.number));
    };
    let mut progress = Progress::read(&course.progress_path());
    progress.forget(lab.number);
    progress.write(&course.progress_path())?;
    Ok(format!("Lab {} is as it was shipped. What you wrote is in {}.\n", lab.number, kept.display()))
}

/// Puts the exercise back as it was shipped. What was written is kept beside it; returns where, or `None` where nothing was written.
///
/// # Errors
/// [`CourseError::Read`], [`CourseError::Write`]
pub fn reset(lab: &Lab) -> Result<Option<PathBuf>, CourseError> {
    let (exercise, template) = (lab.exercise(), read(&lab.template())?);
    let written = |path: &PathBuf, text: &str| {
        fs::write(path, text).map_err(|source| CourseError::Write { path: path.clone(), source })
    };
    let yours = read(&exercise)?;
    if yours == template {
        return Ok(None);
    }
    let mut numbers = 1..=u32::MAX;
    let free = |n| Some(lab.folder.join(format!("src/exercise.{n}.kept"))).filter(|path| !path.exists());
    let kept = numbers.find_map(free).unwrap_or_else(|| lab.folder.join("src/exercise.kept"));
    written(&kept, &yours)?;
    written(&exercise, &template)?;
    Ok(Some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_keeps_what_was_written() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("src")).expect("folder");
        let lab = Lab { number: 7, title: String::new(), folder: folder.path().to_owned() };
        fs::write(lab.template(), "todo").expect("written");
        fs::write(lab.exercise(), "todo").expect("written");
        assert_eq!(reset(&lab).expect("nothing to do"), None);
        for (n, text) in [(1, "mine"), (2, "again")] {
            fs::write(lab.exercise(), text).expect("written");
            let kept = reset(&lab).expect("reset").expect("kept");
            assert!(kept.ends_with(format!("src/exercise.{n}.kept")));
            assert_eq!(fs::read_to_string(kept).expect("kept"), text);
            assert!(lab.is_untouched().expect("readable"));
        }
    }
}
