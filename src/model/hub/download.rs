//! One file from the hub into the cache: continued where an earlier download stopped, and checked before it counts.
//!
//! ```text
//! blobs/<etag>.part    what has come so far, kept when a download stops
//! blobs/<etag>.lock    held while one program writes the part
//! blobs/<etag>         the whole, verified content; appears in one step
//! ```
//! The names of part and lock are hf-hub's, so that a download begun by one is continued by the other.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{measure::machine::available_disk_bytes, model::Progress};

use super::{
    HubError,
    error::Kept,
    hash::ContentHash,
    http::{Answer, Message},
    remote::{Announced, Remote},
};

/// Often enough for an eye, seldom enough for a channel.
const REPORT_EVERY: Duration = Duration::from_millis(100);
const BUFFER_BYTES: usize = 1 << 20;

/// Fetches `file` of a commit to `blob`, which exists afterwards and has the announced length and hash.
///
/// Connections that break are continued up to `retries` times, as long as each brings something.
///
/// # Errors
/// [`HubError`], with what was kept.
pub fn download(
    remote: &Remote,
    file: &'static str,
    announced: &Announced,
    blob: &Path,
    retries: usize,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<(), HubError> {
    let disk = |e: io::Error| HubError::Disk { path: blob.into(), reason: e.to_string() };
    fs::create_dir_all(blob.parent().unwrap_or(blob)).map_err(disk)?;
    let lock = blob.with_extension("lock");
    let held = File::create(&lock).map_err(disk)?;
    match held.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(HubError::Busy { file }),
        // A file system without locks: the check of the content is all there is then.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    if !blob.is_file() {
        let part = Part::open(&blob.with_extension("part"), announced, cancel)?;
        Download { remote, file, announced, part, progress, cancel, reported: None }.run(retries)?;
        fs::rename(blob.with_extension("part"), blob).map_err(disk)?;
    }
    // Whoever opened it in the meantime finds the blob first.
    let _ = fs::remove_file(lock);
    Ok(())
}

struct Download<'a> {
    remote: &'a Remote,
    file: &'static str,
    announced: &'a Announced,
    part: Part,
    progress: &'a mut dyn FnMut(Progress),
    cancel: &'a AtomicBool,
    reported: Option<Instant>,
}

impl Download<'_> {
    fn run(&mut self, retries: usize) -> Result<(), HubError> {
        let size = self.announced.size;
        // What an earlier download left may be of no use: too long, or whole and wrong. Asking for bytes past the end
        // would only be refused.
        if self.part.len > size || (self.part.len == size && self.check().is_err()) {
            self.part.restart()?;
        }
        self.check_space()?;
        let mut breaks = 0;
        while self.part.len < size {
            let before = self.part.len;
            match self.rest() {
                Err(HubError::CutOff { .. }) if breaks < retries && self.part.len > before => breaks += 1,
                other => other?,
            }
        }
        self.report(true);
        if let Err(wrong) = self.check() {
            self.part.delete();
            return Err(wrong);
        }
        self.part.finish()
    }

    fn check(&self) -> Result<(), HubError> {
        let Some(hash) = &self.part.hash else { return Ok(()) };
        let (expected, actual) = (&self.announced.etag, hash.hex());
        if actual == *expected {
            return Ok(());
        }
        let (algorithm, expected) = (hash.algorithm, expected.clone());
        Err(HubError::WrongHash { file: self.file, algorithm, expected, actual })
    }

    fn check_space(&self) -> Result<(), HubError> {
        let needed_bytes = self.announced.size - self.part.len;
        let folder = self.part.path.parent().unwrap_or(&self.part.path).to_owned();
        match available_disk_bytes(&folder) {
            Some(free_bytes) if free_bytes < needed_bytes => {
                Err(HubError::NoSpace { file: self.file, needed_bytes, free_bytes, folder })
            }
            _ => Ok(()),
        }
    }

    /// One request for what is missing, and its body into the part.
    fn rest(&mut self) -> Result<(), HubError> {
        let (answer, mut stream) = self
            .remote
            .open(&self.announced.commit, self.file, &self.kept(), self.cancel)
            .map_err(|error| match error {
                // The network went away in the middle of the file.
                HubError::Unreachable { reason, .. } if self.part.len > 0 => {
                    HubError::CutOff { file: self.file, reason, kept: self.kept() }
                }
                other => other,
            })?;
        let from = match (answer.status, self.part.len) {
            // The whole file, whatever was asked.
            (200, _) => 0,
            (206, from @ 1..) if continues(&answer, from, self.announced.size) => from,
            // Another part than the one asked for, or none: from the start, without asking for a part.
            (206 | 416, 1..) => {
                self.part.restart()?;
                return self.rest();
            }
            _ => return Err(self.remote.refusal(&self.announced.commit, self.file, &answer)),
        };
        if let Some(length) = answer.header("Content-Length").and_then(|length| length.parse::<u64>().ok()) {
            let actual = from.saturating_add(length);
            if actual != self.announced.size {
                return Err(self.wrong_size(actual));
            }
        }
        if from != self.part.len {
            self.part.restart()?;
        }
        loop {
            match stream.next(self.cancel) {
                Ok(Message::Piece(bytes)) => {
                    let len = self.part.len + bytes.len() as u64;
                    if len > self.announced.size {
                        self.part.delete();
                        return Err(self.wrong_size(len));
                    }
                    self.part.append(&bytes)?;
                    self.report(false);
                }
                Ok(Message::End) if self.part.len == self.announced.size => return Ok(()),
                Ok(Message::End | Message::Answers(_)) => {
                    let reason = "the answer ended early".into();
                    return Err(HubError::CutOff { file: self.file, reason, kept: self.kept() });
                }
                Err(failure) => return Err(self.remote.broken(self.file, failure, self.kept())),
            }
        }
    }

    fn wrong_size(&self, actual: u64) -> HubError {
        HubError::WrongSize { file: self.file, expected: self.announced.size, actual, kept: self.kept() }
    }

    fn kept(&self) -> Kept {
        Kept { done_bytes: self.part.len, all_bytes: self.announced.size, part: self.part.path.clone() }
    }

    fn report(&mut self, at_once: bool) {
        if at_once || self.reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            self.reported = Some(Instant::now());
            let (done_bytes, all_bytes) = (self.part.len, self.announced.size);
            (self.progress)(Progress::Downloading { file: self.file, done_bytes, all_bytes });
        }
    }
}

/// True if the answer holds exactly the bytes from `from` to the end.
fn continues(answer: &Answer, from: u64, size: u64) -> bool {
    let Some(range) = answer.header("Content-Range").and_then(|range| range.strip_prefix("bytes ")) else {
        return false;
    };
    let Some((span, all)) = range.split_once('/') else { return false };
    span == format!("{from}-{}", size - 1) && (all == "*" || all == size.to_string())
}

/// The part file with the hash of what it holds.
struct Part {
    path: PathBuf,
    file: File,
    /// Where the hub has named one.
    hash: Option<ContentHash>,
    hash_of_nothing: Option<ContentHash>,
    len: u64,
}

impl Part {
    /// Opens it, and reads what an earlier download left if that can be of use.
    fn open(path: &Path, announced: &Announced, cancel: &AtomicBool) -> Result<Self, HubError> {
        let disk = |e: io::Error| HubError::Disk { path: path.into(), reason: e.to_string() };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(disk)?;
        let len = file.metadata().map_err(disk)?.len();
        let hash = announced.hash();
        let mut part = Self { path: path.into(), file, hash_of_nothing: hash.clone(), hash, len };
        let mut left = if len > announced.size { 0 } else { len };
        let mut buffer = vec![0; BUFFER_BYTES];
        while left > 0 {
            if cancel.load(Ordering::Relaxed) {
                let kept = Kept { done_bytes: len, all_bytes: announced.size, part: path.into() };
                return Err(HubError::Cancelled { kept });
            }
            let n = part.file.read(&mut buffer).map_err(disk)?;
            if n == 0 {
                return Err(disk(io::ErrorKind::UnexpectedEof.into()));
            }
            part.update(&buffer[..n]);
            left = left.saturating_sub(n as u64);
        }
        Ok(part)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(|e| self.disk(&e))?;
        self.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0))).map_err(|e| self.disk(&e))?;
        self.hash = self.hash_of_nothing.clone();
        self.len = 0;
        Ok(())
    }

    /// What is bad must not be continued; if it cannot be deleted either, its hash will not fit again.
    fn delete(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.len = 0;
    }

    fn finish(&self) -> Result<(), HubError> {
        self.file.sync_all().map_err(|e| self.disk(&e))
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
    }

    fn disk(&self, error: &io::Error) -> HubError {
        HubError::Disk { path: self.path.clone(), reason: error.to_string() }
    }
}
