use super::*;
use crate::{cache::spec::parse_lanes, engine::Phase as StepPhase, report::Latency};

fn record(step: usize, token_id: u32, total_secs: f64) -> StepRecord {
    StepRecord {
        step,
        phase: if step == 0 { StepPhase::Prefill } else { StepPhase::Decode },
        tokens_in: 1,
        forward_secs: total_secs,
        sample_secs: 0.0,
        total_secs,
        token_id,
        gpu: None,
        reserved_bytes: 0,
        held_bytes: 0,
        used_bytes: 0,
        scale_bytes: None,
        residual_bytes: None,
        dead_bytes: 0,
        copied_bytes: 0,
        metadata_bytes: 0,
        cached_tokens: 0,
        formula_bytes: 0,
        flops: 0,
        read_bytes: 0,
    }
}

fn run() -> RunState {
    RunState::new(7, &parse_lanes("none,contiguous").expect("lanes"), 3, String::new())
}

fn token(run: &mut RunState, lane: usize, token_id: u32, text: &str) {
    let record = record(run.lanes[lane].records.len(), token_id, 0.5);
    run.apply(Event { run: 7, what: What::Lane(LaneEvent::Token { lane, record, text: text.into() }) });
}

fn pieces(run: &RunState, lane: usize) -> Vec<(&str, Option<usize>)> {
    run.lanes[lane].pieces().into_iter().map(|piece| (piece.text, piece.differs)).collect()
}

#[test]
fn a_lane_that_is_fed_the_first_lanes_tokens_can_differ_in_any() {
    let mut run = RunState { is_forced: true, ..run() };
    for (a, b, text) in [(1, 1, "a"), (2, 3, " b"), (4, 4, " c"), (5, 9, " d"), (6, 8, " e")] {
        token(&mut run, 0, a, text);
        token(&mut run, 1, b, text);
    }
    let lane = &run.lanes[1];
    assert_eq!((lane.agreed, lane.first_divergence, &lane.differing), (2, Some(1), &vec![1, 3, 4]));
    assert_eq!(pieces(&run, 1), [("a", None), (" b", Some(1)), (" c", None), (" d", Some(3)), (" e", Some(4))]);
    run.facts = Some(Facts { prompt_tokens: 1, ..Facts::default() });
    run.lanes[0].text = "A B C D E".into();
    assert_eq!(run.token_text(1, 0, 1), Some("A"), "what it has read is the first lane's text");
}

#[test]
fn a_switch_renames_the_lane_and_forgets_what_was_stored() {
    let mut run = run();
    token(&mut run, 1, 10, "the");
    let name = "paged:8+int8".to_owned();
    let switched = LaneEvent::Switched { lane: 1, step: 1, name, tokens_in: 4, secs: 0.25 };
    run.apply(Event { run: 7, what: What::Lane(switched) });
    let lane = &run.lanes[1];
    assert_eq!((lane.name.as_str(), lane.is_lossless), ("paged:8+int8", false));
    let from = "contiguous".to_owned();
    assert_eq!(lane.switches, [Switch { step: 1, from, tokens_in: 4, secs: 0.25 }]);
}

#[test]
fn layers_are_shown_until_the_token_is_made() {
    let mut run = run();
    let layer = LayerStep { layer: 0, secs: 0.1, norm: 2.0, guess: 3, probability: 0.5 };
    run.apply(Event { run: 7, what: What::Layers { lane: 1, layers: vec![(layer, " fox".into())] } });
    assert_eq!((run.layers[0].len(), run.layers[1].len()), (0, 1));
    token(&mut run, 0, 10, "the");
    assert!(run.layers.is_empty());
}

#[test]
fn the_first_divergence_is_found_whichever_lane_is_ahead() {
    let mut run = run();
    token(&mut run, 1, 10, "the");
    token(&mut run, 1, 11, " fox");
    token(&mut run, 1, 12, " ran");
    assert_eq!((run.lanes[1].agreed, run.lanes[1].first_divergence), (0, None), "nothing to compare with yet");
    token(&mut run, 0, 10, "the");
    assert_eq!((run.lanes[1].agreed, run.lanes[1].first_divergence), (1, None));
    token(&mut run, 0, 99, " owl");
    token(&mut run, 0, 12, " ran");
    assert_eq!((run.lanes[1].agreed, run.lanes[1].first_divergence), (1, Some(1)));
    assert_eq!(pieces(&run, 1), [("the", None), (" fox", Some(1)), (" ran", None)]);
    assert_eq!(pieces(&run, 0), [("the owl ran", None)]);
}

#[test]
fn a_diverging_token_that_is_half_a_character_shows_with_its_other_half() {
    let mut run = run();
    for (a, b, text) in [(1, 1, "a"), (2, 3, ""), (4, 4, "\u{e9}"), (5, 5, "z")] {
        token(&mut run, 0, a, text);
        token(&mut run, 1, b, text);
    }
    assert_eq!(pieces(&run, 1), [("a", None), ("\u{e9}", Some(1)), ("z", None)]);
}

#[test]
fn divergence_at_the_very_first_token() {
    let mut run = run();
    token(&mut run, 0, 1, "x");
    token(&mut run, 1, 2, "y");
    assert_eq!(run.lanes[1].first_divergence, Some(0));
    assert_eq!(pieces(&run, 1), [("y", Some(0))]);
}

#[test]
fn statistics_keep_the_prefill_apart() {
    let mut lane = run().lanes.remove(0);
    assert_eq!(Latency::of(&lane.records), Latency::default());
    lane.records.push(record(0, 1, 9.0));
    assert_eq!(Latency::of(&lane.records), Latency { ttft_secs: Some(9.0), ..Latency::default() });
    for (step, secs) in [(1, 1.0), (2, 2.0), (3, 6.0)] {
        lane.records.push(record(step, 1, secs));
    }
    let stats = Latency::of(&lane.records);
    let end_to_end = 9.0 + 1.0 + 2.0 + 6.0;
    assert_eq!(stats.tpot_secs, Some((end_to_end - 9.0) / 3.0));
    assert_eq!(stats.itl_p50_secs, Some(2.0));
    assert!(stats.itl_p99_secs.is_some_and(|p99| p99 > 5.9 && p99 <= 6.0), "{stats:?}");
    assert_eq!(lane.decode().len(), 3);
}

#[test]
fn events_of_another_run_or_after_the_end_change_nothing() {
    let mut run = run();
    run.apply(Event { run: 6, what: What::Finished });
    assert!(run.phase.is_active());
    run.apply(Event { run: 7, what: What::Cancelled });
    token(&mut run, 0, 1, "late");
    run.apply(Event { run: 7, what: What::Running });
    assert_eq!((run.phase.clone(), run.progress()), (Phase::Cancelled, 0));
    assert!(run.phase.is_over());
}

#[test]
fn a_failure_keeps_what_was_generated() {
    let mut run = run();
    token(&mut run, 0, 1, "x");
    run.apply(Event { run: 7, what: What::Failed("no memory".into()) });
    assert_eq!((run.phase, run.error.as_deref(), run.lanes[0].text.as_str()), (Phase::Failed, Some("no memory"), "x"));
}

#[test]
fn a_download_is_shown_and_can_be_cancelled() {
    let mut run = run();
    let (file, done_bytes, all_bytes) = ("model.safetensors", 1 << 20, 2 << 20);
    run.apply(Event { run: 7, what: What::Downloading { file, done_bytes, all_bytes } });
    assert!(run.phase.is_active());
    let text = crate::app::panels::status::phase(&run);
    assert_eq!(text, "downloading model.safetensors: 1.00 MiB of 2.00 MiB");
    run.apply(Event { run: 7, what: What::Cancelled });
    assert_eq!(run.phase, Phase::Cancelled);
    assert!(run.error.is_some_and(|error| error.contains("what came is kept")));
}

#[test]
fn an_event_of_a_lane_that_does_not_exist_is_ignored() {
    let mut run = run();
    run.apply(Event {
        run: 7,
        what: What::Lane(LaneEvent::Token { lane: 9, record: record(0, 1, 1.0), text: "x".into() }),
    });
    assert_eq!(run.progress(), 0);
}
