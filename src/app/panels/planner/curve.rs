//! What the plots of a plan draw, as numbers: bytes against tokens, and a verdict in words. Free of egui.

use crate::{
    app::units::to_x,
    cache::Layout,
    report::{
        plan::{Answer, LanePlan, Plan},
        units::bytes,
    },
};

/// Points of a line: more than pixels are of no use, and steps of blocks still show in short ones.
const POINTS: u64 = 400;

/// The unit of an axis of bytes: its name and its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    pub name: &'static str,
    pub bytes: f64,
}

impl Unit {
    /// The largest unit of which `most` has at least two.
    #[must_use]
    pub fn of(most: u64) -> Self {
        const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
        let (name, shift) = UNITS.into_iter().find(|(_, shift)| most >> shift >= 2).unwrap_or(UNITS[4]);
        Self { name, bytes: f64::from(shift).exp2() }
    }

    /// So many bytes in this unit.
    #[must_use]
    pub fn count(self, bytes: u64) -> f64 {
        float(bytes) / self.bytes
    }
}

/// The tokens of one user that the plot of bytes reaches: somewhat past where the most frugal lane runs out.
#[must_use]
pub fn last_token(plan: &Plan) -> u64 {
    let most = plan.lanes.iter().map(|lane| lane.one_user_tokens).max().unwrap_or(0);
    most.saturating_add(most / 8).max(1)
}

/// `[tokens, bytes in unit]` of one user of a lane, up to `last` tokens, for a context of `context`. Blocks are whole, so it is a flight of
/// steps.
#[must_use]
pub fn bytes_of_user(lane: &LanePlan, context: u64, last: u64, unit: Unit) -> Vec<[f64; 2]> {
    let at = |token: u64| [float(token), unit.count(held_bytes(lane, context, token))];
    let n_points = last.min(POINTS);
    // In whole numbers, so that each point is a token that there can be.
    (0..=n_points).map(|point| at(last / n_points * point + last % n_points * point / n_points)).collect()
}

/// What a user of so many tokens holds.
fn held_bytes(lane: &LanePlan, context: u64, tokens: u64) -> u64 {
    // A region is there whole from the first token on, and a longer text takes a longer region.
    let is_region = lane.lane.layout == Layout::Contiguous;
    let tokens = if is_region { tokens.max(context) } else { tokens };
    let blocks = tokens.div_ceil(lane.block_len.max(1));
    blocks.saturating_mul(lane.block_bytes).saturating_add(lane.sequence_bytes)
}

/// Whether the users that were asked for fit, in words. `None` if none were.
#[must_use]
pub fn verdict(answer: &Answer, memory_bytes: u64) -> Option<(bool, String)> {
    let asked = answer.asked?;
    let needed = bytes(asked.needed_bytes);
    let text = if asked.fits {
        format!("yes, {needed}")
    } else {
        format!("no, {needed}: {} short", bytes(asked.needed_bytes.saturating_sub(memory_bytes)))
    };
    Some((asked.fits, text))
}

/// The three ways of counting users: a name, what it means, and its answer.
#[must_use]
pub fn ways(lane: &LanePlan) -> [(&'static str, &'static str, &Answer); 3] {
    [
        ("worst case", "Every user holds the whole context", &lane.worst_case),
        (
            "live length",
            "A user holds the blocks of its live tokens, on average over all lengths from one token after the shared prefix to \
             the context. It is a mean: at a moment when users hold more, a store refuses tokens",
            &lane.live_length,
        ),
        (
            "shared prefix",
            "As live length, and the full blocks of the tokens with which all users begin exist once. Only paged can share them",
            &lane.shared_prefix,
        ),
    ]
}

/// Users as the length of a bar: their number, or the power of ten that it is. A bar of no users has no length.
#[must_use]
pub fn length(users: u64, is_log: bool) -> f64 {
    match (users, is_log) {
        (0, _) => 0.0,
        // One user is seen as well.
        (users, true) => float(users).log10().max(0.02),
        (users, false) => float(users),
    }
}

#[must_use]
pub fn float(number: u64) -> f64 {
    to_x(usize::try_from(number).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::{super::fields::Fields, *};

    fn plan(lanes: &str, users: &str) -> Plan {
        let (memory, context) = ("1MiB".into(), "100".into());
        let fields = Fields {
            model: "2,4,2,64".into(),
            lanes: lanes.into(),
            users: users.into(),
            memory,
            context,
            ..Fields::default()
        };
        fields.plan().expect("a plan")
    }

    #[test]
    fn a_line_rises_by_whole_blocks_and_crosses_the_memory_where_the_plan_says() {
        let plan = plan("paged:16", "");
        let lane = &plan.lanes[0];
        let unit = Unit::of(1 << 20);
        assert_eq!(unit.name, "KiB");
        // 2 x 2 x 2 x 64 x 4 = 2 KiB a token, 32 KiB a block.
        assert_eq!(lane.one_user_tokens, 512);
        let points = bytes_of_user(lane, 100, 64, unit);
        assert_eq!(
            (points[0], points[1], points[16], points[17]),
            ([0.0, 0.0], [1.0, 32.0], [16.0, 32.0], [17.0, 64.0])
        );
        let points = bytes_of_user(lane, 100, last_token(&plan), unit);
        let fits = points.iter().filter(|point| point[1] <= unit.count(1 << 20)).map(|point| point[0]);
        assert!((510.0..=512.0).contains(&fits.fold(0.0, f64::max)));
        assert!(points.len() <= 401 && points.last().is_some_and(|point| point[0] >= 576.0));
    }

    #[test]
    fn a_region_is_there_whole_from_the_first_token() {
        let plan = plan("contiguous", "");
        let points = bytes_of_user(&plan.lanes[0], 100, 200, Unit::of(1 << 20));
        // Regions are made in steps of 64 tokens, of 2 KiB each.
        assert_eq!((points[0][1], points[100][1], points[128][1]), (256.0, 256.0, 256.0));
        assert!(points[129][1] > 256.0, "a longer text takes a longer region");
    }

    #[test]
    fn verdicts_say_what_is_missing() {
        let plan = plan("paged:16", "5");
        let lane = &plan.lanes[0];
        // 7 blocks of 32 KiB each for a context of 100.
        let (fits, text) = verdict(&lane.worst_case, 1 << 20).expect("asked for");
        assert_eq!((fits, text.as_str()), (false, "no, 1.09 MiB: 96.00 KiB short"));
        let (fits, text) = verdict(&lane.live_length, 1 << 20).expect("asked for");
        assert!(fits && text.starts_with("yes, "), "{text}");
        assert_eq!(verdict(&super::tests::plan("paged:16", "").lanes[0].worst_case, 1), None);
    }

    #[test]
    fn bars_of_no_users_have_no_length() {
        for (users, is_log, expected) in [(0, true, 0.0), (0, false, 0.0), (100, true, 2.0), (7, false, 7.0)] {
            assert!((length(users, is_log) - expected).abs() < 1e-12, "{users}");
        }
        assert!(length(1, true) > 0.0);
    }
}
