//! What a lane still recalls, in a sentence of measured numbers.

use crate::{experiment::quality::LaneQuality, report::quality::percent};

/// A lane still recalls a distance where it is right at least this often, for each time that the exact lane is.
const STILL: f64 = 0.9;

/// One distance: how far back facts were last mentioned, and how often a lane and the exact one are right about them.
struct Distance<'a> {
    tokens: &'a str,
    own: f64,
    exact: f64,
}

impl Distance<'_> {
    fn is_recalled(&self) -> bool {
        self.own >= STILL * self.exact
    }
}

/// How far back a lane recalls, next to the exact lane. `None` while no fact was asked for.
#[must_use]
pub fn words(lane: &LaneQuality, exact: &LaneQuality) -> Option<String> {
    let distances: Vec<Distance<'_>> = lane
        .recall
        .iter()
        .filter_map(|(tokens, own)| {
            let (own, exact) = ((*own)?, exact.recall.get(tokens).copied().flatten()?);
            Some(Distance { tokens, own, exact })
        })
        .collect();
    let (first, last) = (distances.first()?, distances.last()?);
    if lane.is_exact {
        let right = |distance: &Distance<'_>| {
            format!("{} of facts last mentioned {} tokens ago", percent(distance.own), distance.tokens)
        };
        let far = if distances.len() > 1 { format!(", and {}", right(last)) } else { String::new() };
        return Some(format!("is right about {}{far}.", right(first)));
    }
    let forgotten = distances.iter().position(|distance| !distance.is_recalled());
    let beside = |distance: &Distance<'_>| {
        format!("{} right, the exact lane {}", percent(distance.own), percent(distance.exact))
    };
    Some(match forgotten {
        None => format!("recalls every distance, to {} tokens ago ({}).", last.tokens, beside(last)),
        Some(0) => format!("does not recall even facts of {} tokens ago ({}).", first.tokens, beside(first)),
        Some(index) => {
            let (kept, lost) = (&distances[index - 1], &distances[index]);
            let again = distances[index..].iter().any(Distance::is_recalled);
            let beyond = if again { "" } else { " and beyond" };
            format!(
                "still recalls facts of {} tokens ago ({}), not those of {}{beyond} ({}).",
                kept.tokens,
                beside(kept),
                lost.tokens,
                beside(lost)
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(is_exact: bool, shares: &[Option<f64>]) -> LaneQuality {
        let buckets = ["0-100", "100-300", "300-600"].map(str::to_owned);
        LaneQuality {
            is_exact,
            recall: buckets.into_iter().zip(shares.iter().copied()).collect(),
            ..LaneQuality::default()
        }
    }

    #[test]
    fn the_distance_that_is_still_recalled_is_named() {
        let exact = lane(true, &[Some(1.0), Some(0.9), Some(0.8)]);
        let said = |shares: [f64; 3]| words(&lane(false, &shares.map(Some)), &exact).expect("asked for");
        assert_eq!(
            said([1.0, 0.85, 0.1]),
            "still recalls facts of 100-300 tokens ago (85.0 % right, the exact lane 90.0 %), not those of 300-600 and \
             beyond (10.0 % right, the exact lane 80.0 %)."
        );
        assert!(said([1.0, 0.9, 0.8]).starts_with("recalls every distance, to 300-600 tokens ago"));
        assert!(said([0.2, 0.1, 0.0]).starts_with("does not recall even facts of 0-100 tokens ago (20.0 % right"));
        assert!(said([1.0, 0.1, 0.8]).contains("not those of 100-300 (10.0 %"), "it comes back after that");
        assert_eq!(
            words(&exact, &exact).as_deref(),
            Some(
                "is right about 100.0 % of facts last mentioned 0-100 tokens ago, and 80.0 % of facts last mentioned 300-600 \
                 tokens ago."
            )
        );
    }

    #[test]
    fn what_was_not_asked_for_is_not_told() {
        let exact = lane(true, &[Some(1.0), None, None]);
        assert_eq!(words(&lane(false, &[None; 3]), &exact), None);
        let near = "is right about 100.0 % of facts last mentioned 0-100 tokens ago.";
        assert_eq!(words(&exact, &exact).as_deref(), Some(near), "one distance is told once");
        assert!(words(&lane(false, &[Some(1.0), None, None]), &exact).is_some_and(|words| words.contains("0-100")));
    }
}
