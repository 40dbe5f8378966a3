//! What the README states is so.

use std::process::Command;

use lab01::{
    checks::Reference,
    contract::{Lab, Solution},
    given::{Model, Sampler},
};

const README: &str = include_str!("../README.md");

fn assert_says(text: &str) {
    assert!(README.contains(text), "the README does not say `{text}`");
}

#[test]
fn the_contract_begins_at_one_token_and_there_both_loops_agree() {
    const CONTRACT: &str = "`n_new`, the prompt's length and `chunk` are at least 1.";
    assert_says(CONTRACT);
    assert!(include_str!("../src/contract.rs").contains(CONTRACT));
    let model = Model::story().expect("embedded");
    let (prompt, n_new, chunk) = ([1], 1, 1);
    let sampler = || Sampler::new(n_new);
    let uncached = Solution::generate_uncached(&model, &prompt, n_new, &mut sampler()).expect("a token");
    let cached = Solution::generate_cached(&model, &prompt, n_new, chunk, &mut sampler()).expect("a token");
    assert_eq!((uncached.len(), &uncached), (1, &cached));
}

/// 1234567 as `1,234,567`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|g| str::from_utf8(g).expect("digits")).collect();
    groups.join(",")
}

#[test]
fn the_predictions_fit_the_prompt_the_bench_and_the_model() {
    const N_NEW: usize = 300;
    let help = Command::new(env!("CARGO_BIN_EXE_lab01")).args(["bench", "--help"]).output().expect("lab01");
    let help = String::from_utf8(help.stdout).expect("utf8");
    assert!(help.contains(&format!("[default: {N_NEW}]")) && help.contains("[default: 3]"), "{help}");
    assert_says(&format!("each loop makes {N_NEW} tokens, three times"));

    let prompt = Reference::new().expect("embedded").runs[0].prompt.len();
    assert_says(&format!("The prompt has {prompt} tokens and {N_NEW} more are generated"));
    assert_says(&format!("Prefill runs {prompt} tokens, and TTFT is below {prompt} times an ITL"));
    assert_says(&format!("for one row or for {prompt}."));
    // The last token is picked and never run.
    let last = prompt + N_NEW - 1;
    let rows = grouped((prompt..=last).sum());
    assert_says(&format!("Without: {prompt} + {} + ... + {last} = {rows}.", prompt + 1));
    assert_says(&format!("With: {prompt} + {} = {last}.", N_NEW - 1));

    let model = Model::story().expect("embedded");
    let (config, head_dim) = (model.config(), model.config().head_dim());
    let (n_layer, n_head) = (config.n_layer, config.n_head);
    let token_bytes = 2 * n_layer * n_head * head_dim * size_of::<f32>();
    assert_says(&format!("The model has {n_layer} layers, {n_head} heads of {head_dim} elements"));
    assert_says(&format!("2 (keys and values) x {n_layer} layers x {n_head} heads x {head_dim} x 4 bytes"));
    assert_says(&format!("= {} bytes; 500 tokens {} bytes.", grouped(token_bytes), grouped(500 * token_bytes)));
}
