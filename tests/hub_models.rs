//! Models of the hub as a person uses them: pinned, cached, offline, through the binary. Nothing here needs a network.
#![cfg(feature = "hub")]

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use kvlab::model::{
    HubConfig, HubError, ModelError, ModelSource,
    hub::{Fetch, snapshot},
};
use support::{
    GOLDENS, NEVER,
    hub_lab::{COMMIT, ID, LATER, Lab, NOBODY, WEIGHTS, get, get_with, golden_file, stderr},
    hub_server::{Reply, sha256},
    ids, reference,
};

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
fn a_cached_model_runs_without_a_network_and_says_so() {
    let lab = Lab::new();
    let first = lab.get().expect("downloads");
    let again = get(&HubConfig { endpoint: NOBODY.into(), ..lab.hub() }, ID, None).expect("cached");
    assert_eq!((&again.folder, &again.commit), (&first.folder, &first.commit));
    let note = again.note.expect("a note");
    assert!(note.contains("may not be the newest") && note.contains("cannot be reached"), "{note}");
    // Timed out, limited, broken: all say "not now".
    for status in [408, 429, 500, 503] {
        lab.script("HEAD", "config.json", [Reply::Status(status, "")]);
        let note = lab.get().expect("cached").note.expect("a note");
        assert!(note.contains(&format!("status {status}")), "{note}");
    }
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
    assert!(message.contains("there is no such folder"), "{message}");
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
        lab.kvlab(&[&generate[..], &["--offline"]].concat()).env("HF_ENDPOINT", NOBODY).output().expect("kvlab");
    assert!(offline.status.success() && offline.stdout == output.stdout, "{}", stderr(&offline));
    let fallback = lab.kvlab(&generate).env("HF_ENDPOINT", NOBODY).output().expect("kvlab");
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
fn a_404_that_is_not_the_hubs_is_forgotten() {
    let lab = Lab::new();
    put_story(&lab, ID, false);
    lab.script("HEAD", "tokenizer.json", [Reply::Status(404, "")]);
    let first = lab.get().expect("runs without it, for token ids");
    assert!(!first.folder.join("tokenizer.json").exists() && first.folder.join(WEIGHTS).exists());
    assert!(!lab.folder().join(".no_exist").join(COMMIT).join("tokenizer.json").exists());
    assert!(!lab.folder().join("refs/main").exists(), "what is not complete was recorded");
    assert!(lab.get().expect("asks again").folder.join("tokenizer.json").exists());
    assert_eq!(fs::read_to_string(lab.folder().join("refs/main")).expect("ref"), COMMIT);

    let lab = Lab::new();
    lab.script("HEAD", WEIGHTS, [Reply::Status(404, "")]);
    let message = lab.get().expect_err("no weights").to_string();
    assert!(message.contains("model.safetensors was not found") && message.contains("in between"), "{message}");
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
