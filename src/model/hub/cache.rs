//! The folder where models are kept, in the layout of Hugging Face's own libraries, so that all of them share it.
//!
//! ```text
//! models--org--name/
//!     blobs/<etag>                      the content, once, under its hash
//!     snapshots/<commit>/<file>         links to blobs: the files of one commit
//!     refs/<branch>                     the commit that a branch was last seen at
//!     .no_exist/<commit>/<file>         files that a commit does not have
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::{CONFIG, MERGES, TOKENIZER, VOCAB, WEIGHTS, name::is_commit};

/// A commit is one small line.
const MAX_REF_BYTES: u64 = 256;

/// One model's folder in the cache, seen from one revision.
pub struct CacheFolder {
    repo: CacheRepo,
    folder: PathBuf,
    revision: String,
}

impl CacheFolder {
    /// `id` and `revision` have been checked: both become paths.
    #[must_use]
    pub fn new(cache_dir: &Path, id: &str, revision: &str) -> Self {
        let repo = Repo::with_revision(id.into(), RepoType::Model, revision.into());
        let folder = cache_dir.join(repo.folder_name());
        Self { repo: Cache::new(cache_dir.into()).repo(repo), folder, revision: revision.into() }
    }

    /// The commit that the revision stands for, as far as the cache knows.
    #[must_use]
    pub fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let path = self.folder.join("refs").join(&self.revision);
        let is_small = fs::metadata(&path).is_ok_and(|there| there.is_file() && there.len() <= MAX_REF_BYTES);
        let commit = if is_small { fs::read_to_string(path).ok()? } else { return None };
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// The folder of a commit's files.
    #[must_use]
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// True if the file of that commit is here.
    #[must_use]
    pub fn has(&self, commit: &str, file: &str) -> bool {
        self.snapshot(commit).join(file).is_file()
    }

    /// True if that commit is known not to have the file.
    #[must_use]
    pub fn is_absent(&self, commit: &str, file: &str) -> bool {
        self.no_exist(commit).join(file).exists()
    }

    /// The first file that a run of that commit needs and that is not here.
    #[must_use]
    pub fn missing(&self, commit: &str) -> Option<&'static str> {
        let has = |file: &str| self.has(commit, file);
        let is_settled = |file: &str| has(file) || self.is_absent(commit, file);
        let tokenizer = has(TOKENIZER) || (has(VOCAB) && has(MERGES)) || {
            is_settled(TOKENIZER) && (self.is_absent(commit, VOCAB) || self.is_absent(commit, MERGES))
        };
        [(CONFIG, has(CONFIG)), (WEIGHTS, has(WEIGHTS)), (TOKENIZER, tokenizer)]
            .into_iter()
            .find_map(|(file, is_here)| (!is_here).then_some(file))
    }

    /// Where a content with that etag belongs.
    #[must_use]
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.repo.blob_path(etag)
    }

    /// Makes a blob a file of that commit.
    ///
    /// # Errors
    /// What the system says.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> io::Result<()> {
        let folder = self.snapshot(commit);
        fs::create_dir_all(&folder)?;
        let path = folder.join(file);
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?; // A link to a blob that is gone.
        }
        // Relative, so that the cache can be moved.
        let target = Path::new("..").join("..").join("blobs").join(etag);
        symlink(&target, &path).or_else(|_| fs::rename(self.blob(etag), &path))
    }

    /// Remembers that a commit does not have a file. Only a hint: that it cannot be written harms nothing.
    pub fn mark_absent(&self, commit: &str, file: &str) {
        let folder = self.no_exist(commit);
        let _ = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(file), ""));
    }

    /// Remembers the commit of the branch. Called when all its files are here, so that a run without a network finds
    /// what it needs; a cache that cannot be written stays as it was.
    pub fn record(&self, commit: &str) {
        if !is_commit(&self.revision) && self.commit().as_deref() != Some(commit) {
            let _ = self.repo.create_ref(commit);
        }
    }

    fn no_exist(&self, commit: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit)
    }
}

#[cfg(unix)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
