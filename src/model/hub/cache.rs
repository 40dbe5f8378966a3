//! The folder where models are kept, in the layout of Hugging Face's own libraries, so that all of them share it.
//!
//! ```text
//! models--org--name/
//!     blobs/<etag>                      the content, once, under its hash
//!     snapshots/<commit>/<file>         the files of one commit: links to blobs, or second names or copies
//!     refs/<branch>                     the commit that a branch was last seen at
//!     .no_exist/<commit>/<file>         files that a commit does not have
//! ```

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
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

    /// Makes a blob a file of that commit: a link to it, and where there are no links, a second name or a copy.
    ///
    /// # Errors
    /// What the system says. The blob stays where it is, since other commits may link to it.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> io::Result<()> {
        self.link_with(symlink, commit, file, etag)
    }

    fn link_with(
        &self,
        symlink: impl Fn(&Path, &Path) -> io::Result<()>,
        commit: &str,
        file: &str,
        etag: &str,
    ) -> io::Result<()> {
        let folder = self.snapshot(commit);
        fs::create_dir_all(&folder)?;
        // Relative, so that the cache can be moved.
        let target = Path::new("..").join("..").join("blobs").join(etag);
        // Under a name of its own, then renamed: in one step in place of a link to a blob that is gone, or of the one
        // that another program has just made.
        let made = tempfile::Builder::new().prefix(".").suffix(".link").make_in(&folder, |path| {
            symlink(&target, path).or_else(|e| if has_no_links(&e) { second(&self.blob(etag), path) } else { Err(e) })
        })?;
        // Not by `persist`: a rename between two names of one file leaves both, and what is left goes with `made`.
        fs::rename(made.path(), folder.join(file))
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

/// True if the place has no symbolic links, or has none for us; file systems say so in several ways.
fn has_no_links(error: &io::Error) -> bool {
    /// "Incorrect function" and "a required privilege is not held".
    const OF_WINDOWS: [i32; 2] = [1, 1314];
    let of_windows = cfg!(windows) && error.raw_os_error().is_some_and(|code| OF_WINDOWS.contains(&code));
    of_windows
        || matches!(
            error.kind(),
            ErrorKind::Unsupported
                | ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::InvalidInput
        )
}

/// A second name for a blob, or a copy where a file can have one name only.
fn second(blob: &Path, path: &Path) -> io::Result<()> {
    fs::hard_link(blob, path).or_else(|_| copy(blob, path))
}

/// A copy in a new file, so that it never writes into the blob itself.
fn copy(blob: &Path, path: &Path) -> io::Result<()> {
    let mut to = File::create_new(path)?;
    let copied = File::open(blob).and_then(|mut from| io::copy(&mut from, &mut to));
    copied.map(drop).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
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
    Err(ErrorKind::Unsupported.into())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const ETAG: &str = "abc";
    const COMMITS: [&str; 2] = ["0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"];

    /// A cache with one blob; its first commit links to it.
    fn cache() -> (tempfile::TempDir, CacheFolder) {
        let home = tempfile::tempdir().expect("folder");
        let cache = CacheFolder::new(home.path(), "org/name", "main");
        fs::create_dir_all(cache.folder.join("blobs")).expect("blobs");
        fs::write(cache.blob(ETAG), "content").expect("blob");
        cache.link(COMMITS[0], WEIGHTS, ETAG).expect("links");
        (home, cache)
    }

    fn assert_whole(cache: &CacheFolder, commits: &[&str]) {
        assert!(cache.blob(ETAG).is_file(), "the blob was moved away");
        for commit in commits {
            let folder = cache.snapshot(commit);
            assert_eq!(fs::read_to_string(folder.join(WEIGHTS)).expect("a file"), "content");
            assert_eq!(fs::read_dir(folder).expect("folder").count(), 1, "something is left over");
        }
    }

    #[test]
    fn a_link_that_another_program_made_meanwhile_is_replaced() {
        let (_home, cache) = cache();
        let path = cache.snapshot(COMMITS[1]).join(WEIGHTS);
        let after_another = |target: &Path, own: &Path| {
            symlink(target, &path)?;
            symlink(target, own)
        };
        cache.link_with(after_another, COMMITS[1], WEIGHTS, ETAG).expect("links");
        assert_whole(&cache, &COMMITS);
        // And what links to nothing.
        symlink(Path::new("gone"), &cache.snapshot(COMMITS[1]).join(VOCAB)).expect("links");
        cache.link(COMMITS[1], VOCAB, ETAG).expect("links");
        assert!(cache.has(COMMITS[1], VOCAB));
    }

    #[test]
    fn without_links_the_blob_stays_and_the_file_is_there() {
        for kind in [ErrorKind::Unsupported, ErrorKind::PermissionDenied] {
            let (_home, cache) = cache();
            for _again in 0..2 {
                cache.link_with(|_, _| Err(kind.into()), COMMITS[1], WEIGHTS, ETAG).expect("a second name");
                assert_whole(&cache, &COMMITS);
            }
        }
        let (_home, cache) = cache();
        let [here, gone] = ["here", "gone"].map(|name| cache.folder.join(name));
        copy(&cache.blob(ETAG), &here).expect("copies");
        assert_eq!(fs::read_to_string(&here).expect("a file"), "content");
        copy(&cache.blob(ETAG), &here).expect_err("written over what was there");
        copy(&cache.blob("none"), &gone).expect_err("nothing to copy");
        assert!(!gone.exists(), "half a copy is left");
        cache.link_with(|_, _| Err(ErrorKind::StorageFull.into()), COMMITS[1], WEIGHTS, ETAG).expect_err("full");
        assert!(!cache.has(COMMITS[1], WEIGHTS));
        assert_whole(&cache, &COMMITS[..1]);
    }
}
