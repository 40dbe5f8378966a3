//! What a process takes of memory is what its weights and its cache are, and little more: nothing is kept twice, and loading needs no
//! second copy.
#![cfg(target_os = "linux")]

mod support;

use serde_json::Value;
use support::command::{kvlab, stderr, stdout};

/// The peak over the sum of weights and cache: the program itself and what one step and one tensor of a loading model take.
const MOST_OVER: f64 = 1.2;

/// GPT-2 small: with less, the program itself would weigh.
#[test]
fn the_peak_is_weights_and_cache_and_a_fifth() {
    for weights in ["f32", "bf16", "int8"] {
        let model = ["generate", "--model", "shape:gpt2", "--weights", weights, "--json", "--memory"];
        let rest = ["--ids", "1,2,3", "--tokens", "2", "--lane", "contiguous"];
        let output = kvlab(&[&model[..], &rest].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let printed: Value = serde_json::from_str(&stdout(&output)).expect("json");
        let bytes = |name: &str| {
            let bytes = printed["memory"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {printed}"));
            u32::try_from(bytes).map(f64::from).expect("below 4 GiB")
        };
        let counted = bytes("weight_bytes") + bytes("cache_bytes");
        let over = bytes("peak_resident_bytes") / counted;
        // Of the reserved cache hardly anything is written, so the weights alone bound it from below.
        assert!(bytes("peak_resident_bytes") >= bytes("weight_bytes"), "{weights}: {printed}");
        assert!(over <= MOST_OVER, "{weights}: {over:.2} of what is counted, {printed}");
    }
}
