//! Who survives heavy hitters on the story model: the published pathology, and what its remedy changes.

mod support;

use std::sync::Arc;

use candle_core::Device;
use kvlab::{
    engine::{Session, SessionConfig},
    experiment::DEFAULT_PROMPT,
    model::{LoadedModel, ModelSource},
};
use support::NEVER;

const HEAVY: usize = 32;
const RECENT: usize = 32;
const GENERATED: usize = 200;

/// `(of the prompt, generated)`: the heavy tokens that are left after a prompt of 67 and 200 generated tokens.
fn survivors(model: &Arc<LoadedModel>, policy: &str) -> (usize, usize) {
    let lane = format!("paged:16+{policy}:{HEAVY}/{RECENT}").parse().expect("a lane");
    let mut session = Session::new(model.clone(), lane, SessionConfig::default()).expect("a session");
    let tokenizer = model.tokenizer.as_ref().expect("the story model has one");
    let prompt = tokenizer.encode(DEFAULT_PROMPT).expect("ids");
    session.prefill(&prompt, &NEVER).expect("prefill");
    for _ in 0..GENERATED {
        session.decode(&NEVER).expect("a token");
    }
    let (store, seq) = session.cache().expect("a cache");
    let picture = store.picture(seq).expect("open");
    let old = picture.len() - RECENT;
    let heavy: Vec<usize> = (0..old).filter(|position| picture[*position].live).collect();
    assert_eq!(heavy.len(), HEAVY, "the budget is used");
    let of_prompt = heavy.iter().filter(|position| **position < prompt.len()).count();
    (of_prompt, HEAVY - of_prompt)
}

/// A sum of attention grows with the number of queries, so the tokens of the prompt are ahead for good: of the 168 generated tokens
/// that could be heavy few are, though they are most of the text. Divided by the queries that could see them, most heavy tokens are generated.
#[test]
fn generated_tokens_survive_but_the_sum_starves_them() {
    let model = Arc::new(ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &NEVER).expect("embedded"));
    let (sum, mean) = (survivors(&model, "h2o"), survivors(&model, "h2o-mean"));
    println!("heavy tokens of the prompt and generated: h2o {sum:?}, h2o-mean {mean:?}");
    assert!(sum.1 > 0, "no generated token survived at all");
    assert!(sum.0 > 2 * sum.1, "the pathology is gone: {sum:?}");
    assert!(mean.1 > 2 * mean.0, "the remedy does not work: {mean:?}");
}
