//! What lanes did, gathered from what happened: the one place where events become results.

use super::LaneResult;
use crate::experiment::LaneEvent;

/// The results of a run, as far as it has come. A lane that goes on in another cache has one for each: their times and bytes have
/// nothing in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// For each lane, one result for each cache it had.
    lanes: Vec<Vec<LaneResult>>,
}

impl Results {
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        Self { lanes: names.iter().map(|name| vec![LaneResult::new(name.clone())]).collect() }
    }

    /// Takes in what happened to a lane; what is of no lane, or leaves no result, changes nothing.
    pub fn apply(&mut self, event: &LaneEvent) {
        let Some(parts) = self.lanes.get_mut(event.lane()) else { return };
        let Some(newest) = parts.last_mut() else { return };
        match event {
            LaneEvent::Token { record, text, .. } => {
                newest.records.push(*record);
                newest.text.push_str(text);
            }
            LaneEvent::Ended { end, text, .. } => {
                newest.text.push_str(text);
                newest.end = Some(end.clone());
            }
            LaneEvent::Switched { step, name, .. } => {
                newest.lane.push_str(&format!(", to token {step}"));
                let lane = format!("{name}, from token {step}");
                parts.push(LaneResult { goes_on: true, ..LaneResult::new(lane) });
            }
            LaneEvent::Blocks { .. }
            | LaneEvent::Forked { .. }
            | LaneEvent::ForkToken { .. }
            | LaneEvent::ForkEnded { .. }
            | LaneEvent::Attention { .. }
            | LaneEvent::Compared { .. } => {}
        }
    }

    /// In the order of the lanes.
    #[must_use]
    pub fn into_lanes(self) -> Vec<LaneResult> {
        self.lanes.into_iter().flatten().collect()
    }

    /// Tokens that a lane has.
    #[must_use]
    pub fn tokens(&self, lane: usize) -> usize {
        self.lanes.get(lane).map_or(0, |parts| parts.iter().map(|part| part.records.len()).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{experiment::LaneEnd, report::summarise};

    fn token(lane: usize, step: usize, token_id: u32) -> LaneEvent {
        let record = crate::report::summary::tests::record(step, 1.0, token_id);
        LaneEvent::Token { lane, record, text: format!(" {token_id}") }
    }

    #[test]
    fn a_lane_has_a_result_for_each_cache() {
        let mut results = Results::new(&["contiguous".into(), "paged:16".into()]);
        let switched = LaneEvent::Switched { lane: 1, step: 2, name: "concat".into(), tokens_in: 9, secs: 0.1 };
        let end = |lane| LaneEvent::Ended { lane, end: LaneEnd::Finished, text: "!".into() };
        let (both, others) = ([0, 1], [(2, 7, 7), (3, 8, 9)]);
        for lane in both {
            (0..2).for_each(|step| results.apply(&token(lane, step, 5)));
        }
        results.apply(&switched);
        for (step, first, second) in others {
            results.apply(&token(0, step, first));
            results.apply(&token(1, step, second));
        }
        both.map(end).iter().for_each(|event| results.apply(event));
        results.apply(&token(9, 0, 1));
        assert_eq!((results.tokens(1), results.tokens(9)), (4, 0));
        let lanes = results.into_lanes();
        let told: Vec<_> =
            lanes.iter().map(|lane| (lane.lane.as_str(), lane.text.as_str(), lane.end.is_some())).collect();
        assert_eq!(
            told,
            [
                ("contiguous", " 5 5 7 8!", true),
                ("paged:16, to token 2", " 5 5", false),
                ("concat, from token 2", " 7 9!", true)
            ]
        );
        let summaries = summarise(&lanes);
        let compared: Vec<_> =
            summaries.iter().map(|lane| (lane.same_tokens_as_first_lane, lane.first_divergence)).collect();
        assert_eq!(compared, [(true, None), (true, None), (false, Some(3))]);
        assert_eq!(summaries[2].latency.ttft_secs, None, "it began in another cache");
    }

    #[test]
    fn the_first_lane_may_go_on_elsewhere_too() {
        let mut results = Results::new(&["contiguous".into(), "paged:16".into()]);
        for step in 0..2 {
            results.apply(&token(0, step, 5));
            results.apply(&token(1, step, 5));
            if step == 0 {
                results.apply(&LaneEvent::Switched {
                    lane: 0,
                    step: 1,
                    name: "concat".into(),
                    tokens_in: 9,
                    secs: 0.1,
                });
            }
        }
        let same: Vec<_> = summarise(&results.into_lanes()).iter().map(|lane| lane.same_tokens_as_first_lane).collect();
        assert_eq!(same, [true, true, true]);
    }
}
