//! Lanes fed the same tokens, compared, given another cache, and followed layer by layer: on a small model.

mod support;

use std::sync::atomic::AtomicBool;

use kvlab::{
    cache::{Lane, spec::parse_lanes},
    experiment::{Experiment, ExperimentError, LaneEnd, LaneEvent, Workload},
};
use support::{GOLDENS, NEVER, golden_model, small::workload};

fn experiment(lanes: &str, workload: Workload) -> Experiment {
    experiment_with(GOLDENS[0], lanes, workload)
}

fn experiment_with(model: &str, lanes: &str, workload: Workload) -> Experiment {
    Experiment::new(golden_model(model), &parse_lanes(lanes).expect(lanes), workload).expect(lanes)
}

/// All events until so many rounds are over, or all lanes have ended.
fn events(experiment: &mut Experiment, rounds: usize) -> Vec<LaneEvent> {
    let mut events = vec![];
    while experiment.rounds() < rounds || !experiment.at_round_start() {
        match experiment.step(&NEVER).expect("step") {
            Some(event) => events.push(event),
            None => break,
        }
    }
    events
}

fn tokens(events: &[LaneEvent], lane: usize) -> Vec<u32> {
    let token = |event: &LaneEvent| match event {
        LaneEvent::Token { lane: of, record, .. } if *of == lane => Some(record.token_id),
        _ => None,
    };
    events.iter().filter_map(token).collect()
}

/// `(step, divergence, agreement)` of a lane, in order.
fn compared(events: &[LaneEvent], lane: usize) -> Vec<(usize, f64, bool)> {
    let one = |event: &LaneEvent| match event {
        LaneEvent::Compared { lane: of, step, kl_nats, agrees } if *of == lane => Some((*step, *kl_nats, *agrees)),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

#[test]
fn forced_lanes_read_the_first_lanes_tokens_and_say_their_own() {
    let lanes = "contiguous,paged:4,none,paged:8+int8,paged:8+window:1/2";
    let work = Workload { forced: true, compares: true, ..workload(12) };
    let alone = tokens(&events(&mut experiment("contiguous", workload(12)), 99), 0);
    let mut forced = experiment(lanes, work);
    let events = events(&mut forced, 99);
    assert_eq!(tokens(&events, 0), alone, "the first lane runs as it would alone");
    let read = |lane: usize| forced.session(lane).expect("lane").generated()[..11].to_vec();
    for lane in 0..5 {
        assert_eq!(read(lane), alone[..11], "lane {lane} read the first lane's tokens");
        assert_eq!(tokens(&events, lane).len(), 12);
    }
    for lane in 1..5 {
        let compared = compared(&events, lane);
        assert_eq!(compared.iter().map(|c| c.0).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>(), "lane {lane}");
        let own = tokens(&events, lane);
        for (step, _, agrees) in compared {
            assert_eq!(agrees, own[step] == alone[step], "greedy: the likeliest is what it says");
        }
    }
    // Exact lanes lose exactly nothing on the CPU; a window forgets.
    assert!([1, 2].iter().all(|lane| compared(&events, *lane).iter().all(|(_, kl, _)| *kl == 0.0)));
    assert!(compared(&events, 3).iter().skip(1).all(|(_, kl, _)| *kl > 0.0));
    assert!(compared(&events, 4).iter().any(|(_, kl, _)| *kl > 1e-3));
}

#[test]
fn free_lanes_are_compared_until_their_tokens_part() {
    let mut free = experiment("contiguous,paged:8+window:1/2", Workload { compares: true, ..workload(24) });
    let events = events(&mut free, 99);
    let (first, second) = (tokens(&events, 0), tokens(&events, 1));
    let parted = (0..24).find(|step| first[*step] != second[*step]).expect("two tokens are not enough to remember");
    let steps: Vec<usize> = compared(&events, 1).iter().map(|c| c.0).collect();
    assert_eq!(steps, (0..=parted).collect::<Vec<_>>(), "the last comparison is of the token that differs");
}

#[test]
fn a_forced_lane_ends_with_the_lane_it_is_fed() {
    // Room for one block of the f32 lane, 32 tokens; far more for the other.
    let limited = Workload { forced: true, memory_limit_bytes: Some(32 * 256), ..workload(40) };
    let events = events(&mut experiment("contiguous,paged:4+int8", limited), 99);
    let ends: Vec<&LaneEnd> =
        events.iter().filter_map(|e| if let LaneEvent::Ended { end, .. } = e { Some(end) } else { None }).collect();
    if let [LaneEnd::Failed(first), LaneEnd::Failed(second)] = ends[..] {
        assert!(first.contains("cache is full"), "{first}");
        assert!(second.contains("it is fed the tokens of contiguous, which has ended"), "{second}");
    } else {
        panic!("both lanes end: {ends:?}");
    }
    assert!(tokens(&events, 1).len() <= tokens(&events, 0).len() + 1);
}

#[test]
fn a_lane_goes_on_in_another_cache_with_the_same_tokens() {
    let alone = tokens(&events(&mut experiment("contiguous", workload(20)), 99), 0);
    for to in ["paged:4", "none", "concat", "contiguous"] {
        let mut switched = experiment("contiguous,paged:16", workload(20));
        let mut seen = events(&mut switched, 7);
        switched.switch(1, to.parse().expect(to), &mut |_| {}, &NEVER).expect(to);
        seen.extend(events(&mut switched, 99));
        assert_eq!(tokens(&seen, 1), alone, "{to}");
        let at = seen.iter().find_map(|event| match event {
            LaneEvent::Switched { lane: 1, step, name, tokens_in, secs } => {
                Some((*step, name.clone(), *tokens_in, *secs))
            }
            _ => None,
        });
        let (step, name, tokens_in, secs) = at.expect("it is told");
        let n_run = if to == "none" { 0 } else { workload(1).prompt_ids.len() + 6 };
        assert_eq!((step, tokens_in), (7, n_run), "{to}");
        assert_eq!(name, if to == "contiguous" { "contiguous#2" } else { to }, "names stay apart");
        assert!(secs > 0.0);
        let steps: Vec<usize> = seen
            .iter()
            .filter_map(|e| if let LaneEvent::Token { lane: 1, record, .. } = e { Some(record.step) } else { None })
            .collect();
        assert_eq!(steps, (0..20).collect::<Vec<_>>(), "{to}");
    }
}

#[test]
fn a_switch_keeps_the_random_numbers_and_ends_forks() {
    let hot = kvlab::engine::Sampling { temperature: 1.5, seed: 3, ..kvlab::engine::Sampling::GREEDY };
    let alone = tokens(&events(&mut experiment("contiguous", Workload { sampling: hot, ..workload(20) }), 99), 0);
    let mut switched = experiment("paged:4", Workload { sampling: hot, ..workload(20) });
    let mut seen = events(&mut switched, 5);
    switched.fork(0).expect("a pool");
    seen.extend(events(&mut switched, 6));
    switched.switch(0, "paged:8".parse().expect("lane"), &mut |_| {}, &NEVER).expect("switch");
    seen.extend(events(&mut switched, 99));
    assert_eq!(tokens(&seen, 0), alone);
    assert!(seen.iter().any(
        |event| matches!(event, LaneEvent::ForkEnded { reason, .. } if reason == "its lane was given another cache")
    ));
}

#[test]
fn what_cannot_be_switched_is_refused_and_goes_on() {
    let alone = tokens(&events(&mut experiment("contiguous", workload(9)), 99), 0);
    let mut kept = experiment("contiguous,paged:4", workload(9));
    let mut seen = events(&mut kept, 3);
    let switch = |experiment: &mut Experiment, index: usize, lane: &str, cancel: &AtomicBool| {
        let lane: Lane = lane.parse().expect("lane");
        experiment.switch(index, lane, &mut |_| {}, cancel).expect_err("refused").to_string()
    };
    assert!(switch(&mut kept, 5, "none", &NEVER).contains("there is no such lane"));
    // The golden's heads are too narrow for groups of 32.
    assert!(switch(&mut kept, 1, "paged:4+q8_0", &NEVER).contains("cannot be given another cache"));
    assert_eq!(switch(&mut kept, 1, "paged:8", &AtomicBool::new(true)), "cancelled");
    seen.push(kept.step(&NEVER).expect("step").expect("a token"));
    assert!(switch(&mut kept, 1, "none", &NEVER).contains("pause first"));
    seen.extend(events(&mut kept, 99));
    assert_eq!((tokens(&seen, 0), tokens(&seen, 1)), (alone.clone(), alone));
    assert!(switch(&mut kept, 1, "none", &NEVER).contains("it has ended"));
}

#[test]
fn a_lane_can_be_switched_before_its_first_token() {
    let mut switched = experiment("none", workload(5));
    switched.switch(0, "paged:4".parse().expect("lane"), &mut |_| {}, &NEVER).expect("switch");
    let seen = events(&mut switched, 99);
    assert_eq!(tokens(&seen, 0), tokens(&events(&mut experiment("contiguous", workload(5)), 99), 0));
}

#[test]
fn layers_lead_to_the_token_and_change_nothing() {
    // Heads of 64 channels, which kivi can group.
    let model = GOLDENS[1];
    let n_layer = golden_model(model).model.config().n_layer;
    for lane in ["none", "contiguous", "paged:4", "paged:8+int8", "paged:32+kivi:4/3", "paged:8+h2o:2/2"] {
        let alone = events(&mut experiment_with(model, lane, workload(40)), 99);
        let mut followed = experiment_with(model, lane, workload(40));
        let mut seen = vec![];
        for round in 0..40 {
            let all = followed.layers(0, n_layer, &NEVER).expect(lane);
            let part = followed.layers(0, 1, &NEVER).expect(lane);
            assert_eq!((all.len(), part.len()), (n_layer, 1), "{lane}");
            assert_eq!((part[0].0.guess, part[0].0.norm), (all[0].0.guess, all[0].0.norm), "{lane}");
            assert!(all.iter().all(|(layer, _)| layer.secs > 0.0 && layer.norm > 0.0), "{lane}");
            seen.extend(events(&mut followed, round + 1));
            let last = all.last().map(|(layer, _)| layer.guess);
            assert_eq!(last, tokens(&seen, 0).last().copied(), "{lane}: greedy takes the last layer's guess");
        }
        assert_eq!(tokens(&seen, 0), tokens(&alone, 0), "{lane}");
    }
}

#[test]
fn two_lanes_can_be_watched() {
    let mut watched = experiment("contiguous,paged:4+window:1/3,none", workload(6));
    watched.watch([1], &NEVER).expect("one");
    let mut seen = events(&mut watched, 3);
    watched.watch([0, 1], &NEVER).expect("two");
    seen.extend(events(&mut watched, 99));
    for lane in [0, 1] {
        let mut next = 0;
        for event in &seen {
            if let LaneEvent::Attention { lane: of, attention } = event
                && *of == lane
            {
                assert_eq!(attention.first, next, "lane {lane}: rows follow on each other");
                next += attention.rows.len();
            }
        }
        assert_eq!(next, workload(1).prompt_ids.len() + 5, "lane {lane}");
    }
    let error = watched.watch([0], &AtomicBool::new(true));
    assert!(!matches!(error, Err(ExperimentError::TooMuchAttention { .. })));
}

#[test]
fn attention_after_a_switch_is_of_the_cache_that_the_lane_had_then() {
    let n_prompt = workload(1).prompt_ids.len();
    let rows = |seen: &[LaneEvent]| -> Vec<Vec<u8>> {
        let of = |event: &LaneEvent| match event {
            LaneEvent::Attention { attention, .. } => attention.rows.iter().map(|row| row.to_vec()).collect(),
            _ => vec![],
        };
        seen.iter().flat_map(of).collect()
    };
    let run = |is_watched: bool| {
        let mut experiment = experiment("contiguous", workload(8));
        if is_watched {
            experiment.watch([0], &NEVER).expect("watched");
        }
        let mut seen = events(&mut experiment, 4);
        let to = "paged:4+window:1/3".parse().expect("lane");
        experiment.switch(0, to, &mut |_| {}, &NEVER).expect("switched");
        seen.extend(events(&mut experiment, 6));
        experiment.watch([0], &NEVER).expect("watched");
        seen.extend(events(&mut experiment, 99));
        rows(&seen)
    };
    let (watched, late) = (run(true), run(false));
    // The newest token of a lane has not run.
    assert_eq!((watched.len(), late.len()), (n_prompt + 7, n_prompt + 7), "each row once");
    // Before the switch every token saw all others. What is made up for is as the new cache had it, in one prompt: the same.
    for (position, (watched, late)) in watched.iter().zip(&late).enumerate() {
        let far = watched.iter().zip(late).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(watched.len() == late.len() && far <= Some(1), "row {position}: rounding at most, {far:?}");
    }
}

#[test]
fn no_lane_gets_the_name_of_another() {
    let mut lanes = experiment("none,paged:4", workload(5));
    events(&mut lanes, 2);
    let switched = |lanes: &mut Experiment, index: usize, to: &str| {
        lanes.switch(index, to.parse().expect(to), &mut |_| {}, &NEVER).expect("switched");
        // Told, as the engine's thread does before the next command.
        lanes.take_queued();
        lanes.names().to_vec()
    };
    assert_eq!(switched(&mut lanes, 0, "paged:4"), ["paged:4#2", "paged:4"]);
    assert_eq!(switched(&mut lanes, 1, "contiguous"), ["paged:4#2", "contiguous"]);
    assert_eq!(switched(&mut lanes, 0, "paged:4"), ["paged:4", "contiguous"]);
}

#[test]
fn a_round_is_over_when_its_lanes_have_told_their_ends() {
    let mut lanes = experiment("none,paged:4,concat", workload(3));
    let (mut starts, mut ended) = (vec![], 0);
    while let Some(event) = lanes.step(&NEVER).expect("step") {
        ended += usize::from(matches!(event, LaneEvent::Ended { .. }));
        if lanes.at_round_start() {
            starts.push(ended);
        }
    }
    assert_eq!(starts, [0, 0, 3], "after the first and second token, and at the end");
}

#[test]
fn a_forced_lane_is_inspected_with_the_token_it_reads() {
    use kvlab::{engine::Ask, experiment::DEFAULT_PROMPT};
    let model = std::sync::Arc::new(support::load(&kvlab::model::ModelSource::Story));
    let prompt_ids = model.tokenizer.as_ref().expect("the story model has one").encode(DEFAULT_PROMPT).expect("ids");
    let work = Workload { forced: true, prompt_ids, ..workload(40) };
    let lanes = parse_lanes("contiguous,contiguous+window:1/3").expect("lanes");
    let mut forced = Experiment::new(model, &lanes, work).expect("experiment");
    let mut round = 0;
    // To where the second lane would say something else.
    loop {
        round += 1;
        events(&mut forced, round);
        let newest = |lane: usize| forced.session(lane).and_then(|session| session.generated().last().copied());
        if newest(0) != newest(1) {
            break;
        }
    }
    let ask = Ask { layer: 0, head: 0, position: 0 };
    forced.inspect(1, ask, &NEVER).expect("a look");
    let newest = |lane: usize| forced.session(lane).and_then(|session| session.generated().last().copied());
    assert_eq!(newest(1), newest(0), "the look is that of the token which the lane reads next");
    assert!(matches!(forced.inspect(7, ask, &NEVER), Err(ExperimentError::NoSuchLane { index: 7, n_lanes: 2 })));
}
