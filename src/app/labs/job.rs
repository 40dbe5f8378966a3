//! What is done with a lab on a thread of its own: a check takes seconds to minutes, and no frame waits for a disk.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread::{self, JoinHandle},
};

use super::{Done, Event, Stage, Wake, What};
use crate::course::{self, Built, Course, CourseError, Lab, Outcome, Progress, Step};

/// Checks a lab: [`course::check`], or a stand-in for it.
pub type Check =
    dyn Fn(&Course, &Lab, &mut dyn FnMut(Step<'_>), &AtomicBool) -> Result<Outcome, CourseError> + Send + Sync;

/// Where the labs are and what checks them.
#[derive(Clone)]
pub struct Setup {
    /// The clone; `None`: the one around the folder that the program was started in.
    pub root: Option<PathBuf>,
    pub check: Arc<Check>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { root: None, check: Arc::new(course::check) }
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("root", &self.root).finish_non_exhaustive()
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Start,
    Check,
    PutBack,
    /// See the lab's subject in a window of its own.
    Open,
}

/// A job that is under way. It is ended, and waited for, when it is dropped: no compiler goes on for a window that was closed.
#[derive(Debug)]
pub struct Job {
    pub id: u64,
    pub lab: u8,
    pub kind: Kind,
    pub stage: Stage,
    cancel: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Job {
    /// Begins it.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub(super) fn begin(
        (id, kind): (u64, Kind),
        (course, lab): (&Course, &Lab),
        check: &Arc<Check>,
        (events, wake): (Sender<Event>, Wake),
    ) -> std::io::Result<Self> {
        let cancel = Arc::new(AtomicBool::new(false));
        let number = lab.number;
        let (course, lab, check, is_cancelled) = (course.clone(), lab.clone(), check.clone(), cancel.clone());
        let run = move || {
            let tell = |what| {
                // Nobody listens any more when the window is gone.
                let _ = events.send(Event { id, what });
                wake();
            };
            let result = work(kind, &course, &lab, &*check, &tell, &is_cancelled).map_err(|error| match error {
                CourseError::Cancelled => None,
                error => Some(error.to_string()),
            });
            tell(What::Done(result, Progress::read(&course.progress_path())));
        };
        let thread = thread::Builder::new().name("lab".into()).spawn(run)?;
        Ok(Self { id, lab: number, kind, stage: Stage::Begun, cancel, thread: Some(thread) })
    }

    /// Asks it to end; it says so when it has.
    pub fn cancel(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        self.stage = Stage::Ending;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(
    kind: Kind,
    course: &Course,
    lab: &Lab,
    check: &Check,
    tell: &dyn Fn(What),
    cancel: &AtomicBool,
) -> Result<Done, CourseError> {
    let mut step = |step: Step<'_>| {
        tell(What::Stage(match step {
            Step::Building(line) => Stage::Building(line.trim().to_owned()),
            Step::Checking => Stage::Checking,
        }));
    };
    match kind {
        Kind::Start => course::start(course, lab).map(Done::Said),
        Kind::PutBack => course::put_back(course, lab).map(Done::Said),
        Kind::Check => {
            let outcome = check(course, lab, &mut step, cancel)?;
            course::note(course, lab, &outcome)?;
            Ok(Done::Checked(outcome))
        }
        Kind::Open => match course::build(course, lab, &mut step, cancel)? {
            Built::Errors(errors) => Ok(Done::Checked(Outcome::DoesNotCompile(errors))),
            Built::Program(program) => {
                let mut window = course::open(course, &program)?;
                // It is waited for where nobody waits, so that nothing is left of it when it is closed.
                let wait = move || {
                    let _ = window.wait();
                };
                let _ = thread::Builder::new().name("window of a lab".into()).spawn(wait);
                Ok(Done::Said(format!("Lab {} opens in a window of its own.\n", lab.number)))
            }
        },
    }
}
