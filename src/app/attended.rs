//! Attention in numbers: whom a token looks at, who looks at it, what changed between two lanes, and how much goes to the first tokens.

use std::ops::Range;

use super::state::{AttentionState, RunState};
use crate::engine::Attention;

/// Which way a map of attention is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    /// A token and all that it looks at.
    #[default]
    Rows,
    /// A token and all that look at it.
    Columns,
}

/// The weights of a lane, or how they differ from another lane's.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    pub attention: &'a AttentionState,
    /// The lane whose weights are taken away.
    pub reference: Option<&'a AttentionState>,
    /// Rows that may be shown; with a reference those whose tokens are the same in both lanes.
    pub n_rows: usize,
}

/// One token's weights in one head, or their differences, at consecutive tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The token of the first value.
    pub first: usize,
    /// From 0 to 1; differences from -1 to 1.
    pub values: Vec<f32>,
}

/// One bar for some neighbouring tokens: of their values the one farthest from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    pub tokens: Range<usize>,
    /// The token that the value belongs to.
    pub token: usize,
    pub value: f32,
}

impl Weights<'_> {
    /// What `query` takes from `key` in a head `(layer, head)`, or how much more than in the reference; 0 where nothing is known.
    #[must_use]
    pub fn at(&self, (layer, head): (usize, usize), query: usize, key: usize) -> f32 {
        let weight = |attention: &AttentionState| {
            attention.row(layer, head, query).get(key).map_or(0.0, |code| Attention::weight(*code))
        };
        weight(self.attention) - self.reference.map_or(0.0, weight)
    }

    /// A row or a column of a head.
    #[must_use]
    pub fn profile(&self, head: (usize, usize), axis: Axis, token: usize) -> Profile {
        if token >= self.n_rows {
            return Profile::default();
        }
        match axis {
            Axis::Rows => Profile { first: 0, values: (0..=token).map(|key| self.at(head, token, key)).collect() },
            Axis::Columns => Profile {
                first: token,
                values: (token..self.n_rows).map(|query| self.at(head, query, token)).collect(),
            },
        }
    }
}

impl Profile {
    /// Tokens and values, the farthest from 0 first.
    #[must_use]
    pub fn largest(&self, n: usize) -> Vec<(usize, f32)> {
        let mut order: Vec<(usize, f32)> = (self.first..).zip(self.values.iter().copied()).collect();
        order.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        order.truncate(n);
        order
    }

    /// Bars for the tokens of `shown`, at most `most` of them, each for equally many tokens.
    #[must_use]
    pub fn bars(&self, shown: Range<usize>, most: usize) -> Vec<Bar> {
        let end = self.first + self.values.len();
        let per_bar = shown.len().div_ceil(most.max(1)).max(1);
        let mut bars = vec![];
        // Cut at multiples, so that bars do not change their tokens while a picture is moved.
        let mut start = shown.start / per_bar * per_bar;
        while start < shown.end.min(end) {
            let tokens = start..start + per_bar;
            let inside = tokens.start.max(self.first)..tokens.end.min(end);
            let values = inside.filter_map(|token| Some((token, *self.values.get(token - self.first)?)));
            if let Some((token, value)) = values.reduce(|a, b| if b.1.abs() > a.1.abs() { b } else { a }) {
                bars.push(Bar { tokens: tokens.clone(), token, value });
            }
            start = tokens.end;
        }
        bars
    }
}

/// The share of a layer's attention that goes to the first `n_first` tokens: a mean over its heads and over the first `n_rows` tokens,
/// but those that see nothing else. `None` where no token sees more.
#[must_use]
pub fn share_of_first(attention: &AttentionState, layer: usize, n_rows: usize, n_first: usize) -> Option<f32> {
    let (mut sum, mut n) = (0.0_f64, 0.0_f64);
    for query in n_first..n_rows.min(attention.rows.len()) {
        for head in 0..attention.n_head {
            let first = attention.row(layer, head, query).iter().take(n_first);
            sum += first.map(|code| f64::from(Attention::weight(*code))).sum::<f64>();
            n += 1.0;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "a share")]
    (n > 0.0).then(|| (sum / n).min(1.0) as f32)
}

/// What a token got from the newest token that was watched: the mean over all heads of all layers. `None` for a token after that one.
#[must_use]
pub fn received(attention: &AttentionState, token: usize) -> Option<f32> {
    let newest = attention.rows.len().checked_sub(1).filter(|newest| token <= *newest)?;
    let (mut sum, mut n) = (0.0_f32, 0.0_f32);
    for layer in 0..attention.n_layer {
        for head in 0..attention.n_head {
            sum += attention.row(layer, head, newest).get(token).map_or(0.0, |code| Attention::weight(*code));
            n += 1.0;
        }
    }
    (n > 0.0).then(|| sum / n)
}

/// Rows of a lane's attention that can be compared with the first lane's: those of tokens before which both have read the same.
#[must_use]
pub fn comparable_rows(run: &RunState, lane: usize) -> usize {
    let rows = |lane| run.attention_of(lane).map_or(0, |attention| attention.rows.len());
    let both = rows(0).min(rows(lane));
    match (&run.facts, run.lanes.get(lane)) {
        // Two runs side by side, of different prompts, have nothing in common.
        (Some(facts), Some(_)) if facts.prompt_of(lane) != facts.prompt_of(0) => 0,
        (Some(facts), Some(of_lane)) if !run.is_forced => {
            both.min(facts.prompt_tokens + of_lane.first_divergence.unwrap_or(of_lane.agreed))
        }
        _ => both,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{app::worker::Facts, cache::spec::parse_lanes};

    /// One layer, two heads: the first looks at token 0 only, the second at itself.
    fn attention(lane: usize, n: usize) -> AttentionState {
        let row = |position: usize| -> Arc<[u8]> {
            let head = |target| (0..=position).map(move |key| if key == target { 255 } else { 0 });
            head(0).chain(head(position)).collect()
        };
        AttentionState { lane, n_layer: 1, n_head: 2, rows: (0..n).map(row).collect() }
    }

    #[test]
    fn rows_and_columns_are_read_and_differences_have_a_sign() {
        let (a, b) = (attention(1, 4), attention(0, 4));
        let weights = Weights { attention: &a, reference: None, n_rows: 4 };
        let row = weights.profile((0, 1), Axis::Rows, 2);
        assert_eq!(row, Profile { first: 0, values: vec![0.0, 0.0, 1.0] });
        let column = weights.profile((0, 0), Axis::Columns, 0);
        assert_eq!(column, Profile { first: 0, values: vec![1.0; 4] });
        assert_eq!(weights.profile((0, 1), Axis::Columns, 2), Profile { first: 2, values: vec![1.0, 0.0] });
        assert_eq!(weights.profile((0, 0), Axis::Rows, 4), Profile::default(), "not a row yet");
        let difference = Weights { reference: Some(&b), ..weights };
        assert!(difference.profile((0, 1), Axis::Rows, 3).values.iter().all(|value| *value == 0.0));
        let mut other = b.clone();
        other.rows[1] = vec![0, 255, 255, 0].into();
        let difference = Weights { reference: Some(&other), ..weights };
        assert_eq!(difference.profile((0, 0), Axis::Rows, 1).values, [1.0, -1.0]);
    }

    #[test]
    fn bars_keep_the_largest_of_their_tokens_whatever_its_sign() {
        let profile = Profile { first: 2, values: vec![0.1, -0.5, 0.2, 0.3, 0.0] };
        let bars: Vec<(Range<usize>, usize, f32)> =
            profile.bars(0..8, 4).into_iter().map(|bar| (bar.tokens, bar.token, bar.value)).collect();
        assert_eq!(bars, [(2..4, 3, -0.5), (4..6, 5, 0.3), (6..8, 6, 0.0)]);
        assert_eq!(profile.bars(3..5, 100).len(), 2, "a bar a token where there is room");
        assert!(profile.bars(9..9, 0).is_empty() && Profile::default().bars(0..3, 3).is_empty());
        assert_eq!(profile.largest(2), [(3, -0.5), (5, 0.3)]);
    }

    #[test]
    fn sinks_are_counted_where_a_token_could_look_elsewhere() {
        let attention = attention(0, 6);
        // Half of the heads look at the first token, the others at themselves.
        assert_eq!(share_of_first(&attention, 0, 6, 1), Some(0.5));
        assert_eq!(share_of_first(&attention, 0, 6, 4), Some(0.5));
        assert_eq!(share_of_first(&attention, 0, 4, 4), None, "nobody sees more than four");
    }

    #[test]
    fn a_token_gets_the_mean_over_all_heads() {
        let attention = attention(0, 3);
        assert_eq!([0, 1, 2].map(|token| received(&attention, token)), [Some(0.5), Some(0.0), Some(0.5)]);
        assert_eq!((received(&attention, 3), received(&AttentionState::default(), 0)), (None, None));
    }

    #[test]
    fn free_lanes_compare_up_to_their_first_divergence_and_forced_ones_always() {
        let lanes = parse_lanes("none,paged:16+int4").expect("lanes");
        let mut run = RunState::new(1, &lanes, 9, String::new());
        run.facts = Some(Facts { prompt_tokens: 3, ..Facts::default() });
        run.attention = vec![attention(0, 9), attention(1, 8)];
        (run.lanes[1].agreed, run.lanes[1].first_divergence) = (2, Some(2));
        assert_eq!(comparable_rows(&run, 1), 5, "three of the prompt and two that agree");
        (run.lanes[1].agreed, run.lanes[1].first_divergence) = (6, None);
        assert_eq!(comparable_rows(&run, 1), 8);
        run.lanes[1].first_divergence = Some(0);
        run.is_forced = true;
        assert_eq!(comparable_rows(&run, 1), 8, "both were fed the same");
        run.attention.remove(0);
        assert_eq!(comparable_rows(&run, 1), 0, "nobody watched the first lane");
    }
}
