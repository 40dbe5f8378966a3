use std::time::{Duration, Instant};

use super::*;
use crate::{
    app::quality::QualityForm,
    cache::{Format, spec::parse_lanes},
    experiment::quality::QualitySettings,
};

/// Far more than any of these needs; only a hang reaches it.
const WATCHDOG: Duration = Duration::from_mins(1);

fn settings(tokens: usize) -> RunSettings {
    RunSettings {
        model: ModelSource::Story,
        offline: false,
        device: DeviceChoice::Cpu,
        prompt: "Tom plays the drum.".into(),
        lanes: parse_lanes("contiguous,paged:16").expect("lanes"),
        tokens,
        sampling: Sampling::GREEDY,
        prefill_chunk: None,
        stop_at_eos: false,
        memory_limit_bytes: None,
        forced: false,
        watched: vec![],
        rounds_per_sec: None,
    }
}

/// Events up to the first that `stop` accepts.
fn until(worker: &Worker, stop: impl Fn(&Event) -> bool) -> Vec<Event> {
    let (started, mut events) = (Instant::now(), vec![]);
    loop {
        match worker.poll().expect("the engine lives") {
            Some(event) => {
                let last = stop(&event);
                events.push(event);
                if last {
                    return events;
                }
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(started.elapsed() < WATCHDOG, "the engine hangs after {events:?}");
    }
}

fn tokens(events: &[Event], lane: usize) -> usize {
    events.iter().filter(|e| matches!(&e.what, What::Lane(LaneEvent::Token { lane: l, .. }) if *l == lane)).count()
}

#[test]
fn a_run_reports_its_model_its_tokens_and_its_end() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.start(3, settings(5), Pace::Run).expect("idle");
    let events = until(&worker, |e| e.what == What::Finished);
    assert!(events.iter().all(|e| e.run == 3));
    assert!(events.iter().any(|e| matches!(&e.what, What::Loading { done, all } if done == all)));
    assert!(
        events.iter().any(|e| matches!(&e.what, What::Ready(facts) if facts.shape.is_some() && !facts.is_random()))
    );
    assert_eq!((tokens(&events, 0), tokens(&events, 1)), (5, 5));
}

#[test]
fn a_round_gives_every_lane_one_token_and_then_waits() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.start(1, settings(5), Pace::OneRound).expect("idle");
    let first = until(&worker, |e| e.what == What::Paused);
    assert_eq!((tokens(&first, 0), tokens(&first, 1)), (1, 1));
    worker.pace(Pace::OneRound).expect("paused");
    let second = until(&worker, |e| e.what == What::Paused);
    assert_eq!((tokens(&second, 0), tokens(&second, 1)), (1, 1));
    worker.pace(Pace::Run).expect("paused");
    let rest = until(&worker, |e| e.what == What::Finished);
    assert_eq!((tokens(&rest, 0), tokens(&rest, 1)), (3, 3));
}

#[test]
fn a_round_is_a_round_after_another_lane_has_failed() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    // 16 tokens of f32 fit, so the second lane runs full; int8 goes on.
    let kv = ModelSource::Story.config().expect("embedded").kv_shape();
    let one_block = 16 * kv.formula_bytes_per_token(Format::F32);
    let settings = RunSettings {
        lanes: parse_lanes("paged:16+int8,paged:16").expect("lanes"),
        memory_limit_bytes: Some(one_block),
        ..settings(30)
    };
    worker.start(1, settings, Pace::OneRound).expect("idle");
    let mut failed = false;
    for _ in 0..30 {
        let round = until(&worker, |e| matches!(e.what, What::Paused | What::Finished));
        assert_eq!(tokens(&round, 0), 1, "after the failure: {failed}");
        failed |= round.iter().any(|e| matches!(&e.what, What::Lane(LaneEvent::Ended { lane: 1, .. })));
        worker.pace(Pace::OneRound).expect("paused");
    }
    assert!(failed, "the limit was meant to hold fewer tokens");
}

#[test]
fn cancel_ends_a_long_run_and_the_model_stays() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.start(1, settings(900), Pace::Run).expect("idle");
    until(&worker, |e| matches!(e.what, What::Lane(_)));
    worker.cancel().expect("running");
    let events = until(&worker, |e| matches!(e.what, What::Cancelled | What::Finished));
    assert_eq!(events.last().map(|e| &e.what), Some(&What::Cancelled));

    worker.start(2, settings(2), Pace::Run).expect("idle");
    let events = until(&worker, |e| e.what == What::Finished);
    assert!(events.iter().all(|e| e.run == 2 && !matches!(e.what, What::Loading { .. })), "{events:?}");
}

#[test]
fn a_start_replaces_the_run_under_way() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.start(1, settings(900), Pace::Run).expect("idle");
    until(&worker, |e| matches!(e.what, What::Lane(_)));
    worker.start(2, settings(3), Pace::Run).expect("running");
    let events = until(&worker, |e| e.run == 2 && e.what == What::Finished);
    let of_second = events.iter().position(|e| e.run == 2).expect("finished");
    assert!(events[of_second..].iter().all(|e| e.run == 2), "the first run spoke after the second began");
}

#[test]
fn what_cannot_run_is_explained_and_the_next_run_works() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    let mut failure = |settings: RunSettings| {
        worker.start(1, settings, Pace::Run).expect("idle");
        let events = until(&worker, |e| matches!(e.what, What::Failed(_) | What::Finished));
        match events.last().map(|e| e.what.clone()) {
            Some(What::Failed(message)) => message,
            other => format!("no failure but {other:?}"),
        }
    };
    assert!(failure(settings(5_000)).contains("context"));
    assert!(failure(RunSettings { prompt: String::new(), ..settings(2) }).contains("prompt is empty"));
    assert!(failure(RunSettings { memory_limit_bytes: Some(1), ..settings(2) }).contains("memory limit"));
    assert!(failure(RunSettings { model: ModelSource::Folder("/nowhere".into()), ..settings(2) }).contains("nowhere"));
    let model = ModelSource::Hub { id: "kvlab-tests/no-such-model".into(), revision: None };
    let says = if cfg!(feature = "hub") { "is not in the cache" } else { "built without the Hugging Face hub" };
    assert!(failure(RunSettings { model, offline: true, ..settings(2) }).contains(says));
    assert!(failure(settings(2)).contains("no failure but Some(Finished)"));
}

#[test]
fn loading_can_be_cancelled() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.start(1, settings(2), Pace::Run).expect("idle");
    worker.cancel().expect("loading");
    let events = until(&worker, |e| matches!(e.what, What::Cancelled | What::Finished));
    assert_eq!(events.last().map(|e| &e.what), Some(&What::Cancelled));
    worker.start(2, settings(2), Pace::Run).expect("idle");
    until(&worker, |e| e.run == 2 && e.what == What::Finished);
}

#[test]
fn dropping_ends_the_thread_while_it_waits_for_room() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    // Nobody reads the events, so the engine soon waits for room in the channel.
    worker.start(1, settings(900), Pace::Run).expect("idle");
    std::thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    drop(worker);
    assert!(started.elapsed() < WATCHDOG);
}

#[test]
fn a_panic_is_an_error_and_the_engine_lives_on() {
    let mut once = true;
    let flag = std::sync::Mutex::new(move || std::mem::take(&mut once));
    let panics = move || {
        if flag.lock().is_ok_and(|mut first| first()) {
            std::panic::resume_unwind(Box::new("planted"));
        }
    };
    let mut worker = Worker::spawn(panics).expect("thread");
    worker.start(1, settings(2), Pace::Run).expect("idle");
    let events = until(&worker, |e| matches!(e.what, What::Failed(_) | What::Finished));
    assert!(matches!(events.last().map(|e| &e.what), Some(What::Failed(message)) if message.contains("planted")));
    worker.start(2, settings(2), Pace::Run).expect("idle");
    until(&worker, |e| e.run == 2 && e.what == What::Finished);
}

/// A step is a token of every lane, whatever else the engine still has to tell.
#[test]
fn a_step_after_a_watch_or_a_fork_is_a_whole_step() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.start(1, settings(9), Pace::OneRound).expect("idle");
    until(&worker, |e| e.what == What::Paused);
    worker.watch(vec![1]).expect("room");
    worker.fork(1).expect("room");
    worker.pace(Pace::OneRound).expect("room");
    let mut events = vec![];
    // What was asked for is told, with pauses between.
    while tokens(&events, 0) + tokens(&events, 1) < 2 {
        events.extend(until(&worker, |e| e.what == What::Paused));
    }
    assert_eq!((tokens(&events, 0), tokens(&events, 1)), (1, 1));
    assert!(events.iter().any(|e| matches!(&e.what, What::Lane(LaneEvent::Attention { .. }))));
    assert!(events.iter().any(|e| matches!(&e.what, What::Lane(LaneEvent::Forked { .. }))));
    assert!(!events.iter().any(|e| matches!(&e.what, What::Refused(_))));
}

#[test]
fn layers_come_one_by_one_and_then_the_token() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.start(1, settings(3), Pace::Pause).expect("idle");
    let begun = until(&worker, |e| e.what == What::Paused);
    assert_eq!(tokens(&begun, 0) + tokens(&begun, 1), 0, "it waits before its first token");
    let n_layer = begun.iter().find_map(|e| if let What::Ready(facts) = &e.what { facts.shape } else { None });
    let n_layer = n_layer.expect("facts").n_layer;
    for done in 1..n_layer {
        worker.layer().expect("room");
        let events = until(&worker, |e| matches!(e.what, What::Layers { lane: 1, .. }));
        let told = |e: &Event| if let What::Layers { layers, .. } = &e.what { Some(layers.len()) } else { None };
        assert_eq!(events.iter().filter_map(told).collect::<Vec<_>>(), [done, done], "both lanes");
    }
    worker.layer().expect("room");
    let events = until(&worker, |e| e.what == What::Paused);
    assert_eq!((tokens(&events, 0), tokens(&events, 1)), (1, 1), "the last layer is the token");
}

#[test]
fn a_limited_run_still_obeys_and_a_lifted_limit_lets_it_go() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    // The second round would come after 50 seconds.
    worker.start(1, RunSettings { rounds_per_sec: Some(0.02), ..settings(4) }, Pace::Run).expect("idle");
    let events = until(&worker, |e| matches!(&e.what, What::Lane(LaneEvent::Token { lane: 1, .. })));
    assert_eq!((tokens(&events, 0), tokens(&events, 1)), (1, 1));
    worker.pace(Pace::Pause).expect("room");
    let paused = until(&worker, |e| e.what == What::Paused);
    assert_eq!(tokens(&paused, 0), 0);
    worker.pace(Pace::Run).expect("room");
    worker.speed(None).expect("room");
    let rest = until(&worker, |e| e.what == What::Finished);
    assert_eq!((tokens(&rest, 0), tokens(&rest, 1)), (3, 3));
}

#[test]
fn a_paused_lane_is_switched_and_a_refusal_ends_nothing() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.start(1, settings(4), Pace::OneRound).expect("idle");
    until(&worker, |e| e.what == What::Paused);
    worker.switch(1, "paged:8+int8".parse().expect("lane")).expect("room");
    let events = until(&worker, |e| matches!(&e.what, What::Lane(LaneEvent::Blocks { .. })));
    assert!(events.iter().any(|e| {
        matches!(&e.what, What::Lane(LaneEvent::Switched { lane: 1, step: 1, name, .. }) if name == "paged:8+int8")
    }));
    worker.switch(7, Lane::None).expect("room");
    until(&worker, |e| matches!(&e.what, What::Refused(reason) if reason.contains("there is no such lane")));
    worker.pace(Pace::Run).expect("room");
    let rest = until(&worker, |e| e.what == What::Finished);
    assert_eq!((tokens(&rest, 0), tokens(&rest, 1)), (3, 3));
}

#[test]
fn lanes_are_compared_and_the_machine_is_measured() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.start(1, RunSettings { forced: true, ..settings(3) }, Pace::Run).expect("idle");
    let events = until(&worker, |e| e.what == What::Finished);
    let kl = |e: &Event| match &e.what {
        What::Lane(LaneEvent::Compared { lane: 1, kl_nats, agrees: true, .. }) => Some(*kl_nats),
        _ => None,
    };
    assert_eq!(events.iter().filter_map(kl).collect::<Vec<_>>(), [0.0; 3], "pages lose nothing");
    let header = events.iter().find_map(|e| if let What::Header(header) = &e.what { Some(header) } else { None });
    let header = header.expect("what a trace begins with");
    assert!(header.workload.forced && header.lanes == ["contiguous", "paged:16"]);
    let floor = header.floor.expect("on a CPU");
    assert!(floor.read_bytes_per_sec > 1e8 && floor.flops_per_sec > 1e8, "{floor:?}");
}

fn measurement(stories: usize) -> MeasureSettings {
    let settings = QualitySettings { prompt_tokens: 16, greedy_tokens: 4, batch: 1 };
    MeasureSettings {
        device: DeviceChoice::Cpu,
        lanes: parse_lanes("contiguous,paged:16+int8").expect("lanes"),
        numbers: vec![0, 1],
        skips_none: false,
        adds_exact: false,
        quality: QualityForm { stories, tokens: 64, settings },
    }
}

#[test]
fn a_measurement_tells_its_numbers_now_and_then_and_at_its_end() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    let started = Instant::now();
    worker.measure(4, measurement(3)).expect("idle");
    let events = until(&worker, |e| e.what == What::Finished);
    assert!(events.iter().all(|e| e.run == 4));
    let reports: Vec<&QualityReport> = events
        .iter()
        .filter_map(|e| if let What::Quality(report) = &e.what { Some(&**report) } else { None })
        .collect();
    // However slow the machine is, no two come within a quarter of a second; the last one is told when it is over.
    assert!(reports.len() as u128 <= started.elapsed().as_millis() / 250 + 1, "{} reports", reports.len());
    let last = reports.last().expect("the last one");
    assert_eq!((last.done_steps, last.story, last.stories), (last.all_steps, 3, 3));
    assert!(last.lanes.iter().all(|lane| lane.kl.is_some() && lane.positions == 3 * 47));
    assert_eq!(last.positions[1].len(), 47);
}

#[test]
fn a_measurement_can_be_cancelled_and_gives_way_to_a_run() {
    let mut worker = Worker::spawn(|| ()).expect("thread");
    worker.measure(1, measurement(32)).expect("idle");
    until(&worker, |e| matches!(e.what, What::Quality(_)));
    worker.cancel().expect("measuring");
    let events = until(&worker, |e| matches!(e.what, What::Cancelled | What::Finished));
    let [.., last, end] = &events[..] else { panic!("the numbers, and the end: {events:?}") };
    assert!(matches!(&last.what, What::Quality(report) if report.done_steps < report.all_steps));
    assert_eq!(end.what, What::Cancelled);

    worker.measure(2, measurement(32)).expect("idle");
    until(&worker, |e| e.run == 2 && e.what == What::Running);
    worker.start(3, settings(2), Pace::Run).expect("measuring");
    until(&worker, |e| e.run == 3 && e.what == What::Finished);
}
