//! The command line as a person meets it: good input, bad input, a full disk, Ctrl-C.

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use kvlab::experiment::{
    LaneEvent,
    trace::{Outcome, Trace},
};
use serde_json::Value;
use support::{
    GOLDENS,
    command::{json, kvlab, refusal, stderr, stdout},
    golden_folder, ids, max_difference, reference,
};

fn trace(folder: &Path) -> Trace {
    Trace::read(std::io::BufReader::new(fs::File::open(folder.join("trace.jsonl")).expect("trace"))).expect("a trace")
}

#[test]
fn generate_is_transformers_through_every_lane() {
    for name in GOLDENS {
        let expected = reference(name);
        let prompt = ids(&expected["prompt_ids"]).iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let greedy = ids(&expected["greedy_ids"]);
        for lane in ["none", "concat", "contiguous", "paged:16", "paged:7"] {
            let folder = tempfile::tempdir().expect("folder");
            let file = folder.path().join("logits.safetensors");
            let output = kvlab(&[
                "generate",
                "--model",
                golden_folder(name).to_str().expect("path"),
                "--ids",
                &prompt,
                "--lane",
                lane,
                "--tokens",
                &greedy.len().to_string(),
                "--json",
                "--logits",
                file.to_str().expect("path"),
            ]);
            assert!(output.status.success(), "{}", stderr(&output));
            let printed: Value = serde_json::from_str(&stdout(&output)).expect("json");
            assert_eq!(printed["ids"], serde_json::json!(greedy), "{name} {lane}");
            let logits = &candle_core::safetensors::load(&file, &candle_core::Device::Cpu).expect("logits")["logits"];
            assert_eq!(logits.dims(), expected["decode_logits"].dims());
            let difference = max_difference(&support::floats(logits), &support::floats(&expected["decode_logits"]));
            assert!(difference <= 1e-4, "{name} {lane}: {difference}");
        }
    }
}

#[test]
fn a_run_writes_everything_and_lossless_lanes_agree() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("a/b");
    let lanes = "none,concat,contiguous,paged:16,paged:16+int8";
    let output = kvlab(&[
        "run",
        "--lanes",
        lanes,
        "--tokens",
        "12",
        "--prefill-chunk",
        "5",
        "--out",
        out.to_str().expect("path"),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    for word in ["TTFT", "ITL p50", "time per output token", "paged:16+int8", "12"] {
        assert!(stdout(&output).contains(word), "no `{word}` in {}", stdout(&output));
    }
    let summary = json(&out.join("summary.json"));
    let lane = |name: &str| summary.as_array().expect("array").iter().find(|l| l["lane"] == name).expect(name);
    for name in ["none", "concat", "contiguous", "paged:16"] {
        assert_eq!(lane(name)["same_tokens_as_first_lane"], true, "{name}");
        assert_eq!(lane(name)["tokens"], 12);
    }
    let bytes = |name: &str, field: &str| lane(name)[field].as_u64().expect(field);
    assert!(bytes("paged:16", "held_bytes") < bytes("contiguous", "reserved_bytes"));
    assert!(bytes("paged:16+int8", "used_bytes") * 3 < bytes("paged:16", "used_bytes"));
    assert_eq!((bytes("none", "reserved_bytes"), bytes("contiguous", "copied_bytes")), (0, 0));

    let trace = trace(&out);
    assert_eq!(trace.outcome, Some(Outcome::Finished));
    let steps = trace.events.iter().filter(|e| matches!(e, LaneEvent::Token { .. } | LaneEvent::Ended { .. }));
    assert_eq!(steps.count(), 5 * 13, "a record per token and lane, and an end per lane");

    // A chunked prefill of P tokens in fives, then one token at a time: concat moves every row it holds.
    let row = bytes("concat", "used_bytes") / (trace.header.workload.prompt_ids.len() as u64 + 11);
    let prompt = trace.header.workload.prompt_ids.len() as u64;
    let mut lengths: Vec<u64> = (1..=prompt).filter(|n| n % 5 == 0 || *n == prompt).collect();
    lengths.extend(prompt + 1..=prompt + 11);
    assert_eq!(bytes("concat", "copied_bytes"), lengths.iter().sum::<u64>() * row);

    let csv = fs::read_to_string(out.join("records.csv")).expect("csv");
    assert!(csv.starts_with("lane,step,phase,tokens_in,forward_secs,sample_secs,total_secs,token_id,reserved_bytes,held_bytes,used_bytes,dead_bytes,copied_bytes,gpu_launches,gpu_uploads,gpu_downloads,gpu_copies,gpu_allocations,gpu_driver_used_bytes\n"));
    assert_eq!(csv.lines().count(), 1 + 5 * 12);
    for (file, magic) in [
        ("latency.svg", &b"<svg"[..]),
        ("memory.svg", b"<svg"),
        ("latency.png", b"\x89PNG"),
        ("memory.png", b"\x89PNG"),
    ] {
        assert!(fs::read(out.join(file)).expect(file).starts_with(magic), "{file}");
    }
    let shown = kvlab(&["show", out.join("trace.jsonl").to_str().expect("path")]);
    assert!(stdout(&shown).contains("paged:16+int8") && !stdout(&shown).contains("cut off"));
}

#[test]
fn a_seed_repeats_a_sampled_run() {
    let run = |seed: &str| {
        stdout(&kvlab(&[
            "generate",
            "--tokens",
            "30",
            "--temperature",
            "1.2",
            "--top-k",
            "40",
            "--top-p",
            "0.95",
            "--seed",
            seed,
        ]))
    };
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7"), run("8"));
}

#[test]
fn random_shapes_run_and_say_what_they_are() {
    // The smallest shape is slow in a debug build: two tokens are enough.
    let output = kvlab(&["generate", "--model", "shape:distilgpt2,ctx=64", "--tokens", "2", "--prompt", "hi"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the text means nothing"));
}

#[test]
fn tokens_are_exactly_as_many_unless_stopped() {
    let ids = |extra: &[&str]| {
        let args = [&["generate", "--tokens", "25", "--json", "--prompt", "Mia has a pet dog. Mia"], extra].concat();
        let value: Value = serde_json::from_str(&stdout(&kvlab(&args))).expect("json");
        value["ids"].as_array().expect("ids").len()
    };
    assert_eq!(ids(&[]), 25);
    // This checkpoint's greedy continuation of 1, 2, 3 begins with its end-of-text token, 0, after one other.
    let golden = golden_folder(GOLDENS[0]);
    let stopped = |extra: &[&str]| {
        let model =
            ["generate", "--model", golden.to_str().expect("path"), "--ids", "1,2,3", "--tokens", "9", "--json"];
        serde_json::from_str::<Value>(&stdout(&kvlab(&[&model, extra].concat()))).expect("json")["ids"].clone()
    };
    let all = stopped(&[]);
    assert_eq!(all.as_array().map(Vec::len), Some(9));
    assert_eq!(stopped(&["--stop-eos"]), serde_json::json!([all[0], 0]));
}

#[test]
fn logits_are_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("logits.safetensors");
    fs::write(&file, "an earlier run's").expect("write");
    let args = ["generate", "--ids", "1,2,3", "--lane", "paged:2", "--tokens", "20", "--logits"];
    let path = file.to_str().expect("path");
    let message = kvlab(&[&args[..], &[path, "--cache-memory", "64KiB"]].concat());
    assert!(!message.status.success() && stderr(&message).contains("cache is full"), "{}", stderr(&message));
    assert_eq!(fs::read(&file).expect("there"), b"an earlier run's", "a run that failed replaced the file");
    assert!(kvlab(&[&args[..], &[path]].concat()).status.success());
    assert!(candle_core::safetensors::load(&file, &candle_core::Device::Cpu).is_ok());
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1);
}

/// Whoever reads standard output may go away; the files are written all the same.
#[cfg(unix)]
#[test]
fn a_closed_pipe_costs_no_file() {
    let folder = tempfile::tempdir().expect("folder");
    let script = "\"$0\" run --tokens 5 --lanes contiguous --out \"$1\" | true; exit ${PIPESTATUS[0]}";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_kvlab"), folder.path().to_str().expect("path")])
        .output()
        .expect("bash");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json(&folder.path().join("summary.json"))[0]["tokens"], 5);
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let long = "Mia ".repeat(2000);
    let cases: [(&[&str], &str); 26] = [
        (&["run", "--model", "gpt5"], "unknown model `gpt5`"),
        (&["run", "--model", "../gpt2"], "unknown model `../gpt2`"),
        (&["run", "--model", "shape:gpt9"], "shapes are"),
        (&["run", "--model", "Cargo.toml"], "is a file"),
        (&["run", "--model", "src"], "config.json"),
        (&["run", "--lanes", "pagd"], "unknown layout `pagd`"),
        (&["run", "--lanes", "paged:0"], "at least 1 token"),
        (&["run", "--lanes", "paged:16+int8+f16"], "two formats"),
        (&["run", "--lanes", "paged:16+kivi:4"], "multiple of 32"),
        (&["run", "--lanes", "concat+kivi:4"], "never seals"),
        (&["run", "--tokens", "18446744073709551615"], "context of `story` ends at 1024"),
        (&["run", "--seed", "-1"], "invalid value '-1' for '--seed"),
        (&["generate", "--ids", "-1"], "invalid value '-1' for '--ids"),
        (&["run", "--lanes", ""], "empty lane"),
        (&["run", "--prompt", ""], "prompt is empty"),
        (&["generate", "--prompt", ""], "prompt is empty"),
        (&["run", "--prompt", &long], "context of `story` ends at 1024"),
        (&["run", "--tokens", "1024"], "context of `story` ends at 1024"),
        (&["run", "--tokens", "0"], "--tokens 0"),
        (&["run", "--tokens", "-5"], "invalid value '-5' for '--tokens"),
        (&["generate", "--ids", "1,2,99999"], "token id 99999 is past the vocabulary"),
        (&["run", "--temperature", "-1"], "temperature -1"),
        (&["run", "--top-p", "2"], "top-p 2"),
        (&["run", "--cache-memory", "12 parsecs"], "is no size"),
        (&["run", "--cache-memory", "100"], "raise --cache-memory"),
        (&["run", "--device", "tpu"], "devices are auto, cpu, cuda"),
    ];
    for (args, says) in cases {
        let message = refusal(args);
        assert!(message.contains(says), "{args:?} said: {message}");
    }
    let golden = golden_folder(GOLDENS[0]);
    assert!(
        refusal(&["generate", "--model", golden.to_str().expect("path"), "--prompt", "hi"])
            .contains("give the prompt as --ids")
    );
    if !cfg!(feature = "cuda") {
        assert!(refusal(&["run", "--device", "cuda"]).contains("--features cuda"));
    }
}

#[test]
fn broken_model_folders_are_named() {
    let broken = |config: Option<&[u8]>, weights: Option<&[u8]>| {
        let folder = tempfile::tempdir().expect("folder");
        if let Some(bytes) = config {
            fs::write(folder.path().join("config.json"), bytes).expect("write");
        }
        match weights {
            Some(bytes) => fs::write(folder.path().join("model.safetensors"), bytes).expect("write"),
            None => fs::create_dir(folder.path().join("model.safetensors")).expect("folder"),
        }
        refusal(&["generate", "--model", folder.path().to_str().expect("path"), "--ids", "1"])
    };
    let config = fs::read(golden_folder(GOLDENS[0]).join("config.json")).expect("config");
    let weights = fs::read(golden_folder(GOLDENS[0]).join("model.safetensors")).expect("weights");
    let other = fs::read(golden_folder(GOLDENS[1]).join("config.json")).expect("config");
    assert!(broken(None, Some(&weights)).contains("config.json: No such file"));
    assert!(broken(Some(b"[1, 2"), Some(&weights)).contains("not a GPT-2 config.json"));
    assert!(broken(Some(&config), Some(&weights[..weights.len() / 2])).contains("truncated"));
    assert!(broken(Some(&config), Some(b"")).contains("only 0 bytes"));
    assert!(
        broken(Some(&config), Some(b"PK\x03\x04 this is a zip file, not weights")).contains("not a safetensors file")
    );
    assert!(
        broken(Some(&other), Some(&weights)).contains("has shape [64, 16], and the configuration asks for [300, 128]")
    );
    assert!(broken(Some(&config), None).contains("is a folder"));
    assert!(broken(Some(&vec![b' '; 2 << 20]), Some(&weights)).contains("is larger than 1048576 bytes"));
}

#[test]
fn a_full_cache_stops_its_lane_and_the_others_go_on() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().to_str().expect("path");
    // 64 KiB hold 8 tokens of f32 (7.5 KiB each); int8 rows are 3.6 times smaller.
    let output = kvlab(&[
        "run",
        "--ids",
        "1,2,3",
        "--lanes",
        "none,paged:2,paged:2+int8",
        "--tokens",
        "20",
        "--cache-memory",
        "64KiB",
        "--out",
        out,
    ]);
    assert!(!output.status.success());
    assert!(
        stdout(&output).contains("cache is full") && stdout(&output).contains("nothing was changed"),
        "{}",
        stdout(&output)
    );
    let summary = json(&folder.path().join("summary.json"));
    let tokens: Vec<u64> =
        summary.as_array().expect("array").iter().map(|l| l["tokens"].as_u64().expect("tokens")).collect();
    assert_eq!(tokens[0], 20);
    assert!((3..20).contains(&tokens[1]) && tokens[2] == 20, "{tokens:?}");
}

#[test]
fn an_output_folder_that_cannot_be_written_is_said_before_the_run() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("write");
    let message = refusal(&["run", "--tokens", "2", "--out", file.join("sub").to_str().expect("path")]);
    assert!(message.contains("cannot be written"), "{message}");
    assert!(refusal(&["generate", "--tokens", "2", "--logits", "/nonexistent/x"]).contains("could not be written"));
}

/// `/dev/full` answers every write as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_run_and_says_what_is_whole() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("summary.json"), "an earlier run").expect("write");
    std::os::unix::fs::symlink("/dev/full", folder.path().join("trace.jsonl")).expect("link");
    let message = refusal(&["run", "--tokens", "3", "--out", folder.path().to_str().expect("path")]);
    assert!(message.contains("No space left on device"), "{message}");
    assert!(!folder.path().join("summary.json").exists(), "an earlier summary passes for this run's");
}

/// A limit on file size is a disk that fills up in the middle.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_leaves_a_whole_trace() {
    let folder = tempfile::tempdir().expect("folder");
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" run --tokens 100 --lanes contiguous --out \"$1\"";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_kvlab"), folder.path().to_str().expect("path")])
        .output()
        .expect("bash");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains("File too large") && message.contains("are whole"), "{message}");
    let lines: usize = message
        .split("the first ")
        .nth(1)
        .and_then(|m| m.split(' ').next())
        .and_then(|n| n.parse().ok())
        .expect("count");
    let trace = trace(folder.path());
    assert_eq!((trace.events.len() + 1, trace.outcome), (lines, None));
    assert!(!folder.path().join("summary.json").exists() && !folder.path().join("records.csv").exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_whole_trace() {
    let folder = tempfile::tempdir().expect("folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_kvlab"))
        .args(["run", "--tokens", "900", "--lanes", "none,contiguous", "--out", folder.path().to_str().expect("path")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kvlab starts");
    let file = folder.path().join("trace.jsonl");
    let started = Instant::now();
    while fs::read_to_string(&file).map_or(0, |text| text.lines().count()) < 20 {
        assert!(started.elapsed() < Duration::from_mins(2), "the run does not get going");
        std::thread::sleep(Duration::from_millis(10));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let message = stderr(&child.wait_with_output().expect("output"));
    assert!(message.contains("cancelled after") && message.contains("whole up to there"), "{message}");
    let trace = trace(folder.path());
    assert!(trace.outcome == Some(Outcome::Cancelled) && trace.events.len() >= 19);
    assert!(!folder.path().join("summary.json").exists(), "a cancelled run has no summary");
}

#[test]
fn help_has_examples_and_doctor_and_models_answer() {
    assert!(stdout(&kvlab(&["run", "--help"])).contains("Examples:"));
    assert!(stdout(&kvlab(&["--help"])).contains("kvlab generate"));
    assert!(stdout(&kvlab(&["models"])).contains("shape:gpt2-xl"));
    let doctor = stdout(&kvlab(&["doctor"]));
    for word in ["processor", "threads", "SIMD", "GB/s", "cuda"] {
        assert!(doctor.contains(word), "{doctor}");
    }
}

#[test]
fn doctor_says_what_a_gpu_needs_and_what_a_token_moves() {
    let model = stdout(&kvlab(&["doctor", "--gpu-model"]));
    assert!(model.contains("A model, computed") && model.contains("H100 SXM") && model.contains("kivi:2"), "{model}");
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("report");
    let out = out.to_str().expect("path");
    let refused = refusal(&["doctor", "--gpu", "--device", "cpu", "--out", out]);
    assert!(refused.contains("cuda or cuda:N"), "{refused}");
    assert!(!folder.path().join("report").exists());
    if !cfg!(feature = "cuda") {
        let refused = refusal(&["doctor", "--gpu", "--out", out]);
        assert!(refused.contains("--features cuda"), "{refused}");
    }
    assert!(refusal(&["doctor", "--gpu-pool", "some"]).contains("keep or release"));
}

#[test]
fn a_foreign_file_is_no_trace() {
    assert!(refusal(&["show", "Cargo.toml"]).contains("not a kvlab trace"));
    assert!(refusal(&["show", "nowhere.jsonl"]).contains("cannot be read"));
}

#[test]
fn a_lane_is_found_however_it_was_written() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("run");
    let out = out.to_str().expect("path");
    let lanes = ["--lanes", "paged+window:4/60+int8,contiguous", "--tokens", "4", "--out", out];
    let named = ["--fork", "paged:16+int8+window:4/60@2", "--attention", "paged+window:4/60+int8"];
    let output = kvlab(&[&["run"], &lanes[..], &named[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let refused = refusal(&["run", "--lanes", "contiguous", "--tokens", "4", "--out", out, "--attention", "paged:7"]);
    assert!(refused.contains("there is no such lane"), "{refused}");
}
