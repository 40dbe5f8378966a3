//! What a `kvq` cache has to know of a model beforehand: the levels of its keys and values, found on a text.
//!
//! `KVQuant` (Hooper et al. 2024, arXiv 2401.18079) quantizes keys channel by channel, before they are rotated to their positions, and
//! values token by token, to levels that are not equal steps, with outliers apart. Ranges and levels come from a text that is run through
//! the model once (`capture`); [`crate::kernels::codec::Levels`] finds them. What differs from the paper:
//!
//! - No Fisher information: every value counts for its squared distance. The paper weighs by gradients, which this program does not have.
//! - As many outliers are kept as there is room for in each token, not all beyond a threshold.
//! - GPT-2 has no rotary embedding, so there is no "before" to quantize keys at. Its learned positions are in every key all the same, and
//!   cannot be taken out: a channel's range has to cover all positions. In layer 2 of the story model, whose heads find names, keys vary by
//!   3.2 (standard deviation) over 1,024 tokens and by 0.5 within 32. So `kvq:4` is 0.37 nats away from the exact cache there, and `kivi:2`,
//!   which has ranges for every 32 tokens, 0.013 (mean KL divergence over 200 tokens after 300 of a held-out story). Wider or narrower
//!   ranges than 99 % moved the mean of six stories, keys alone quantized, by less than a fifth.
//! - The first token is quantized like all others (the paper keeps it in f16).
//!
//! With `+rot` rows are rotated before their levels are found: a calibration of its own.
//!
//! It takes a pass over some thousand tokens. So it is made once for a model that is loaded, whatever lanes there are, and kept on the disk
//! under the hash of the weights (`file`).

mod capture;
mod file;
mod text;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    cache::{CacheSpec, Calibration, Format},
    kernels::codec::{Levels, RowShape},
};

use super::{LoadedModel, ModelError};

/// The levels of a model, and on how much they were found.
#[derive(Clone, Debug)]
pub struct Calibrated {
    pub calibration: Calibration,
    /// Tokens that were run for it.
    pub n_tokens: usize,
    pub text: CalibrationText,
    /// True if an earlier run had kept it.
    pub from_disk: bool,
}

/// What was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalibrationText {
    /// Stories of the embedded model's language, none of which it was trained or is evaluated on.
    Stories,
    /// Ids from a seed, for a model whose text means nothing or that has no tokenizer.
    RandomIds,
}

impl fmt::Display for CalibrationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stories => "stories",
            Self::RandomIds => "random ids",
        })
    }
}

/// How far a calibration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibrating {
    pub levels: LevelsOf,
    pub n_tokens: usize,
    pub text: CalibrationText,
    /// Layers that were run or whose levels were found.
    pub done: usize,
    pub all: usize,
}

/// Which levels: a lane's `kvq:BITS`, with `+rot` or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LevelsOf {
    pub bits: u8,
    pub rotated: bool,
}

impl LevelsOf {
    /// What a lane needs; `None` for one whose format needs no levels.
    #[must_use]
    pub fn lane(spec: CacheSpec) -> Option<Self> {
        match spec.format {
            Format::Kvq { bits } => Some(Self { bits, rotated: spec.rotate }),
            _ => None,
        }
    }
}

impl fmt::Display for LevelsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kvq:{}{}", self.bits, if self.rotated { "+rot" } else { "" })
    }
}

/// The calibrations of one loaded model, each made when it is first asked for.
#[derive(Debug)]
pub struct Calibrations {
    /// Where they are kept from run to run.
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    made: BTreeMap<LevelsOf, Arc<Calibrated>>,
    note: Option<String>,
}

impl Calibrations {
    /// None yet, kept in `folder`, or only as long as the model is loaded.
    #[must_use]
    pub fn kept_in(folder: Option<PathBuf>) -> Self {
        Self { folder, state: Mutex::default() }
    }

    /// None yet, kept in `$KVLAB_CACHE/kvq`, or else in `kvlab/kvq` of the folder where the system keeps caches: `$XDG_CACHE_HOME` or
    /// `~/.cache`, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows.
    #[must_use]
    pub fn from_env() -> Self {
        Self::kept_in(folder(|name| env::var_os(name), env::home_dir()))
    }

    /// Why they could not be kept on the disk, if so.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).note.clone()
    }
}

fn folder(var: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let path = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = path("KVLAB_CACHE") {
        return Some(own.join("kvq"));
    }
    let of_system = if cfg!(windows) {
        path("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home.map(|home| home.join("Library").join("Caches"))
    } else {
        // A relative one is to be ignored, says the XDG base directory specification.
        path("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| home.map(|home| home.join(".cache")))
    };
    of_system.map(|folder| folder.join("kvlab").join("kvq"))
}

impl LoadedModel {
    /// The levels that a lane needs of this model; `None` for a lane that needs none. The first call for some levels reads them from the
    /// disk, or runs the model and keeps them there; later ones, of whatever lane, get the same. A disk that keeps nothing is no error:
    /// see [`Calibrations::note`].
    ///
    /// # Errors
    /// [`ModelError::Cancelled`], and what a forward pass meets; nothing is kept then.
    pub fn calibrated(
        &self,
        spec: CacheSpec,
        progress: &mut dyn FnMut(Calibrating),
        cancel: &AtomicBool,
    ) -> Result<Option<Arc<Calibrated>>, ModelError> {
        let Some(levels) = LevelsOf::lane(spec) else { return Ok(None) };
        // Held to the end: another lane that needs the same waits for it instead of making it again.
        let mut state = self.calibrations.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = state.made.get(&levels) {
            return Ok(Some(made.clone()));
        }
        let (text, ids) = text::ids(self)?;
        let n_tokens = ids.len();
        let identity = file::Identity::new(&self.hash, self.model.config().kv_shape(), levels, &ids);
        let kept = self.calibrations.folder.as_ref().map(|folder| folder.join(identity.file_name()));
        let made = if let Some(calibration) = kept.as_deref().and_then(|path| file::read(path, &identity)) {
            Calibrated { calibration, n_tokens, text, from_disk: true }
        } else {
            let mut tell = |done, all| progress(Calibrating { levels, n_tokens, text, done, all });
            let calibration = calibrate(self, levels, &ids, &mut tell, cancel)?;
            if state.note.is_none() {
                state.note = match &kept {
                    Some(path) => file::write(path, &identity, &calibration)
                        .err()
                        .map(|e| format!("the levels of {levels} could not be kept as {}: {e}", path.display())),
                    None => Some(format!("the levels of {levels} are not kept: there is no home folder")),
                };
            }
            Calibrated { calibration, n_tokens, text, from_disk: false }
        };
        let made = Arc::new(made);
        state.made.insert(levels, made.clone());
        Ok(Some(made))
    }
}

/// Runs the ids and finds the levels, layer by layer.
fn calibrate(
    model: &LoadedModel,
    levels: LevelsOf,
    ids: &[u32],
    progress: &mut dyn FnMut(usize, usize),
    cancel: &AtomicBool,
) -> Result<Calibration, ModelError> {
    let LevelsOf { bits, rotated } = levels;
    let shape = model.model.config().kv_shape();
    let rows = RowShape { n_kv_head: shape.heads.n_kv_head, head_dim: shape.heads.head_dim };
    let n_runs = ids.len().div_ceil(shape.max_seq_len) * shape.n_layer;
    let all = n_runs + shape.n_layer;
    progress(0, all);
    let captured = capture::capture(&model.model, ids, rotated, &mut |done| progress(done, all), cancel)?;
    let mut found = Vec::with_capacity(shape.n_layer);
    for (keys, values) in captured {
        if cancel.load(Ordering::Relaxed) {
            return Err(ModelError::Cancelled);
        }
        found.push(rayon::join(|| Levels::of_keys(bits, rows, &keys), || Levels::of_values(bits, rows, &values)));
        progress(n_runs + found.len(), all);
    }
    Ok(Calibration::new(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_folder_is_where_caches_are() {
        let with = |vars: &[(&str, &str)], home: Option<&str>| {
            let vars: BTreeMap<String, OsString> =
                vars.iter().map(|(name, value)| ((*name).into(), OsString::from(value))).collect();
            folder(|name| vars.get(name).cloned(), home.map(PathBuf::from))
        };
        assert_eq!(with(&[("KVLAB_CACHE", "here")], None), Some(Path::new("here").join("kvq")));
        assert_eq!(with(&[], None), None);
        if cfg!(all(unix, not(target_os = "macos"))) {
            let of = |vars, home| with(vars, home).and_then(|path| path.to_str().map(str::to_owned));
            assert_eq!(of(&[("KVLAB_CACHE", "")], Some("/home/a")).as_deref(), Some("/home/a/.cache/kvlab/kvq"));
            assert_eq!(of(&[("XDG_CACHE_HOME", "/c")], Some("/home/a")).as_deref(), Some("/c/kvlab/kvq"));
            assert_eq!(of(&[("XDG_CACHE_HOME", "c")], None), None, "a relative one is ignored");
        }
    }

    #[test]
    fn lanes_say_which_levels_they_need() {
        let of = |lane: &str| LevelsOf::lane(lane.parse().expect(lane)).map(|levels| levels.to_string());
        assert_eq!(of("paged:7+kvq:3+rot").as_deref(), Some("kvq:3+rot"));
        assert_eq!(of("concat+kvq:4").as_deref(), Some("kvq:4"));
        assert_eq!(of("paged:32+kivi:2"), None);
    }
}
