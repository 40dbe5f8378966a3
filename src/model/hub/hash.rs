//! The hash by which the hub names a content: sha256 in large-file storage, git's own for what lies in the repository.

use sha1::Sha1;
use sha2::{Digest, Sha256, digest::DynDigest};

use crate::model::safetensors::hex;

use super::{SHA256_DIGITS, name::is_hex};

const SHA1_DIGITS: usize = 40;

/// The hash of a content as it comes.
#[derive(Clone)]
pub struct ContentHash {
    /// What it is called in messages.
    pub algorithm: &'static str,
    state: Box<dyn DynDigest>,
}

impl ContentHash {
    /// The hash that `etag` is one of, before the first of `size` bytes; none for an etag of another form.
    #[must_use]
    pub fn named_by(etag: &str, size: u64) -> Option<Self> {
        if is_hex(etag, SHA256_DIGITS) {
            Some(Self { algorithm: "sha256", state: Box::new(Sha256::new()) })
        } else if is_hex(etag, SHA1_DIGITS) {
            // As `git hash-object` does it.
            let state = Sha1::new_with_prefix(format!("blob {size}\0"));
            Some(Self { algorithm: "git's sha1", state: Box::new(state) })
        } else {
            None
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// Of what has come so far, in lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.state.clone().finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256sum_and_git() {
        let hash = |digits: usize, content: &str| {
            let mut hash = ContentHash::named_by(&"0".repeat(digits), content.len() as u64)?;
            content.split_inclusive(' ').for_each(|piece| hash.update(piece.as_bytes()));
            Some(hash.hex())
        };
        // `printf 'what is up, doc?' | git hash-object --stdin`, the example of git's own book.
        assert_eq!(hash(40, "what is up, doc?").as_deref(), Some("bd9dbf5aae1a3862dd1526723246b20206e5fc37"));
        assert_eq!(hash(40, "").as_deref(), Some("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"));
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(64, "abc").as_deref(), Some(abc));
        assert_eq!(hash(32, "abc"), None);
    }
}
