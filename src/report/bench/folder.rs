//! The folder of a benchmark: every group of arms is kept as soon as it is measured, so that an interrupted run can go on.
//!
//! ```text
//! arms.jsonl      the header, then a line for each arm, whole groups at a time
//! summary.json    all arms, when all are measured
//! summary.csv, summary.md
//! ```

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{OutputFormat, print};
use crate::{
    experiment::bench::{ArmResult, peer::Hello},
    measure::machine::Machine,
    report::files::{SUMMARY, WriteError, remove_stale, write_whole},
};

pub const ARMS: &str = "arms.jsonl";
pub const TABLE: &str = "summary.md";
pub const CSV: &str = "summary.csv";

/// Raised when a reader of older files must know.
pub const SCHEMA: u32 = 1;

/// What must be the same for a run to go on where another stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub kvlab_version: String,
    pub commit: String,
    pub rustc: String,
    pub machine: Machine,
    pub device: String,
    /// Every model and what identifies its weights.
    pub models: Vec<String>,
    pub peers: Vec<Hello>,
    /// The command's axes, by name.
    pub settings: Vec<(String, String)>,
}

/// The first line of [`ARMS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub schema: u32,
    pub started_unix_secs: u64,
    /// As it was typed, less the folder of the program.
    pub command: String,
    #[serde(flatten)]
    pub identity: Identity,
}

/// What cannot be read, or must not be continued.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error(
        "{} holds another benchmark ({what} differs); give another folder, or --fresh to replace it",
        folder.display()
    )]
    Another { folder: PathBuf, what: String },
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A folder that is being filled.
pub struct BenchFolder {
    folder: PathBuf,
    header: Header,
    arms: Vec<ArmResult>,
}

impl BenchFolder {
    /// Opens `folder` for `header`; what an interrupted run of the same identity left in it is kept, unless `fresh`.
    ///
    /// # Errors
    /// [`FolderError`]; nothing is changed then.
    pub fn open(folder: &Path, header: Header, fresh: bool) -> Result<Self, FolderError> {
        let unreadable =
            |e: &dyn std::fmt::Display| FolderError::Unreadable { path: folder.into(), reason: e.to_string() };
        let path = folder.join(ARMS);
        if !path.exists() && folder.join(SUMMARY).exists() {
            return Err(FolderError::Another {
                folder: folder.into(),
                what: format!("its {SUMMARY} is no benchmark's"),
            });
        }
        let mut opened = Self { folder: folder.into(), header, arms: vec![] };
        if path.exists() && !fresh {
            let (there, arms) = read_arms(&path)?;
            if let Some(what) = difference(&there.identity, &opened.header.identity) {
                return Err(FolderError::Another { folder: folder.into(), what });
            }
            (opened.header, opened.arms) = (there, arms);
            return Ok(opened);
        }
        fs::create_dir_all(folder).map_err(|e| unreadable(&e))?;
        remove_stale(folder, [SUMMARY, TABLE, CSV]).map_err(|e| unreadable(&e))?;
        opened.write_arms()?;
        Ok(opened)
    }

    /// All arms so far.
    #[must_use]
    pub fn arms(&self) -> &[ArmResult] {
        &self.arms
    }

    /// Keeps a group; on the disk when this returns.
    ///
    /// # Errors
    /// [`FolderError::Write`]; what was there before is there still.
    pub fn keep(&mut self, group: Vec<ArmResult>) -> Result<(), FolderError> {
        self.arms.extend(group);
        self.write_arms()
    }

    fn write_arms(&self) -> Result<(), FolderError> {
        let path = self.folder.join(ARMS);
        let error = |e: serde_json::Error| WriteError::new(&path, &e);
        let mut bytes = serde_json::to_vec(&self.header).map_err(error)?;
        for arm in &self.arms {
            bytes.push(b'\n');
            serde_json::to_writer(&mut bytes, arm).map_err(error)?;
        }
        bytes.push(b'\n');
        Ok(write_whole(&path, &bytes)?)
    }

    /// Writes what a finished benchmark has, `summary.json` last; returns the names.
    ///
    /// # Errors
    /// [`FolderError::Write`]
    pub fn finish(&self) -> Result<Vec<&'static str>, FolderError> {
        for (name, format) in [(TABLE, OutputFormat::Md), (CSV, OutputFormat::Csv), (SUMMARY, OutputFormat::Json)] {
            let path = self.folder.join(name);
            let text = print(&self.arms, format).map_err(|e| WriteError::new(&path, &e))?;
            write_whole(&path, text.as_bytes())?;
        }
        Ok(vec![ARMS, TABLE, CSV, SUMMARY])
    }
}

/// What differs first, if anything does.
fn difference(there: &Identity, now: &Identity) -> Option<String> {
    let texts = |identity: &Identity| -> Vec<(String, String)> {
        let Identity { kvlab_version, commit, rustc, machine, device, models, peers, settings } = identity;
        let own = [
            ("version", kvlab_version.clone()),
            ("commit", commit.clone()),
            ("rustc", rustc.clone()),
            ("machine", format!("{machine:?}")),
            ("device", device.clone()),
            ("model", models.join(" ")),
            ("peer", format!("{peers:?}")),
        ];
        own.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(settings.clone()).collect()
    };
    let (there, now) = (texts(there), texts(now));
    let differing = there.iter().zip(&now).find(|(there, now)| there != now);
    differing.map(|((name, there), (_, now))| {
        if name == "machine" { "machine".to_owned() } else { format!("{name}: `{there}` there, `{now}` now") }
    })
}

fn read_arms(path: &Path) -> Result<(Header, Vec<ArmResult>), FolderError> {
    let unreadable = |reason: String| FolderError::Unreadable { path: path.into(), reason };
    let text = fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
    let mut lines = text.lines();
    let header = lines.next().ok_or_else(|| unreadable("is empty".into()))?;
    let header: Header =
        serde_json::from_str(header).map_err(|e| unreadable(format!("its first line is no header: {e}")))?;
    if header.schema > SCHEMA {
        return Err(unreadable(format!("was written by a newer kvlab (schema {})", header.schema)));
    }
    let arms = lines.map(serde_json::from_str).collect::<Result<Vec<_>, _>>();
    Ok((header, arms.map_err(|e| unreadable(format!("is damaged: {e}")))?))
}

/// All arms of a benchmark: a folder (finished or not), a `summary.json`, an `arms.jsonl`, or the same printed to a file.
///
/// # Errors
/// [`FolderError::Unreadable`]
pub fn read(path: &Path) -> Result<Vec<ArmResult>, FolderError> {
    let unreadable = |path: &Path, reason: String| FolderError::Unreadable { path: path.into(), reason };
    let file = if path.is_dir() {
        let found = [SUMMARY, ARMS].map(|name| path.join(name)).into_iter().find(|file| file.exists());
        found.ok_or_else(|| unreadable(path, format!("holds no {SUMMARY} and no {ARMS}")))?
    } else {
        path.to_owned()
    };
    let bad = |reason: String| unreadable(&file, reason);
    let mut text = String::new();
    io::Read::read_to_string(&mut fs::File::open(&file).map_err(|e| bad(e.to_string()))?, &mut text)
        .map_err(|e| bad(e.to_string()))?;
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(&text).map_err(|e| bad(format!("is no benchmark's: {e}")));
    }
    if text.lines().next().is_some_and(|line| serde_json::from_str::<Header>(line).is_ok()) {
        return read_arms(&file).map(|(_, arms)| arms);
    }
    let arms = text.lines().map(serde_json::from_str).collect::<Result<Vec<_>, _>>();
    arms.map_err(|e| bad(format!("is no benchmark's: {e}")))
}

/// Says on `out` what was found in a folder that is continued.
///
/// # Errors
/// `out`'s.
pub fn say_resumed(out: &mut impl Write, folder: &Path, done: usize, all: usize) -> io::Result<()> {
    writeln!(out, "{} has {done} of {all} arms already; going on with the others", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::bench::tests::arm;

    fn header(tokens: &str) -> Header {
        let identity = Identity {
            kvlab_version: "0".into(),
            commit: "c".into(),
            rustc: "r".into(),
            machine: Machine::detect(),
            device: "Cpu".into(),
            models: vec!["story".into()],
            peers: vec![],
            settings: vec![("tokens".into(), tokens.into())],
        };
        Header { schema: SCHEMA, started_unix_secs: 1, command: "kvlab bench".into(), identity }
    }

    #[test]
    fn an_interrupted_run_goes_on_and_another_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("bench");
        let mut first = BenchFolder::open(&path, header("16"), false).expect("opened");
        first.keep(vec![arm("tg16", "contiguous", &[0.5]), arm("tg16", "paged:16", &[0.6])]).expect("kept");
        drop(first);
        assert_eq!(read(&path).expect("readable before it is finished").len(), 2);

        let mut second = BenchFolder::open(&path, header("16"), false).expect("opened");
        assert_eq!(second.arms().len(), 2);
        second.keep(vec![arm("pp8", "contiguous", &[0.7])]).expect("kept");
        assert_eq!(second.finish().expect("written").len(), 4);
        let arms = read(&path).expect("readable");
        assert_eq!((arms.len(), read(&path.join(ARMS)).expect("readable")), (3, arms));

        let other = BenchFolder::open(&path, header("32"), false).err().expect("refused").to_string();
        assert!(other.contains("tokens: `16` there, `32` now") && other.contains("--fresh"), "{other}");
        assert_eq!(read(&path).expect("untouched").len(), 3);
        assert_eq!(BenchFolder::open(&path, header("32"), true).expect("replaced").arms().len(), 0);
        assert!(!path.join(SUMMARY).exists(), "nothing of the old run may pass for the new one's");
    }

    #[test]
    fn a_summary_of_something_else_is_not_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(SUMMARY), "{}").expect("written");
        assert!(BenchFolder::open(folder.path(), header("16"), true).is_err());
        assert!(folder.path().join(SUMMARY).exists());
    }

    #[test]
    fn what_is_no_result_is_refused_with_its_name() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("a.json");
        for text in ["", "[{}", "hello", "[1]", "{\"schema\":99}"] {
            fs::write(&file, text).expect("written");
            let result = read(&file);
            assert!(text.is_empty() || result.is_err_and(|e| e.to_string().contains("a.json")), "{text}");
        }
        assert!(read(folder.path()).is_err_and(|e| e.to_string().contains("holds no")));
        assert!(read(&folder.path().join("nothing")).is_err());
    }
}
