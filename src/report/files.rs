//! Files of a result, each written whole or not at all; `records.csv`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{plots, summary::LaneResult};

/// What happened in a run, line by line.
pub const TRACE: &str = "trace.jsonl";
/// What a finished run leaves beside its trace.
pub const CSV: &str = "records.csv";
pub const SUMMARY: &str = "summary.json";
/// The same for people.
pub const REPORT: &str = "report.md";

/// A file that could not be written; whatever stood there before stands there still.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be written: {reason}", path.display())]
pub struct WriteError {
    pub path: PathBuf,
    pub reason: String,
}

impl WriteError {
    pub(crate) fn new(path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self { path: path.into(), reason: reason.to_string() }
    }
}

/// A file to come. Its bytes are written beside the target, which changes only when all of them are there: a full
/// disk, an error or a crash leaves what stood there before.
pub struct PendingFile {
    path: PathBuf,
    target: Target,
}

enum Target {
    /// A file beside this one is renamed over it; links were followed.
    File(PathBuf),
    /// A device or a pipe (`/dev/stdout`) takes bytes as they come and is never replaced.
    Through(fs::File),
}

impl PendingFile {
    /// Finds out whether `path` can be written, without changing it.
    ///
    /// # Errors
    /// [`WriteError`]
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let error = |e: io::Error| WriteError::new(path, &e);
        let real = match fs::canonicalize(path) {
            Err(_) if fs::symlink_metadata(path).is_ok() => {
                return Err(WriteError::new(path, &"it is a link to something that does not exist"));
            }
            found => found.unwrap_or_else(|_| path.into()),
        };
        let target = match fs::metadata(&real) {
            Ok(there) if there.is_dir() => return Err(error(io::ErrorKind::IsADirectory.into())),
            Ok(there) if there.permissions().readonly() => return Err(error(io::ErrorKind::PermissionDenied.into())),
            Ok(there) if !there.is_file() => {
                Target::Through(fs::OpenOptions::new().write(true).open(&real).map_err(error)?)
            }
            _ => {
                // Made and taken away again: a process that is killed meanwhile leaves nothing behind.
                file_beside(&real).map_err(error)?;
                Target::File(real)
            }
        };
        Ok(Self { path: path.into(), target })
    }

    /// # Errors
    /// [`WriteError`]
    pub fn finish(self, bytes: &[u8]) -> Result<(), WriteError> {
        let error = |e: io::Error| WriteError::new(&self.path, &e);
        match self.target {
            Target::Through(mut file) => io::Write::write_all(&mut file, bytes).map_err(error),
            Target::File(real) => {
                let mut file = file_beside(&real).map_err(error)?;
                io::Write::write_all(&mut file, bytes).map_err(error)?;
                file.as_file().sync_all().map_err(error)?;
                file.persist(real).map_err(|e| error(e.error))?;
                Ok(())
            }
        }
    }
}

/// A file that is renamed over `path` when it is whole, with the permissions of any other.
///
/// # Errors
/// Those of making it.
pub fn file_beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has permissions to set"))]
    let mut builder = tempfile::Builder::new();
    // Temporary files are private; a report is for everybody the umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// A whole file or none, see [`PendingFile`].
///
/// # Errors
/// [`WriteError`]
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    PendingFile::create(path)?.finish(bytes)
}

/// One row per step and lane.
///
/// # Errors
/// [`WriteError`]
pub fn write_csv(path: &Path, lanes: &[LaneResult]) -> Result<(), WriteError> {
    let error = |e: csv::Error| WriteError::new(path, &e);
    let mut csv = csv::Writer::from_writer(vec![]);
    csv.write_record([
        "lane",
        "step",
        "phase",
        "tokens_in",
        "forward_secs",
        "sample_secs",
        "total_secs",
        "token_id",
        "reserved_bytes",
        "held_bytes",
        "used_bytes",
        "dead_bytes",
        "copied_bytes",
        "gpu_launches",
        "gpu_uploads",
        "gpu_downloads",
        "gpu_copies",
        "gpu_allocations",
        "gpu_driver_used_bytes",
    ])
    .map_err(error)?;
    for lane in lanes {
        for r in &lane.records {
            let gpu = r.gpu.map(|gpu| gpu.counts);
            csv.serialize((
                (&lane.lane, r.step, r.phase, r.tokens_in),
                (r.forward_secs, r.sample_secs, r.total_secs, r.token_id),
                (r.reserved_bytes, r.held_bytes, r.used_bytes, r.dead_bytes, r.copied_bytes),
                gpu.map(|c| c.launches),
                gpu.map(|c| c.uploads),
                gpu.map(|c| c.downloads),
                gpu.map(|c| c.device_copies),
                gpu.map(|c| c.allocations),
                r.gpu.map(|gpu| gpu.driver_used_bytes),
            ))
            .map_err(error)?;
        }
    }
    let bytes = csv.into_inner().map_err(|e| WriteError::new(path, &e))?;
    write_whole(path, &bytes)
}

/// `value` as JSON for people.
///
/// # Errors
/// [`WriteError`]
pub fn write_json(path: &Path, value: &(impl Serialize + ?Sized)) -> Result<(), WriteError> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|e| WriteError::new(path, &e))?;
    json.push(b'\n');
    write_whole(path, &json)
}

/// Makes a folder ready for a run: an earlier run there is removed, so that nothing of it may pass for this one's.
///
/// # Errors
/// A folder that cannot be written, or that holds another kind of result (of `kvlab quality`, say), which is left as it is.
pub fn run_folder(folder: &Path) -> Result<(), WriteError> {
    let error = |e: io::Error| WriteError::new(folder, &e);
    fs::create_dir_all(folder).map_err(error)?;
    if folder.join(SUMMARY).exists() && !folder.join(TRACE).exists() {
        let reason = format!("it holds a {SUMMARY} that is of no run; choose another folder");
        return Err(WriteError { path: folder.into(), reason });
    }
    remove_stale(folder, [CSV, SUMMARY, REPORT].into_iter().chain(plots::NAMES)).map_err(error)
}

/// Removes the files of an earlier run that may be there: nothing of it may pass for this one's.
///
/// # Errors
/// One that is there and cannot be removed.
pub fn remove_stale<'a>(folder: &Path, names: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    for name in names {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_only_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a");
        fs::write(&path, "before").expect("write");
        let pending = PendingFile::create(&path).expect("writable");
        drop(pending);
        assert_eq!(fs::read(&path).expect("there"), b"before");
        PendingFile::create(&path).expect("writable").finish(b"after").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"after");
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1, "nothing is left beside it");
        assert!(PendingFile::create(folder.path()).is_err() && PendingFile::create(&path.join("b")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_are_not_replaced() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = tempfile::tempdir().expect("folder");
        let (file, link, null) = (folder.path().join("file"), folder.path().join("link"), folder.path().join("null"));
        fs::write(&file, "before").expect("write");
        symlink(&file, &link).expect("link");
        symlink("/dev/null", &null).expect("link");
        write_whole(&link, b"after").expect("written");
        write_whole(&null, b"gone").expect("written");
        for link in [&link, &null] {
            assert!(fs::symlink_metadata(link).expect("there").is_symlink(), "{} was replaced", link.display());
        }
        assert_eq!(fs::read(&file).expect("there"), b"after");
        assert!(fs::metadata("/dev/null").expect("there").file_type().is_char_device());
    }
}
