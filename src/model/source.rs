//! Where a model comes from: embedded, a folder, the Hugging Face hub, or a shape with random weights.

use std::{
    collections::HashMap,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
    sync::atomic::AtomicBool,
};

use candle_core::{Device, Tensor};

use crate::measure::machine::available_memory_bytes;

use super::{
    Calibrations, Config, Gpt2, HubConfig, ModelError, Tokenizer, WeightType,
    config::SHAPES,
    hub::{self, CONFIG, Fetch, MERGES, TOKENIZER, VOCAB, WEIGHTS, snapshot},
    safetensors::{SafetensorsFile, Source},
    weights::Weights,
};

/// What `--model` may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The embedded story model.
    Story,
    /// A folder in Hugging Face's layout: `config.json`, `model.safetensors`, and maybe `tokenizer.json`, or
    /// `vocab.json` and `merges.txt`.
    Folder(PathBuf),
    /// `NAME[@REVISION]` or `ORG/NAME[@REVISION]` on the Hugging Face hub.
    Hub { id: String, revision: Option<String> },
    /// `shape:NAME[,ctx=N]`: random weights of exact size.
    Shape { name: String, n_positions: Option<usize> },
}

/// A model ready to run, with what a report says about it.
pub struct LoadedModel {
    /// What was asked for.
    pub asked: ModelSource,
    /// What was loaded: of the hub, one commit. Asking for this gives the same model again.
    pub source: ModelSource,
    pub model: Gpt2,
    /// `None` for a folder without one: only ids can be given.
    pub tokenizer: Option<Tokenizer>,
    /// What a person should know about where it came from.
    pub note: Option<String>,
    /// SHA-256 of the weights' file; for a shape, its name and seed.
    pub hash: String,
    /// What caches have to know of it beforehand, see [`LoadedModel::calibrated`].
    pub calibrations: Calibrations,
}

/// How far loading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of one file from the hub that are on the disk.
    Downloading { file: &'static str, done_bytes: u64, all_bytes: u64 },
    /// Tensors that are in memory.
    Loading { done: usize, all: usize },
}

const STORY_CONFIG: &[u8] = include_bytes!("../../assets/story-gpt2/config.json");
const STORY_TOKENIZER: &[u8] = include_bytes!("../../assets/story-gpt2/tokenizer.json");
const STORY_WEIGHTS: &[u8] = include_bytes!("../../assets/story-gpt2/model.safetensors");

/// Every shape is drawn from this seed, so that two machines measure the same numbers.
const SHAPE_SEED: u64 = 2019;
const MAX_CONTEXT: usize = 1 << 20;

impl FromStr for ModelSource {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let unknown = |hint: String| ModelError::UnknownModel { name: text.into(), hint };
        let shapes = || SHAPES.map(|(name, ..)| name).join(", ");
        if text == "story" {
            return Ok(Self::Story);
        }
        if let Some(shape) = text.strip_prefix("shape:") {
            let (name, n_positions) = match shape.split_once(',') {
                None => (shape, None),
                Some((name, option)) => {
                    let n = option.strip_prefix("ctx=").and_then(|n| n.parse().ok());
                    let n = n.filter(|n| (1..=MAX_CONTEXT).contains(n)).ok_or_else(|| {
                        unknown(format!("after the comma `ctx=N` is expected, N from 1 to {MAX_CONTEXT}"))
                    })?;
                    (name, Some(n))
                }
            };
            if Config::shape(name, n_positions).is_none() {
                return Err(unknown(format!("shapes are {}", shapes())));
            }
            return Ok(Self::Shape { name: name.into(), n_positions });
        }
        if Path::new(text).exists() {
            return Ok(Self::Folder(text.into()));
        }
        if let Some((id, revision)) = hub::name::parse(text) {
            return Ok(Self::Hub { id, revision });
        }
        Err(unknown(format!(
            "models are `story`, `shape:NAME[,ctx=N]` with NAME one of {}, an existing folder, or of the Hugging Face \
             hub {} and ORG/NAME, with @REVISION behind if wanted",
            shapes(),
            hub::name::FAMILY.join(", ")
        )))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Story => f.write_str("story"),
            Self::Folder(path) => path.display().fmt(f),
            Self::Hub { id, revision: None } => f.write_str(id),
            Self::Hub { id, revision: Some(revision) } => write!(f, "{id}@{revision}"),
            Self::Shape { name, n_positions: None } => write!(f, "shape:{name}"),
            Self::Shape { name, n_positions: Some(n) } => write!(f, "shape:{name},ctx={n}"),
        }
    }
}

impl LoadedModel {
    /// The text of each token by itself; none where there is no tokenizer.
    #[must_use]
    pub fn pieces(&self, ids: &[u32]) -> Vec<String> {
        let piece = |tokenizer: &Tokenizer, id: &u32| tokenizer.piece(*id).unwrap_or_default();
        self.tokenizer.as_ref().map_or(vec![], |tokenizer| ids.iter().map(|id| piece(tokenizer, id)).collect())
    }
}

impl ModelSource {
    /// True for random weights, whose text means nothing.
    #[must_use]
    pub fn is_random(&self) -> bool {
        matches!(self, Self::Shape { .. })
    }

    /// The shape of the model, without loading it. A model of the hub has to be in the cache for that.
    ///
    /// # Errors
    /// [`ModelError::BadFile`], [`ModelError::BadConfig`], [`ModelError::Hub`]
    pub fn config(&self) -> Result<Config, ModelError> {
        match self {
            Self::Story => Config::from_json(STORY_CONFIG),
            Self::Folder(folder) => folder_config(folder),
            Self::Hub { id, revision } => {
                let hub = HubConfig { offline: true, ..HubConfig::from_env() };
                let mut fetch =
                    Fetch { hub: &hub, accept: &|_| Ok(()), progress: &mut |_| {}, cancel: &AtomicBool::new(false) };
                folder_config(&snapshot(id, revision.as_deref(), &mut fetch)?.folder)
            }
            Self::Shape { name, n_positions } => {
                let config = Config::shape(name, *n_positions)
                    .ok_or_else(|| ModelError::UnknownModel { name: name.clone(), hint: "no such shape".into() })?;
                config.check()?;
                Ok(config)
            }
        }
    }

    /// Loads the model, with the hub as the environment describes it.
    ///
    /// # Errors
    /// As [`Self::load_with`].
    pub fn load(
        &self,
        device: &Device,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<LoadedModel, ModelError> {
        self.load_with(&HubConfig::from_env(), device, progress, cancel)
    }

    /// Loads the model with its weights in f32, as all that compares caches does.
    ///
    /// # Errors
    /// As [`Self::load_as`].
    pub fn load_with(
        &self,
        hub: &HubConfig,
        device: &Device,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<LoadedModel, ModelError> {
        self.load_as(WeightType::F32, hub, device, progress, cancel)
    }

    /// Loads the model. `progress` is told of the bytes of each file from the hub and of each tensor; `cancel` is
    /// looked at while bytes are waited for, and before each tensor.
    ///
    /// # Errors
    /// One clear [`ModelError`] for whatever is wrong, before memory for the weights is taken.
    pub fn load_as(
        &self,
        weights_as: WeightType,
        hub: &HubConfig,
        device: &Device,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<LoadedModel, ModelError> {
        let (mut source, mut note, mut folder) = (self.clone(), None, None);
        match self {
            Self::Folder(path) => folder = Some(path.clone()),
            Self::Hub { id, revision } => {
                let mut fetch = Fetch { hub, accept: &check_memory, progress: &mut *progress, cancel };
                let snapshot = snapshot(id, revision.as_deref(), &mut fetch)?;
                source = Self::Hub { id: id.clone(), revision: Some(snapshot.commit) };
                (note, folder) = (snapshot.note, Some(snapshot.folder));
            }
            Self::Story | Self::Shape { .. } => {}
        }
        let config = folder.as_deref().map_or_else(|| self.config(), folder_config)?;
        check_memory(&config)?;
        let (mut weights, tokenizer, hash) = match &folder {
            Some(folder) => open_folder(folder, &config)?,
            None if self.is_random() => {
                (Weights::Random { seed: SHAPE_SEED }, Some(Tokenizer::Bytes), format!("{self}, seed {SHAPE_SEED}"))
            }
            None => {
                let (weights, hash) = open_story(&config)?;
                (weights, Some(Tokenizer::from_json(STORY_TOKENIZER)?), hash)
            }
        };
        if let (Self::Hub { .. }, Some(folder)) = (self, &folder) {
            hub::check_cached(&folder.join(WEIGHTS), &hash)?;
        }
        let mut tensors = |done, all| progress(Progress::Loading { done, all });
        let model = Gpt2::load(config, &mut weights, device, weights_as, &mut tensors, cancel)?;
        let calibrations = Calibrations::from_env();
        // Another model, in all that depends on its numbers.
        let hash = if weights_as == WeightType::F32 { hash } else { format!("{hash}+{weights_as}") };
        Ok(LoadedModel { asked: self.clone(), source, model, tokenizer, note, hash, calibrations })
    }
}

/// The weights of the embedded model alone, f32, under the names of [`Config::tensors`]: for a forward pass that is not
/// [`Gpt2`]'s, as the labs write one.
///
/// # Errors
/// Those of [`ModelSource::load`].
pub fn story_tensors(device: &Device) -> Result<HashMap<String, Tensor>, ModelError> {
    let config = ModelSource::Story.config()?;
    let (mut weights, _) = open_story(&config)?;
    let tensors = config.tensors().into_iter();
    tensors.map(|(name, shape)| weights.tensor(&name, &shape, device).map(|tensor| (name, tensor))).collect()
}

/// Writes the embedded model into `folder` in Hugging Face's layout, for programs that have no other way to it.
///
/// # Errors
/// The disk's.
pub fn write_story(folder: &Path) -> io::Result<()> {
    let files = [(CONFIG, STORY_CONFIG), (TOKENIZER, STORY_TOKENIZER), (WEIGHTS, STORY_WEIGHTS)];
    files.into_iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
}

/// The embedded weights, checked and not yet read, and their hash.
fn open_story(config: &Config) -> Result<(Weights, String), ModelError> {
    let reader: Box<dyn Source + Send> = Box::new(io::Cursor::new(STORY_WEIGHTS));
    let mut file = SafetensorsFile::new(reader)?;
    file.check(config)?;
    let hash = file.sha256()?;
    Ok((Weights::File(file), hash))
}

/// Refuses a model whose weights would not fit into memory.
fn check_memory(config: &Config) -> Result<(), ModelError> {
    let needed_bytes = config.n_params() * size_of::<f32>() as u64;
    match available_memory_bytes() {
        Some(available_bytes) if available_bytes < needed_bytes => {
            Err(ModelError::TooLarge { needed_bytes, available_bytes })
        }
        _ => Ok(()),
    }
}

fn folder_config(folder: &Path) -> Result<Config, ModelError> {
    let path = folder.join(CONFIG);
    let bad = |reason: String| ModelError::BadFile { path: path.clone(), reason };
    if !folder.is_dir() {
        let reason = "is a file; a model is a folder with config.json and model.safetensors".into();
        return Err(ModelError::BadFile { path: folder.into(), reason });
    }
    let json = read_small(&path).map_err(|e| bad(e.to_string()))?;
    Config::from_json(&json).map_err(|e| bad(e.to_string()))
}

/// The weights of a folder, checked against its configuration and not yet read into memory, its tokenizer if it has
/// one, and the hash of the weights.
fn open_folder(folder: &Path, config: &Config) -> Result<(Weights, Option<Tokenizer>, String), ModelError> {
    let path = folder.join(WEIGHTS);
    let bad = |e: ModelError| ModelError::BadFile { path: path.clone(), reason: e.to_string() };
    let mut file = SafetensorsFile::open(&path)?.boxed();
    file.check(config).map_err(bad)?; // before the hash, which reads everything
    let hash = file.sha256().map_err(bad)?;
    Ok((Weights::File(file), folder_tokenizer(folder)?, hash))
}

/// A whole file, unless it is larger than one of its name can be, or none at all (a pipe, say, would never end).
pub(super) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let max_bytes = path.file_name().and_then(|name| name.to_str()).map_or(0, hub::max_bytes);
    let there = fs::metadata(path)?;
    if !there.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    let mut bytes = vec![];
    fs::File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("is larger than {max_bytes} bytes, more than any such file has")));
    }
    Ok(bytes)
}

/// `tokenizer.json`, else `vocab.json` and `merges.txt`.
fn folder_tokenizer(folder: &Path) -> Result<Option<Tokenizer>, ModelError> {
    let read = |name: &str| {
        let path = folder.join(name);
        match read_small(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(ModelError::BadFile { path, reason: e.to_string() }),
        }
    };
    let (path, tokenizer) = if let Some(json) = read(TOKENIZER)? {
        (TOKENIZER, Tokenizer::from_json(&json))
    } else if let (Some(vocab), Some(merges)) = (read(VOCAB)?, read(MERGES)?) {
        (VOCAB, Tokenizer::from_vocab_and_merges(&vocab, &merges))
    } else {
        return Ok(None);
    };
    tokenizer.map(Some).map_err(|e| ModelError::BadFile { path: folder.join(path), reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        let names = [
            "story",
            "shape:gpt2",
            "shape:gpt2-xl,ctx=8192",
            "gpt2",
            "distilgpt2@main",
            "org/name",
            "org/name@refs/pr/1",
        ];
        for name in names {
            assert_eq!(name.parse::<ModelSource>().expect(name).to_string(), name);
        }
    }

    #[test]
    fn unknown_models_say_what_exists() {
        let message = |name: &str| name.parse::<ModelSource>().expect_err(name).to_string();
        assert!(message("gpt5").contains("models are `story`"));
        assert!(message("gpt5@main").contains("gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2 and ORG/NAME"));
        assert!(
            message("../gpt2").contains("an existing folder")
                && message("/nowhere/gpt2").contains("an existing folder")
        );
        assert!(message("shape:gpt5").contains("shapes are distilgpt2"));
        assert!(message("shape:gpt2,ctx=0").contains("ctx=N"));
        assert!(message("shape:gpt2,ctx=99999999999").contains("ctx=N"));
        assert!(message("shape:gpt2,seed=1").contains("ctx=N"));
    }

    #[test]
    fn the_embedded_model_loads() {
        let mut calls = 0;
        let loaded =
            ModelSource::Story.load(&Device::Cpu, &mut |_| calls += 1, &AtomicBool::new(false)).expect("embedded");
        assert_eq!(calls, loaded.model.config().tensors().len());
        assert_eq!(loaded.hash.len(), 64);
        let cancelled = ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &AtomicBool::new(true));
        assert!(matches!(cancelled, Err(ModelError::Cancelled)));
        let config = loaded.model.config();
        let tensors = story_tensors(&Device::Cpu).expect("embedded");
        assert_eq!(tensors.len(), config.tensors().len());
        assert!(config.tensors().iter().all(|(name, shape)| tensors[name].dims() == shape.as_slice()));
        assert!(STORY_CONFIG.len() + STORY_TOKENIZER.len() + STORY_WEIGHTS.len() <= 16 << 20, "over 16 MB");
    }
}
