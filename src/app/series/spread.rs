//! How a lane's latencies are spread: percentiles of its decode steps.

use crate::{app::state::LaneState, engine::Phase, measure::stats::percentile};

/// Percentiles of inter-token latency, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Decode steps they are of.
    pub n: usize,
    pub p5: f64,
    pub p25: f64,
    pub p50: f64,
    pub p75: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
}

impl Spread {
    /// Of a lane's decode steps in the cache that it has now, of the first only if `with_warm_up`; `None` where there are none.
    #[must_use]
    pub fn of(lane: &LaneState, with_warm_up: bool) -> Option<Self> {
        let skipped = usize::from(!with_warm_up);
        let decode = lane.of_this_cache().iter().filter(|record| record.phase == Phase::Decode);
        let mut secs: Vec<f64> = decode.skip(skipped).map(|record| record.total_secs).collect();
        // `percentile` sorts what it gets, which is quick for what is sorted.
        secs.sort_by(f64::total_cmp);
        let p = |p| percentile(&secs, p);
        Some(Self {
            n: secs.len(),
            p5: p(5.0)?,
            p25: p(25.0)?,
            p50: p(50.0)?,
            p75: p(75.0)?,
            p90: p(90.0)?,
            p95: p(95.0)?,
            p99: p(99.0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::series::test_runs::run;

    #[test]
    fn the_warm_up_is_left_out_when_asked() {
        // A prefill of 9 s, a warm-up of 8 s, and 1 to 5 s.
        let run = run(&[&[9.0, 8.0, 1.0, 2.0, 3.0, 4.0, 5.0], &[9.0, 8.0]]);
        let all = Spread::of(&run.lanes[0], true).expect("six steps");
        let warm = Spread::of(&run.lanes[0], false).expect("five steps");
        assert_eq!((all.n, all.p50.to_bits()), (6, 3.5_f64.to_bits()));
        assert_eq!((warm.n, warm.p50.to_bits(), warm.p25.to_bits()), (5, 3.0_f64.to_bits(), 2.0_f64.to_bits()));
        assert!(warm.p99 <= 5.0 && all.p99 > 5.0);
        assert!(Spread::of(&run.lanes[1], true).is_some() && Spread::of(&run.lanes[1], false).is_none());
    }
}
