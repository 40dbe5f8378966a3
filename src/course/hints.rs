//! Hints, from a nudge to nearly the answer, read from a lab's `hints.md`:
//!
//! ```text
//! ## Task 2
//! ### 1
//! Which of the two sizes grows?
//! ### 2
//! ...
//! ```

/// Levels of a hint: where to look, what to use, almost the code.
pub const LEVELS: usize = 3;

/// The hints of a lab.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints(Vec<(usize, Vec<String>)>);

impl Hints {
    /// Reads `hints.md`. What stands before the first task is for its reader.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut tasks: Vec<(usize, Vec<String>)> = vec![];
        for line in text.lines() {
            if let Some(task) = line.strip_prefix("## Task ").and_then(|number| number.trim().parse().ok()) {
                tasks.push((task, vec![]));
            } else if line.starts_with("### ") {
                if let Some((_, levels)) = tasks.last_mut() {
                    levels.push(String::new());
                }
            } else if let Some(level) = tasks.last_mut().and_then(|(_, levels)| levels.last_mut()) {
                level.push_str(line);
                level.push('\n');
            }
        }
        tasks.iter_mut().flat_map(|(_, levels)| levels).for_each(|level| *level = level.trim().to_owned());
        Self(tasks)
    }

    /// The tasks that have hints.
    pub fn tasks(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(task, _)| *task)
    }

    /// The hint of a task at a level, 1 the gentlest.
    #[must_use]
    pub fn get(&self, task: usize, level: usize) -> Option<&str> {
        let (_, levels) = self.0.iter().find(|(known, _)| *known == task)?;
        levels.get(level.checked_sub(1)?).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_and_levels_are_found() {
        let hints =
            Hints::parse("# Hints\nfor you\n## Task 1\n### 1\nlook\n\nhere\n### 2\nuse this\n## Task 3\n### 1\nlast\n");
        assert_eq!(hints.tasks().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(hints.get(1, 1), Some("look\n\nhere"));
        assert_eq!((hints.get(1, 2), hints.get(3, 1)), (Some("use this"), Some("last")));
        assert_eq!((hints.get(1, 3), hints.get(2, 1), hints.get(1, 0)), (None, None, None));
    }
}
