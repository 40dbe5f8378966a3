//! A program that the course started. It is ended with all that it started itself: cargo's compilers would go on for minutes without it.

use std::{
    io,
    process::{Child, ChildStderr, Command, ExitStatus},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

/// Programs that were started and are not over, by their number.
static STARTED: Mutex<Vec<u32>> = Mutex::new(vec![]);

/// How often something that takes seconds is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Ends with it, at the latest, when it is dropped.
pub(super) struct Running {
    child: Child,
    is_over: bool,
}

impl Running {
    /// Starts it as the first of a process group of its own.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.spawn()?;
        started(|ids| ids.push(child.id()));
        Ok(Self { child, is_over: false })
    }

    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// How it ended, if it has.
    pub fn poll(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.is_over |= status.is_some();
        Ok(status)
    }

    /// Waits for its end, or for `gives_up`.
    pub fn wait(&mut self, mut gives_up: impl FnMut() -> bool) -> io::Result<Option<ExitStatus>> {
        loop {
            let status = self.poll()?;
            if status.is_some() || gives_up() {
                return Ok(status);
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        started(|ids| ids.retain(|id| *id != self.child.id()));
        if !self.is_over {
            end(self.child.id());
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Ends all that runs, for a process that ends without dropping anything. A group of its own does not hear Ctrl-C in a terminal.
pub fn end_all() {
    started(|ids| ids.drain(..).for_each(end));
}

fn started<T>(change: impl FnOnce(&mut Vec<u32>) -> T) -> T {
    change(&mut STARTED.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(unix)]
fn end(id: u32) {
    use nix::{
        sys::signal::{Signal, killpg},
        unistd::Pid,
    };
    if let Ok(id) = i32::try_from(id) {
        // It may be over already.
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
}

/// Where there are no groups of processes, the first is ended alone.
#[cfg(not(unix))]
fn end(_id: u32) {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        io::Read,
        process::{Command, Stdio},
    };

    #[test]
    fn what_a_program_has_started_ends_with_it() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 600 & echo started >&2; wait"]).stderr(Stdio::piped());
        let mut running = Running::start(&mut shell).expect("a shell");
        let mut said = running.take_stderr().expect("piped");
        let mut word = [0; 7];
        said.read_exact(&mut word).expect("the shell speaks");
        assert_eq!((&word, running.poll().expect("known")), (b"started", None));
        drop(running);
        // The pipe ends when the last that holds it is gone.
        let mut rest = vec![];
        said.read_to_end(&mut rest).expect("the end");
        assert_eq!(rest, b"\n");
    }

    #[test]
    fn who_waits_hears_the_end_or_gives_up() {
        let mut quick = Running::start(Command::new("sh").args(["-c", "exit 3"])).expect("a shell");
        assert_eq!(quick.wait(|| false).expect("known").and_then(|status| status.code()), Some(3));
        let mut slow = Running::start(Command::new("sleep").arg("600")).expect("sleep");
        assert_eq!(slow.wait(|| true).expect("known"), None);
    }
}
