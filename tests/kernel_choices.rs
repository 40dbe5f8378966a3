//! What a person can choose about kernels: threads, the path of the processor, the type of weights.

mod support;

use std::{path::Path, process::Command};

use candle_core::{Device, safetensors};
use support::{
    command::{refusal, stderr, stdout},
    floats, max_difference,
};

const PROMPT: &str = "Mia had a red key. One day she";

/// Generates 12 tokens of the story model; their text and logits.
fn generate(folder: &Path, arguments: &[&str], path: Option<&str>) -> (String, Vec<f32>) {
    let file = folder.join("logits.safetensors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvlab"));
    command.args(["generate", "--prompt", PROMPT, "--tokens", "12", "--logits"]).arg(&file).args(arguments);
    if let Some(path) = path {
        command.env("KVLAB_SIMD", path);
    }
    let output = command.output().expect("kvlab runs");
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    let logits = safetensors::load(&file, &Device::Cpu).expect("logits");
    (stdout(&output), floats(&logits["logits"]))
}

#[test]
fn threads_and_chunks_of_the_prompt_change_no_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = generate(folder.path(), &["--threads", "1"], None);
    for arguments in [&["--threads", "3"][..], &["--threads", "2", "--prefill-chunk", "3"], &["--lane", "none"]] {
        assert_eq!(generate(folder.path(), arguments, None), one, "{arguments:?}");
    }
}

/// Paths round differently, by some units in the last place of sums of a few hundred products.
const ACROSS_PATHS: f32 = 1e-4;

#[test]
fn every_path_gives_the_same_tokens() {
    let folder = tempfile::tempdir().expect("a folder");
    let (text, logits) = generate(folder.path(), &[], None);
    let paths: Vec<_> = kvlab::kernels::simd::Path::available().map(kvlab::kernels::simd::Path::name).collect();
    for path in paths {
        let (same, others) = generate(folder.path(), &[], Some(path));
        assert_eq!(same, text, "{path}");
        assert!(max_difference(&others, &logits) <= ACROSS_PATHS, "{path}: {}", max_difference(&others, &logits));
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvlab"));
    let output = command.arg("models").env("KVLAB_SIMD", "mmx").output().expect("kvlab runs");
    assert!(!output.status.success());
    assert!(stderr(&output).contains("KVLAB_SIMD=mmx: this processor has portable"), "{}", stderr(&output));
}

#[test]
fn weights_of_other_types_are_other_models_that_lie_near() {
    let folder = tempfile::tempdir().expect("a folder");
    let exact = generate(folder.path(), &[], None).1;
    // The first token's logits, before texts part.
    let first = exact.len() / 12;
    let largest = exact[..first].iter().fold(0.0_f32, |most, logit| most.max(logit.abs()));
    for (weights, share) in [("f16", 0.01), ("bf16", 0.06), ("int8", 0.06), ("q8_0", 0.06)] {
        let other = generate(folder.path(), &["--weights", weights], None).1;
        let difference = max_difference(&other[..first], &exact[..first]);
        assert!(difference > 0.0 && difference <= share * largest, "{weights}: {difference} of {largest}");
    }
}

#[test]
fn bad_choices_are_refused_with_a_way_out() {
    for (arguments, reason) in [
        (&["generate", "--threads", "0"][..], "1..=1024"),
        (&["run", "--threads", "two"], "invalid"),
        (&["generate", "--weights", "f64"], "f32, f16, bf16, int8 and q8_0"),
    ] {
        let message = refusal(arguments);
        assert!(message.contains(reason), "{arguments:?}: {message}");
    }
}
