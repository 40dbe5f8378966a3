//! `records.csv` and `summary.json`, each written whole or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::summary::{LaneResult, LaneSummary};

/// What a finished run leaves beside its trace.
pub const CSV: &str = "records.csv";
pub const SUMMARY: &str = "summary.json";

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

/// Writes beside the target and renames, so that a full disk or a crash never leaves half a file under
/// its final name.
///
/// # Errors
/// [`WriteError`]
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let error = |e: io::Error| WriteError::new(path, &e);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error)?;
    io::Write::write_all(&mut file, bytes).map_err(error)?;
    file.as_file().sync_all().map_err(error)?;
    // Temporary files are private; a report is for everybody the folder is for.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).map_err(error)?;
    }
    file.persist(path).map_err(|e| error(e.error))?;
    Ok(())
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
        "copied_bytes",
    ])
    .map_err(error)?;
    for lane in lanes {
        for r in &lane.records {
            csv.serialize((
                &lane.lane,
                r.step,
                r.phase,
                r.tokens_in,
                r.forward_secs,
                r.sample_secs,
                r.total_secs,
                r.token_id,
                r.reserved_bytes,
                r.held_bytes,
                r.used_bytes,
                r.copied_bytes,
            ))
            .map_err(error)?;
        }
    }
    let bytes = csv.into_inner().map_err(|e| WriteError::new(path, &e))?;
    write_whole(path, &bytes)
}

/// An array with an object per lane.
///
/// # Errors
/// [`WriteError`]
pub fn write_summary(path: &Path, lanes: &[LaneSummary]) -> Result<(), WriteError> {
    let mut json = serde_json::to_vec_pretty(lanes).map_err(|e| WriteError::new(path, &e))?;
    json.push(b'\n');
    write_whole(path, &json)
}
