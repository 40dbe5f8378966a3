//! GPT-2 checkpoints from the Hugging Face hub, kept in the cache that Hugging Face's own libraries use.
//!
//! hf-hub knows the names and the layout of that cache. Its own download can neither be cancelled nor verified, waits
//! for ever where nothing comes, and sends the token to whatever host it is redirected to; so the files are fetched
//! here, with the client that hf-hub brings (`ARCHITECTURE.md` has the whole list).
//!
//! - [`name`]: ids and revisions, and what may not be one
//! - [`error`]: what can go wrong, and what to do then
//! - `http`: a request on its own thread, with a deadline for silence
//! - `remote`: what the hub says about a file
//! - `cache`: the folder layout
//! - `hash`: the hash by which the hub names a content
//! - `download`: one file, continued and verified
//! - `snapshot`: all files of one commit

pub mod error;
pub mod name;

#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod hash;
#[cfg(feature = "hub")]
mod http;
#[cfg(feature = "hub")]
mod remote;
#[cfg(feature = "hub")]
mod snapshot;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use super::{Config, ModelError, Progress, source::read_small};

pub use error::{HubError, Kept};
#[cfg(feature = "hub")]
pub use snapshot::snapshot;

pub const CONFIG: &str = "config.json";
pub const TOKENIZER: &str = "tokenizer.json";
pub const VOCAB: &str = "vocab.json";
pub const MERGES: &str = "merges.txt";
pub const WEIGHTS: &str = "model.safetensors";
const TOKEN: &str = "token";

/// The branch of whoever names none.
pub const MAIN: &str = "main";

const SHA256_DIGITS: usize = 64;

const ENDPOINT: &str = "https://huggingface.co";
/// Long for a network, short for a person.
const SILENCE: Duration = Duration::from_secs(30);
const RETRIES: usize = 3;

/// How the hub is reached and where its files are kept.
#[derive(Clone)]
pub struct HubConfig {
    pub endpoint: String,
    /// `None` where there is no home folder.
    pub cache_dir: Option<PathBuf>,
    /// Sent to the endpoint's host, and to no other.
    pub token: Option<String>,
    /// Only what is in the cache.
    pub offline: bool,
    /// The longest wait for the next byte.
    pub silence: Duration,
    /// How often a connection that broke is taken up again within one download.
    pub retries: usize,
}

impl HubConfig {
    /// What the variables of Hugging Face's own libraries say: `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`
    /// (or the file `token` in `HF_HOME`), `HF_HUB_OFFLINE`.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_vars(|name| env::var_os(name), env::home_dir())
    }

    fn from_vars(var: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let text = |name: &str| var(name).and_then(|value| value.into_string().ok());
        let cache_home = var("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| home.map(|home| home.join(".cache")));
        let hf_home = var("HF_HOME").map(PathBuf::from).or_else(|| cache_home.map(|cache| cache.join("huggingface")));
        let token_file = || read_small(&hf_home.as_ref()?.join(TOKEN)).ok();
        let token = text("HF_TOKEN").or_else(|| String::from_utf8(token_file()?).ok());
        let is_true = |value: String| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into()),
            cache_dir: var("HF_HUB_CACHE").map(PathBuf::from).or_else(|| hf_home.as_ref().map(|home| home.join("hub"))),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline: text("HF_HUB_OFFLINE").is_some_and(is_true),
            silence: SILENCE,
            retries: RETRIES,
        }
    }
}

/// A model in the cache, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub folder: PathBuf,
    pub commit: String,
    /// Why it may not be the newest.
    pub note: Option<String>,
}

/// Settings and callbacks of one [`snapshot`].
pub struct Fetch<'a> {
    pub hub: &'a HubConfig,
    /// Looks at the configuration before anything large is downloaded.
    pub accept: &'a dyn Fn(&Config) -> Result<(), ModelError>,
    pub progress: &'a mut dyn FnMut(Progress),
    pub cancel: &'a AtomicBool,
}

/// What stands for the hub in a build without it.
///
/// # Errors
/// [`HubError::BuiltWithoutHub`]
#[cfg(not(feature = "hub"))]
pub fn snapshot(_id: &str, _revision: Option<&str>, _fetch: &mut Fetch<'_>) -> Result<Snapshot, ModelError> {
    Err(HubError::BuiltWithoutHub.into())
}

/// How large a file of that name can be: real ones are smaller by far. Weights have no limit but the disk.
#[must_use]
pub fn max_bytes(file: &str) -> u64 {
    match file {
        TOKEN => 4 << 10,
        CONFIG => 1 << 20,
        TOKENIZER | VOCAB | MERGES => 64 << 20,
        _ => u64::MAX >> 1,
    }
}

/// Compares weights of the cache, whose hash is taken at each load, with the sha256 under which they are kept.
///
/// # Errors
/// [`HubError::Damaged`]; they are deleted then, for every program that shares the cache.
pub fn check_cached(weights: &Path, actual: &str) -> Result<(), HubError> {
    // Links are to blobs, which are named by their hash; where there are no links, there is no name to compare with.
    let blob = fs::read_link(weights).ok();
    let name = blob.as_ref().and_then(|blob| blob.file_name()).and_then(|name| name.to_str());
    let Some(expected) = name.filter(|name| name::is_hex(name, SHA256_DIGITS) && *name != actual) else {
        return Ok(());
    };
    if let Ok(blob) = fs::canonicalize(weights) {
        let _ = fs::remove_file(blob);
    }
    let _ = fs::remove_file(weights);
    Err(HubError::Damaged { path: weights.into(), expected: expected.into(), actual: actual.into() })
}

/// The commit at which a model is complete in the cache, if it is.
#[must_use]
pub fn cached_commit(hub: &HubConfig, id: &str) -> Option<String> {
    #[cfg(feature = "hub")]
    {
        let cache = cache::CacheFolder::new(hub.cache_dir.as_ref()?, id, MAIN);
        cache.commit().filter(|commit| cache.missing(commit).is_none())
    }
    #[cfg(not(feature = "hub"))]
    {
        let _ = (hub, id);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> HubConfig {
        let vars: Vec<(String, String)> = vars.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let var = |name: &str| vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.into());
        HubConfig::from_vars(var, Some("/home/me".into()))
    }

    #[test]
    fn variables_mean_what_they_mean_to_hugging_face() {
        let plain = config(&[("HF_ENDPOINT", ""), ("HF_HUB_OFFLINE", "0")]);
        assert_eq!((plain.endpoint.as_str(), plain.offline, plain.token), (ENDPOINT, false, None));
        assert_eq!(plain.cache_dir, Some("/home/me/.cache/huggingface/hub".into()));
        assert_eq!(config(&[("XDG_CACHE_HOME", "/c")]).cache_dir, Some("/c/huggingface/hub".into()));
        assert_eq!(config(&[("XDG_CACHE_HOME", "/c"), ("HF_HOME", "/h")]).cache_dir, Some("/h/hub".into()));
        assert_eq!(config(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/x")]).cache_dir, Some("/x".into()));
        assert_eq!(config(&[("HF_TOKEN", " hf_abc\n")]).token.as_deref(), Some("hf_abc"));
        assert!(config(&[("HF_HUB_OFFLINE", "True")]).offline);
        assert_eq!(HubConfig::from_vars(|_| None, None).cache_dir, None);
    }

    #[test]
    fn the_token_file_is_read() {
        let home = tempfile::tempdir().expect("folder");
        std::fs::write(home.path().join("token"), "hf_file\n").expect("write");
        let path = home.path().to_str().expect("path");
        assert_eq!(config(&[("HF_HOME", path)]).token.as_deref(), Some("hf_file"));
        assert_eq!(config(&[("HF_HOME", path), ("HF_TOKEN", "hf_var")]).token.as_deref(), Some("hf_var"));
    }
}
