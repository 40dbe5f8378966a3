//! The part of a square map of tokens that is shown: plain numbers, in tokens.

/// Nearer than this no more can be seen.
const LEAST_TOKENS: f32 = 8.0;

/// Where the shown part begins, and how many tokens it is wide and high.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Zoom {
    /// Column and row of the upper left corner.
    from: [f32; 2],
    /// `None`: all tokens that there are.
    span: Option<f32>,
}

impl Zoom {
    /// Tokens along each side of the shown part, of `n_tokens`.
    pub fn span(&self, n_tokens: f32) -> f32 {
        self.span.map_or(n_tokens, |span| span.clamp(LEAST_TOKENS.min(n_tokens), n_tokens))
    }

    /// Column and row of the upper left corner.
    pub fn from(&self, n_tokens: f32) -> [f32; 2] {
        let most = (n_tokens - self.span(n_tokens)).max(0.0);
        self.from.map(|from| from.clamp(0.0, most))
    }

    pub fn is_zoomed(&self) -> bool {
        self.span.is_some()
    }

    /// Shows `factor` times fewer tokens; what lies at `at`, a share of the shown part in each direction, stays where it is.
    pub fn by(&mut self, factor: f32, at: [f32; 2], n_tokens: f32) {
        if !(factor.is_finite() && factor > 0.0) {
            return;
        }
        let (old, from) = (self.span(n_tokens), self.from(n_tokens));
        let new = (old / factor).clamp(LEAST_TOKENS.min(n_tokens), n_tokens);
        self.from = [0, 1].map(|i| from[i] + at[i] * (old - new));
        self.span = (new < n_tokens).then_some(new);
    }

    /// Moves the shown part by so many tokens.
    pub fn pan(&mut self, by: [f32; 2], n_tokens: f32) {
        let from = self.from(n_tokens);
        self.from = [0, 1].map(|i| from[i] + by[i]);
        self.from = self.from(n_tokens);
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these numbers are exact in binary")]
mod tests {
    use super::*;

    /// Thirds and tenths are not exact in f32.
    const ROUNDING: f32 = 1e-4;

    #[test]
    fn what_lies_under_the_pointer_stays_there() {
        let mut zoom = Zoom::default();
        let under = |zoom: &Zoom, at: f32| zoom.from(100.0)[0] + at * zoom.span(100.0);
        assert_eq!((zoom.span(100.0), zoom.is_zoomed()), (100.0, false));
        let before = under(&zoom, 0.3);
        zoom.by(2.0, [0.3, 0.6], 100.0);
        assert!((under(&zoom, 0.3) - before).abs() < ROUNDING);
        assert_eq!(zoom.span(100.0), 50.0);
        let from = zoom.from(100.0);
        assert!((from[0] - 15.0).abs() < ROUNDING && (from[1] - 30.0).abs() < ROUNDING, "{from:?}");
        zoom.by(0.5, [0.3, 0.6], 100.0);
        assert_eq!((zoom.from(100.0), zoom.is_zoomed()), ([0.0, 0.0], false), "all again");
    }

    #[test]
    fn nobody_leaves_the_map() {
        let mut zoom = Zoom::default();
        for _ in 0..50 {
            zoom.by(3.0, [1.0, 0.0], 100.0);
        }
        assert_eq!((zoom.span(100.0), zoom.from(100.0)), (LEAST_TOKENS, [92.0, 0.0]));
        zoom.pan([50.0, -3.0], 100.0);
        assert_eq!(zoom.from(100.0), [92.0, 0.0]);
        zoom.by(f32::NAN, [0.0, 0.0], 100.0);
        assert_eq!(zoom.span(100.0), LEAST_TOKENS);
        assert_eq!((zoom.span(5.0), zoom.from(5.0)), (5.0, [0.0, 0.0]), "a shorter run");
    }
}
