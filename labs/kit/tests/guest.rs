//! The model runs over a cache that somebody else wrote, and writes what it writes over ours.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a head has 32 elements, and results are f32"
)]

use kvlab::cache::{GuestBytes, GuestCache};
use labkit::story::{PROMPT, Story};

const N_LAYER: usize = 5;
const N_HEAD: usize = 6;
const HEAD_DIM: usize = 32;
const ROW: usize = N_HEAD * HEAD_DIM;

/// Rows behind each other, and the definition of attention in f64.
#[derive(Default)]
struct Plain([(Vec<f32>, Vec<f32>); N_LAYER]);

impl GuestCache for Plain {
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        self.0[layer].0.extend_from_slice(k);
        self.0[layer].1.extend_from_slice(v);
    }

    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
        let (keys, values) = &self.0[layer];
        let (n_keys, n_new) = (keys.len() / ROW, q.len() / ROW);
        let mut out = vec![];
        for (token, head) in (0..n_new).flat_map(|token| (0..N_HEAD).map(move |head| (token, head))) {
            let at = |rows: &[f32], token: usize, i: usize| f64::from(rows[token * ROW + head * HEAD_DIM + i]);
            let sees = n_keys - n_new + token + 1;
            let score = |key: usize| -> f64 { (0..HEAD_DIM).map(|i| at(q, token, i) * at(keys, key, i)).sum() };
            let scores: Vec<f64> = (0..sees).map(|key| score(key) / (HEAD_DIM as f64).sqrt()).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let of =
                |i: usize| weights.iter().enumerate().map(|(key, weight)| weight * at(values, key, i)).sum::<f64>();
            out.extend((0..HEAD_DIM).map(|i| (of(i) / sum) as f32));
        }
        out
    }

    fn bytes(&self) -> GuestBytes {
        GuestBytes::default()
    }
}

/// Attends to nothing, and says so in the wrong shape.
struct Short;

impl GuestCache for Short {
    fn append(&mut self, _layer: usize, _k: &[f32], _v: &[f32]) {}
    fn attend(&mut self, _layer: usize, q: &[f32]) -> Vec<f32> {
        q[1..].to_vec()
    }
    fn bytes(&self) -> GuestBytes {
        GuestBytes::default()
    }
}

struct Unwritten;

impl GuestCache for Unwritten {
    fn append(&mut self, _layer: usize, _k: &[f32], _v: &[f32]) {
        todo!("task 1: append")
    }
    fn attend(&mut self, _layer: usize, _q: &[f32]) -> Vec<f32> {
        vec![]
    }
    fn bytes(&self) -> GuestBytes {
        GuestBytes::default()
    }
}

#[test]
fn the_model_writes_over_a_guest_what_it_writes_over_ours_for_any_chunk() {
    let story = Story::load().expect("embedded");
    let ours = story.run("contiguous", PROMPT, 24).expect("a run");
    for chunk in [1, 7, 1000] {
        let theirs = story.generate(&mut Plain::default(), PROMPT, chunk, 24).expect("a run");
        assert_eq!(theirs, ours.generated(), "chunks of {chunk}");
    }
    assert!(story.text(ours.generated()).expect("text").len() > 40);
}

#[test]
fn a_guest_that_fails_is_told_apart_from_one_that_is_not_written() {
    let story = Story::load().expect("embedded");
    let error = |cache: &mut dyn GuestCache| format!("{:#}", story.generate(cache, PROMPT, 9, 2).expect_err("refused"));
    let short = error(&mut Short);
    assert!(short.contains("layer 0 returned 1727 numbers and 1728 were expected"), "{short}");
    let unwritten = error(&mut Unwritten);
    assert!(unwritten.ends_with("`mine` is not written yet: task 1: append"), "{unwritten}");
}
