//! What the plots show beside the run itself.

use super::floor::MachineFloor;

/// Handed to every plot.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// `None` until this machine was measured.
    pub machine: Option<MachineFloor>,
    /// What happened to a lane at some token.
    pub marks: Vec<Mark>,
}

/// Something that happened to a lane in the middle of its run, as the switch of its cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The lane's number.
    pub lane: usize,
    /// The first token it applies to.
    pub step: usize,
    /// What happened, in a few words.
    pub text: String,
}

impl Shared {
    /// With the marks of one lane only.
    #[must_use]
    pub fn of_lane(&self, lane: usize) -> Self {
        let marks = self.marks.iter().filter(|mark| mark.lane == lane).cloned().collect();
        Self { machine: self.machine, marks }
    }

    /// What is to be said of the marks no further than `reach` tokens from `x`, one a line; `None` where there are none. `lanes` has
    /// the lanes that are shown, with their names.
    #[must_use]
    pub fn marks_near(&self, x: f64, reach: f64, lanes: &[(usize, String)]) -> Option<String> {
        let near = |mark: &&Mark| (super::units::to_x(mark.step) - x).abs() <= reach;
        let line = |mark: &Mark| {
            let (_, name) = lanes.iter().find(|(lane, _)| *lane == mark.lane)?;
            Some(format!("{name}, token {}: {}", mark.step, mark.text))
        };
        let lines: Vec<String> = self.marks.iter().filter(near).filter_map(line).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_said_near_their_token_and_for_shown_lanes() {
        let mark = |lane, step, text: &str| Mark { lane, step, text: text.into() };
        let marks = vec![mark(0, 10, "now paged:16"), mark(1, 10, "hidden"), mark(0, 40, "now concat")];
        let shared = Shared { machine: None, marks };
        let lanes = [(0, "contiguous".to_owned())];
        assert_eq!(shared.marks_near(10.4, 0.5, &lanes).as_deref(), Some("contiguous, token 10: now paged:16"));
        assert_eq!(shared.marks_near(12.0, 0.5, &lanes), None);
        assert_eq!(shared.marks_near(25.0, 20.0, &lanes).map(|text| text.lines().count()), Some(2));
        assert_eq!(shared.of_lane(1).marks, shared.marks[1..2]);
    }
}
