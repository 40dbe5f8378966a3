//! What can go wrong with the hub: what happened, what was kept, what to do next.

use std::{fmt, path::PathBuf};

/// Why a model could not be had from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(
        "this kvlab was built without the Hugging Face hub; build it with `--features hub`, or use `shape:NAME` or a \
         folder"
    )]
    BuiltWithoutHub,
    #[error("`{0}` is no name that the hub can have; names are NAME or ORG/NAME, with @REVISION behind if wanted")]
    BadName(String),
    #[error("HF_ENDPOINT is `{}`; it must be an address like https://huggingface.co", shown(.0))]
    BadEndpoint(String),
    #[error("there is no home folder to keep models in; set HF_HOME to a folder")]
    NoHome,
    #[error(
        "{file} of `{model}` is not in the cache ({}), kvlab is offline, and there is no such folder; run once without \
         --offline and HF_HUB_OFFLINE, or use `shape:gpt2` (random weights) or a folder", cache.display()
    )]
    NotCached { model: String, file: &'static str, cache: PathBuf },
    #[error(
        "{} cannot be reached: {reason}. There is no folder of the name that was given. Without a network there are \
         `--offline` with a model that is in the cache (`kvlab models` lists them), `shape:gpt2` (random weights) and \
         folders",
        shown(url)
    )]
    Unreachable { url: String, reason: String },
    #[error("{} has not sent a byte for {secs} s. {kept}", shown(url))]
    Silent { url: String, secs: f64, kept: Kept },
    #[error("the download of {file} broke off: {reason}. {kept}")]
    CutOff { file: &'static str, reason: String, kept: Kept },
    #[error("cancelled while downloading; no model was loaded. {kept}")]
    Cancelled { kept: Kept },
    #[error(
        "the hub does not give out `{model}` (status {status}): it does not exist, or it is private or gated and needs \
         a token that may read it, in HF_TOKEN{}; there is no such folder either",
        if *had_token { " (the one that was sent may not)" } else { "" }
    )]
    NeedsToken { model: String, status: u16, had_token: bool },
    #[error("the hub has no model `{model}`, and there is no such folder; check the name and the revision")]
    NoModel { model: String },
    #[error("`{id}` has no revision `{revision}`; a revision is a branch, a tag or a commit")]
    NoRevision { id: String, revision: String },
    #[error("`{model}` has no {file}{}", hint(file))]
    NoFile { model: String, file: &'static str },
    /// A 404 that may come from whatever answers for the hub: nothing to remember.
    #[error(
        "`{model}`: {file} was not found{}. The answer has not the hub's error code; does something in between answer \
         for the hub?",
        hint(file)
    )]
    NotFound { model: String, file: &'static str },
    #[error("{} answered with status {status}; nothing was changed, try again later", shown(url))]
    Status { url: String, status: u16 },
    #[error("{} redirects {reason}; is HF_ENDPOINT right, and does nothing in between answer for the hub?", shown(url))]
    Redirect { url: String, reason: String },
    #[error("{} does not speak the hub's protocol: {reason}; is HF_ENDPOINT right?", shown(url))]
    NotAHub { url: String, reason: String },
    #[error(
        "{file} came with another content than the hub announced: {algorithm} expected {expected}, actual {actual}. It \
         was deleted; run again to download it anew"
    )]
    WrongHash { file: &'static str, algorithm: &'static str, expected: String, actual: String },
    #[error("{file} has another length than the hub announced: {expected} bytes expected, actual {actual}. {kept}")]
    WrongSize { file: &'static str, expected: u64, actual: u64, kept: Kept },
    #[error("{file} is said to have {bytes} bytes, more than any such file; nothing was downloaded")]
    TooLarge { file: &'static str, bytes: u64 },
    #[error(
        "{file} needs {} and {} has {} free; no more was downloaded. Free some space, or set HF_HOME to a folder on \
         another disk", size(*needed_bytes), folder.display(), size(*free_bytes)
    )]
    NoSpace { file: &'static str, needed_bytes: u64, free_bytes: u64, folder: PathBuf },
    #[error("another program is downloading {file} right now; wait for it, then run again")]
    Busy { file: &'static str },
    #[error("{}: cannot be written: {reason}; HF_HOME chooses another folder", path.display())]
    Disk { path: PathBuf, reason: String },
    #[error(
        "{} is damaged: sha256 expected {expected}, actual {actual}. It was deleted; run again to download it anew",
        path.display()
    )]
    Damaged { path: PathBuf, expected: String, actual: String },
}

impl HubError {
    /// True when nobody answered, or the answer was "not now"; a copy in the cache makes up for that.
    #[must_use]
    pub fn is_no_answer(&self) -> bool {
        let not_now = |status: u16| matches!(status, 408 | 429 | 500..);
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => true,
            Self::Status { status, .. } => not_now(*status),
            _ => false,
        }
    }

    /// The first sentence of the message.
    #[must_use]
    pub fn brief(&self) -> String {
        let text = self.to_string();
        text.split_once(". ").map_or(text.clone(), |(first, _)| first.into())
    }
}

/// An address without what may be secret: the signature behind `?`, and a name and password before `@`. Also of what is
/// no address.
#[must_use]
pub fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("//").map_or(("", url), |(scheme, rest)| (&url[..scheme.len() + 2], rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}{host}{path}")
}

fn hint(file: &str) -> &'static str {
    if file == super::WEIGHTS { "; kvlab reads safetensors only, so another revision or model is needed" } else { "" }
}

/// What is left of a download that did not come to its end; nothing where none had begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub done_bytes: u64,
    pub all_bytes: u64,
    pub part: PathBuf,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all_bytes == 0 {
            return f.write_str("Nothing was changed; run again");
        }
        if self.done_bytes == 0 {
            return f.write_str("Nothing of it was kept; run again to start anew");
        }
        let (done, all) = (size(self.done_bytes), size(self.all_bytes));
        write!(f, "Kept: {done} of {all} in {}; run again to go on from there", self.part.display())
    }
}

/// Decimal units, as the hub's pages show sizes.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let value = bytes as f64;
    match bytes {
        0..1_000_000 => format!("{bytes} bytes"),
        1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        for (url, expected) in [
            ("https://hub.example/a/b", "https://hub.example/a/b"),
            ("https://cdn.example/a?Signature=secret&x=@", "https://cdn.example/a"),
            ("https://cdn.example?secret", "https://cdn.example"),
            ("http://me:secret@hub.example:81/a@b#secret", "http://hub.example:81/a@b"),
            ("http://me:sec@ret@hub.example", "http://hub.example"),
            ("//me:secret@hub.example/a", "//hub.example/a"),
            ("me:secret@hub.example", "hub.example"),
            ("/a/b?secret", "/a/b"),
            ("", ""),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }
}
