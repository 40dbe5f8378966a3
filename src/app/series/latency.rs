//! Times of a lane, token by token. All of them are the lane's own: turns of other lanes are in none of them.

use crate::{
    app::{floor::MachineFloor, state::LaneState, units::to_x},
    engine::{Phase, StepRecord},
};

/// Tokens that [`throughput`] looks back on: enough that a line of it can be read, few enough that a stall shows.
pub const WINDOW_TOKENS: usize = 8;

/// Inter-token latency: a point per decode step, in seconds.
#[must_use]
pub fn inter_token_secs(lane: &LaneState) -> Vec<[f64; 2]> {
    lane.decode().iter().map(|record| [to_x(record.step), record.total_secs]).collect()
}

/// Seconds from the lane's start to each of its tokens, the prefill included.
#[must_use]
pub fn cumulative_secs(lane: &LaneState) -> Vec<[f64; 2]> {
    let steps = lane.records.iter().scan(0.0, |elapsed_secs, record| {
        *elapsed_secs += record.total_secs;
        Some([to_x(record.step), *elapsed_secs])
    });
    steps.collect()
}

/// Tokens per second over the last [`WINDOW_TOKENS`] decode steps, or over those there are.
#[must_use]
pub fn throughput(lane: &LaneState) -> Vec<[f64; 2]> {
    let steps = lane.decode();
    let rate = |index: usize| {
        let window = &steps[(index + 1).saturating_sub(WINDOW_TOKENS)..=index];
        let secs: f64 = window.iter().map(|record| record.total_secs).sum();
        [to_x(steps[index].step), to_x(window.len()) / secs]
    };
    (0..steps.len()).map(rate).filter(|point| point[1].is_finite()).collect()
}

/// The least seconds that each decode step could take on this machine, see [`MachineFloor::least_secs`].
#[must_use]
pub fn floor_secs(lane: &LaneState, machine: MachineFloor) -> Vec<[f64; 2]> {
    lane.decode().iter().filter_map(|record| Some([to_x(record.step), machine.least_secs(record)?])).collect()
}

/// The first decode step, at which caches and threads may still be cold.
#[must_use]
pub fn warm_up(lane: &LaneState) -> Option<&StepRecord> {
    lane.decode().first()
}

/// The prefill of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prefill {
    /// Time to first token: the prefill and the sampling of the first token.
    pub ttft_secs: f64,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Prompt tokens over the TTFT; `None` for a step that took no time.
    pub tokens_per_sec: Option<f64>,
}

/// What the prefill of a lane took; `None` before there was one, and in a lane that goes on in another cache.
#[must_use]
pub fn prefill(lane: &LaneState) -> Option<Prefill> {
    let record = lane.of_this_cache().first().filter(|record| record.phase == Phase::Prefill)?;
    let rate = to_x(record.tokens_in) / record.total_secs;
    Some(Prefill {
        ttft_secs: record.total_secs,
        prompt_tokens: record.tokens_in,
        tokens_per_sec: rate.is_finite().then_some(rate),
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these numbers are exact in binary")]
mod tests {
    use super::*;
    use crate::app::series::test_runs::run;

    fn lane(secs: &[f64]) -> LaneState {
        run(&[secs]).lanes.remove(0)
    }

    #[test]
    fn the_prefill_is_in_the_sum_and_in_no_latency() {
        let lane = lane(&[0.5, 0.25, 0.125]);
        assert_eq!(inter_token_secs(&lane), [[1.0, 0.25], [2.0, 0.125]]);
        assert_eq!(cumulative_secs(&lane), [[0.0, 0.5], [1.0, 0.75], [2.0, 0.875]]);
        assert_eq!(warm_up(&lane).map(|record| record.step), Some(1));
    }

    #[test]
    fn throughput_looks_back_on_eight_tokens() {
        let mut secs = [0.25; 12];
        secs[0] = 100.0;
        secs[1] = 2.25;
        let points = throughput(&lane(&secs));
        assert_eq!(points.len(), 11);
        assert_eq!(points[1], [2.0, 2.0 / 2.5], "fewer at the start");
        assert_eq!(points[7], [8.0, 8.0 / 4.0], "the slow token is the first of eight");
        assert_eq!(points[8], [9.0, 4.0], "and has left the window");
        assert!(throughput(&lane(&[1.0, 0.0])).is_empty(), "a token in no time has no rate");
    }

    #[test]
    fn a_prefill_is_told_by_its_prompt() {
        let mut lane = lane(&[0.5]);
        lane.records[0].tokens_in = 100;
        let all = Prefill { ttft_secs: 0.5, prompt_tokens: 100, tokens_per_sec: Some(200.0) };
        assert_eq!(prefill(&lane), Some(all));
        lane.records.clear();
        assert_eq!((prefill(&lane), inter_token_secs(&lane), cumulative_secs(&lane)), (None, vec![], vec![]));
    }
}
