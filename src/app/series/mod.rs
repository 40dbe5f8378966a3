//! What the plots draw, computed from records: plain numbers, no egui.
//!
//! A series is a list of points `[x, y]` with a token's number as x, in ascending order.

pub mod latency;
pub mod roofline;
pub mod spread;
#[cfg(test)]
pub(super) mod test_runs;
pub mod waste;

use super::{state::RunState, units::to_x};

/// The last token of an axis that shows all of a run, and room for two tokens at least.
#[must_use]
pub fn last_token(run: &RunState) -> usize {
    let longest = run.lanes.iter().map(|lane| lane.records.len()).max().unwrap_or(0);
    run.tokens.max(longest).saturating_sub(1).max(2)
}

/// The newest token of the lanes that are shown.
#[must_use]
pub fn newest_token(run: &RunState) -> usize {
    run.shown_lanes().filter_map(|(_, lane)| lane.records.last()).map(|record| record.step).max().unwrap_or(0)
}

/// The value of a series at a token; `None` where it has no point.
#[must_use]
pub fn value_at(points: &[[f64; 2]], token: usize) -> Option<f64> {
    let x = to_x(token);
    let index = points.partition_point(|point| point[0] < x);
    points.get(index).filter(|point| point[0] <= x).map(|point| point[1])
}

#[cfg(test)]
mod tests {
    use super::{test_runs::run, *};

    #[test]
    fn values_are_found_by_token_and_only_where_there_is_one() {
        let points = [[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]];
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(|token| value_at(&points, token)),
            [None, Some(10.0), Some(20.0), None, Some(40.0), None]
        );
        assert_eq!(value_at(&[], 0), None);
    }

    #[test]
    fn an_axis_shows_all_tokens_asked_for_and_all_that_came() {
        let mut run = run(&[&[0.5, 0.1, 0.1], &[0.5, 0.1, 0.1, 0.1]]);
        run.tokens = 200;
        assert_eq!((last_token(&run), newest_token(&run)), (199, 3));
        run.tokens = 0;
        run.lanes[1].is_hidden = true;
        assert_eq!((last_token(&run), newest_token(&run)), (3, 2), "hiding a lane moves no axis");
    }
}
