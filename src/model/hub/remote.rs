//! The hub's resolve protocol: what a file of a revision is, and its content.

use std::sync::atomic::AtomicBool;

use hf_hub::{Repo, RepoType};

use super::{
    CONFIG, HubConfig, HubError,
    error::Kept,
    hash::ContentHash,
    http::{Answer, Ask, Failure, Http, Message, Stream},
    name::is_commit,
};

/// One model on the hub.
pub struct Remote {
    http: Http,
    endpoint: String,
    id: String,
    had_token: bool,
    silence_secs: f64,
}

/// What the hub says about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The commit that the revision stood for.
    pub commit: String,
    /// The name of the content: its sha256 for large files, its git hash for small ones.
    pub etag: String,
    pub size: u64,
}

impl Announced {
    /// The hash to compare the etag with, before the first byte; none where it is of no known form.
    #[must_use]
    pub fn hash(&self) -> Option<ContentHash> {
        ContentHash::named_by(&self.etag, self.size)
    }
}

impl Remote {
    /// # Errors
    /// [`HubError::BadEndpoint`]
    pub fn new(hub: &HubConfig, id: &str) -> Result<Self, HubError> {
        Ok(Self {
            http: Http::new(hub)?,
            endpoint: hub.endpoint.trim_end_matches('/').into(),
            id: id.into(),
            had_token: hub.token.is_some(),
            silence_secs: hub.silence.as_secs_f64(),
        })
    }

    fn url(&self, revision: &str, file: &str) -> String {
        let repo = Repo::with_revision(self.id.clone(), RepoType::Model, revision.into());
        format!("{}/{}/resolve/{}/{file}", self.endpoint, repo.url(), repo.url_revision())
    }

    /// What `file` is at `revision`.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is not the hub's.
    pub fn announced(&self, revision: &str, file: &'static str, cancel: &AtomicBool) -> Result<Announced, HubError> {
        let url = self.url(revision, file);
        let (answers, _) = self.ask(Ask::Head, &url, &Kept::default(), cancel)?;
        let Some(last) = answers.last() else { return Err(not_a_hub(&url, "no answer".into())) };
        if !(200..400).contains(&last.status) {
            return Err(self.refusal(revision, file, last));
        }
        // The hub says what the file is before it redirects to where the file lies, or after it redirected within
        // itself.
        let find = |name: &str| answers.iter().find_map(|answer| answer.header(name));
        let need = |value: Option<&str>, name: &str| {
            value.map(str::to_owned).ok_or_else(|| not_a_hub(&url, format!("no {name} came")))
        };
        let commit = need(find("X-Repo-Commit"), "X-Repo-Commit")?;
        let etag = need(find("X-Linked-Etag").or_else(|| last.header("ETag")), "ETag")?;
        let size = need(find("X-Linked-Size").or_else(|| last.header("Content-Length")), "length")?;
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        // All three go into paths or sizes.
        if !is_commit(&commit) {
            return Err(not_a_hub(&url, format!("`{commit}` is no commit")));
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if etag.is_empty() || etag.len() > 128 || !etag.chars().all(is_name) {
            return Err(not_a_hub(&url, format!("the ETag `{etag}` is no hash")));
        }
        let size = size.parse().map_err(|_| not_a_hub(&url, format!("`{size}` is no length")))?;
        if is_commit(revision) && revision != commit {
            return Err(not_a_hub(&url, format!("asked for one commit, it answers for {commit}")));
        }
        Ok(Announced { commit, etag, size })
    }

    /// Starts to fetch `file` of `commit` from byte `kept.done_bytes` on: the head of the answer, and its body.
    ///
    /// # Errors
    /// As [`Remote::announced`].
    pub fn open(
        &self,
        commit: &str,
        file: &'static str,
        kept: &Kept,
        cancel: &AtomicBool,
    ) -> Result<(Answer, Stream), HubError> {
        let url = self.url(commit, file);
        let (mut answers, stream) = self.ask(Ask::Get { from: kept.done_bytes }, &url, kept, cancel)?;
        let answer = answers.pop().ok_or_else(|| not_a_hub(&url, "no answer".into()))?;
        Ok((answer, stream))
    }

    fn ask(&self, ask: Ask, url: &str, kept: &Kept, cancel: &AtomicBool) -> Result<(Vec<Answer>, Stream), HubError> {
        let unreachable = |reason: String| HubError::Unreachable { url: self.endpoint.clone(), reason };
        let mut stream = self.http.start(ask, url.into()).map_err(|e| unreachable(e.to_string()))?;
        match stream.next(cancel) {
            Ok(Message::Answers(answers)) => Ok((answers, stream)),
            Ok(Message::Piece(_) | Message::End) => Err(not_a_hub(url, "a body without a head".into())),
            Err(Failure::Unreachable(reason) | Failure::CutOff(reason)) => Err(unreachable(reason)),
            Err(Failure::Redirect { url, reason }) => Err(HubError::Redirect { url, reason }),
            Err(Failure::Silent) => Err(self.silent(kept)),
            Err(Failure::Cancelled) => Err(HubError::Cancelled { kept: kept.clone() }),
        }
    }

    /// What went wrong in the middle of a body.
    #[must_use]
    pub fn broken(&self, file: &'static str, failure: Failure, kept: Kept) -> HubError {
        match failure {
            Failure::Silent => self.silent(&kept),
            Failure::Cancelled => HubError::Cancelled { kept },
            Failure::Redirect { url, reason } => HubError::Redirect { url, reason },
            Failure::Unreachable(reason) | Failure::CutOff(reason) => HubError::CutOff { file, reason, kept },
        }
    }

    fn silent(&self, kept: &Kept) -> HubError {
        HubError::Silent { url: self.endpoint.clone(), secs: self.silence_secs, kept: kept.clone() }
    }

    /// What an answer that is no success means.
    #[must_use]
    pub fn refusal(&self, revision: &str, file: &'static str, answer: &Answer) -> HubError {
        let id = self.id.clone();
        let model = if revision == super::MAIN { id.clone() } else { format!("{id}@{revision}") };
        match (answer.status, answer.header("X-Error-Code")) {
            (404, Some("EntryNotFound")) => HubError::NoFile { model, file },
            (404, Some("RevisionNotFound")) => HubError::NoRevision { id, revision: revision.into() },
            // A commit that has given its configuration exists.
            (404, _) if is_commit(revision) && file != CONFIG => HubError::NotFound { model, file },
            (404, _) => HubError::NoModel { model },
            (status @ (401 | 403), _) => HubError::NeedsToken { model, status, had_token: self.had_token },
            (status, _) => HubError::Status { url: answer.url.clone(), status },
        }
    }
}

fn not_a_hub(url: &str, reason: String) -> HubError {
    HubError::NotAHub { url: url.into(), reason }
}
