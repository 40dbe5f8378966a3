//! Where a model comes from: embedded, a folder, or a shape with random weights.

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
    Config, Gpt2, ModelError, Tokenizer,
    config::SHAPES,
    safetensors::{SafetensorsFile, Source},
    weights::Weights,
};

/// What `--model` may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The embedded story model.
    Story,
    /// A folder in Hugging Face's layout: `config.json`, `model.safetensors`, maybe `tokenizer.json`.
    Folder(PathBuf),
    /// `shape:NAME[,ctx=N]`: random weights of exact size.
    Shape { name: String, n_positions: Option<usize> },
}

/// A model ready to run, with what a report says about it.
pub struct LoadedModel {
    pub source: ModelSource,
    pub model: Gpt2,
    /// `None` for a folder without `tokenizer.json`: only ids can be given.
    pub tokenizer: Option<Tokenizer>,
    /// SHA-256 of the weights' file; for a shape, its name and seed.
    pub hash: String,
}

const STORY_CONFIG: &[u8] = include_bytes!("../../assets/story-gpt2/config.json");
const STORY_TOKENIZER: &[u8] = include_bytes!("../../assets/story-gpt2/tokenizer.json");
const STORY_WEIGHTS: &[u8] = include_bytes!("../../assets/story-gpt2/model.safetensors");

/// Every shape is drawn from this seed, so that two machines measure the same numbers.
const SHAPE_SEED: u64 = 2019;
const MAX_CONTEXT: usize = 1 << 20;

const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// GPT-2's own is 1.3 MB.
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

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
        let hint = if SHAPES.iter().any(|(name, ..)| *name == text) {
            format!(
                "downloading checkpoints is not built yet: use `shape:{text}` (random weights of that size) or a \
                 folder with config.json and model.safetensors"
            )
        } else {
            format!("models are `story`, `shape:NAME[,ctx=N]` with NAME one of {}, or an existing folder", shapes())
        };
        Err(unknown(hint))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Story => f.write_str("story"),
            Self::Folder(path) => path.display().fmt(f),
            Self::Shape { name, n_positions: None } => write!(f, "shape:{name}"),
            Self::Shape { name, n_positions: Some(n) } => write!(f, "shape:{name},ctx={n}"),
        }
    }
}

impl ModelSource {
    /// True for random weights, whose text means nothing.
    #[must_use]
    pub fn is_random(&self) -> bool {
        matches!(self, Self::Shape { .. })
    }

    /// The shape of the model, without loading it.
    ///
    /// # Errors
    /// [`ModelError::BadFile`], [`ModelError::BadConfig`]
    pub fn config(&self) -> Result<Config, ModelError> {
        match self {
            Self::Story => Config::from_json(STORY_CONFIG),
            Self::Folder(folder) => {
                let path = folder.join("config.json");
                let bad = |reason: String| ModelError::BadFile { path: path.clone(), reason };
                if !folder.is_dir() {
                    let reason = "is a file; a model is a folder with config.json and model.safetensors".into();
                    return Err(ModelError::BadFile { path: folder.clone(), reason });
                }
                let json = read_small(&path, MAX_CONFIG_BYTES).map_err(|e| bad(e.to_string()))?;
                Config::from_json(&json).map_err(|e| bad(e.to_string()))
            }
            Self::Shape { name, n_positions } => {
                let config = Config::shape(name, *n_positions)
                    .ok_or_else(|| ModelError::UnknownModel { name: name.clone(), hint: "no such shape".into() })?;
                config.check()?;
                Ok(config)
            }
        }
    }

    /// Loads the model; `progress(done, all)` after each tensor, before which `cancel` is looked at.
    ///
    /// # Errors
    /// One clear [`ModelError`] for whatever is wrong, before memory for the weights is taken.
    pub fn load(
        &self,
        device: &Device,
        progress: &mut dyn FnMut(usize, usize),
        cancel: &AtomicBool,
    ) -> Result<LoadedModel, ModelError> {
        let config = self.config()?;
        let (mut weights, tokenizer, hash) = self.open(&config)?;
        let model = Gpt2::load(config, &mut weights, device, progress, cancel)?;
        Ok(LoadedModel { source: self.clone(), model, tokenizer, hash })
    }

    /// The weights alone, f32, under the names of [`Config::tensors`]: for a forward pass that is not [`Gpt2`]'s, as
    /// the labs write one.
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub fn tensors(&self, device: &Device) -> Result<HashMap<String, Tensor>, ModelError> {
        let config = self.config()?;
        let (mut weights, ..) = self.open(&config)?;
        let tensors = config.tensors().into_iter();
        tensors.map(|(name, shape)| weights.tensor(&name, &shape, device).map(|tensor| (name, tensor))).collect()
    }

    /// The checked weights, of which no tensor is read yet, the tokenizer and the hash.
    fn open(&self, config: &Config) -> Result<(Weights, Option<Tokenizer>, String), ModelError> {
        let needed_bytes = config.n_params() * size_of::<f32>() as u64;
        if let Some(available_bytes) = available_memory_bytes().filter(|free| *free < needed_bytes) {
            return Err(ModelError::TooLarge { needed_bytes, available_bytes });
        }
        Ok(match self {
            Self::Story => {
                let reader: Box<dyn Source + Send> = Box::new(io::Cursor::new(STORY_WEIGHTS));
                let mut file = SafetensorsFile::new(reader)?;
                file.check(config)?;
                let hash = file.sha256()?;
                (Weights::File(file), Some(Tokenizer::from_json(STORY_TOKENIZER)?), hash)
            }
            Self::Folder(folder) => {
                let path = folder.join("model.safetensors");
                let bad = |e: ModelError| ModelError::BadFile { path: path.clone(), reason: e.to_string() };
                let mut file = SafetensorsFile::open(&path)?.boxed();
                file.check(config).map_err(bad)?; // before the hash, which reads everything
                let hash = file.sha256().map_err(bad)?;
                (Weights::File(file), folder_tokenizer(folder)?, hash)
            }
            Self::Shape { .. } => {
                (Weights::Random { seed: SHAPE_SEED }, Some(Tokenizer::Bytes), format!("{self}, seed {SHAPE_SEED}"))
            }
        })
    }
}

/// A whole file, unless it is larger than such a file can be, or none at all (a pipe, say, would never end).
fn read_small(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
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

fn folder_tokenizer(folder: &Path) -> Result<Option<Tokenizer>, ModelError> {
    let path = folder.join("tokenizer.json");
    match read_small(&path, MAX_TOKENIZER_BYTES) {
        Ok(json) => {
            Tokenizer::from_json(&json).map(Some).map_err(|e| ModelError::BadFile { path, reason: e.to_string() })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ModelError::BadFile { path, reason: e.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for name in ["story", "shape:gpt2", "shape:gpt2-xl,ctx=8192"] {
            assert_eq!(name.parse::<ModelSource>().expect(name).to_string(), name);
        }
    }

    #[test]
    fn unknown_models_say_what_exists() {
        let message = |name: &str| name.parse::<ModelSource>().expect_err(name).to_string();
        assert!(message("gpt5").contains("models are `story`"));
        assert!(message("gpt2").contains("use `shape:gpt2`"));
        assert!(message("shape:gpt5").contains("shapes are distilgpt2"));
        assert!(message("shape:gpt2,ctx=0").contains("ctx=N"));
        assert!(message("shape:gpt2,ctx=99999999999").contains("ctx=N"));
        assert!(message("shape:gpt2,seed=1").contains("ctx=N"));
    }

    #[test]
    fn the_embedded_model_loads() {
        let mut calls = 0;
        let loaded =
            ModelSource::Story.load(&Device::Cpu, &mut |_, _| calls += 1, &AtomicBool::new(false)).expect("embedded");
        assert_eq!(calls, loaded.model.config().tensors().len());
        assert_eq!(loaded.hash.len(), 64);
        let cancelled = ModelSource::Story.load(&Device::Cpu, &mut |_, _| {}, &AtomicBool::new(true));
        assert!(matches!(cancelled, Err(ModelError::Cancelled)));
        let config = loaded.model.config();
        let tensors = ModelSource::Story.tensors(&Device::Cpu).expect("embedded");
        assert_eq!(tensors.len(), config.tensors().len());
        assert!(config.tensors().iter().all(|(name, shape)| tensors[name].dims() == shape.as_slice()));
        assert!(STORY_CONFIG.len() + STORY_TOKENIZER.len() + STORY_WEIGHTS.len() <= 16 << 20, "over 16 MB");
    }
}
