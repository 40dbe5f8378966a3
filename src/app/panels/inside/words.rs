//! The numbers of the pane as text, and what its terms mean.

use crate::{
    app::units::to_x,
    cache::{Group, Over, Rule},
    engine::Stored,
};

pub const PANE: &str = "One token in one layer and head of this lane: its key and value as they were computed and as they are stored, \
    and how the newest token's attention reads what is stored. Read in passes of their own, which are not timed.";
pub const LAYER: &str =
    "One of the blocks that a token passes through, first to last. Each has keys and values of its own";
pub const HEAD: &str = "Each layer looks at the tokens in several ways at once: its heads. Each has a key and a value of head_dim numbers \
    for every token";
pub const TOKEN: &str = "A token that was stored, counted from 0. The newest token is not stored before the next step";
pub const KEY: &str = "The key says what a token can be found by: a query times a key is a score";
pub const VALUE: &str =
    "The value is what a token gives to those that look at it: attention adds values up, weighted by scores";
pub const EXACT: &str = "As computed in a pass in which nothing is stored, rounded or evicted";
pub const STORED: &str = "As attention reads it back from this lane's cache";
pub const CHANNEL: &str = "One of the head_dim numbers of a key or a value";
pub const RMS: &str =
    "The root of the mean of the squared errors over the channels; in per cent, of the same for the exact numbers";
pub const LEVELS: &str = "The numbers that can be stored in a group. A number becomes the nearest one; of it only the code is kept, which \
    says which level it is";
pub const BITS: &str = "The size of a code: with n bits there are at most 2^n levels";
pub const GROUP: &str =
    "Numbers that are stored with one scale. A large number in a group makes the steps of all the others large";
pub const ROTATED: &str = "A lane with rot stores rows multiplied by a Hadamard matrix, which spreads a large channel over all of them. So \
    the group holds other numbers than the plot above; attention comes out the same";
pub const ONLINE: &str = "An online softmax reads the tokens once, tile by tile: it keeps the largest score and the sum of weights so far, \
    and where a tile has a larger score, one factor puts the earlier sums right.";

/// A number in three digits.
pub fn number(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        size if !(0.001..10_000.0).contains(&size) => format!("{x:.2e}"),
        size if size >= 100.0 => format!("{x:.0}"),
        size if size >= 10.0 => format!("{x:.1}"),
        size if size >= 0.1 => format!("{x:.3}"),
        _ => format!("{x:.4}"),
    }
}

/// A share in per cent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// How far a stored row lies from the exact one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    pub largest: f64,
    /// Where it is largest.
    pub channel: usize,
    pub rms: f64,
    /// The exact row's own size.
    pub exact_rms: f64,
}

impl Loss {
    pub fn between(exact: &[f32], stored: &[f32]) -> Self {
        let errors = exact.iter().zip(stored).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
        let (channel, largest) = errors
            .clone()
            .enumerate()
            .fold((0, 0.0), |worst, (i, error)| if error > worst.1 { (i, error) } else { worst });
        let n = to_x(exact.len().max(1));
        let rms = (errors.map(|error| error * error).sum::<f64>() / n).sqrt();
        let exact_rms = (exact.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n).sqrt();
        Self { largest, channel, rms, exact_rms }
    }

    pub fn words(&self) -> String {
        if self.largest == 0.0 {
            return "Every number is stored as it was computed".into();
        }
        let share =
            if self.exact_rms > 0.0 { format!(" ({})", percent(self.rms / self.exact_rms)) } else { String::new() };
        format!(
            "Largest error {} in channel {}, root mean square {}{share}",
            number(self.largest),
            self.channel,
            number(self.rms)
        )
    }
}

/// Why there is nothing to compare, or what else is to be known of a row.
pub fn state(stored: &Stored) -> Option<&'static str> {
    match stored {
        Stored::NoCache => Some(
            "This lane has no cache. Keys and values are computed anew in every step, so nothing is stored to compare with",
        ),
        Stored::Evicted => {
            Some("This token was evicted from the cache: attention does not see it any more. Drawn is what it was")
        }
        Stored::Exact(_) => Some("Kept in f32 as yet: its group is quantized once enough newer tokens exist"),
        Stored::Decoded { .. } => None,
    }
}

/// A property of a group: its name, its value and what it means.
pub type Fact = (&'static str, String, &'static str);

/// What is known of a group, in the order in which it is read.
pub fn facts(group: &Group) -> Vec<Fact> {
    const SCALE: &str = "The distance between two neighbouring levels, stored once for the group. With a negative one a higher code is a lower number";
    let mut facts: Vec<Fact> = match group.rule {
        Rule::Symmetric { scale } => vec![("scale", number(scale.into()), SCALE)],
        Rule::Affine { minimum, scale } => vec![
            ("scale", number(scale.into()), SCALE),
            (
                "minimum",
                number(minimum.into()),
                "The lowest level: a number is minimum + scale * code. Stored once for the group",
            ),
        ],
        Rule::Found { centre, half_range } => vec![
            (
                "half range",
                number(half_range.into()),
                "A number is centre + half range * level; levels lie between -1 and 1 and were found on a text, dense where numbers are frequent",
            ),
            ("centre", number(centre.into()), "The middle of the range of this channel, or of this row"),
        ],
    };
    facts.push(("bits", group.bits.to_string(), BITS));
    facts.push(("levels", group.levels.len().to_string(), LEVELS));
    facts
}

/// Which numbers a group holds. `position`: of the inspected token.
pub fn members(group: &Group, position: usize) -> String {
    let ends = |n: Option<usize>| n.unwrap_or_default();
    match group.over {
        Over::Tokens { channel, own } => {
            let first = position.saturating_sub(own);
            format!("channel {channel} of tokens {first} to {}", first + group.numbers.len().saturating_sub(1))
        }
        Over::Channels if group.numbers.len() == 1 => {
            format!("channel {}", ends(group.numbers.first().map(|number| number.at)))
        }
        Over::Channels => {
            let at = group.numbers.iter().map(|number| number.at);
            format!("channels {} to {}", ends(at.clone().min()), ends(at.max()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Number;

    #[test]
    fn numbers_keep_three_digits() {
        let shown = [0.0, 0.000_012_34, 0.012_34, -0.5, 1.0, 12.345, 1234.5, 1e6].map(number);
        assert_eq!(shown, ["0", "1.23e-5", "0.0123", "-0.500", "1.000", "12.3", "1234", "1.00e6"]);
        assert_eq!((number(f64::NAN), number(f64::INFINITY)), ("NaN".into(), "inf".into()));
    }

    #[test]
    fn a_loss_is_the_largest_and_the_mean() {
        let loss = Loss::between(&[1.0, -1.0, 1.0, 1.0], &[1.0, -1.5, 1.0, 1.0]);
        assert_eq!((loss.largest, loss.channel, loss.rms, loss.exact_rms), (0.5, 1, 0.25, 1.0));
        assert_eq!(loss.words(), "Largest error 0.500 in channel 1, root mean square 0.250 (25.0 %)");
        assert!(Loss::between(&[0.5], &[0.5]).words().contains("as it was computed"));
        assert!(!Loss::between(&[], &[]).rms.is_nan());
    }

    #[test]
    fn a_group_says_what_it_holds() {
        let number = |at| Number { at, level: 0 };
        let group = |over, at: &[usize]| Group {
            over,
            rule: Rule::Affine { minimum: -1.0, scale: 0.5 },
            bits: 2,
            levels: vec![-1.0, -0.5, 0.0, 0.5],
            numbers: at.iter().map(|at| number(*at)).collect(),
        };
        assert_eq!(members(&group(Over::Channels, &[32, 33, 34]), 7), "channels 32 to 34");
        assert_eq!(members(&group(Over::Channels, &[5]), 7), "channel 5");
        let tokens: Vec<usize> = (0..32).collect();
        let group = group(Over::Tokens { channel: 3, own: 7 }, &tokens);
        assert_eq!(members(&group, 39), "channel 3 of tokens 32 to 63");
        let shown: Vec<String> = facts(&group).into_iter().map(|(name, value, _)| format!("{name} {value}")).collect();
        assert_eq!(shown, ["scale 0.500", "minimum -1.000", "bits 2", "levels 4"]);
    }
}
