//! A hub with one model and an empty cache: where the tests of the hub begin.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::AtomicBool,
    time::Duration,
};

use kvlab::model::{
    HubConfig, HubError, ModelError, Progress,
    hub::{Fetch, Snapshot, snapshot},
};

use super::{
    GOLDENS, NEVER, golden_folder,
    hub_server::{HubServer, Reply, sha256},
};

pub const ID: &str = "someone/tiny";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const LATER: &str = "89abcdef0123456789abcdef0123456789abcdef";
pub const WEIGHTS: &str = "model.safetensors";
/// Nobody listens on the first port, and no test is given it.
pub const NOBODY: &str = "http://127.0.0.1:1";

/// A hub with one model, and an empty cache.
pub struct Lab {
    pub server: HubServer,
    pub home: tempfile::TempDir,
    pub weights: Vec<u8>,
}

pub fn golden_file(name: &str) -> Vec<u8> {
    fs::read(golden_folder(GOLDENS[0]).join(name)).expect("golden")
}

impl Lab {
    pub fn new() -> Self {
        let (server, weights) = (HubServer::start(), golden_file(WEIGHTS));
        server.put(ID, "main", COMMIT, "config.json", &golden_file("config.json"));
        server.put(ID, "main", COMMIT, WEIGHTS, &weights);
        Self { server, home: tempfile::tempdir().expect("folder"), weights }
    }

    pub fn hub(&self) -> HubConfig {
        HubConfig {
            endpoint: self.server.endpoint.clone(),
            cache_dir: Some(self.home.path().join("hub")),
            token: None,
            offline: false,
            silence: Duration::from_secs(20),
            retries: 0,
        }
    }

    pub fn get(&self) -> Result<Snapshot, HubError> {
        get(&self.hub(), ID, None)
    }

    pub fn folder(&self) -> PathBuf {
        self.home.path().join("hub/models--someone--tiny")
    }

    pub fn part(&self) -> PathBuf {
        self.folder().join("blobs").join(sha256(&self.weights)).with_extension("part")
    }

    /// What a download that broke off left behind.
    pub fn leave_part(&self, bytes: &[u8]) {
        fs::create_dir_all(self.folder().join("blobs")).expect("folder");
        fs::write(self.part(), bytes).expect("write");
    }

    pub fn script(&self, method: &str, file: &str, replies: impl IntoIterator<Item = Reply>) {
        // The configuration is asked for by branch, the rest by the commit it was found at.
        let revision = if method == "HEAD" && file == "config.json" { "main" } else { COMMIT };
        self.server.script(&format!("{method} /{ID}/resolve/{revision}/{file}"), replies);
    }

    pub fn assert_weights(&self, snapshot: &Snapshot) {
        assert_eq!(snapshot.commit, COMMIT);
        assert!(fs::read(snapshot.folder.join(WEIGHTS)).expect("weights") == self.weights, "other bytes arrived");
        assert!(!self.part().exists(), "a part is left");
    }

    pub fn kvlab(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvlab"));
        command.args(args).env("HF_ENDPOINT", &self.server.endpoint).env("HF_HOME", self.home.path());
        let hugging_face = ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"];
        let proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        for other in hugging_face.into_iter().chain(proxies) {
            command.env_remove(other);
        }
        command
    }
}

pub fn get(hub: &HubConfig, id: &str, revision: Option<&str>) -> Result<Snapshot, HubError> {
    get_with(hub, id, revision, &mut |_| {}, &NEVER).map_err(|error| match error {
        ModelError::Hub(error) => error,
        other => panic!("no error of the hub: {other}"),
    })
}

pub fn get_with(
    hub: &HubConfig,
    id: &str,
    revision: Option<&str>,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Snapshot, ModelError> {
    snapshot(id, revision, &mut Fetch { hub, accept: &|_| Ok(()), progress, cancel })
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("utf8")
}
