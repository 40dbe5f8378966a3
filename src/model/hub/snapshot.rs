//! The files of one commit: from the cache where they are there, from the hub where they are not.

use crate::model::{Config, ModelError};

use super::{
    CONFIG, Fetch, HubError, MAIN, MERGES, Snapshot, TOKENIZER, VOCAB, WEIGHTS,
    cache::CacheFolder,
    download::download,
    name::{is_commit, is_id, is_revision},
    read_small,
    remote::{Announced, Remote},
};

/// Makes sure that all of a model is in the cache.
///
/// All files come from one commit: a branch is looked up once. A commit that is complete in the cache needs no
/// network, and where there is none a branch is what it was when it was last seen.
///
/// # Errors
/// [`ModelError::Hub`], or a configuration that cannot be run.
pub fn snapshot(id: &str, revision: Option<&str>, fetch: &mut Fetch<'_>) -> Result<Snapshot, ModelError> {
    let (hub, revision) = (fetch.hub, revision.unwrap_or(MAIN));
    let model = if revision == MAIN { id.to_owned() } else { format!("{id}@{revision}") };
    if !is_id(id) || !is_revision(revision) {
        return Err(HubError::BadName(model).into());
    }
    let cache_dir = hub.cache_dir.clone().ok_or(HubError::NoHome)?;
    let cache = CacheFolder::new(&cache_dir, id, revision);
    let local = cache.commit().filter(|commit| cache.missing(commit).is_none());
    let found = |commit: String, note| Snapshot { folder: cache.snapshot(&commit), commit, note };
    if hub.offline {
        return local.map(|commit| found(commit, None)).ok_or_else(|| {
            let file = cache.commit().and_then(|commit| cache.missing(&commit)).unwrap_or(CONFIG);
            HubError::NotCached { model, file, cache: cache_dir.clone() }.into()
        });
    }
    if let Some(commit) = local.clone().filter(|_| is_commit(revision)) {
        return Ok(found(commit, None));
    }
    let remote = Remote::new(hub, id)?;
    let first = match (remote.announced(revision, CONFIG, fetch.cancel), local) {
        (Ok(first), _) => first,
        (Err(error), Some(commit)) if error.is_no_answer() => {
            let note = format!("the copy in the cache was taken, which may not be the newest: {}", error.brief());
            return Ok(found(commit, Some(note)));
        }
        (Err(error), _) => return Err(error.into()),
    };
    let commit = first.commit.clone();
    let mut files = Files { remote: &remote, cache: &cache, commit: &commit, fetch };
    files.all(first)?;
    // Not where a file may yet come: without a network, a commit seen before that is complete is the better one.
    if cache.missing(&commit).is_none() {
        cache.record(&commit);
    }
    Ok(found(commit, None))
}

/// The files of one commit on their way into the cache.
struct Files<'a, 'b> {
    remote: &'a Remote,
    cache: &'a CacheFolder,
    commit: &'a str,
    fetch: &'a mut Fetch<'b>,
}

impl Files<'_, '_> {
    /// The small files first: what cannot be run is refused before its weights are fetched.
    fn all(&mut self, config: Announced) -> Result<(), ModelError> {
        self.get(CONFIG, Some(config))?;
        let path = self.cache.snapshot(self.commit).join(CONFIG);
        let bad = |reason: String| ModelError::BadFile { path: path.clone(), reason };
        let json = read_small(&path).map_err(|e| bad(e.to_string()))?;
        let config = Config::from_json(&json).map_err(|e| bad(e.to_string()))?;
        (self.fetch.accept)(&config)?;
        if !self.get_if_there(TOKENIZER)? && self.get_if_there(VOCAB)? {
            self.get_if_there(MERGES)?;
        }
        Ok(self.get(WEIGHTS, None)?)
    }

    fn get(&mut self, file: &'static str, announced: Option<Announced>) -> Result<(), HubError> {
        if self.cache.has(self.commit, file) {
            return Ok(());
        }
        let cancel = self.fetch.cancel;
        let announced = match announced {
            Some(announced) => announced,
            None => self.remote.announced(self.commit, file, cancel)?,
        };
        if announced.size > super::max_bytes(file) {
            return Err(HubError::TooLarge { file, bytes: announced.size });
        }
        let blob = self.cache.blob(&announced.etag);
        let retries = self.fetch.hub.retries;
        download(self.remote, file, &announced, &blob, retries, &mut *self.fetch.progress, cancel)?;
        self.cache
            .link(self.commit, file, &announced.etag)
            .map_err(|e| HubError::Disk { path: self.cache.snapshot(self.commit), reason: e.to_string() })
    }

    /// True if the commit has the file. That it has none is remembered when the hub says so; another 404 counts for this
    /// run, and the next one asks again.
    fn get_if_there(&mut self, file: &'static str) -> Result<bool, HubError> {
        if self.cache.is_absent(self.commit, file) {
            return Ok(false);
        }
        match self.get(file, None) {
            Ok(()) => Ok(true),
            Err(HubError::NoFile { .. }) => {
                self.cache.mark_absent(self.commit, file);
                Ok(false)
            }
            Err(HubError::NotFound { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }
}
