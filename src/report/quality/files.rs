//! What a quality run leaves in its folder.

use std::path::Path;

use serde::Serialize;

use super::plots::write_plots;
use crate::{
    experiment::quality::{LaneQuality, PositionQuality, QualitySettings},
    measure::machine::Machine,
    report::files::{SUMMARY, WriteError, write_json, write_whole},
};

pub const POSITIONS: &str = "positions.csv";
pub const RUN: &str = "run.json";
/// Everything such a folder may hold.
pub const FILES: [&str; 7] = [POSITIONS, "pareto.svg", "pareto.png", "recall.svg", "recall.png", RUN, SUMMARY];

/// Under which circumstances the numbers were measured, as in `run.json`: enough to measure them again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunInfo {
    pub kvlab_version: String,
    /// The commit kvlab was built from, if it was built in a checkout.
    pub commit: Option<String>,
    pub started_unix_secs: u64,
    pub machine: Machine,
    pub device: String,
    pub model: String,
    pub model_hash: String,
    /// What was read.
    pub text: String,
    pub text_hash: String,
    pub passages: usize,
    /// Tokens of the passages, prompts included.
    pub tokens: usize,
    #[serde(flatten)]
    pub settings: QualitySettings,
    pub lanes: Vec<String>,
}

/// Writes all files, `summary.json` last: a folder with a summary is a folder with everything. Returns their names.
///
/// # Errors
/// [`WriteError`]
pub fn write_all(
    folder: &Path,
    model: &str,
    run: &RunInfo,
    lanes: &[LaneQuality],
    positions: &[Vec<PositionQuality>],
) -> Result<Vec<String>, WriteError> {
    write_positions(&folder.join(POSITIONS), lanes, positions)?;
    let plots = write_plots(folder, model, lanes)?;
    write_json(&folder.join(RUN), run)?;
    write_json(&folder.join(SUMMARY), lanes)?;
    Ok([POSITIONS.to_owned()].into_iter().chain(plots).chain([RUN, SUMMARY].map(str::to_owned)).collect())
}

/// A row per lane and position.
fn write_positions(path: &Path, lanes: &[LaneQuality], positions: &[Vec<PositionQuality>]) -> Result<(), WriteError> {
    let error = |e: csv::Error| WriteError::new(path, &e);
    let mut csv = csv::Writer::from_writer(vec![]);
    csv.write_record(["lane", "position", "passages", "kl", "top1_agreement", "nll"]).map_err(error)?;
    for (lane, positions) in lanes.iter().zip(positions) {
        for at in positions {
            csv.serialize((&lane.lane, at.position, at.passages, at.kl, at.top1_agreement, at.nll)).map_err(error)?;
        }
    }
    let bytes = csv.into_inner().map_err(|e| WriteError::new(path, &e))?;
    write_whole(path, &bytes)
}
