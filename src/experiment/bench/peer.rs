//! Another engine on the same work: a program that answers one line of JSON for each line it is sent, so that its turns lie between ours.
//!
//! ```text
//! it begins    {"peer":"llama.cpp","lanes":["llama.cpp"],"weights":["f32"],"versions":{"llama-cpp-python":"0.3"},"notes":[]}
//! load         {"do":"load","model":{..},"weights":"f32","threads":2}                -> {"ok":true,"weight_bytes":N}
//! prepare      {"do":"prepare","lane":..,"test":"tg","depth":512,"tokens":16,"batch":1}  -> {"ok":true,"cache_bytes":N}
//! run          {"do":"run"}                                                          -> {"secs":[a number for each step]}
//! release      {"do":"release"}                                                      -> {"ok":true}
//! ```
//!
//! Whatever goes wrong it says as `{"error":"why"}`. `benches/peers/` has such programs; each starts from the same state at every `run`.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{BenchError, test::Test};
use crate::{
    cache::{CacheSpec, Format, KvShape, LaneBytes},
    model::{Config, WeightType},
};

/// What a token of a lane takes in a peer's cache.
fn token_bytes(format: &str, shape: KvShape) -> Option<u64> {
    let spec: CacheSpec = format!("contiguous+{format}").parse().ok()?;
    let lane = LaneBytes::of(spec, shape).ok()?;
    Some(lane.n_layer * lane.plane_bytes.iter().sum::<u64>())
}

/// What a peer says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    pub peer: String,
    /// Its caches, by whatever names.
    pub lanes: Vec<String>,
    pub weights: Vec<String>,
    /// The format that a lane's cache has, as a lane of ours names it; f32 where it says nothing, `weights` for that of the weights.
    #[serde(default)]
    pub caches: BTreeMap<String, String>,
    /// Lanes that keep nothing and run the whole sequence anew for every token.
    #[serde(default)]
    pub uncached: Vec<String>,
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Hello {
    /// What a cached token of `lane` takes; 0 where nothing is cached, and f32's where the format is unknown.
    #[must_use]
    pub fn token_bytes(&self, lane: &str, weights: WeightType, shape: KvShape) -> u64 {
        if self.is_uncached(lane) {
            return 0;
        }
        let of_weights = weights.to_string();
        let format = match self.caches.get(lane).map_or("f32", String::as_str) {
            "weights" => &of_weights,
            format => format,
        };
        token_bytes(format, shape).unwrap_or_else(|| shape.formula_bytes_per_token(Format::F32))
    }

    #[must_use]
    pub fn is_uncached(&self, lane: &str) -> bool {
        self.uncached.iter().any(|uncached| uncached == lane)
    }

    /// Its name and the version of the package that is named like it, or all versions.
    #[must_use]
    pub fn engine(&self) -> String {
        let own = self.versions.iter().filter(|(package, _)| !package.contains("python") || package.contains("llama"));
        let versions: Vec<String> = own.map(|(package, version)| format!("{package} {version}")).collect();
        format!("{} ({})", self.peer, versions.join(", "))
    }
}

/// A peer that runs.
pub struct Peer {
    pub hello: Hello,
    command: String,
    child: Child,
    requests: ChildStdin,
    answers: mpsc::Receiver<String>,
    /// What it has loaded.
    loaded: Option<(String, WeightType, usize)>,
}

/// Importing PyTorch and compiling nothing takes seconds; longer is a program that hangs.
const START: Duration = Duration::from_mins(2);
/// Filling a long cache by prefill takes minutes.
const ANSWER: Duration = Duration::from_mins(15);
const LOOK_FOR_CANCEL: Duration = Duration::from_millis(50);

impl Peer {
    /// Starts `command` (words separated by spaces) and waits for its hello.
    ///
    /// # Errors
    /// [`BenchError::Peer`], [`BenchError::Cancelled`]
    pub fn start(command: &str, cancel: &AtomicBool) -> Result<Self, BenchError> {
        let failed = |reason: String| BenchError::Peer { command: command.into(), reason };
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(|| failed("no program is named".into()))?;
        let mut process = Command::new(program);
        process.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C is for kvlab, which ends its peers itself.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        let mut child = process.spawn().map_err(|e| failed(format!("cannot be started: {e}")))?;
        let (Some(requests), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("has no standard input or output".into()));
        };
        let (send, answers) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("peer".into())
            .spawn(move || {
                // Ends with the child's output, or with the receiver.
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        break;
                    }
                }
            })
            .map_err(|e| failed(e.to_string()))?;
        let hello = Hello::default();
        let mut peer = Self { hello, command: command.into(), child, requests, answers, loaded: None };
        let hello = peer.answer(START, cancel)?;
        peer.hello = serde_json::from_value(hello).map_err(|e| failed(format!("its first line is no hello: {e}")))?;
        Ok(peer)
    }

    fn failed(&self, reason: impl Into<String>) -> BenchError {
        BenchError::Peer { command: self.command.clone(), reason: reason.into() }
    }

    fn ask(&mut self, request: &Value, cancel: &AtomicBool) -> Result<Value, BenchError> {
        let sent = writeln!(self.requests, "{request}").and_then(|()| self.requests.flush());
        sent.map_err(|e| self.failed(format!("takes no request ({e}); run it by hand to see why it ended")))?;
        self.answer(ANSWER, cancel)
    }

    fn answer(&mut self, patience: Duration, cancel: &AtomicBool) -> Result<Value, BenchError> {
        let until = Instant::now() + patience;
        let line = loop {
            match self.answers.recv_timeout(LOOK_FOR_CANCEL) {
                Ok(line) => break line,
                Err(_) if cancel.load(Ordering::Relaxed) => return Err(BenchError::Cancelled),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(self.failed("ended; run it by hand to see why"));
                }
                Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() > until => {
                    return Err(self.failed(format!("did not answer in {} s", patience.as_secs())));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        };
        let answer: Value =
            serde_json::from_str(&line).map_err(|e| self.failed(format!("answered no JSON ({e}): {line}")))?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(self.failed(error)),
            None => Ok(answer),
        }
    }

    /// Brings a lane of it to a test's depth; returns the bytes that its cache takes, if it knows.
    ///
    /// # Errors
    /// [`BenchError::Peer`], [`BenchError::Cancelled`]
    pub fn prepare(
        &mut self,
        model: &PeerModel,
        (_, lane, weights, threads): &PeerArm,
        test: Test,
        cancel: &AtomicBool,
    ) -> Result<Option<u64>, BenchError> {
        let wanted = (model.name.clone(), *weights, *threads);
        if self.loaded.as_ref() != Some(&wanted) {
            self.loaded = None;
            let request = json!({"do": "load", "model": model, "weights": weights.to_string(), "threads": threads});
            self.ask(&request, cancel)?;
            self.loaded = Some(wanted);
        }
        let Test { work, tokens, depth, batch } = test;
        let request =
            json!({"do": "prepare", "lane": lane, "test": work, "depth": depth, "tokens": tokens, "batch": batch});
        Ok(self.ask(&request, cancel)?.get("cache_bytes").and_then(Value::as_u64))
    }

    /// Runs what was prepared: seconds of each step.
    ///
    /// # Errors
    /// [`BenchError::Peer`], [`BenchError::Cancelled`]
    pub fn run(&mut self, cancel: &AtomicBool) -> Result<Vec<f64>, BenchError> {
        let answer = self.ask(&json!({"do": "run"}), cancel)?;
        let secs: Option<Vec<f64>> = answer.get("secs").and_then(|secs| serde_json::from_value(secs.clone()).ok());
        let secs = secs.filter(|secs| !secs.is_empty() && secs.iter().all(|secs| secs.is_finite() && *secs > 0.0));
        secs.ok_or_else(|| self.failed(format!("its times are no times: {answer}")))
    }

    /// Gives its cache back.
    ///
    /// # Errors
    /// [`BenchError::Peer`], [`BenchError::Cancelled`]
    pub fn release(&mut self, cancel: &AtomicBool) -> Result<(), BenchError> {
        self.ask(&json!({"do": "release"}), cancel).map(|_| ())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be in the middle of something long; nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which of a peer's arms: its number, lane, weights and threads.
pub type PeerArm = (usize, String, WeightType, usize);

/// All peers of a run, a process for each of their arms, so that none has to load anything between its turns.
pub struct Peers {
    known: Vec<(String, Hello)>,
    /// Those that only said hello so far.
    idle: Vec<Option<Peer>>,
    running: Vec<(PeerArm, Peer)>,
}

impl Peers {
    /// Starts every command and hears what it offers.
    ///
    /// # Errors
    /// [`BenchError::Peer`], [`BenchError::Cancelled`]
    pub fn start(commands: &[String], cancel: &AtomicBool) -> Result<Self, BenchError> {
        let (mut known, mut idle) = (vec![], vec![]);
        for command in commands {
            let peer = Peer::start(command, cancel)?;
            known.push((command.clone(), peer.hello.clone()));
            idle.push(Some(peer));
        }
        Ok(Self { known, idle, running: vec![] })
    }

    pub fn hellos(&self) -> impl Iterator<Item = &Hello> {
        self.known.iter().map(|(_, hello)| hello)
    }

    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        self.idle
            .iter()
            .flatten()
            .chain(self.running.iter().map(|(_, peer)| peer))
            .map(|peer| peer.child.id())
            .collect()
    }

    /// The process of an arm, started if there is none yet.
    ///
    /// # Errors
    /// [`BenchError::Peer`], [`BenchError::Cancelled`]
    pub fn process(&mut self, arm: &PeerArm, cancel: &AtomicBool) -> Result<&mut Peer, BenchError> {
        let place = self.running.iter().position(|(running, _)| running == arm);
        let place = place.unwrap_or(self.running.len());
        if place == self.running.len() {
            let known = self.known.get(arm.0).ok_or_else(|| BenchError::Matrix(format!("no peer {}", arm.0)))?;
            let idle = self.idle.get_mut(arm.0).and_then(Option::take);
            let peer = idle.map_or_else(|| Peer::start(&known.0, cancel), Ok)?;
            self.running.push((arm.clone(), peer));
        }
        Ok(&mut self.running[place].1)
    }

    /// Ends the process of an arm, whatever state it is in.
    pub fn end_one(&mut self, arm: &PeerArm) {
        self.running.retain(|(running, _)| running != arm);
    }

    /// Ends all processes: the next model is loaded by new ones.
    pub fn end(&mut self) {
        self.running.clear();
    }
}

/// The model, for a program that has none of ours: its shape, and its folder if it has one.
#[derive(Clone, Debug, Serialize)]
pub struct PeerModel {
    pub name: String,
    pub n_layer: usize,
    pub n_head: usize,
    pub n_embd: usize,
    pub n_positions: usize,
    pub vocab_size: usize,
    pub folder: Option<PathBuf>,
}

impl PeerModel {
    #[must_use]
    pub fn new(name: String, config: &Config, folder: Option<PathBuf>) -> Self {
        let Config { n_layer, n_head, n_embd, n_positions, vocab_size, .. } = *config;
        Self { name, n_layer, n_head, n_embd, n_positions, vocab_size, folder }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::experiment::bench::test::Work;

    static NEVER: AtomicBool = AtomicBool::new(false);

    /// A program of one line each for hello and requests.
    fn peer(script: &str) -> Result<(Peer, tempfile::TempDir), BenchError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("peer.sh");
        std::fs::write(&path, script).expect("written");
        Peer::start(&format!("sh {}", path.display()), &NEVER).map(|peer| (peer, folder))
    }

    fn prepared(script: &str) -> Result<(Option<u64>, Vec<f64>), BenchError> {
        let (mut peer, _folder) = peer(script)?;
        let config = Config::shape("gpt2", None).expect("known");
        let model = PeerModel::new("shape:gpt2".into(), &config, None);
        let test = Test { work: Work::Decode, tokens: 2, depth: 4, batch: 1 };
        let cache_bytes = peer.prepare(&model, &(0, "it".into(), WeightType::F32, 1), test, &NEVER)?;
        Ok((cache_bytes, peer.run(&NEVER)?))
    }

    const HELLO: &str = r#"echo '{"peer":"it","lanes":["it"],"weights":["f32"],"versions":{"it":"1.2"}}'; "#;

    #[test]
    fn requests_are_answered_in_turn() {
        let script = format!(
            "{HELLO}
            read load; case $load in *'\"n_layer\":12'*'\"threads\":1'*) echo '{{\"ok\":true,\"weight_bytes\":9}}';; esac
            read prepare; case $prepare in *'\"depth\":4'*'\"test\":\"tg\"'*) echo '{{\"ok\":true,\"cache_bytes\":7}}';; esac
            read run; echo '{{\"secs\":[0.5,0.25]}}'"
        );
        assert_eq!(prepared(&script).expect("answers"), (Some(7), vec![0.5, 0.25]));
        let (peer, _folder) = peer(HELLO).expect("a hello");
        assert_eq!(peer.hello.engine(), "it (it 1.2)");
        let shape = Config::shape("gpt2", None).expect("known").kv_shape();
        let bytes = |caches: &[(&str, &str)], uncached: &[&str]| {
            let caches = caches.iter().map(|(lane, format)| ((*lane).to_owned(), (*format).to_owned())).collect();
            let hello = Hello {
                caches,
                uncached: uncached.iter().map(|lane| (*lane).to_owned()).collect(),
                ..Hello::default()
            };
            hello.token_bytes("it", WeightType::Bf16, shape)
        };
        assert_eq!((bytes(&[], &[]), bytes(&[], &["it"])), (72 << 10, 0));
        assert_eq!((bytes(&[("it", "f16")], &[]), bytes(&[("it", "weights")], &[])), (36 << 10, 36 << 10));
        assert_eq!(bytes(&[("it", "q8_0")], &[]), (72 << 10) / 4 / 32 * 34);
    }

    #[test]
    fn what_goes_wrong_is_said() {
        let why = |script: &str| prepared(script).expect_err(script).to_string();
        assert!(why("echo hello").contains("no JSON"));
        assert!(why("echo '{}'").contains("no hello"));
        assert!(why("exit 0").contains("run it by hand"));
        assert!(why(&format!("{HELLO} read a; echo '{{\"error\":\"no such model\"}}'")).contains("no such model"));
        let bad_times = format!("{HELLO} for i in 1 2; do read a; echo '{{}}'; done; read a; echo '{{\"secs\":[-1]}}'");
        assert!(why(&bad_times).contains("no times"));
        assert!(Peer::start("/no/such/program", &NEVER).is_err_and(|e| e.to_string().contains("cannot be started")));
        assert!(Peer::start(" ", &NEVER).is_err());
    }

    #[test]
    fn a_peer_that_hangs_can_be_cancelled() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("peer.sh");
        std::fs::write(&path, "read forever").expect("written");
        let cancelled = Peer::start(&format!("sh {}", path.display()), &AtomicBool::new(true));
        assert!(matches!(cancelled, Err(BenchError::Cancelled)));
    }
}
