use super::*;
use crate::app::recording::tests::recording;

fn timeline(rounds: usize) -> (Timeline, RunState) {
    let recording = recording("contiguous,paged:4", rounds);
    let newest = recording.state(1, rounds);
    (Timeline::live(recording), newest)
}

/// Tokens of the first lane at the moment that is shown; `None` at the end.
fn shown(timeline: &Timeline) -> Option<usize> {
    timeline.past().map(|state| state.lanes[0].records.len())
}

#[test]
fn it_steps_through_the_past_and_back_to_the_end() {
    let (mut timeline, newest) = timeline(4);
    assert_eq!((timeline.round(), shown(&timeline)), (4, None));
    timeline.step(false, &newest);
    assert_eq!((timeline.round(), shown(&timeline)), (3, Some(3)));
    timeline.seek(1, &newest);
    assert_eq!(shown(&timeline), Some(1));
    timeline.step(true, &newest);
    assert_eq!(shown(&timeline), Some(2));
    timeline.seek(usize::MAX, &newest);
    assert_eq!((timeline.round(), shown(&timeline)), (4, None));
    timeline.seek(0, &newest);
    timeline.step(false, &newest);
    assert_eq!(shown(&timeline), Some(0), "there is nothing before the beginning");
}

#[test]
fn the_past_stays_while_the_run_goes_on() {
    let whole = recording("contiguous", 6);
    let (mut live, rest) = (Recording::new(whole.header.clone()), whole.state(1, 6).lanes[0].records.clone());
    let token = |step: usize| LaneEvent::Token { lane: 0, record: rest[step], text: "x".into() };
    live.push(token(0));
    live.push(token(1));
    let newest = live.state(1, 2);
    let mut timeline = Timeline::live(live);
    timeline.seek(1, &newest);
    timeline.push(token(2));
    assert_eq!((timeline.round(), timeline.last(), shown(&timeline)), (1, 3, Some(1)));
    timeline.step(true, &newest);
    assert_eq!(shown(&timeline), Some(2));
    timeline.step(true, &newest);
    assert_eq!(shown(&timeline), None, "at the end it follows");
    timeline.push(token(3));
    assert_eq!(timeline.round(), 4);
}

#[test]
fn it_plays_at_its_speed_to_the_end() {
    let (mut timeline, newest) = timeline(9);
    timeline.rounds_per_sec = 10.0;
    timeline.toggle(&newest);
    assert_eq!((timeline.is_playing, shown(&timeline)), (true, Some(0)), "from the beginning");
    timeline.play(Duration::from_millis(250), &newest);
    assert_eq!(shown(&timeline), Some(2));
    timeline.play(Duration::from_millis(50), &newest);
    assert_eq!(shown(&timeline), Some(3), "halves are not lost");
    timeline.toggle(&newest);
    timeline.play(Duration::from_secs(9), &newest);
    assert_eq!(shown(&timeline), Some(3), "it was stopped");
    timeline.toggle(&newest);
    timeline.play(Duration::from_secs(9), &newest);
    assert_eq!((timeline.is_playing, shown(&timeline)), (false, None));
}

#[test]
fn a_run_without_a_token_has_no_past() {
    let (mut timeline, newest) = (Timeline::live(Recording::new(recording("none", 1).header)), RunState::default());
    timeline.toggle(&newest);
    timeline.step(false, &newest);
    assert_eq!((timeline.is_playing, timeline.round(), timeline.last()), (false, 0, 0));
}

#[test]
fn a_long_run_goes_back_by_way_of_stops() {
    let (mut timeline, newest) = timeline(2 * STOP_ROUNDS + 9);
    for round in [2 * STOP_ROUNDS + 3, STOP_ROUNDS + 1, 7, STOP_ROUNDS, 2 * STOP_ROUNDS] {
        timeline.seek(round, &newest);
        let (past, anew) = (timeline.past().expect("a moment"), timeline.recording().state(1, round));
        assert_eq!(format!("{:?}", past.lanes), format!("{:?}", anew.lanes), "round {round}");
    }
    assert_eq!(timeline.stops.iter().map(|stop| stop.round).collect::<Vec<_>>(), [STOP_ROUNDS, 2 * STOP_ROUNDS]);
}
