//! What an experiment shows beside its records: attention and forks, on a small model.

mod support;

use std::sync::atomic::AtomicBool;

use kvlab::{
    cache::{PoolPicture, spec::parse_lanes},
    engine::{Attention, SessionConfig},
    experiment::{Experiment, LaneEnd, LaneEvent, Workload},
};
use support::{
    GOLDENS, NEVER, golden_model, reference,
    small::{costless, session, workload},
};

/// Half a step of a code near 1, and what f32 adds in another order.
const ATTENTION_CODE: f32 = 0.005;

#[test]
fn watched_attention_is_the_references_and_costs_the_lane_nothing() {
    let reference = reference(GOLDENS[0]);
    let n_prompt = workload(1).prompt_ids.len();
    for lane in ["none", "concat", "contiguous", "paged:7"] {
        let mut watched =
            Experiment::new(golden_model(GOLDENS[0]), &[lane.parse().expect(lane)], workload(4)).expect(lane);
        watched.watch(Some(0), &NEVER).expect("watch");
        let (mut rows, mut records, mut config) = (vec![], vec![], (0, 0));
        while let Some(event) = watched.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Attention { attention, .. } => {
                    assert_eq!(attention.first, rows.len(), "{lane}: rows follow on each other");
                    config = (attention.n_layer, attention.n_head);
                    rows.extend(attention.rows);
                }
                LaneEvent::Token { record, .. } => records.push(costless(record)),
                _ => {}
            }
        }
        // The last token of four was generated and never run.
        assert_eq!(rows.len(), n_prompt + 3, "{lane}");
        let (n_layer, n_head) = config;
        for (position, row) in rows.iter().enumerate() {
            assert_eq!(row.len(), n_layer * n_head * (position + 1), "{lane}");
        }
        for (layer, name) in [(0, "attention_layer0"), (n_layer - 1, "attention_last")] {
            // [1, H, T, T]
            let expected: Vec<f32> = reference[name].flatten_all().and_then(|t| t.to_vec1()).expect(name);
            for (position, row) in rows.iter().enumerate().take(n_prompt) {
                for head in 0..n_head {
                    for key in 0..=position {
                        let code = row[(layer * n_head + head) * (position + 1) + key];
                        let expected = expected[(head * n_prompt + position) * n_prompt + key];
                        let error = (Attention::weight(code) - expected).abs();
                        assert!(
                            error < ATTENTION_CODE,
                            "{lane} {name} head {head} [{position}, {key}]: off by {error}"
                        );
                    }
                }
            }
        }
        let mut plain =
            Experiment::new(golden_model(GOLDENS[0]), &[lane.parse().expect(lane)], workload(4)).expect(lane);
        let mut plain_records = vec![];
        while let Some(event) = plain.step(&NEVER).expect("step") {
            if let LaneEvent::Token { record, .. } = event {
                plain_records.push(costless(record));
            }
        }
        assert_eq!(records, plain_records, "{lane}: the same tokens, and no copy counted twice");
    }
}

/// Whoever follows the events knows the tables of the store, what is evicted and what is sealed after every token.
#[test]
fn what_is_told_of_blocks_is_what_the_store_holds() {
    for lane in
        ["contiguous+window:2/5", "paged:4+h2o:3/4", "concat+window:2/5", "paged:32+kivi:2/3+window:2/40", "paged:4"]
    {
        let lanes = parse_lanes(lane).expect(lane);
        let mut experiment = Experiment::new(golden_model(GOLDENS[1]), &lanes, workload(40)).expect(lane);
        let prompt = workload(1).prompt_ids.len();
        let mut told: Option<PoolPicture> = None;
        while let Some(event) = experiment.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Token { record, .. } => {
                    if let Some(told) = &mut told {
                        told.sequences[0].len = prompt + record.step;
                    }
                }
                LaneEvent::Blocks { picture, .. } => told = Some(picture),
                _ => {}
            }
            if experiment.at_round_start() {
                let held = experiment.session(0).expect("a lane").pool_picture().expect("open");
                assert_eq!(told, held, "{lane}");
            }
        }
        let evicts = told.is_some_and(|told| !told.sequences[0].evicted.is_empty());
        assert_eq!(evicts, lane.contains('/'), "{lane}");
    }
}

#[test]
fn attention_that_is_asked_for_late_is_made_up_for() {
    let run = |lane: &str, late: bool| {
        let lanes = parse_lanes(lane).expect(lane);
        let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(6)).expect("experiment");
        let (mut rows, mut tokens) = (vec![], 0);
        if !late {
            experiment.watch(Some(0), &NEVER).expect("watch");
        }
        while let Some(event) = experiment.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Attention { attention, .. } => rows.extend(attention.rows),
                LaneEvent::Token { .. } => {
                    tokens += 1;
                    if late && tokens == 3 {
                        experiment.watch(Some(0), &NEVER).expect("watch");
                    }
                }
                _ => {}
            }
        }
        rows
    };
    for lane in ["paged:7", "paged:7+window:2/5", "contiguous+h2o:3/4"] {
        let (from_the_start, late) = (run(lane, false), run(lane, true));
        assert_eq!(from_the_start.len(), late.len(), "{lane}");
        for (a, b) in from_the_start.iter().flat_map(|row| row.iter()).zip(late.iter().flat_map(|row| row.iter())) {
            assert!(a.abs_diff(*b) <= 1, "{lane}: rounding at most: {a} {b}");
        }
    }
}

#[test]
fn what_was_told_of_attention_is_not_told_again() {
    for lane in ["paged:7", "contiguous+h2o:3/4"] {
        let lanes = parse_lanes(lane).expect(lane);
        let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(9)).expect("experiment");
        let (mut firsts, mut tokens) = (vec![], 0);
        while let Some(event) = experiment.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Attention { attention, .. } => {
                    firsts.extend((0..attention.rows.len()).map(|row| attention.first + row));
                }
                LaneEvent::Token { .. } => {
                    tokens += 1;
                    // Looked at, left alone, and looked at again.
                    let watched = [2, 3, 7].contains(&tokens).then_some(0);
                    experiment.watch(watched, &NEVER).expect("watch");
                }
                _ => {}
            }
        }
        let n_prompt = workload(1).prompt_ids.len();
        assert_eq!(firsts, (0..n_prompt + 7).collect::<Vec<_>>(), "{lane}");
    }
}

#[test]
fn a_fork_shares_blocks_copies_on_write_and_leaves_its_lane_alone() {
    let lanes = parse_lanes("paged:7").expect("lane");
    let run = |fork_after: Option<usize>| {
        let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(12)).expect("experiment");
        let (mut tokens, mut forked, mut pictures, mut copied) = (vec![], vec![], vec![], 0);
        while let Some(event) = experiment.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Token { record, .. } => {
                    tokens.push(record.token_id);
                    copied = record.copied_bytes;
                    if Some(tokens.len()) == fork_after {
                        experiment.fork(0).expect("fork");
                    }
                }
                LaneEvent::Forked { start, .. } => assert_eq!(Some(start + 1), fork_after),
                LaneEvent::ForkToken { token_id, .. } => forked.push(token_id),
                LaneEvent::Blocks { picture, .. } => pictures.push(picture),
                _ => {}
            }
        }
        (tokens, forked, pictures, copied)
    };
    let (alone, _, _, none_copied) = run(None);
    let (tokens, forked, pictures, copied) = run(Some(3));
    assert_eq!(tokens, alone, "the fork changes nothing for its lane");
    assert_eq!(none_copied, 0);
    assert_eq!(forked.len(), 1 + 9, "the runner-up, and a token after each later one of the lane");
    assert_ne!(forked[0], tokens[2]);

    // Prompt of 13 and 2 generated tokens are stored: blocks of 7, 7 and 1.
    let shared = pictures.iter().find(|picture| picture.sequences.len() == 2).expect("a picture of the fork");
    assert_eq!((shared.sequences[0].len, &shared.sequences[0].blocks), (15, &shared.sequences[1].blocks));
    assert_eq!(shared.holders().iter().filter(|holders| holders.len() == 2).count(), 3);
    let last = pictures.last().expect("a picture");
    assert_eq!(last.sequences[0].blocks[..2], last.sequences[1].blocks[..2], "full blocks stay shared");
    assert!(last.sequences[0].blocks[2..].iter().all(|block| !last.sequences[1].blocks.contains(block)));
    assert_eq!(copied, shared.token_bytes, "one row of the third block was copied, once");
    // What the fork says is what the model says to its tokens.
    let mut prompt = workload(1).prompt_ids;
    prompt.extend(&tokens[..2]);
    prompt.push(forked[0]);
    let mut reference = session("none", SessionConfig::default());
    reference.prefill(&prompt, &NEVER).expect("prefill");
    for _ in 0..8 {
        reference.decode(&NEVER).expect("decode");
    }
    assert_eq!(forked[1..], *reference.generated());
}

#[test]
fn a_forked_lanes_records_are_its_own_but_for_the_bytes_of_the_store() {
    let lanes = parse_lanes("paged:7").expect("lane");
    let run = |forks: usize| {
        let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(12)).expect("experiment");
        let (mut records, mut firsts) = (vec![], vec![]);
        while let Some(event) = experiment.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Token { record, .. } => {
                    records.push(record);
                    for _ in 0..if records.len() == 3 { forks } else { 0 } {
                        experiment.fork(0).expect("fork");
                    }
                }
                LaneEvent::ForkToken { token_id, .. } if firsts.len() < forks => firsts.push(token_id),
                _ => {}
            }
        }
        (records, firsts)
    };
    let ((alone, _), (forked, firsts)) = (run(0), run(3));
    for (alone, forked) in alone.iter().zip(&forked) {
        assert_eq!(
            (alone.token_id, alone.cached_tokens, alone.formula_bytes, alone.read_bytes, alone.reserved_bytes),
            (forked.token_id, forked.cached_tokens, forked.formula_bytes, forked.read_bytes, forked.reserved_bytes)
        );
    }
    assert!(forked[11].used_bytes > alone[11].used_bytes, "what forks hold is held");
    let mut different = firsts.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 3, "three forks at one place say three things: {firsts:?}");
}

#[test]
fn a_fork_gives_way_when_its_lane_needs_the_room() {
    let lanes = parse_lanes("paged:4").expect("lane");
    // Room for 7 blocks of 4 tokens: the lane's 13 + 11 stored tokens and one block more.
    let limited = Workload { memory_limit_bytes: Some(7 * 4 * 256), ..workload(12) };
    let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, limited).expect("experiment");
    let (mut tokens, mut ended, mut last) = (0, vec![], None);
    let mut end = None;
    while let Some(event) = experiment.step(&NEVER).expect("step") {
        match event {
            LaneEvent::Token { .. } => {
                tokens += 1;
                if tokens == 2 {
                    experiment.fork(0).expect("fork");
                }
            }
            LaneEvent::ForkEnded { fork, reason, .. } => ended.push((fork, reason)),
            LaneEvent::Blocks { picture, .. } => last = Some(picture),
            LaneEvent::Ended { end: of_lane, .. } => end = Some(of_lane),
            _ => {}
        }
    }
    assert_eq!((tokens, end), (12, Some(LaneEnd::Finished)), "the lane has the room that it has alone");
    assert_eq!(ended.len(), 1);
    assert!(ended[0].1.contains("full"), "{ended:?}");
    let last = last.expect("a picture");
    assert!(last.sequences[1].blocks.is_empty(), "a fork that ended holds nothing");
}

#[test]
fn a_lane_that_is_full_all_the_same_shows_its_forks_without_blocks() {
    let lanes = parse_lanes("paged:4").expect("lane");
    // The prompt of 13 tokens fills 4 blocks, and there are no more; the fork goes when the 17th token is to be stored.
    let limited = Workload { memory_limit_bytes: Some(4 * 4 * 256), ..workload(12) };
    let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, limited).expect("experiment");
    let (mut tokens, mut picture, mut end) = (0, None, None);
    while let Some(event) = experiment.step(&NEVER).expect("step") {
        match event {
            LaneEvent::Token { .. } => {
                tokens += 1;
                if tokens == 4 {
                    experiment.fork(0).expect("fork");
                }
            }
            LaneEvent::Blocks { picture: told, .. } => picture = Some(told),
            LaneEvent::Ended { end: of_lane, .. } => end = Some(of_lane),
            _ => {}
        }
    }
    assert!(matches!(end, Some(LaneEnd::Failed(reason)) if reason.contains("full")));
    let picture = picture.expect("a picture");
    assert_eq!(picture.sequences[0].blocks.len(), 4);
    assert!(picture.sequences[1].blocks.is_empty(), "{picture:?}");
}

#[test]
fn cancel_leaves_a_watched_lane_able_to_go_on() {
    let lanes = parse_lanes("paged:7").expect("lane");
    let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(5)).expect("experiment");
    let cancelled = AtomicBool::new(true);
    experiment.watch(Some(0), &NEVER).expect("watch");
    let (mut rows, mut tokens, mut refused) = (0, 0, 0);
    for flag in [&cancelled, &NEVER].into_iter().cycle() {
        match experiment.step(flag) {
            Ok(Some(LaneEvent::Attention { attention, .. })) => {
                assert_eq!(attention.first, rows, "no row is lost or comes twice");
                rows += attention.rows.len();
            }
            Ok(Some(LaneEvent::Token { .. })) => tokens += 1,
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                assert!(error.is_cancelled(), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((tokens, rows), (5, workload(1).prompt_ids.len() + 4));
    assert!(refused >= 2, "the flag was seen {refused} times");
}

#[test]
fn what_cannot_be_forked_says_why() {
    let lanes = parse_lanes("none,contiguous,paged:7").expect("lanes");
    let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(3)).expect("experiment");
    let why = |experiment: &mut Experiment, lane| experiment.fork(lane).expect_err("refused").to_string();
    assert!(why(&mut experiment, 0).contains("no cache"));
    assert!(why(&mut experiment, 1).contains("only blocks of a pool"));
    assert!(why(&mut experiment, 2).contains("no prompt yet"));
    assert!(why(&mut experiment, 3).contains("no such lane"));
    while experiment.step(&NEVER).expect("step").is_some() {}
    assert!(why(&mut experiment, 2).contains("has ended"));
}
