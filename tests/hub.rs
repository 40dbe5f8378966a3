//! Models from the hub, against a hub on this machine that can misbehave. Nothing here needs a network.
#![cfg(feature = "hub")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use kvlab::model::{
    HubConfig, HubError, ModelError, ModelSource, Progress,
    hub::{Fetch, Snapshot, snapshot},
};
use support::{
    GOLDENS, NEVER, golden_folder,
    hub_server::{HubServer, Reply, sha256},
    ids, reference,
};

const ID: &str = "someone/tiny";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const LATER: &str = "89abcdef0123456789abcdef0123456789abcdef";
const WEIGHTS: &str = "model.safetensors";

/// A hub with one model, and an empty cache.
struct Lab {
    server: HubServer,
    home: tempfile::TempDir,
    weights: Vec<u8>,
}

fn golden_file(name: &str) -> Vec<u8> {
    fs::read(golden_folder(GOLDENS[0]).join(name)).expect("golden")
}

impl Lab {
    fn new() -> Self {
        let (server, weights) = (HubServer::start(), golden_file(WEIGHTS));
        server.put(ID, "main", COMMIT, "config.json", &golden_file("config.json"));
        server.put(ID, "main", COMMIT, WEIGHTS, &weights);
        Self { server, home: tempfile::tempdir().expect("folder"), weights }
    }

    fn hub(&self) -> HubConfig {
        HubConfig {
            endpoint: self.server.endpoint.clone(),
            cache_dir: Some(self.home.path().join("hub")),
            token: None,
            offline: false,
            silence: Duration::from_secs(20),
            retries: 0,
        }
    }

    fn get(&self) -> Result<Snapshot, HubError> {
        get(&self.hub(), ID, None)
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("hub/models--someone--tiny")
    }

    fn part(&self) -> PathBuf {
        self.folder().join("blobs").join(sha256(&self.weights)).with_extension("part")
    }

    /// What a download that broke off left behind.
    fn leave_part(&self, bytes: &[u8]) {
        fs::create_dir_all(self.folder().join("blobs")).expect("folder");
        fs::write(self.part(), bytes).expect("write");
    }

    fn script(&self, method: &str, file: &str, replies: impl IntoIterator<Item = Reply>) {
        // The configuration is asked for by branch, the rest by the commit it was found at.
        let revision = if method == "HEAD" && file == "config.json" { "main" } else { COMMIT };
        self.server.script(&format!("{method} /{ID}/resolve/{revision}/{file}"), replies);
    }

    fn assert_weights(&self, snapshot: &Snapshot) {
        assert_eq!(snapshot.commit, COMMIT);
        assert!(fs::read(snapshot.folder.join(WEIGHTS)).expect("weights") == self.weights, "other bytes arrived");
        assert!(!self.part().exists(), "a part is left");
    }

    fn kvlab(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvlab"));
        command.args(args).env("HF_ENDPOINT", &self.server.endpoint).env("HF_HOME", self.home.path());
        for other in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"] {
            command.env_remove(other);
        }
        command
    }
}

fn get(hub: &HubConfig, id: &str, revision: Option<&str>) -> Result<Snapshot, HubError> {
    get_with(hub, id, revision, &mut |_| {}, &NEVER).map_err(|error| match error {
        ModelError::Hub(error) => error,
        other => panic!("no error of the hub: {other}"),
    })
}

fn get_with(
    hub: &HubConfig,
    id: &str,
    revision: Option<&str>,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Snapshot, ModelError> {
    snapshot(id, revision, &mut Fetch { hub, accept: &|_| Ok(()), progress, cancel })
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("utf8")
}

#[test]
fn a_model_comes_once_and_lies_where_other_programs_look() {
    let lab = Lab::new();
    let first = lab.get().expect("downloads");
    lab.assert_weights(&first);
    let folder = lab.folder();
    assert_eq!(first.folder, folder.join("snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(folder.join("refs/main")).expect("ref"), COMMIT);
    assert!(folder.join(".no_exist").join(COMMIT).join("tokenizer.json").is_file());
    let blob = fs::read_link(first.folder.join(WEIGHTS)).expect("a link");
    assert_eq!(blob, Path::new("../../blobs").join(sha256(&lab.weights)));
    let mut blobs: Vec<_> =
        fs::read_dir(folder.join("blobs")).expect("blobs").map(|e| e.expect("entry").path()).collect();
    blobs.sort();
    assert_eq!(blobs.len(), 2, "something is left over: {blobs:?}");

    // Compressed answers would have other lengths than the files.
    assert!(lab.server.requests().iter().all(|r| r.encoding.as_deref() == Some("identity")));

    let before = lab.server.requests().len();
    assert_eq!(lab.get().expect("cached"), first);
    assert_eq!(lab.server.requests().len() - before, 1, "a cached model needs one look at its branch");
    assert_eq!(get(&lab.hub(), ID, Some(COMMIT)).expect("cached"), first);
    assert_eq!(lab.server.requests().len() - before, 1, "a cached commit needs no network");
}

#[test]
fn progress_tells_every_file_to_its_last_byte() {
    let lab = Lab::new();
    let mut whole = vec![];
    let mut progress = |progress| match progress {
        Progress::Downloading { file, done_bytes, all_bytes } if done_bytes == all_bytes => {
            whole.push((file, all_bytes));
        }
        _ => {}
    };
    get_with(&lab.hub(), ID, None, &mut progress, &NEVER).expect("downloads");
    whole.dedup();
    let size = |name| (name, golden_file(name).len() as u64);
    assert_eq!(whole, [size("config.json"), size(WEIGHTS)]);
}

#[test]
fn redirects_are_followed_and_the_token_stays_with_the_hub() {
    let (lab, storage) = (Lab::new(), HubServer::start());
    storage.put_raw("/blob?signed=1", &lab.weights, vec![]);
    let away = || Reply::Redirect(302, Some(format!("{}/blob?signed=1", storage.endpoint)));
    lab.script("HEAD", WEIGHTS, [away()]);
    lab.script("GET", WEIGHTS, [away()]);
    // Within the hub, as it does for small files; the second step relative to the first.
    let config = golden_file("config.json");
    let headers = vec![("X-Repo-Commit", COMMIT.to_owned()), ("ETag", format!("\"{}\"", &sha256(&config)[..40]))];
    lab.server.put_raw("/api/moved/config.json", &config, headers.clone());
    lab.server.put_raw("/api/moved/there.json", &config, headers);
    lab.script("HEAD", "config.json", [Reply::Redirect(307, Some("/api/moved/config.json".into()))]);
    lab.script("GET", "config.json", [Reply::Redirect(307, Some("/api/moved/config.json".into()))]);
    lab.server.script("GET /api/moved/config.json", [Reply::Redirect(307, Some("there.json".into()))]);

    let hub = HubConfig { token: Some("hf_secret".into()), ..lab.hub() };
    lab.assert_weights(&get(&hub, ID, None).expect("downloads"));
    assert_eq!(lab.server.asked("GET", "/api/moved/there.json").len(), 1);
    assert!(lab.server.requests().iter().all(|r| r.authorization.as_deref() == Some("Bearer hf_secret")));
    let storage_saw = storage.requests();
    assert_eq!(storage_saw.len(), 1, "the head of the file was not asked of the storage");
    assert!(storage_saw.iter().all(|r| r.authorization.is_none()), "the token went to another host: {storage_saw:?}");
}

#[test]
fn redirects_that_lead_nowhere_are_errors() {
    let lab = Lab::new();
    lab.script("HEAD", "config.json", [Reply::Redirect(302, None)]);
    let message = lab.get().expect_err("no Location").to_string();
    assert!(message.contains("redirects nowhere: status 302 without a Location"), "{message}");
    lab.script("GET", WEIGHTS, [Reply::Redirect(302, None)]);
    assert!(matches!(lab.get(), Err(HubError::Redirect { .. })));
    lab.script("GET", WEIGHTS, vec![Reply::Redirect(302, Some(format!("/{ID}/resolve/{COMMIT}/{WEIGHTS}"))); 20]);
    assert!(lab.get().expect_err("circles").to_string().contains("redirects in circles"));
    lab.script("GET", WEIGHTS, [Reply::Redirect(302, Some("file:///etc/passwd".into()))]);
    assert!(lab.get().expect_err("a file").to_string().contains("which is no address"));
}

#[test]
fn a_cut_off_download_is_kept_and_continued() {
    let lab = Lab::new();
    lab.script("GET", WEIGHTS, [Reply::CutAfter(10_000)]);
    let error = lab.get().expect_err("cut off");
    assert!(matches!(&error, HubError::CutOff { kept, .. } if kept.done_bytes == 10_000), "{error}");
    assert!(error.to_string().contains("Kept: 10000 bytes of") && error.to_string().contains("run again"), "{error}");
    assert!(fs::read(lab.part()).expect("part") == lab.weights[..10_000]);
    lab.assert_weights(&lab.get().expect("continues"));
    let ranges: Vec<_> = lab.server.asked("GET", WEIGHTS).into_iter().map(|r| r.range).collect();
    assert_eq!(ranges, [None, Some("bytes=10000-".into())]);
}

#[test]
fn a_connection_that_breaks_is_taken_up_again_while_it_brings_something() {
    let lab = Lab::new();
    let hub = HubConfig { retries: 2, ..lab.hub() };
    lab.script("GET", WEIGHTS, [Reply::CutAfter(5_000), Reply::CutAfter(5_000)]);
    lab.assert_weights(&get(&hub, ID, None).expect("two breaks are taken up"));
    assert_eq!(lab.server.asked("GET", WEIGHTS)[2].range.as_deref(), Some("bytes=10000-"));

    let lab = Lab::new();
    let hub = HubConfig { retries: 9, ..lab.hub() };
    lab.script("GET", WEIGHTS, vec![Reply::CutAfter(0); 9]);
    assert!(matches!(get(&hub, ID, None), Err(HubError::CutOff { .. } | HubError::Unreachable { .. })));
    assert_eq!(lab.server.asked("GET", WEIGHTS).len(), 1, "asked again though nothing came");
}

#[test]
fn other_bytes_than_announced_are_deleted() {
    let lab = Lab::new();
    lab.script("GET", WEIGHTS, [Reply::Corrupt]);
    let error = lab.get().expect_err("other bytes");
    let (expected, inverted) = (sha256(&lab.weights), lab.weights.iter().map(|b| !b).collect::<Vec<u8>>());
    let message = error.to_string();
    assert!(message.contains(&format!("expected {expected}, actual {}", sha256(&inverted))), "{message}");
    assert!(!lab.part().exists() && !lab.part().with_extension("").exists());
    lab.assert_weights(&lab.get().expect("the next run starts anew"));
    assert_eq!(lab.server.asked("GET", WEIGHTS)[1].range, None);
}

#[test]
fn a_part_of_another_file_is_found_out() {
    let lab = Lab::new();
    lab.leave_part(&[7; 5_000]);
    assert!(matches!(lab.get(), Err(HubError::WrongHash { .. })));
    assert!(!lab.part().exists());
}

#[test]
fn a_server_without_ranges_starts_anew() {
    let lab = Lab::new();
    lab.leave_part(&lab.weights[..10_000]);
    lab.script("GET", WEIGHTS, [Reply::Whole]);
    lab.assert_weights(&lab.get().expect("from the start"));
    assert_eq!(lab.server.asked("GET", WEIGHTS).len(), 1);
}

#[test]
fn a_refused_or_wrong_range_starts_anew() {
    for reply in [Reply::Status(416, ""), Reply::WrongRange] {
        let lab = Lab::new();
        lab.leave_part(&lab.weights[..10_000]);
        lab.script("GET", WEIGHTS, [reply]);
        lab.assert_weights(&lab.get().expect("from the start"));
        let ranges: Vec<_> = lab.server.asked("GET", WEIGHTS).into_iter().map(|r| r.range).collect();
        assert_eq!(ranges, [Some("bytes=10000-".into()), None]);
    }
}

#[test]
fn a_complete_part_is_checked_and_not_asked_for_again() {
    let lab = Lab::new();
    lab.leave_part(&lab.weights);
    lab.assert_weights(&lab.get().expect("it is all there"));
    assert!(lab.server.asked("GET", WEIGHTS).is_empty());

    for leftover in [vec![7; lab.weights.len()], vec![7; lab.weights.len() + 1]] {
        let lab = Lab::new();
        lab.leave_part(&leftover);
        lab.assert_weights(&lab.get().expect("from the start"));
        assert_eq!(lab.server.asked("GET", WEIGHTS)[0].range, None);
    }
}

#[test]
fn what_the_hub_refuses_is_said() {
    let lab = Lab::new();
    let message = |status, code| {
        lab.script("HEAD", "config.json", [Reply::Status(status, code)]);
        lab.get().expect_err("refused").to_string()
    };
    assert!(message(404, "RepoNotFound").contains("the hub has no model `someone/tiny`"));
    assert!(message(404, "RevisionNotFound").contains("`someone/tiny` has no revision `main`"));
    assert!(message(404, "EntryNotFound").contains("`someone/tiny` has no config.json"));
    for (status, code) in [(401, "RepoNotFound"), (403, "GatedRepo")] {
        let message = message(status, code);
        assert!(message.contains(&status.to_string()) && message.contains("HF_TOKEN"), "{message}");
    }
    assert!(message(503, "").contains("status 503"));
    lab.script("HEAD", "config.json", [Reply::Status(401, "")]);
    let hub = HubConfig { token: Some("hf_secret".into()), ..lab.hub() };
    let message = get(&hub, ID, None).expect_err("refused").to_string();
    assert!(message.contains("the one that was sent may not") && !message.contains("hf_secret"), "{message}");
}

#[test]
fn a_model_without_safetensors_is_refused() {
    let lab = Lab::new();
    lab.script("HEAD", WEIGHTS, [Reply::Status(404, "EntryNotFound")]);
    let message = lab.get().expect_err("no weights").to_string();
    assert!(message.contains("has no model.safetensors") && message.contains("safetensors only"), "{message}");
}

#[test]
fn what_cannot_be_run_is_refused_before_its_weights_are_fetched() {
    let lab = Lab::new();
    let llama = String::from_utf8(golden_file("config.json")).expect("utf8").replace("\"gpt2\"", "\"llama\"");
    lab.server.put(ID, "main", COMMIT, "config.json", llama.as_bytes());
    let error = get_with(&lab.hub(), ID, None, &mut |_| {}, &NEVER).expect_err("not a GPT-2");
    assert!(error.to_string().contains("model_type is `llama`"), "{error}");

    let lab = Lab::new();
    let full = ModelError::TooLarge { needed_bytes: 2, available_bytes: 1 };
    let accept = |_: &_| Err(ModelError::TooLarge { needed_bytes: 2, available_bytes: 1 });
    let fetch = &mut Fetch { hub: &lab.hub(), accept: &accept, progress: &mut |_| {}, cancel: &NEVER };
    assert_eq!(snapshot(ID, None, fetch).expect_err("no memory").to_string(), full.to_string());
    assert!(lab.server.requests().iter().all(|r| !r.path.ends_with(WEIGHTS)));
}

#[test]
fn silence_ends_with_what_was_kept() {
    let lab = Lab::new();
    let hub = HubConfig { silence: Duration::from_millis(200), ..lab.hub() };
    lab.script("HEAD", "config.json", [Reply::Silence]);
    let message = get(&hub, ID, None).expect_err("silence").to_string();
    assert!(
        message.contains("has not sent a byte for 0.2 s") && message.contains("Nothing of it was kept"),
        "{message}"
    );
    lab.script("GET", WEIGHTS, [Reply::StallAfter(10_000)]);
    let message = get(&hub, ID, None).expect_err("silence").to_string();
    assert!(message.contains("for 0.2 s. Kept: 10000 bytes of"), "{message}");
    lab.assert_weights(&lab.get().expect("continues"));
    assert_eq!(lab.server.asked("GET", WEIGHTS)[1].range.as_deref(), Some("bytes=10000-"));
}

#[test]
fn cancel_is_answered_in_the_middle_and_keeps_the_part() {
    let lab = Lab::new();
    lab.script("GET", WEIGHTS, [Reply::StallAfter(10_000)]);
    let cancel = AtomicBool::new(false);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while fs::metadata(lab.part()).map_or(0, |part| part.len()) < 10_000 {
                std::thread::sleep(Duration::from_millis(5));
            }
            cancel.store(true, Ordering::Relaxed);
        });
        get_with(&lab.hub(), ID, None, &mut |_| {}, &cancel).expect_err("cancelled")
    });
    let ModelError::Hub(HubError::Cancelled { kept }) = &error else { panic!("{error}") };
    assert_eq!((kept.done_bytes, kept.all_bytes), (10_000, lab.weights.len() as u64));
    lab.assert_weights(&lab.get().expect("continues"));
}

/// A port that nobody listens on.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("address"))
}

#[test]
fn without_a_network_the_message_says_what_works() {
    let lab = Lab::new();
    let hub = HubConfig { endpoint: nobody(), ..lab.hub() };
    let message = get(&hub, ID, None).expect_err("no network").to_string();
    for word in ["cannot be reached", "refused", "--offline", "shape:gpt2", "folders"] {
        assert!(message.contains(word), "{message}");
    }
    // A name that no resolver may know.
    let hub = HubConfig { endpoint: "http://hub.invalid".into(), ..lab.hub() };
    assert!(matches!(get(&hub, ID, None), Err(HubError::Unreachable { .. })));
    for endpoint in ["huggingface.co", "ftp://huggingface.co", "http://", ""] {
        let hub = HubConfig { endpoint: endpoint.into(), ..lab.hub() };
        assert!(matches!(get(&hub, ID, None), Err(HubError::BadEndpoint(_))), "{endpoint}");
    }
}

#[test]
fn a_cached_model_runs_without_a_network_and_says_so() {
    let lab = Lab::new();
    let first = lab.get().expect("downloads");
    let again = get(&HubConfig { endpoint: nobody(), ..lab.hub() }, ID, None).expect("cached");
    assert_eq!((&again.folder, &again.commit), (&first.folder, &first.commit));
    let note = again.note.expect("a note");
    assert!(note.contains("may not be the newest") && note.contains("cannot be reached"), "{note}");
    lab.script("HEAD", "config.json", [Reply::Status(500, "")]);
    assert!(lab.get().expect("cached").note.is_some());
    // A refusal is an answer.
    lab.script("HEAD", "config.json", [Reply::Status(404, "RepoNotFound")]);
    assert!(matches!(lab.get(), Err(HubError::NoModel { .. })));
}

#[test]
fn offline_asks_nobody() {
    let lab = Lab::new();
    let offline = HubConfig { offline: true, ..lab.hub() };
    let message = get(&offline, ID, None).expect_err("not cached").to_string();
    assert!(message.contains("config.json of `someone/tiny` is not in the cache"), "{message}");
    assert!(lab.server.requests().is_empty());
    let first = lab.get().expect("downloads");
    let before = lab.server.requests().len();
    assert_eq!(get(&offline, ID, None).expect("cached"), first);
    assert_eq!(get(&offline, ID, Some(COMMIT)).expect("cached"), first);
    assert!(matches!(get(&offline, ID, Some("other")), Err(HubError::NotCached { .. })));
    fs::remove_file(first.folder.join(WEIGHTS)).expect("remove");
    assert!(matches!(get(&offline, ID, None), Err(HubError::NotCached { file: WEIGHTS, .. })));
    assert_eq!(lab.server.requests().len(), before);
}

#[test]
fn a_branch_that_moves_does_not_move_what_was_recorded() {
    let lab = Lab::new();
    lab.get().expect("downloads");
    let mut other = lab.weights.clone();
    *other.last_mut().expect("bytes") ^= 1;
    lab.server.put(ID, "main", LATER, "config.json", &golden_file("config.json"));
    lab.server.put(ID, "main", LATER, WEIGHTS, &other);
    let moved = lab.get().expect("downloads");
    assert_eq!(moved.commit, LATER);
    assert!(fs::read(moved.folder.join(WEIGHTS)).expect("weights") == other);
    assert_eq!(lab.server.asked("GET", "config.json").len(), 1, "an unchanged file came twice");
    lab.assert_weights(&get(&lab.hub(), ID, Some(COMMIT)).expect("the recorded one"));

    // A branch that moves between two files of one download: all come from the commit seen first.
    let lab = Lab::new();
    let mut progress = |_| {
        lab.server.put(ID, "main", LATER, "config.json", b"{}");
        lab.server.put(ID, "main", LATER, WEIGHTS, &other);
    };
    let snapshot = get_with(&lab.hub(), ID, None, &mut progress, &NEVER).expect("downloads");
    lab.assert_weights(&snapshot);
}

#[test]
fn a_model_source_is_pinned_and_can_be_asked_for_again() {
    let lab = Lab::new();
    let load = |name: &str| {
        let source: ModelSource = name.parse().expect("a name");
        source.load_with(&lab.hub(), &candle_core::Device::Cpu, &mut |_| {}, &NEVER).expect("loads")
    };
    let loaded = load(ID);
    assert_eq!(loaded.asked.to_string(), ID);
    assert_eq!(loaded.source.to_string(), format!("{ID}@{COMMIT}"));
    assert_eq!(loaded.hash, sha256(&lab.weights));
    let again = load(&loaded.source.to_string());
    assert_eq!((again.source, again.hash), (loaded.source, loaded.hash));
}

#[test]
fn weights_that_were_damaged_in_the_cache_are_found_out() {
    let lab = Lab::new();
    let first = lab.get().expect("downloads");
    let blob = fs::canonicalize(first.folder.join(WEIGHTS)).expect("blob");
    let mut damaged = lab.weights.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    fs::write(&blob, &damaged).expect("write");
    let source: ModelSource = ID.parse().expect("a name");
    let load = || source.load_with(&lab.hub(), &candle_core::Device::Cpu, &mut |_| {}, &NEVER);
    let message = load().err().expect("damaged").to_string();
    assert!(message.contains("is damaged") && message.contains(&sha256(&damaged)), "{message}");
    assert!(!blob.exists());
    assert_eq!(load().expect("downloads anew").hash, sha256(&lab.weights));
}

#[test]
fn answers_that_are_not_the_hubs_are_refused() {
    let lab = Lab::new();
    let refused = |file: &str, name: &'static str, value: &str| {
        lab.script("HEAD", file, [Reply::With(name, value.into())]);
        let error = lab.get().expect_err("not the hub's");
        assert!(matches!(error, HubError::NotAHub { .. }), "{name}: {value}: {error}");
    };
    refused("config.json", "X-Repo-Commit", "../../../../etc");
    refused("config.json", "X-Repo-Commit", "main");
    refused("config.json", "ETag", "\"../../../evil\"");
    refused("config.json", "ETag", "\"\"");
    refused(WEIGHTS, "X-Linked-Size", "many");
    refused(WEIGHTS, "X-Repo-Commit", LATER);
    lab.script("HEAD", WEIGHTS, [Reply::With("X-Linked-Size", "1125899906842624".into())]);
    let message = lab.get().expect_err("a petabyte").to_string();
    assert!(message.contains("model.safetensors needs 1125899.91 GB") && message.contains("free"), "{message}");
    lab.script("HEAD", WEIGHTS, [Reply::With("X-Linked-Size", "9".into())]);
    let message = lab.get().expect_err("another length").to_string();
    assert!(message.contains("9 bytes expected"), "{message}");
    let lab = Lab::new();
    lab.server.put(ID, "main", COMMIT, "tokenizer.json", b"{}");
    lab.script("HEAD", "tokenizer.json", [Reply::With("Content-Length", "99999999999".into())]);
    assert!(matches!(lab.get(), Err(HubError::TooLarge { .. })));
}

#[test]
fn names_that_leave_their_folder_are_refused() {
    let lab = Lab::new();
    for (id, revision) in [("../evil", None), ("a/../b", None), (ID, Some("../../x")), (ID, Some("/x")), ("", None)] {
        assert!(matches!(get(&lab.hub(), id, revision), Err(HubError::BadName(_))), "{id} {revision:?}");
    }
    assert!(lab.server.requests().is_empty());
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let lab = Lab::new();
    fs::write(lab.home.path().join("hub"), "a file").expect("write");
    let message = lab.get().expect_err("no folder").to_string();
    assert!(message.contains("cannot be written") && message.contains("HF_HOME"), "{message}");
}

#[test]
fn two_programs_do_not_write_one_part() {
    let lab = Lab::new();
    fs::create_dir_all(lab.folder().join("blobs")).expect("folder");
    let lock = fs::File::create(lab.part().with_extension("lock")).expect("lock");
    lock.lock().expect("lock");
    assert!(matches!(lab.get(), Err(HubError::Busy { file: WEIGHTS })));
    drop(lock);
    lab.assert_weights(&lab.get().expect("downloads"));
}

/// End to end through the binary: token ids, then text with either form of tokenizer.
#[test]
fn the_binary_generates_with_a_model_of_the_hub() {
    let lab = Lab::new();
    let expected = reference(GOLDENS[0]);
    let prompt = ids(&expected["prompt_ids"]).iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let greedy = ids(&expected["greedy_ids"]);
    let tokens = greedy.len().to_string();
    let generate = ["generate", "--model", ID, "--ids", &prompt, "--tokens", &tokens, "--json"];
    let output = lab.kvlab(&generate).output().expect("kvlab");
    assert!(output.status.success(), "{}", stderr(&output));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(printed["ids"], serde_json::json!(greedy));
    assert!(stderr(&output).contains("downloading model.safetensors"), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("model {ID}@{COMMIT}")), "{}", stderr(&output));

    let offline =
        lab.kvlab(&[&generate[..], &["--offline"]].concat()).env("HF_ENDPOINT", nobody()).output().expect("kvlab");
    assert!(offline.status.success() && offline.stdout == output.stdout, "{}", stderr(&offline));
    let fallback = lab.kvlab(&generate).env("HF_ENDPOINT", nobody()).output().expect("kvlab");
    assert!(
        fallback.status.success() && stderr(&fallback).contains("note: the copy in the cache"),
        "{}",
        stderr(&fallback)
    );
    let missing = lab.kvlab(&["generate", "--model", "gpt2"]).env("HF_HUB_OFFLINE", "1").output().expect("kvlab");
    assert!(!missing.status.success() && stderr(&missing).contains("is not in the cache"), "{}", stderr(&missing));
}

#[test]
fn a_trace_records_the_commit() {
    let lab = Lab::new();
    let out = lab.home.path().join("run");
    let args = ["run", "--model", ID, "--ids", "1,2", "--tokens", "2", "--lanes", "contiguous", "--out"];
    let output = lab.kvlab(&args).arg(&out).output().expect("kvlab");
    assert!(output.status.success(), "{}", stderr(&output));
    let trace = fs::read_to_string(out.join("trace.jsonl")).expect("trace");
    let header: serde_json::Value = serde_json::from_str(trace.lines().next().expect("header")).expect("json");
    let header = header.get("Header").or(header.get("header")).unwrap_or(&header);
    assert_eq!(header["model"], format!("{ID}@{COMMIT}"), "{header}");
    assert_eq!(header["model_hash"], sha256(&lab.weights));
}

/// The story model's files as a repository that has its tokenizer in the older form.
fn put_story(lab: &Lab, id: &str, is_old: bool) {
    let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/story-gpt2");
    for file in ["config.json", WEIGHTS] {
        lab.server.put(id, "main", COMMIT, file, &fs::read(story.join(file)).expect("asset"));
    }
    let json = fs::read(story.join("tokenizer.json")).expect("asset");
    if is_old {
        let json: serde_json::Value = serde_json::from_slice(&json).expect("json");
        let merges = json["model"]["merges"].as_array().expect("merges").iter();
        let merges = merges.map(|m| format!("{} {}\n", m[0].as_str().expect("a"), m[1].as_str().expect("b")));
        let merges = format!("#version: 0.2\n{}", merges.collect::<Vec<_>>().concat());
        lab.server.put(id, "main", COMMIT, "vocab.json", json["model"]["vocab"].to_string().as_bytes());
        lab.server.put(id, "main", COMMIT, "merges.txt", merges.as_bytes());
    } else {
        lab.server.put(id, "main", COMMIT, "tokenizer.json", &json);
    }
}

#[test]
fn both_forms_of_a_tokenizer_give_the_embedded_models_text() {
    let lab = Lab::new();
    put_story(&lab, "someone/new", false);
    put_story(&lab, "someone/old", true);
    let text = |model: &str| {
        let args =
            ["generate", "--model", model, "--prompt", "Mia has a dog.\nMia fed her", "--tokens", "12", "--json"];
        let output = lab.kvlab(&args).output().expect("kvlab");
        assert!(output.status.success(), "{}", stderr(&output));
        output.stdout
    };
    let story = text("story");
    assert!(text("someone/new") == story && text("someone/old") == story);
    assert!(lab.server.asked("HEAD", "someone/new/resolve/main/vocab.json").is_empty());
}

#[test]
fn a_tokenizer_larger_than_its_model_is_found_out_at_the_prompt() {
    let lab = Lab::new();
    put_story(&lab, ID, false);
    lab.server.put(ID, "main", COMMIT, "config.json", &golden_file("config.json"));
    lab.server.put(ID, "main", COMMIT, WEIGHTS, &lab.weights);
    let output = lab
        .kvlab(&["generate", "--model", ID, "--prompt", "Once upon a time", "--tokens", "2"])
        .output()
        .expect("kvlab");
    assert!(!output.status.success() && stderr(&output).contains("is past the vocabulary of"), "{}", stderr(&output));
}

#[test]
fn models_lists_what_is_in_the_cache() {
    let lab = Lab::new();
    let models = || String::from_utf8(lab.kvlab(&["models"]).output().expect("kvlab").stdout).expect("utf8");
    assert!(models().contains("in the cache    none"), "{}", models());
    lab.server.put("distilgpt2", "main", COMMIT, "config.json", &golden_file("config.json"));
    lab.server.put("distilgpt2", "main", COMMIT, WEIGHTS, &lab.weights);
    get(&lab.hub(), "distilgpt2", None).expect("downloads");
    assert!(models().contains(&format!("in the cache    distilgpt2@{COMMIT}")), "{}", models());
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_part_and_ends_with_130() {
    let lab = Lab::new();
    lab.script("GET", WEIGHTS, [Reply::StallAfter(10_000)]);
    let mut child = lab
        .kvlab(&["generate", "--model", ID, "--ids", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kvlab starts");
    let started = Instant::now();
    while fs::metadata(lab.part()).map_or(0, |part| part.len()) < 10_000 {
        assert!(started.elapsed() < Duration::from_mins(2), "the download does not get going");
        std::thread::sleep(Duration::from_millis(10));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let message = stderr(&child.wait_with_output().expect("output"));
    assert!(message.contains("cancelled while downloading") && message.contains("Kept: 10000 bytes"), "{message}");
    assert_eq!(fs::metadata(lab.part()).expect("part").len(), 10_000);
}
