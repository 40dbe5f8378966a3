//! Traces for the window, made and drawn by the program itself, without a display.
#![cfg(feature = "app")]

use kvlab::app::{Options, Pane, draw, timeline::Timeline};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn kvlab(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvlab"));
    command.args(args).current_dir(folder);
    // No display of any kind.
    for display in ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"] {
        command.env_remove(display);
    }
    command.output().expect("kvlab starts")
}

fn accepted(folder: &Path, args: &[&str]) {
    let output = kvlab(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn refusal(folder: &Path, args: &[&str]) -> String {
    let output = kvlab(folder, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).expect("utf8")
}

fn recorded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let run = ["run", "--tokens", "30", "--lanes", "none,paged:16", "--attention", "paged:16", "--fork", "paged:16@9"];
    accepted(folder.path(), &[&run[..], &["--out", "."]].concat());
    folder
}

/// Colours of a picture, the most frequent first, and its size.
fn colors(path: &Path) -> (Vec<[u8; 3]>, (u32, u32)) {
    let image = image::open(path).expect("a picture").to_rgb8();
    let mut counts = std::collections::BTreeMap::new();
    for pixel in image.pixels() {
        *counts.entry(pixel.0).or_insert(0_usize) += 1;
    }
    let mut colors: Vec<_> = counts.into_iter().collect();
    colors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    (colors.into_iter().map(|(color, _)| color).collect(), image.dimensions())
}

#[test]
fn every_pane_is_drawn_from_a_trace_without_a_display() {
    let folder = recorded();
    let folder = folder.path();
    let mut pictures = vec![];
    for pane in ["cost", "attention", "blocks"] {
        let file = format!("{pane}.png");
        accepted(folder, &["app", "--trace", "trace.jsonl", "--pane", pane, "--screenshot", &file]);
        let (colors, size) = colors(&folder.join(&file));
        assert_eq!(size, (1280, 800));
        assert!(colors.len() > 100, "{pane}: {} colours", colors.len());
        pictures.push(fs::read(folder.join(file)).expect("a file"));
    }
    assert!(pictures[0] != pictures[1] && pictures[1] != pictures[2]);
    accepted(folder, &["app", "--trace", "trace.jsonl", "--pane", "blocks", "--screenshot", "again.png"]);
    assert!(fs::read(folder.join("again.png")).expect("a file") == pictures[2], "the same trace, the same picture");
}

#[test]
fn a_run_is_drawn_without_a_display() {
    let folder = tempfile::tempdir().expect("folder");
    accepted(folder.path(), &["app", "--tokens", "8", "--screenshot", "run.png"]);
    assert!(colors(&folder.path().join("run.png")).0.len() > 100);
    let message = refusal(folder.path(), &["app", "--tokens", "5000", "--screenshot", "long.png"]);
    assert!(message.contains("did not finish: the prompt has"), "{message}");
    let message = refusal(folder.path(), &["app", "--tokens", "8", "--screenshot", "run.bmp"]);
    assert!(message.contains("is a .png"), "{message}");
    let message = refusal(folder.path(), &["app"]);
    assert!(message.contains("no display"), "{message}");
}

#[test]
fn a_trace_that_cannot_be_shown_says_why() {
    let folder = recorded();
    let folder = folder.path();
    let open = |name: &str| refusal(folder, &["app", "--trace", name, "--screenshot", "x.png"]);
    assert!(open("nothing.jsonl").contains("nothing.jsonl cannot be opened"));
    assert!(open("summary.json").contains("not a kvlab trace"));
    let trace = fs::read_to_string(folder.join("trace.jsonl")).expect("a trace");
    fs::write(folder.join("newer.jsonl"), r#"{"type":"header","schema":99,"other":true}"#).expect("writable");
    assert!(open("newer.jsonl").contains("schema 99, newer than"));
    fs::write(folder.join("lanes.jsonl"), trace.replacen("\"lane\":1", "\"lane\":7", 1)).expect("writable");
    assert!(open("lanes.jsonl").contains("names lane 7 and has 2"));
    fs::write(folder.join("empty.jsonl"), "").expect("writable");
    assert!(open("empty.jsonl").contains("the trace is empty"));
    assert!(!folder.join("x.png").exists());
    // Cut off in the middle of a line: what is whole is shown, and tabulated.
    fs::write(folder.join("cut.jsonl"), &trace[..trace.len() * 2 / 3]).expect("writable");
    accepted(folder, &["app", "--trace", "cut.jsonl", "--screenshot", "cut.png"]);
    let shown = kvlab(folder, &["show", "cut.jsonl"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("cut off"));
}

/// Whatever number of a trace is damaged: it is refused, or drawn; never a panic, never more memory than there is.
#[test]
fn damaged_numbers_are_refused_or_harmless() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let lane = "paged:16+window:4/20";
    let fork = format!("{lane}@2");
    let run = ["run", "--tokens", "3", "--lanes", lane, "--attention", lane, "--fork", &fork];
    accepted(folder, &[&run[..], &["--out", "."]].concat());
    let trace = fs::read_to_string(folder.join("trace.jsonl")).expect("a trace");
    let keys = [
        "block_len",
        "n_blocks",
        "token_bytes",
        "len",
        "n_layer",
        "n_head",
        "first",
        "step",
        "fork",
        "start",
        "lane",
        "max_new_tokens",
        "cached_tokens",
        "used_bytes",
        "copied_bytes",
        "n_positions",
        "dead_bytes",
    ];
    let (mut refused, mut drawn) = (0, 0);
    for key in keys {
        for value in ["0", "1000000", "18446744073709551615"] {
            let key = format!("\"{key}\":");
            let (before, after) = trace.split_at(trace.find(&key).expect(&key) + key.len());
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            fs::write(folder.join("damaged.jsonl"), format!("{before}{value}{rest}")).expect("writable");
            let Ok(mut replay) = Timeline::open(&folder.join("damaged.jsonl")) else {
                refused += 1;
                continue;
            };
            drawn += 1;
            for pane in [Pane::Attention, Pane::Blocks] {
                let options = Options { pane, trace: Some(replay.clone()), ..Options::default() };
                draw(&options, &folder.join("damaged.png")).expect("drawn");
            }
            let state = replay.recording().state(1, replay.last());
            replay.step(false, &state);
        }
    }
    assert!(refused > 10 && drawn > 10, "{refused} refused, {drawn} drawn");
    fs::write(folder.join("short.jsonl"), trace.replacen("\"rows\":[\"", "\"rows\":[\"00", 1)).expect("writable");
    assert!(Timeline::open(&folder.join("short.jsonl")).is_err_and(|e| e.to_string().contains("wrong length")));
    assert!(Timeline::open(folder).is_err_and(|e| e.to_string().contains("not a file")));
}

/// Tables with evictions: what no store can have is refused, and every other number is drawn.
#[test]
fn damaged_tables_are_refused_or_harmless() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    accepted(folder, &["run", "--tokens", "30", "--lanes", "paged:32+kivi:2/0+window:4/20", "--out", "."]);
    let trace = fs::read_to_string(folder.join("trace.jsonl")).expect("a trace");
    let lines: Vec<&str> = trace.lines().collect();
    let last = lines.iter().rposition(|line| line.starts_with(r#"{"type":"blocks""#)).expect("blocks");
    let open = |line: &str| {
        let lines: Vec<&str> = lines.iter().enumerate().map(|(i, old)| if i == last { line } else { *old }).collect();
        fs::write(folder.join("damaged.jsonl"), lines.join("\n")).expect("writable");
        Timeline::open(&folder.join("damaged.jsonl"))
    };
    // 67 + 29 tokens: the first 4 and the newest 20 are live, and the second of three blocks was given back.
    let table = r#""len":96,"blocks":[0,4294967295,2],"evicted":[[4,76]],"sealed":96"#;
    assert!(lines[last].contains(table), "{}", lines[last]);
    for (part, damaged) in [
        ("[[4,76]]", "[[76,4]]"),
        ("[[4,76]]", "[[40,76],[4,40]]"),
        ("[[4,76]]", "[[4,40],[40,76]]"),
        ("[[4,76]]", "[[4,97]]"),
        ("[[4,76]]", "[[4,60]]"),
        ("[[4,76]]", "[]"),
        (r#""sealed":96"#, r#""sealed":97"#),
        ("[0,4294967295,2]", "[0,4294967295,4294967295]"),
        ("[0,4294967295,2]", "[4294967295,4294967295,2]"),
        ("[0,4294967295,2]", "[0,4294967295,2,4294967295]"),
        ("[0,4294967295,2]", "[0,4294967295,4294967294]"),
    ] {
        let refusal = open(&lines[last].replace(part, damaged)).expect_err(damaged).to_string();
        assert!(refusal.contains("a block table does not fit its pool"), "{damaged}: {refusal}");
    }
    let (mut refused, mut drawn) = (0, 0);
    let start = lines[last].find("picture").expect("a picture");
    let is_start = |at: &usize| {
        let digit = |at: usize| lines[last].as_bytes()[at].is_ascii_digit();
        digit(*at) && !digit(at - 1)
    };
    for at in (start..lines[last].len()).filter(is_start) {
        let (before, after) = lines[last].split_at(at);
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        for value in ["0", "77", "4294967295"] {
            let Ok(replay) = open(&format!("{before}{value}{rest}")) else {
                refused += 1;
                continue;
            };
            drawn += 1;
            let options = Options { pane: Pane::Blocks, trace: Some(replay), ..Options::default() };
            draw(&options, &folder.join("damaged.png")).expect("drawn");
        }
    }
    assert!(refused > 10 && drawn > 10, "{refused} refused, {drawn} drawn");
}

#[test]
fn a_trace_of_equal_lanes_shows_the_first_with_blocks() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let draw = |lanes: &str, picture: &str| {
        accepted(folder, &["run", "--tokens", "3", "--lanes", lanes, "--out", "."]);
        accepted(folder, &["app", "--trace", "trace.jsonl", "--pane", "blocks", "--screenshot", picture]);
        fs::metadata(folder.join(picture)).expect("a picture").len()
    };
    let (blocks, nothing) = (draw("none,paged:16,paged:16", "equal.png"), draw("none,none", "none.png"));
    assert!(blocks > 2 * nothing, "blocks take more to draw than a sentence: {blocks} and {nothing} bytes");
}

#[test]
fn lanes_to_watch_and_fork_are_checked_before_the_run() {
    let folder = tempfile::tempdir().expect("folder");
    let run = |args: &[&str]| {
        let base = ["run", "--tokens", "8", "--lanes", "contiguous,paged:16", "--out", "out"];
        refusal(folder.path(), &[&base[..], args].concat())
    };
    assert!(run(&["--attention", "paged:8"]).contains("the lanes are contiguous, paged:16"));
    assert!(run(&["--fork", "contiguous@3"]).contains("only blocks of a pool can be shared"));
    assert!(run(&["--fork", "paged:16@8"]).contains("fork it before its last"));
    let four: Vec<&str> = ["3", "4", "5", "6"].iter().flat_map(|_| ["--fork", "paged:16@3"]).collect();
    assert!(run(&four).contains("3 times for a lane"));
    assert!(!folder.path().join("out").exists());
}
