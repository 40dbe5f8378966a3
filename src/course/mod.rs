//! The course in `labs/`: which labs there are, how far somebody is, and what the checks say of their code. `kvlab lab` and the Labs pane
//! show it.

mod build;
mod check;
mod folder;
pub mod hints;
mod progress;
pub mod quiz;
mod report;
mod running;
mod work;

pub use build::{Built, Step, build, open};
pub use check::{Outcome, check, short};
pub use folder::{Course, CourseError, Lab};
pub use progress::{Entry, Progress};
pub use report::{Found, Report, Verdict};
pub use running::end_all;
pub use work::{note, put_back, reset, start};
