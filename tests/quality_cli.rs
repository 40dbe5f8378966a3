//! `kvlab quality` as a person meets it: its files, bad input, Ctrl-C.

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    GOLDENS,
    command::{json, kvlab, refusal, stderr, stdout},
    golden_folder,
};

/// A run of some seconds at most, also in a debug build.
const SHORT: [&str; 9] =
    ["quality", "--stories", "2", "--tokens", "200", "--prompt-tokens", "40", "--greedy-tokens", "4"];

fn short<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SHORT[..], more].concat()
}

fn files(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("entry").file_name().into_string().expect("utf8");
    let mut names: Vec<String> = fs::read_dir(folder).expect("folder").map(name).collect();
    names.sort();
    names
}

#[test]
fn a_run_writes_an_object_per_lane_and_everything_around_it() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("a/b");
    let output = kvlab(&short(&["--lanes", "paged:16+int8,paged:16", "--out", out.to_str().expect("path")]));
    assert!(output.status.success(), "{}", stderr(&output));
    for word in ["contiguous (exact)", "paged:16+int8", "bytes/token", "recall 0-100", "2160", "mean of KL", "commit"] {
        assert!(stdout(&output).contains(word), "no `{word}` in {}", stdout(&output));
    }
    let all = ["pareto.png", "pareto.svg", "positions.csv", "recall.png", "recall.svg", "run.json", "summary.json"];
    assert_eq!(files(&out), all);

    let summary = json(&out.join("summary.json"));
    let lanes = summary.as_array().expect("an array");
    let named: Vec<&str> = lanes.iter().map(|lane| lane["lane"].as_str().expect("lane")).collect();
    assert_eq!(named, ["contiguous", "paged:16+int8", "paged:16"]);
    for lane in lanes {
        for field in ["kl", "top1_agreement", "perplexity", "bytes_per_token"] {
            assert!(lane[field].is_f64(), "{field} of {lane}");
        }
        assert_eq!(lane["recall"].as_object().expect("buckets").len(), 4);
        assert_eq!(lane["positions"], 2 * (200 - 1 - 40));
    }
    assert_eq!((&lanes[0]["kl"], &lanes[2]["kl"]), (&Value::from(0.0), &Value::from(0.0)));
    assert_eq!(lanes[1]["bytes_per_token"], 2160.0);

    let run = json(&out.join("run.json"));
    assert_eq!((&run["model"], &run["passages"], &run["prompt_tokens"]), (&"story".into(), &2.into(), &40.into()));
    assert_eq!(run["text_hash"].as_str().map(str::len), Some(64));

    let csv = fs::read_to_string(out.join("positions.csv")).expect("csv");
    assert!(csv.starts_with("lane,position,passages,kl,top1_agreement,nll\n"));
    assert_eq!(csv.lines().count(), 1 + 3 * (200 - 1 - 40));
    let int8: Vec<f64> = csv
        .lines()
        .filter(|row| row.starts_with("paged:16+int8,"))
        .map(|row| row.split(',').nth(3).expect("kl").parse().expect("a number"))
        .collect();
    let mean = int8.iter().sum::<f64>() / 159.0;
    let kl = lanes[1]["kl"].as_f64().expect("kl");
    assert!(int8.len() == 159 && (mean / kl - 1.0).abs() < 1e-9, "{mean} and {kl}");
}

#[test]
fn a_text_without_marks_has_no_recall_and_json_is_json() {
    let folder = tempfile::tempdir().expect("folder");
    let (text, out) = (folder.path().join("text"), folder.path().join("out"));
    fs::write(&text, "Mia keeps a red key. Tom likes soup best. ".repeat(12)).expect("write");
    fs::create_dir(&out).expect("folder");
    fs::write(out.join("recall.svg"), "an earlier run's").expect("write");
    let output = kvlab(&[
        "quality",
        "--text",
        text.to_str().expect("path"),
        "--tokens",
        "50",
        "--prompt-tokens",
        "20",
        "--greedy-tokens",
        "0",
        "--lanes",
        "contiguous",
        "--json",
        "--out",
        out.to_str().expect("path"),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed: Value = serde_json::from_str(&stdout(&output)).expect("json");
    assert_eq!(printed, json(&out.join("summary.json")));
    assert_eq!(printed[0]["recall"], serde_json::json!({}));
    assert_eq!((&printed[0]["greedy_same_share"], &printed[0]["kl"]), (&Value::Null, &0.0.into()));
    assert_eq!(files(&out), ["pareto.png", "pareto.svg", "positions.csv", "run.json", "summary.json"]);
    assert!(json(&out.join("run.json"))["text"].as_str().expect("text").contains("of "));
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("path").to_owned();
    fs::write(path("file"), "x").expect("write");
    fs::write(path("latin1"), b"caf\xe9").expect("write");
    fs::create_dir(path("run")).expect("folder");
    fs::write(folder.path().join("run/trace.jsonl"), "{}").expect("write");
    let golden = golden_folder(GOLDENS[0]);
    let golden = golden.to_str().expect("path");
    let cases: [(&[&str], &str); 22] = [
        (&["--lanes", "pagd"], "unknown layout `pagd`"),
        (&["--lanes", ""], "empty lane"),
        (&["--lanes", "none,paged:16"], "lane `none` stores nothing"),
        (&["--stories", "0"], "--stories 0 reads nothing"),
        (&["--stories", "33"], "held-out stories: 32"),
        (&["--stories", "-1"], "invalid value '-1' for '--stories"),
        (&["--batch", "0"], "--batch 0"),
        (&["--prompt-tokens", "0"], "--prompt-tokens 0"),
        (&["--prompt-tokens", "1023"], "--prompt-tokens 1022 or fewer"),
        (&["--tokens", "50"], "--prompt-tokens 48 or fewer"),
        (&["--tokens", "0"], "Give a longer text"),
        (&["--greedy-tokens", "961"], "--greedy-tokens 960 or fewer"),
        (&["--greedy-tokens", "18446744073709551615"], "--greedy-tokens 960 or fewer"),
        (&["--model", "shape:distilgpt2,ctx=64"], "give a text for `shape:distilgpt2,ctx=64` with --text"),
        (&["--text", "/nowhere/text"], "cannot be read"),
        (&["--text", "src"], "is not a file"),
        (&["--text", &path("latin1")], "valid UTF-8"),
        (&["--text", &path("file")], "Give a longer text"),
        (&["--text", "Cargo.toml", "--tokens", "1025"], "context of `story` ends at 1024"),
        (&["--model", golden, "--text", "Cargo.toml"], "has no tokenizer"),
        (&["--out", &path("file/sub")], "cannot be written"),
        (&["--out", &path("run")], "holds a trace.jsonl of `kvlab run`"),
    ];
    for (args, says) in cases {
        let message = refusal(&[&["quality"], args].concat());
        assert!(message.contains(says), "{args:?} said: {message}");
    }
    assert!(stdout(&kvlab(&["quality", "--help"])).contains("Examples:"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_no_file_and_says_so() {
    let folder = tempfile::tempdir().expect("folder");
    for stale in ["summary.json", "positions.csv", "notes.txt"] {
        fs::write(folder.path().join(stale), "from before").expect("write");
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_kvlab"))
        .args(["quality", "--out", folder.path().to_str().expect("path")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kvlab starts");
    let started = Instant::now();
    // An earlier run's files go when this one begins.
    while folder.path().join("summary.json").exists() {
        assert!(started.elapsed() < Duration::from_mins(2), "the run does not get going");
        std::thread::sleep(Duration::from_millis(10));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let message = stderr(&child.wait_with_output().expect("output"));
    assert!(message.contains("cancelled after") && message.contains("nothing was written to"), "{message}");
    assert_eq!(files(folder.path()), ["notes.txt"]);
}
