//! Requests that can be waited for: on a thread of their own, with our deadline for silence and our cancel.
//!
//! ureq's calls block, and nothing stops one from outside. So the thread talks to the network and the caller waits for
//! what it sends, looking at the cancel flag and the clock, whatever the thread is doing: looking up a name, connecting,
//! reading. A thread that is not waited for any more ends with the next byte that comes, or with its own deadline.

use std::{
    io::{self, Read},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::Builder,
    time::{Duration, Instant},
};

use ureq::{
    Agent,
    http::{HeaderMap, Response, Uri},
};

use super::{HubConfig, HubError, error::shown};

/// How often a waiting caller looks at its cancel flag.
const LOOK: Duration = Duration::from_millis(50);
/// The thread's deadlines are this many times the caller's, which therefore comes first and has the better message.
const THREAD_SLACK: u32 = 2;
/// As many as ureq and curl follow.
const MAX_REDIRECTS: usize = 10;
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for a slow disk.
const PIECES: usize = 16;

/// The client, with the one address that may see the token.
pub struct Http {
    agent: Agent,
    endpoint: Origin,
    authorization: Option<String>,
    silence: Duration,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin(String);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What a file is, without its content. Redirects away from the hub are not followed once the hub has said it.
    Head,
    /// The content, from a byte on.
    Get { from: u64 },
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub url: String,
    pub status: u16,
    headers: HeaderMap,
}

impl Answer {
    /// A header as text, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What comes from a request's thread: one `Answers`, then pieces of the body, then `End`.
pub enum Message {
    /// The answer and, before it, the redirects that led there.
    Answers(Vec<Answer>),
    Piece(Vec<u8>),
    End,
}

/// Why no message came.
#[derive(Debug)]
pub enum Failure {
    /// Before any answer.
    Unreachable(String),
    Redirect {
        url: String,
        reason: String,
    },
    /// In the middle of a body.
    CutOff(String),
    Silent,
    Cancelled,
}

/// A request under way.
pub struct Stream {
    inbox: Receiver<Result<Message, Failure>>,
    silence: Duration,
}

impl Http {
    /// # Errors
    /// [`HubError::BadEndpoint`]
    pub fn new(hub: &HubConfig) -> Result<Self, HubError> {
        let bad = || HubError::BadEndpoint(hub.endpoint.clone());
        let endpoint = Origin::of(&hub.endpoint).ok_or_else(bad)?;
        let of_thread = Some(hub.silence * THREAD_SLACK);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Followed here, so that the token stays with the hub and every answer on the way is seen.
            .max_redirects(0)
            .user_agent(concat!("kvlab/", env!("CARGO_PKG_VERSION")))
            // Lengths and ranges are those of the file, not of a compressed form of it.
            .accept_encoding("identity")
            .timeout_resolve(of_thread)
            .timeout_connect(of_thread)
            .timeout_per_read(of_thread)
            .build();
        let authorization = hub.token.as_ref().map(|token| format!("Bearer {token}"));
        Ok(Self { agent: config.new_agent(), endpoint, authorization, silence: hub.silence })
    }

    /// Starts a request.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn start(&self, ask: Ask, url: String) -> io::Result<Stream> {
        let (outbox, inbox) = sync_channel(PIECES);
        let (agent, endpoint, authorization) = (self.agent.clone(), self.endpoint.clone(), self.authorization.clone());
        let talk = move || {
            let outcome = call(&agent, &endpoint, authorization.as_deref(), ask, url)
                .and_then(|(answers, response)| pass_on(answers, response, &outbox));
            if let Err(failure) = outcome {
                // Nobody waits any more, or learns of it.
                let _ = outbox.send(Err(failure));
            }
        };
        Builder::new().name("hub".into()).spawn(talk)?;
        Ok(Stream { inbox, silence: self.silence })
    }
}

impl Stream {
    /// Waits for the next message.
    ///
    /// # Errors
    /// [`Failure`]; the request is over then.
    pub fn next(&mut self, cancel: &AtomicBool) -> Result<Message, Failure> {
        let started = Instant::now();
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Err(Failure::Cancelled);
            }
            let left = self.silence.saturating_sub(started.elapsed());
            match self.inbox.recv_timeout(left.min(LOOK)) {
                Ok(message) => return message,
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Failure::Silent),
                Err(RecvTimeoutError::Timeout) => {}
                // Only a panic ends the thread without a last message.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::CutOff("the thread of the request panicked, which is a bug".into()));
                }
            }
        }
    }
}

/// Asks, and follows redirects.
fn call(
    agent: &Agent,
    endpoint: &Origin,
    authorization: Option<&str>,
    ask: Ask,
    mut url: String,
) -> Result<(Vec<Answer>, Response<ureq::Body>), Failure> {
    let mut answers: Vec<Answer> = vec![];
    loop {
        let mut request = if ask == Ask::Head { agent.head(&url) } else { agent.get(&url) };
        if let Ask::Get { from: from @ 1.. } = ask {
            request = request.header("Range", format!("bytes={from}-"));
        }
        if let Some(authorization) = authorization.filter(|_| Origin::of(&url).as_ref() == Some(endpoint)) {
            request = request.header("Authorization", authorization);
        }
        let response = request.call().map_err(|e| Failure::Unreachable(reason(e)))?;
        let answer = Answer { url, status: response.status().as_u16(), headers: response.headers().clone() };
        let next = redirect(&answer)?;
        let has_all =
            ask == Ask::Head && ["X-Linked-Etag", "X-Linked-Size"].iter().all(|name| answer.header(name).is_some());
        let here = answer.url.clone();
        answers.push(answer);
        match next {
            Some(next) if !has_all => url = next,
            _ => return Ok((answers, response)),
        }
        if answers.len() > MAX_REDIRECTS {
            return Err(Failure::Redirect { url: here, reason: "in circles".into() });
        }
    }
}

/// Where an answer sends to, if it is a redirect.
fn redirect(answer: &Answer) -> Result<Option<String>, Failure> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let url = answer.url.clone();
    let Some(location) = answer.header("Location") else {
        let reason = format!("nowhere: status {} without a Location", answer.status);
        return Err(Failure::Redirect { url, reason });
    };
    let refuse = |why: &str| Failure::Redirect { url: url.clone(), reason: format!("to `{}`, {why}", shown(location)) };
    let next = resolve(&url, location).ok_or_else(|| refuse("which is no address"))?;
    // What comes without TLS can be exchanged on its way, and not every file has a hash to be checked by.
    if is_https(&url) && !is_https(&next) {
        return Err(refuse("from https to http, which kvlab does not follow"));
    }
    Ok(Some(next))
}

fn is_https(url: &str) -> bool {
    Origin::of(url).is_some_and(|origin| origin.0.starts_with("https:"))
}

/// `location` as seen from `base`.
fn resolve(base: &str, location: &str) -> Option<String> {
    let origin = Origin::of(base)?.0;
    let url = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{}:{location}", base.split(':').next()?)
    } else if location.starts_with('/') {
        format!("{origin}{location}")
    } else {
        let path = base.split(['?', '#']).next()?;
        let folder = path.get(origin.len()..)?.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{origin}{folder}/{location}")
    };
    Origin::of(&url).map(|_| url)
}

impl Origin {
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
        let authority = uri.authority()?;
        // Without what may stand before an `@`.
        let host = authority.as_str().rsplit('@').next()?;
        Some(Self(format!("{scheme}://{}", host.to_ascii_lowercase())))
    }
}

/// Sends an answer and its body on, piece by piece.
fn pass_on(
    answers: Vec<Answer>,
    response: Response<ureq::Body>,
    outbox: &SyncSender<Result<Message, Failure>>,
) -> Result<(), Failure> {
    if outbox.send(Ok(Message::Answers(answers))).is_err() {
        return Ok(()); // Nobody waits any more.
    }
    let mut body = response.into_body().into_reader();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match body.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => {
                if outbox.send(Ok(Message::Piece(piece[..n].to_vec()))).is_err() {
                    return Ok(());
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Failure::CutOff(e.to_string())),
        }
    }
    let _ = outbox.send(Ok(Message::End));
    Ok(())
}

fn reason(error: ureq::Error) -> String {
    match error {
        ureq::Error::Io(e) => e.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_resolve_as_in_a_browser() {
        let base = "http://hub.example:81/org/name/resolve/main/f?x=1";
        for (location, url) in [
            ("https://cdn.example/a?b=http://c", Some("https://cdn.example/a?b=http://c")),
            ("//cdn.example/a", Some("http://cdn.example/a")),
            ("/api/x", Some("http://hub.example:81/api/x")),
            ("g", Some("http://hub.example:81/org/name/resolve/main/g")),
            ("ftp://cdn.example/a", None),
            ("http://", None),
        ] {
            assert_eq!(resolve(base, location).as_deref(), url, "{location}");
        }
    }

    #[test]
    fn https_is_never_left_for_http() {
        let go = |from: &str, location: &str| {
            let headers = [(ureq::http::header::LOCATION, location.parse().expect("a header"))].into_iter().collect();
            match redirect(&Answer { url: from.into(), status: 302, headers }) {
                Ok(next) => next,
                Err(Failure::Redirect { url, reason }) => Some(HubError::Redirect { url, reason }.to_string()),
                Err(_) => None,
            }
        };
        let (hub, plain) = ("https://hub.example/a", "http://hub.example/a");
        for location in ["http://cdn.example/b?signed=1", "HTTP://hub.example/b"] {
            let message = go(hub, location).expect("refused");
            assert!(message.contains("from https to http, which kvlab does not follow"), "{message}");
            assert!(!message.contains("signed"), "{message}");
        }
        for (from, location, next) in [
            (hub, "https://cdn.example/b", "https://cdn.example/b"),
            (hub, "//cdn.example/b", "https://cdn.example/b"),
            (hub, "/b", "https://hub.example/b"),
            // Asked for without TLS, as a mirror in one's own network may be.
            (plain, "http://cdn.example/b", "http://cdn.example/b"),
            (plain, "https://cdn.example/b", "https://cdn.example/b"),
        ] {
            assert_eq!(go(from, location).as_deref(), Some(next));
        }
    }

    #[test]
    fn origins_differ_in_scheme_host_and_port() {
        let same = |a: &str, b: &str| Origin::of(a).is_some() && Origin::of(a) == Origin::of(b);
        assert!(same("https://hub.example/a", "https://HUB.example/b?c"));
        assert!(same("https://hub.example/a", "https://user:pw@hub.example/b"));
        assert!(!same("https://hub.example/a", "http://hub.example/a"));
        assert!(!same("https://hub.example/a", "https://hub.example:8443/a"));
        assert!(!same("https://hub.example/a", "https://hub.example.evil/a"));
        assert!(!same("https://hub.example/a", "https://hub.example@evil/a"));
    }
}
