//! Where the levels of a group and the numbers on them are drawn: from 0 (left end) to `width`.

use crate::cache::{Group, Over};

/// Points between two ticks at least.
const TICK_POINTS: f32 = 4.0;

/// A number that sits on its level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    pub x: f32,
    /// How many dots are below it.
    pub height: usize,
    /// As in [`crate::cache::Number`].
    pub at: usize,
    /// Whether it belongs to the inspected token and the chosen channel.
    pub is_chosen: bool,
}

/// A group as a ruler.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruler {
    low: f32,
    span: f32,
    width: f32,
    pub ticks: Vec<f32>,
    /// 1 if every level has a tick, 2 if every second has one.
    pub every: usize,
    pub dots: Vec<Dot>,
    /// Dots of the highest stack.
    pub highest: usize,
}

impl Ruler {
    /// Dots less than `dot` apart are put on each other.
    pub fn new(group: &Group, channel: usize, width: f32, dot: f32) -> Self {
        let low = group.levels.iter().copied().fold(f32::INFINITY, f32::min);
        let high = group.levels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut ruler = Self { low, span: high - low, width, ticks: vec![], every: 1, dots: vec![], highest: 0 };
        let mut places: Vec<f32> = group.levels.iter().map(|level| ruler.x(*level)).collect();
        places.sort_by(f32::total_cmp);
        let closest = places.windows(2).map(|pair| pair[1] - pair[0]).sum::<f32>() / count(places.len().max(2) - 1);
        while closest * count(ruler.every) < TICK_POINTS && ruler.every < places.len() {
            ruler.every += 1;
        }
        ruler.ticks = places.iter().step_by(ruler.every).copied().collect();
        let is_chosen = |at: usize| match group.over {
            Over::Channels => at == channel,
            Over::Tokens { own, .. } => at == own,
        };
        let numbers = group.numbers.iter().filter_map(|number| {
            let level = group.levels.get(usize::from(number.level))?;
            Some(Dot { x: ruler.x(*level), height: 0, at: number.at, is_chosen: is_chosen(number.at) })
        });
        let mut dots: Vec<Dot> = numbers.collect();
        dots.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.at.cmp(&b.at)));
        let mut stack_x = f32::NEG_INFINITY;
        let mut height = 0;
        for place in &mut dots {
            if place.x - stack_x < dot {
                height += 1;
            } else {
                (stack_x, height) = (place.x, 0);
            }
            place.height = height;
        }
        ruler.highest = dots.iter().map(|dot| dot.height + 1).max().unwrap_or(0);
        ruler.dots = dots;
        ruler
    }

    /// Where a number is; the middle if all levels are one.
    pub fn x(&self, number: f32) -> f32 {
        let share = if self.span > 0.0 { (number - self.low) / self.span } else { 0.5 };
        share.clamp(0.0, 1.0) * self.width
    }

    /// The lowest and the highest level.
    pub fn ends(&self) -> (f32, f32) {
        (self.low, self.low + self.span)
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 256 levels")]
fn count(n: usize) -> f32 {
    n as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Number, Rule};

    fn group(levels: Vec<f32>, taken: &[u8]) -> Group {
        let numbers = taken.iter().enumerate().map(|(at, level)| Number { at, level: *level }).collect();
        Group { over: Over::Channels, rule: Rule::Symmetric { scale: 1.0 }, bits: 4, levels, numbers }
    }

    #[test]
    fn numbers_sit_on_their_levels() {
        // Levels that fall, as with a negative scale.
        let ruler = Ruler::new(&group(vec![1.0, 0.0, -1.0], &[0, 2, 2, 1, 2]), 2, 100.0, 7.0);
        assert_eq!((ruler.ticks.as_slice(), ruler.every, ruler.ends()), (&[0.0, 50.0, 100.0][..], 1, (-1.0, 1.0)));
        let dots: Vec<_> = ruler.dots.iter().map(|dot| (dot.at, dot.x, dot.height, dot.is_chosen)).collect();
        assert_eq!(
            dots,
            [(1, 0.0, 0, false), (2, 0.0, 1, true), (4, 0.0, 2, false), (3, 50.0, 0, false), (0, 100.0, 0, false)]
        );
        assert_eq!(ruler.highest, 3);
    }

    #[test]
    fn many_levels_have_few_ticks_and_one_level_has_a_place() {
        let levels = (-127..=127_i8).map(f32::from).collect();
        let ruler = Ruler::new(&group(levels, &[0, 1, 100]), 0, 254.0, 7.0);
        assert_eq!((ruler.every, ruler.ticks.len()), (4, 64));
        assert_eq!(ruler.dots.iter().map(|dot| dot.height).collect::<Vec<_>>(), [0, 1, 0], "close dots do not overlap");
        let ruler = Ruler::new(&group(vec![3.0; 16], &[0, 5]), 0, 100.0, 7.0);
        assert!(ruler.dots.iter().all(|dot| (dot.x - 50.0).abs() < 1e-6));
        assert_eq!(Ruler::new(&group(vec![], &[1]), 0, 100.0, 7.0).highest, 0);
    }
}
