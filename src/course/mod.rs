//! The course in `labs/`: which labs there are, how far somebody is, and what the checks say of their code. `kvlab lab` and the Labs pane
//! show it.

mod build;
mod check;
mod folder;
pub mod hints;
mod progress;
pub mod quiz;
mod report;

pub use build::{Built, build};
pub use check::{Outcome, check, reset, short};
pub use folder::{Course, CourseError, Lab};
pub use progress::{Entry, Progress};
pub use report::{Found, Report, Verdict};
