//! What the README states is so.

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
