//! Downloads from a hub on this machine that can misbehave. Nothing here needs a network.
#![cfg(feature = "hub")]

mod support;

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use kvlab::model::{HubConfig, HubError, ModelError, Progress};
use support::{
    NEVER,
    hub_lab::{COMMIT, ID, LATER, Lab, NOBODY, WEIGHTS, get, get_with, golden_file},
    hub_server::{HubServer, Reply, git_hash, sha256},
};

#[test]
fn redirects_are_followed_and_the_token_stays_with_the_hub() {
    let (lab, storage) = (Lab::new(), HubServer::start());
    storage.put_raw("/blob?signed=1", &lab.weights, vec![]);
    let away = || Reply::Redirect(302, Some(format!("{}/blob?signed=1", storage.endpoint)));
    lab.script("HEAD", WEIGHTS, [away()]);
    lab.script("GET", WEIGHTS, [away()]);
    // Within the hub, as it does for small files; the second step relative to the first.
    let config = golden_file("config.json");
    let headers = vec![("X-Repo-Commit", COMMIT.to_owned()), ("ETag", format!("\"{}\"", git_hash(&config)))];
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
fn small_files_are_checked_by_the_hash_that_git_gives_them() {
    let lab = Lab::new();
    lab.server.put(ID, "main", COMMIT, "tokenizer.json", b"{}");
    for (file, right) in [("config.json", golden_file("config.json")), ("tokenizer.json", b"{}".to_vec())] {
        // Of the same length.
        lab.script("GET", file, [Reply::Corrupt]);
        let message = lab.get().expect_err("other bytes").to_string();
        let blob = lab.folder().join("blobs").join(git_hash(&right));
        assert!(message.contains(&format!("{file} came with another content")), "{message}");
        assert!(message.contains(&format!("git's sha1 expected {}, actual ", git_hash(&right))), "{message}");
        assert!(!blob.exists() && !blob.with_extension("part").exists());
    }
    // An etag of another form is a name and no hash: the length is what there is to check.
    lab.script("HEAD", "tokenizer.json", [Reply::With("ETag", "\"some-name\"".into())]);
    lab.script("GET", "tokenizer.json", [Reply::Corrupt]);
    lab.assert_weights(&lab.get().expect("downloads"));
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
        assert!(message.contains("no such folder"), "{message}");
    }
    assert!(message(503, "").contains("status 503"));
    lab.script("HEAD", "config.json", [Reply::Status(401, "")]);
    let hub = HubConfig { token: Some("hf_secret".into()), ..lab.hub() };
    let message = get(&hub, ID, None).expect_err("refused").to_string();
    assert!(message.contains("the one that was sent may not") && !message.contains("hf_secret"), "{message}");
}

#[test]
fn messages_hold_no_secret_of_an_address() {
    let (lab, storage) = (Lab::new(), HubServer::start());
    storage.script("GET /blob?Signature=secret", [Reply::Status(500, "")]);
    lab.script("GET", WEIGHTS, [Reply::Redirect(302, Some(format!("{}/blob?Signature=secret", storage.endpoint)))]);
    let message = lab.get().expect_err("broken").to_string();
    assert!(message.contains(&format!("{}/blob answered with status 500", storage.endpoint)), "{message}");
    for endpoint in ["http://me:secret@127.0.0.1:1", "http://me:secret@", "me:secret@127.0.0.1"] {
        let hub = HubConfig { endpoint: endpoint.into(), ..lab.hub() };
        let message = get(&hub, ID, None).expect_err("nobody there").to_string();
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn a_model_without_safetensors_is_refused() {
    let lab = Lab::new();
    lab.script("HEAD", WEIGHTS, [Reply::Status(404, "EntryNotFound")]);
    let message = lab.get().expect_err("no weights").to_string();
    assert!(message.contains("has no model.safetensors") && message.contains("safetensors only"), "{message}");
}

#[test]
fn silence_ends_with_what_was_kept() {
    let lab = Lab::new();
    let hub = HubConfig { silence: Duration::from_millis(500), ..lab.hub() };
    lab.script("HEAD", "config.json", [Reply::Silence]);
    let message = get(&hub, ID, None).expect_err("silence").to_string();
    assert!(message.contains("has not sent a byte for 0.5 s. Nothing was changed"), "{message}");
    lab.script("GET", WEIGHTS, [Reply::StallAfter(10_000)]);
    let message = get(&hub, ID, None).expect_err("silence").to_string();
    assert!(message.contains("for 0.5 s. Kept: 10000 bytes of"), "{message}");
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

#[test]
fn without_a_network_the_message_says_what_works() {
    let lab = Lab::new();
    let hub = HubConfig { endpoint: NOBODY.into(), ..lab.hub() };
    let message = get(&hub, ID, None).expect_err("no network").to_string();
    for word in ["cannot be reached", "refused", "no folder of the name", "--offline", "shape:gpt2", "folders"] {
        assert!(message.contains(word), "{message}");
    }
    for endpoint in ["huggingface.co", "ftp://huggingface.co", "http://", ""] {
        let hub = HubConfig { endpoint: endpoint.into(), ..lab.hub() };
        assert!(matches!(get(&hub, ID, None), Err(HubError::BadEndpoint(_))), "{endpoint}");
    }
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
