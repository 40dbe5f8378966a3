//! `kvlab bench`, `compare` and `plot` as a person meets them.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::command::{kvlab, refusal, stderr, stdout};

/// The smallest matrix that has everything.
const SMALL: [&str; 15] = [
    "bench",
    "--lanes",
    "contiguous,paged:16+int8",
    "--prompts",
    "8",
    "--tokens",
    "2",
    "--depths",
    "4,20",
    "--batches",
    "1,2",
    "--repeats",
    "2",
    "--threads",
    "1",
];

fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().copied().chain(more.iter().copied()).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn summary(folder: &Path) -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(folder.join("summary.json")).expect("there")).expect("an array")
}

#[test]
fn a_matrix_is_measured_and_written() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("bench");
    let output = kvlab(&small(&["--out", text(&out), "--weights", "f32,q8_0"]));
    assert!(output.status.success(), "{}", stderr(&output));
    for heading in ["### story, pp8\n", "### story, tg2@d4\n", "### story, tg2@d20,b2\n"] {
        assert!(stdout(&output).contains(heading), "{heading}{}", stdout(&output));
    }
    let arms = summary(&out);
    // Two prompts (one, two sequences) and two depths with one and two sequences, of two lanes and two types.
    assert_eq!(arms.len(), (2 + 4) * 4);
    for arm in &arms {
        let numbers = ["median_secs", "floor_ratio", "floor_secs", "gflops_per_sec", "percent_of_bandwidth"];
        assert!(numbers.iter().all(|name| arm[name].as_f64().is_some_and(|number| number > 0.0)), "{arm}");
        assert_eq!(arm["samples"].as_array().map(Vec::len), Some(2));
        assert_eq!(
            arm["repeats"][0]["steps_secs"].as_array().map(Vec::len),
            Some(if arm["work"] == "pp" { 1 } else { 2 })
        );
        assert!(
            arm["test"].is_string() && arm["lane"].is_string() && arm["cpu"].is_string() && arm["commit"].is_string()
        );
    }
    let of = |weights: &str| arms.iter().find(|arm| arm["weights"] == weights).expect("there")["weight_bytes"].as_u64();
    assert!(of("q8_0") < of("f32").map(|bytes| bytes / 3));
    for name in ["arms.jsonl", "summary.md", "summary.csv"] {
        assert!(out.join(name).exists(), "{name}");
    }
}

#[test]
fn an_interrupted_benchmark_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("bench");
    assert!(kvlab(&small(&["--out", text(&out)])).status.success());
    let whole = summary(&out);
    // As if it had been stopped after the first group.
    let arms = out.join("arms.jsonl");
    let kept: Vec<String> = fs::read_to_string(&arms).expect("there").lines().take(3).map(str::to_owned).collect();
    fs::write(&arms, kept.join("\n")).expect("written");
    fs::remove_file(out.join("summary.json")).expect("removed");

    let output = kvlab(&small(&["--out", text(&out)]));
    assert!(output.status.success() && stderr(&output).contains("2 of 12 arms already"), "{}", stderr(&output));
    let again = summary(&out);
    assert_eq!((again.len(), &again[..2]), (whole.len(), &whole[..2]), "what was kept is not measured again");
    assert_ne!(again[2]["samples"], whole[2]["samples"], "what was lost is");

    let refused = refusal(&small(&["--out", text(&out), "--repeat-limit", "1"]));
    assert!(refused.contains("another benchmark") && refused.contains("--fresh"), "{refused}");
    assert!(kvlab(&small(&["--out", text(&out), "--repeat-limit", "1", "--fresh"])).status.success());
}

#[test]
fn figures_are_of_what_was_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let (out, figures) = (folder.path().join("bench"), folder.path().join("figures"));
    assert!(kvlab(&small(&["--out", text(&out)])).status.success());

    let plotted = kvlab(&["plot", text(&out), "--out", text(&figures)]);
    assert!(plotted.status.success(), "{}", stderr(&plotted));
    for name in ["latency-story.svg", "memory-story.png", "throughput-d20-story.svg", "roofline-story.svg"] {
        assert!(figures.join(name).exists(), "{name}: {}", stdout(&plotted));
    }
}

/// A file of two arms with seven fixed repeats, the first made `factor` times as long.
fn fixed(path: &Path, factor: f64) {
    let arm = |lane: &str, factor: f64| {
        let repeat = |i: u32| {
            let secs = factor * (1.0 + 0.01 * f64::from(i % 3));
            serde_json::json!({"steps_secs": [secs], "read_before_secs": 0.5, "read_after_secs": 0.5})
        };
        let mut arm = serde_json::to_value(kvlab::experiment::bench::ArmResult::default()).expect("json");
        arm["lane"] = lane.into();
        arm["read_bytes"] = 100.0.into();
        arm["floor_of"] = "memory".into();
        arm["repeats"] = (0..7).map(repeat).collect();
        arm
    };
    let arms = [arm("contiguous", factor), arm("paged:16", 1.0)];
    fs::write(path, serde_json::to_string(&arms).expect("json")).expect("written");
}

#[test]
fn a_slower_arm_fails_the_comparison() {
    let folder = tempfile::tempdir().expect("folder");
    let (before, after) = (folder.path().join("before.json"), folder.path().join("after.json"));
    fixed(&before, 1.0);
    let compare = |factor: f64, more: &[&str]| {
        fixed(&after, factor);
        let arguments = [&["compare", text(&before), text(&after)], more].concat();
        let output = kvlab(&arguments);
        (output.status.code(), stdout(&output))
    };
    let (code, same) = compare(1.0, &["--strict"]);
    assert!(code == Some(0) && same.contains("0 slower, 0 faster, 2 the same"), "{same}");
    let (code, slower) = compare(1.1, &[]);
    assert!(
        code == Some(1) && slower.contains("1 slower, 0 faster, 1 the same") && slower.contains("+10.0 %"),
        "{slower}"
    );
    let (code, faster) = compare(0.9, &[]);
    assert!(code == Some(0) && faster.contains("0 slower, 1 faster, 1 the same"), "{faster}");
    assert_eq!(compare(1.1, &["--band", "20"]).0, Some(0));
    // An arm in one of them only fails when asked to.
    let mut arms: Vec<Value> = serde_json::from_str(&fs::read_to_string(&before).expect("there")).expect("json");
    arms.pop();
    fs::write(&before, serde_json::to_string(&arms).expect("json")).expect("written");
    assert_eq!((compare(1.0, &[]).0, compare(1.0, &["--strict"]).0), (Some(0), Some(1)));
}

#[cfg(unix)]
#[test]
fn a_peer_is_measured_between_our_turns() {
    let folder = tempfile::tempdir().expect("folder");
    let (peer, out, log) = (folder.path().join("peer.sh"), folder.path().join("bench"), folder.path().join("log"));
    fs::write(
        &peer,
        format!(
            r#"echo '{{"peer":"stub","lanes":["stub-a","stub-b"],"weights":["f32"],"versions":{{"stub":"1"}}}}'
while read request; do
    echo "$request" >> {log}
    case $request in
        *'"load"'*) test -s "$(echo "$request" | sed 's/.*"folder":"\([^"]*\)".*/\1/')/model.safetensors" && echo '{{"ok":true,"weight_bytes":1000}}' || echo '{{"error":"no model"}}' ;;
        *'"prepare"'*'"stub-b"'*) echo '{{"error":"stub-b cannot"}}' ;;
        *'"run"'*) echo '{{"secs":[0.25,0.75]}}' ;;
        *) echo '{{"ok":true,"cache_bytes":24}}' ;;
    esac
done"#,
            log = log.display()
        ),
    )
    .expect("written");
    let command = format!("sh {}", peer.display());
    let output = kvlab(&[
        "bench",
        "--lanes",
        "contiguous",
        "--peer",
        &command,
        "--prompts",
        "",
        "--tokens",
        "2",
        "--depths",
        "4",
        "--repeats",
        "2",
        "--out",
        text(&out),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let arms = summary(&out);
    let [ours, a, b] = &arms[..] else { panic!("three arms: {arms:?}") };
    assert_eq!((&ours["engine"], &a["engine"]), (&"kvlab".into(), &"stub (stub 1)".into()));
    assert_eq!((&a["median_secs"], &a["samples"]), (&0.5.into(), &serde_json::json!([0.5, 0.5])));
    // Its cache is f32, as it says nothing else: 5 of 4 to 6 tokens on average, of 7,680 bytes; 24 bytes are what it reserved.
    assert_eq!((&a["weight_bytes"], &a["reserved_bytes"]), (&ours["weight_bytes"], &24.into()));
    assert_eq!(a["read_bytes"].as_f64(), a["weight_bytes"].as_f64().map(|bytes| bytes + 5.0 * 7680.0));
    assert!(a["floor_ratio"].as_f64().is_some_and(|ratio| ratio > 1.0));
    assert_eq!(b["skipped"], "stub-b cannot");
    let requests = fs::read_to_string(&log).expect("a log");
    assert_eq!(requests.matches("\"run\"").count(), 3, "a turn to warm up, then two");
}

#[test]
fn bad_input_is_refused_with_a_way_out() {
    for (arguments, says) in [
        (&["bench", "--lanes", "nothing"][..], "candle:concat"),
        (&["bench", "--weights", "f64"], "f32, f16, bf16, int8 and q8_0"),
        (&["bench", "--depths", "x"], "no whole number"),
        (&["bench", "--depths", "5000", "--prompts", ""], "ends at 1024"),
        (&["bench", "--threads", "0"], "RAYON_NUM_THREADS"),
        (&["bench", "--batches", "0"], "a batch of 0"),
        (&["bench", "--handicap", "10"], "10@contiguous"),
        (&["bench", "--peer", "/no/such/program"], "cannot be started"),
        (&["bench", "--model", "shape:gpt9"], "shapes are"),
        (&["bench", "--repeat-limit", "-1"], "0 to 3600"),
        (&["bench", "--handicap", "10@concat", "--lanes", "contiguous"], "not among the lanes"),
        (&["bench", "--peer-lanes", "x", "--lanes", "contiguous"], "no peer offers"),
        (&["bench", "--threads", ""], "RAYON_NUM_THREADS"),
        (&["compare", "/nowhere", "/nowhere"], "/nowhere"),
        (&["plot", "/nowhere", "--out", "/nowhere/figures"], "/nowhere"),
    ] {
        let said = refusal(arguments);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}
