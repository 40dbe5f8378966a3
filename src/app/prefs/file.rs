//! The file of the preferences: found, read, written, and put aside if it is damaged.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Prefs, VERSION};

const NAME: &str = "window.json";
/// Where a file that could not be used is kept, the first of them.
const BAD_NAME: &str = "window.json.bad";
/// A file that is larger is none of ours.
const MAX_BYTES: u64 = 1 << 20;
/// It is written at most this often, in seconds.
const INTERVAL_SECS: f64 = 1.0;

/// Why the preferences could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PrefsError {
    #[error("there is no home folder")]
    NoFolder,
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is damaged: {source}", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("{} is of version {version}, and this program knows versions up to {VERSION}", path.display())]
    Newer { path: PathBuf, version: u32 },
    #[error("{} has more than {MAX_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
}

/// Where the preferences are kept, and what is there.
#[derive(Debug)]
pub struct PrefsFile {
    folder: Option<PathBuf>,
    /// What the file says, as far as this program knows.
    kept: Prefs,
    /// When it was last tried to write the file.
    tried_secs: Option<f64>,
    has_failed: bool,
}

impl PrefsFile {
    /// Opens the preferences of this person: `$KVLAB_CONFIG/window.json`, or else `kvlab/window.json` in the folder where the system keeps
    /// settings: `$XDG_CONFIG_HOME` or `~/.config`, `~/Library/Application Support` on macOS, `%APPDATA%` on Windows.
    #[must_use]
    pub fn from_env() -> (Self, Prefs, Option<String>) {
        Self::open(folder(|name| env::var_os(name), env::home_dir()))
    }

    /// Opens the preferences in a folder, which need not exist; without one nothing is kept. The text is a note to a person where a file
    /// was there and could not be used. It lies beside as `window.json.bad` then, unless one lies there already; one of a newer kvlab stays where
    /// it is, and nothing is kept.
    #[must_use]
    pub fn open(folder: Option<PathBuf>) -> (Self, Prefs, Option<String>) {
        let (prefs, note) = match folder.as_deref().map_or(Err(PrefsError::NoFolder), read) {
            Ok(prefs) => (prefs, None),
            Err(PrefsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => (Prefs::default(), None),
            Err(PrefsError::NoFolder) => {
                (Prefs::default(), Some(format!("The window will not remember its settings: {}", PrefsError::NoFolder)))
            }
            // Nothing is written over what a newer program would still read.
            Err(error @ PrefsError::Newer { .. }) => {
                let note =
                    format!("The window starts anew and will not remember its settings: {error}. It is left as it is.");
                return (Self::nowhere(), Prefs::default(), Some(note));
            }
            Err(error) => {
                let kept = folder.as_deref().and_then(put_aside);
                let where_it_is = kept.map_or_else(String::new, |path| format!(" It is kept as {}.", path.display()));
                (Prefs::default(), Some(format!("The settings start anew: {error}.{where_it_is}")))
            }
        };
        (Self { folder, kept: prefs.clone(), tried_secs: None, has_failed: false }, prefs, note)
    }

    /// Remembers nothing.
    fn nowhere() -> Self {
        Self { folder: None, kept: Prefs::default(), tried_secs: None, has_failed: false }
    }

    /// Where another file of the window is kept; `None` where nothing is.
    #[must_use]
    pub fn beside(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name))
    }

    /// Writes the preferences if they differ from what is there, at most once a second of the caller's clock. What was too early is written
    /// by a later call or by [`PrefsFile::close`].
    ///
    /// # Errors
    /// The first time that they cannot be written; later failures are silent.
    pub fn keep(&mut self, prefs: &Prefs, now_secs: f64) -> Result<(), PrefsError> {
        if self.tried_secs.is_some_and(|tried| (now_secs - tried).abs() < INTERVAL_SECS) {
            return Ok(());
        }
        if *prefs != self.kept {
            self.tried_secs = Some(now_secs);
        }
        self.close(prefs)
    }

    /// Writes the preferences if they differ from what is there, at once: for the end of the program.
    ///
    /// # Errors
    /// As [`PrefsFile::keep`].
    pub fn close(&mut self, prefs: &Prefs) -> Result<(), PrefsError> {
        let (Some(folder), true) = (&self.folder, *prefs != self.kept) else { return Ok(()) };
        match write(folder, prefs) {
            Ok(()) => {
                self.kept = prefs.clone();
                self.has_failed = false;
                Ok(())
            }
            Err(_) if self.has_failed => Ok(()),
            Err(error) => {
                self.has_failed = true;
                Err(error)
            }
        }
    }
}

fn folder(var: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let path = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = path("KVLAB_CONFIG") {
        return Some(own);
    }
    let of_system = if cfg!(windows) {
        path("APPDATA")
    } else if cfg!(target_os = "macos") {
        home.map(|home| home.join("Library").join("Application Support"))
    } else {
        // A relative one is to be ignored, says the XDG base directory specification.
        path("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).or_else(|| home.map(|home| home.join(".config")))
    };
    of_system.map(|folder| folder.join("kvlab"))
}

fn read(folder: &Path) -> Result<Prefs, PrefsError> {
    /// Read first: the rest of a newer file may have another form.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let path = folder.join(NAME);
    let mut bytes = vec![];
    let opened = File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    opened.map_err(|source| PrefsError::Io { path: path.clone(), source })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(PrefsError::TooLarge { path });
    }
    let damaged = |source| PrefsError::Damaged { path: path.clone(), source };
    let Version { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version > VERSION {
        return Err(PrefsError::Newer { path, version });
    }
    serde_json::from_slice(&bytes).map(Prefs::within_bounds).map_err(damaged)
}

/// Keeps a file that could not be used beside its name; `None` if there is one already or it cannot be moved.
fn put_aside(folder: &Path) -> Option<PathBuf> {
    let bad = folder.join(BAD_NAME);
    if bad.symlink_metadata().is_ok() {
        return None;
    }
    fs::rename(folder.join(NAME), &bad).ok().map(|()| bad)
}

fn write(folder: &Path, prefs: &Prefs) -> Result<(), PrefsError> {
    let path = folder.join(NAME);
    let error = |source| PrefsError::Io { path: path.clone(), source };
    let bytes = serde_json::to_vec_pretty(prefs).map_err(|e| error(e.into()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(PrefsError::TooLarge { path });
    }
    fs::create_dir_all(folder).map_err(error)?;
    // Not forced onto the disk: this runs between two frames, and the loss of a window's size is not worth a wait.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error)?;
    file.write_all(&bytes).map_err(error)?;
    file.persist(&path).map_err(|e| error(e.error))?;
    Ok(())
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
