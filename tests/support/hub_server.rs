//! A hub on this machine: it speaks the resolve protocol, and misbehaves as its script says.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// How one request is answered. What is not scripted gets [`Reply::File`].
#[derive(Clone, Debug)]
pub enum Reply {
    /// As the hub: the headers, and the content from the byte asked for.
    File,
    /// The whole content with status 200, whatever part was asked for.
    Whole,
    /// All headers, the first bytes, and the end of the connection.
    CutAfter(usize),
    /// All headers, the first bytes, and nothing more.
    StallAfter(usize),
    /// Not a byte.
    Silence,
    /// The headers of the file and other bytes of the same length.
    Corrupt,
    /// Status 206 for bytes that were not asked for.
    WrongRange,
    /// A redirect with the headers of the file.
    Redirect(u16, Option<String>),
    /// A status with the hub's `X-Error-Code`; without it where that is empty.
    Status(u16, &'static str),
    /// A header in another form.
    With(&'static str, String),
}

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
    pub encoding: Option<String>,
}

#[derive(Clone)]
struct Content {
    bytes: Arc<Vec<u8>>,
    headers: Vec<(&'static str, String)>,
}

#[derive(Default)]
struct State {
    contents: HashMap<String, Content>,
    script: HashMap<String, VecDeque<Reply>>,
    requests: Vec<Request>,
}

/// A server on a port of its own; it ends when it is dropped.
pub struct HubServer {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The name that git gives a file's content.
pub fn git_hash(bytes: &[u8]) -> String {
    hex(&Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

impl HubServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let (state, stop) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let (for_thread, stop_thread) = (state.clone(), stop.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop_thread.load(Ordering::Relaxed) {
                    return;
                }
                let (state, stop) = (for_thread.clone(), stop_thread.clone());
                // A client that goes away in the middle is part of the tests.
                thread::spawn(move || stream.map(|stream| serve(&stream, &state, &stop)));
            }
        });
        Self { endpoint, state, stop }
    }

    /// Gives `branch` of a model a file, and the commit it is at. Weights have a sha256 for their hash, as files in
    /// large-file storage do; the others git's.
    pub fn put(&self, id: &str, branch: &str, commit: &str, file: &str, bytes: &[u8]) {
        let mut headers = vec![("X-Repo-Commit", commit.to_owned())];
        if file.ends_with(".safetensors") {
            headers.push(("X-Linked-Etag", format!("\"{}\"", sha256(bytes))));
            headers.push(("X-Linked-Size", bytes.len().to_string()));
            headers.push(("ETag", "\"of-the-storage\"".into()));
        } else {
            headers.push(("ETag", format!("W/\"{}\"", git_hash(bytes))));
        }
        for revision in [branch, commit] {
            self.put_raw(&format!("/{id}/resolve/{}/{file}", revision.replace('/', "%2F")), bytes, headers.clone());
        }
    }

    /// Gives a path its content.
    pub fn put_raw(&self, path: &str, bytes: &[u8], headers: Vec<(&'static str, String)>) {
        let content = Content { bytes: Arc::new(bytes.to_vec()), headers };
        self.state.lock().expect("state").contents.insert(path.into(), content);
    }

    /// The next answers to `METHOD PATH`, one each.
    pub fn script(&self, request: &str, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().expect("state").script.insert(request.into(), replies.into_iter().collect());
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().expect("state").requests.clone()
    }

    /// The requests of that method whose path ends so.
    pub fn asked(&self, method: &str, path_end: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|r| r.method == method && r.path.ends_with(path_end)).collect()
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees the flag.
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>, stop: &AtomicBool) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut request = Request { method, path, range: None, authorization: None, encoding: None };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.into()),
            "authorization" => request.authorization = Some(value.into()),
            "accept-encoding" => request.encoding = Some(value.into()),
            _ => {}
        }
    }
    let key = format!("{} {}", request.method, request.path);
    let (content, reply) = {
        let mut state = state.lock().ok()?;
        state.requests.push(request.clone());
        let reply = state.script.get_mut(&key).and_then(VecDeque::pop_front);
        (state.contents.get(&request.path).cloned(), reply.unwrap_or(Reply::File))
    };
    answer(stream, &request, content, reply, stop)
}

fn answer(
    mut stream: &TcpStream,
    request: &Request,
    content: Option<Content>,
    reply: Reply,
    stop: &AtomicBool,
) -> Option<()> {
    let mut head = |status: u16, headers: &[(&str, String)]| {
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n{}\r\n", lines.concat()).ok()
    };
    match &reply {
        Reply::Silence => return wait(stop),
        Reply::Status(status, code) => {
            let code = (!code.is_empty()).then(|| ("X-Error-Code", (*code).into()));
            return head(*status, &code.into_iter().chain([("Content-Length", "0".into())]).collect::<Vec<_>>());
        }
        _ => {}
    }
    let Some(Content { bytes, mut headers }) = content else {
        return head(404, &[("X-Error-Code", "EntryNotFound".into()), ("Content-Length", "0".into())]);
    };
    if let Reply::With(name, value) = &reply {
        headers.retain(|(known, _)| known != name);
        headers.push((name, value.clone()));
    }
    if let Reply::Redirect(status, location) = reply {
        headers.extend(location.map(|location| ("Location", location)));
        headers.push(("Content-Length", "0".into()));
        return head(status, &headers);
    }
    let asked =
        request.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let from: usize = asked.filter(|_| !matches!(reply, Reply::Whole)).unwrap_or(0);
    if from > 0 && from >= bytes.len() {
        return head(416, &[("Content-Range", format!("bytes */{}", bytes.len())), ("Content-Length", "0".into())]);
    }
    let shift = usize::from(matches!(reply, Reply::WrongRange));
    let (status, from) = if from > 0 { (206, from - shift) } else { (200, 0) };
    if status == 206 {
        headers.push(("Content-Range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())));
    }
    if !headers.iter().any(|(name, _)| *name == "Content-Length") {
        headers.push(("Content-Length", (bytes.len() - from).to_string()));
    }
    head(status, &headers)?;
    if request.method == "HEAD" {
        return Some(());
    }
    let body = &bytes[from..];
    match reply {
        Reply::CutAfter(n) => stream.write_all(&body[..n]).ok(),
        Reply::StallAfter(n) => {
            stream.write_all(&body[..n]).ok()?;
            wait(stop)
        }
        Reply::Corrupt => stream.write_all(&body.iter().map(|byte| !byte).collect::<Vec<u8>>()).ok(),
        _ => stream.write_all(body).ok(),
    }
}

/// Keeps the connection open and silent until the server ends.
fn wait(stop: &AtomicBool) -> Option<()> {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
    }
    None
}
