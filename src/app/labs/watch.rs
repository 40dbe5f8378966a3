//! Looks whether an exercise was saved, twice a second and only while somebody wants it. The window sleeps meanwhile.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, SystemTime},
};

use super::{Event, Wake, What};

/// How often a file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    pub id: u64,
    pub lab: u8,
    _stop: Sender<()>,
}

impl Watch {
    /// Watches the exercise of lab `lab`.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub(super) fn begin(
        (id, lab): (u64, u8),
        path: PathBuf,
        (events, wake): (Sender<Event>, Wake),
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        // As it is now: who saves before the thread has begun is heard as well.
        let mut known = saved(&path);
        let look = move || {
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let now = saved(&path);
                if now != known {
                    known = now;
                    let _ = events.send(Event { id, what: What::Saved });
                    wake();
                }
            }
        };
        thread::Builder::new().name("watch".into()).spawn(look)?;
        Ok(Self { id, lab, _stop: stop })
    }
}

fn saved(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}
