//! The lanes of a run beside its first one: how far their predictions lie from its own, in numbers and in words. Free of egui.
//!
//! A lane is compared for as long as it reads the tokens that the first one reads: to the end where every lane is fed the
//! first one's, and else up to the token where the texts part.

use super::{
    state::{Compared, LaneState, RunState},
    theme::lane_letter,
    units::{quoted, to_x},
};
use crate::{
    measure::stats::{mean, percentile, standard_error},
    report::quality::nats,
};

/// The predictions of one lane beside those of the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Predictions that were compared.
    pub tokens: usize,
    /// Mean of KL(first || lane).
    pub mean_kl_nats: f64,
    /// Of the mean, as if tokens did not depend on each other; `None` of a single one.
    pub standard_error_nats: Option<f64>,
    /// 95 of 100 predictions are at most this far off.
    pub p95_kl_nats: f64,
    /// Share of predictions whose likeliest token is the first lane's.
    pub agreement: f64,
}

impl Comparison {
    /// `None` where nothing was compared.
    #[must_use]
    pub fn of(compared: &[Compared]) -> Option<Self> {
        let kl: Vec<f64> = compared.iter().map(|token| token.kl_nats).collect();
        let agrees: Vec<f64> = compared.iter().map(|token| f64::from(u8::from(token.agrees))).collect();
        Some(Self {
            tokens: kl.len(),
            mean_kl_nats: mean(&kl)?,
            standard_error_nats: standard_error(&kl),
            p95_kl_nats: percentile(&kl, 95.0)?,
            agreement: mean(&agrees)?,
        })
    }
}

/// The mean of each token and the `window - 1` before it.
#[must_use]
pub fn running_mean(compared: &[Compared], window: usize) -> Vec<(usize, f64)> {
    let window = window.max(1);
    let mean_to = |(i, token): (usize, &Compared)| {
        let inside = &compared[(i + 1).saturating_sub(window)..=i];
        // Added anew for each: a sum that is carried on would not come back to an exact 0.
        (token.step, inside.iter().map(|token| token.kl_nats).sum::<f64>() / to_x(inside.len()))
    };
    compared.iter().enumerate().map(mean_to).collect()
}

/// The lane that lane `index` is compared with: the first of the same run. Two traces side by side have one each, and name
/// their run after an at sign.
#[must_use]
pub fn reference(lanes: &[LaneState], index: usize) -> usize {
    fn run(lane: &LaneState) -> Option<&str> {
        lane.name.split_once(" @ ").map(|(_, run)| run)
    }
    let own = lanes.get(index).and_then(run);
    lanes.iter().position(|lane| run(lane) == own).unwrap_or(0)
}

/// The first token, counted from 0, that is not the reference's.
#[must_use]
pub fn first_difference(lane: &LaneState, reference: &LaneState) -> Option<usize> {
    lane.records.iter().zip(&reference.records).position(|(own, first)| own.token_id != first.token_id)
}

/// The lanes that are compared with another, and that one's number.
pub fn compared_lanes(run: &RunState) -> impl Iterator<Item = (usize, &LaneState, usize)> {
    let with_reference = |(index, lane)| (index, lane, reference(&run.lanes, index));
    run.lanes.iter().enumerate().map(with_reference).filter(|(index, _, reference)| index != reference)
}

/// Letter and name of a lane.
#[must_use]
pub fn called(run: &RunState, index: usize) -> String {
    let name = run.lanes.get(index).map_or("", |lane| lane.name.as_str());
    format!("{} {name}", lane_letter(index))
}

/// What is compared with what, and to where.
#[must_use]
pub fn words(run: &RunState) -> String {
    let mut first = called(run, 0);
    if run.lanes.first().is_some_and(|lane| !lane.is_lossless) {
        first.push_str(" (which loses something itself)");
    }
    if run.is_forced {
        return format!(
            "Each prediction is compared with that of {first}. Every lane reads the tokens of {first}, so every token is compared."
        );
    }
    let parts: Vec<String> = compared_lanes(run)
        .filter_map(|(index, lane, reference)| {
            let token = first_difference(lane, run.lanes.get(reference)?)?;
            Some(format!("{} at token {token}", lane_letter(index)))
        })
        .collect();
    let parted =
        if parts.is_empty() { "So far none has parted.".into() } else { format!("The texts part: {}.", list(&parts)) };
    format!(
        "Compared with {first} for as long as a lane has written the same text. {parted} With \u{201c}Same tokens in every \
         lane\u{201d} every token is compared."
    )
}

/// Why there is nothing to compare; `None` where there is something.
#[must_use]
pub fn nothing(run: &RunState) -> Option<&'static str> {
    if run.lanes.iter().any(|lane| !lane.compared.is_empty()) {
        return None;
    }
    Some(match run.lanes.len() {
        0 => {
            "Run two lanes or more: each token of the others is compared with the first lane's here, while it happens."
        }
        1 => {
            "There is one lane, and nothing to compare it with. Add another: each of its tokens is compared with the first lane's."
        }
        _ if run.progress() == 0 => "No token yet. The first one of each lane is compared here as soon as it is there.",
        _ => {
            "The tokens of this run were not compared: it is a trace of `kvlab run` without --forced, or of an earlier kvlab. It has \
             the tokens, but not how likely each lane held the others."
        }
    })
}

/// What each lane made of token `step`, a line a lane.
#[must_use]
pub fn token_words(run: &RunState, step: usize) -> String {
    let mut text = format!("token {step}");
    for (index, lane) in run.shown_lanes() {
        let Some(said) = lane.said(step) else { continue };
        text.push_str(&format!("\n{}: {}", called(run, index), quoted(Some(said))));
        let at = lane.compared.partition_point(|token| token.step < step);
        if let Some(token) = lane.compared.get(at).filter(|token| token.step == step) {
            text.push_str(&format!(", KL {} nats", nats(token.kl_nats)));
        }
    }
    text
}

/// `a, b and c`.
fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        cache::spec::parse_lanes,
        engine::{Phase, StepRecord},
        experiment::LaneEvent,
    };

    /// A record of a token that took `millis`.
    pub fn record(step: usize, token_id: u32, millis: f64) -> StepRecord {
        StepRecord {
            step,
            phase: if step == 0 { Phase::Prefill } else { Phase::Decode },
            tokens_in: 1,
            forward_secs: millis / 1e3,
            sample_secs: 0.0,
            total_secs: millis / 1e3,
            token_id,
            gpu: None,
            reserved_bytes: 4 << 20,
            held_bytes: 3 << 20,
            used_bytes: 2 << 20,
            scale_bytes: None,
            residual_bytes: None,
            dead_bytes: 0,
            copied_bytes: 0,
            metadata_bytes: 0,
            cached_tokens: step as u64,
            formula_bytes: 1 << 20,
            flops: 0,
            read_bytes: 0,
        }
    }

    /// A run whose lanes say ` wID`; a token of a later lane is compared where it is told how far it is off.
    pub fn run(lanes: &str, is_forced: bool, ids: &[&[u32]], kl_nats: &[&[f64]]) -> RunState {
        let lanes = parse_lanes(lanes).expect(lanes);
        let mut run = RunState::new(1, &lanes, 8, "Once".into());
        run.is_forced = is_forced;
        for (lane, ids) in ids.iter().enumerate() {
            for (step, id) in ids.iter().enumerate() {
                let record = record(step, *id, [4.0, 2.0][lane.min(1)]);
                run.apply_to_lane(LaneEvent::Token { lane, record, text: format!(" w{id}") });
            }
        }
        for (lane, kl_nats) in kl_nats.iter().enumerate() {
            for (step, kl_nats) in kl_nats.iter().enumerate() {
                let agrees = run.lanes[0].records[step].token_id == run.lanes[lane + 1].records[step].token_id;
                run.apply_to_lane(LaneEvent::Compared { lane: lane + 1, step, kl_nats: *kl_nats, agrees });
            }
        }
        run
    }

    #[test]
    fn numbers_are_those_of_the_tokens() {
        let run = run("none,paged:16", true, &[&[1, 2, 3, 4], &[1, 2, 9, 4]], &[&[0.0, 0.0, 4.0, 0.0]]);
        let numbers = Comparison::of(&run.lanes[1].compared).expect("compared");
        assert_eq!((numbers.tokens, numbers.mean_kl_nats, numbers.agreement), (4, 1.0, 0.75));
        assert_eq!(numbers.standard_error_nats, Some(1.0));
        assert!((numbers.p95_kl_nats - 3.4).abs() < 1e-12, "{numbers:?}");
        assert_eq!(Comparison::of(&run.lanes[0].compared), None);
        let means: Vec<f64> = running_mean(&run.lanes[1].compared, 2).into_iter().map(|(_, kl)| kl).collect();
        assert_eq!(means, [0.0, 0.0, 2.0, 2.0]);
        assert_eq!(first_difference(&run.lanes[1], &run.lanes[0]), Some(2));
    }

    #[test]
    fn a_sentence_says_what_is_compared_and_to_where() {
        let tokens: [&[u32]; 3] = [&[1, 2, 3], &[1, 2, 3], &[1, 7, 8]];
        let forced = run("none,paged:16,paged:8", true, &tokens, &[]);
        assert!(words(&forced).contains("Every lane reads the tokens of A none, so every token"), "{}", words(&forced));
        let free = run("none,paged:16,paged:8", false, &tokens, &[]);
        assert!(words(&free).contains("The texts part: C at token 1."), "{}", words(&free));
        let same = run("none,paged:16", false, &tokens[..2], &[]);
        assert!(words(&same).contains("So far none has parted."), "{}", words(&same));
    }

    #[test]
    fn nothing_to_compare_is_explained() {
        assert!(nothing(&RunState::default()).is_some_and(|why| why.starts_with("Run two lanes")));
        assert!(nothing(&run("none", false, &[&[1]], &[])).is_some_and(|why| why.starts_with("There is one lane")));
        assert!(nothing(&run("none,paged:8", false, &[], &[])).is_some_and(|why| why.starts_with("No token yet")));
        let old = run("none,paged:8", false, &[&[1], &[1]], &[]);
        assert!(nothing(&old).is_some_and(|why| why.contains("without --forced")));
        assert_eq!(nothing(&run("none,paged:8", false, &[&[1], &[1]], &[&[0.5]])), None);
    }

    #[test]
    fn lanes_of_two_traces_have_a_reference_each() {
        let mut run = run("none,paged:16,paged:8", false, &[], &[]);
        for (lane, name) in run.lanes.iter_mut().zip(["none @ A", "none @ B", "paged:8 @ B"]) {
            lane.name = name.into();
        }
        let pairs: Vec<_> = compared_lanes(&run).map(|(index, _, reference)| (index, reference)).collect();
        assert_eq!(pairs, [(2, 1)]);
    }

    #[test]
    fn a_token_is_told_for_every_lane() {
        let run = run("none,paged:16", true, &[&[1, 2], &[1, 5]], &[&[0.0, 0.25]]);
        let text = token_words(&run, 1);
        assert_eq!(text, "token 1\nA none: \u{201c} w2\u{201d}\nB paged:16: \u{201c} w5\u{201d}, KL 0.250 nats");
        assert_eq!(token_words(&run, 9), "token 9");
    }
}
