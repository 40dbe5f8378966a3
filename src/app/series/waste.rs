//! Where the reserved bytes of a cache go, by cause.

use crate::engine::StepRecord;

/// What a reserved byte is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Numbers,
    Scales,
    Residual,
    Dead,
    Tail,
    Unused,
}

impl Cause {
    /// From the bottom of a stack to its top: what is used comes first.
    pub const ALL: [Self; 6] = [Self::Numbers, Self::Scales, Self::Residual, Self::Dead, Self::Tail, Self::Unused];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Scales => "scales",
            Self::Residual => "residual",
            Self::Dead => "dead",
            Self::Tail => "block tail",
            Self::Unused => "unused",
        }
    }

    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::Numbers => {
                "The keys and values of live tokens themselves, those of forks too: what the textbook formula counts for each"
            }
            Self::Scales => "Scales and minima of quantized rows: what they take beyond the formula",
            Self::Residual => {
                "What the newest tokens take beyond the formula while they are kept exact, until their group is full"
            }
            Self::Dead => "Rows of evicted tokens in blocks that are held still",
            Self::Tail => "Held and not filled yet: the rest of the last block, or of a region",
            Self::Unused => "Reserved at the start, and held by nobody",
        }
    }
}

/// The reserved bytes of one moment, divided by [`Cause`]. They add up to `reserved_bytes` of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waste([u64; Cause::ALL.len()]);

impl Waste {
    /// Divides a record's bytes. A record that contradicts itself, as one of a damaged trace may, is cut off at what holds it:
    /// nothing is used that is not held, and nothing held that is not reserved.
    #[must_use]
    pub fn of(record: &StepRecord) -> Self {
        let reserved = record.reserved_bytes;
        let held = record.held_bytes.min(reserved);
        let used = record.used_bytes.min(held);
        // A trace that does not tell what is beyond the formula has all of it under scales.
        let scales = record.scale_bytes.unwrap_or(used.saturating_sub(record.formula_bytes)).min(used);
        let residual = record.residual_bytes.unwrap_or(0).min(used - scales);
        let dead = record.dead_bytes.min(held - used);
        Self([used - scales - residual, scales, residual, dead, held - used - dead, reserved - held])
    }

    /// Bytes of one cause.
    #[must_use]
    pub fn bytes(self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// Where each cause begins and ends in a stack, in the order of [`Cause::ALL`].
    #[must_use]
    pub fn stack(self) -> [(u64, u64); Cause::ALL.len()] {
        let mut top = 0;
        self.0.map(|bytes| {
            let bottom = top;
            top += bytes;
            (bottom, top)
        })
    }

    /// All of them: the reserved bytes.
    #[must_use]
    pub fn sum(self) -> u64 {
        self.0.iter().sum()
    }
}

/// What `bytes` of one user are for `users` of them, if each takes as much: an estimate.
#[must_use]
pub fn for_users(bytes: u64, users: u64) -> u64 {
    bytes.saturating_mul(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::series::test_runs::{record, story_run};

    #[test]
    fn causes_stand_in_the_order_of_the_stack() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
        let step = StepRecord {
            reserved_bytes: 100,
            held_bytes: 60,
            used_bytes: 40,
            dead_bytes: 5,
            formula_bytes: 30,
            ..record(1, 0.1)
        };
        assert_eq!(Waste::of(&step), Waste([30, 10, 0, 5, 15, 40]), "of a trace from before");
        let step = StepRecord { scale_bytes: Some(6), residual_bytes: Some(4), ..step };
        assert_eq!(Waste::of(&step), Waste([30, 6, 4, 5, 15, 40]));
        assert_eq!(Waste::of(&step).stack(), [(0, 30), (30, 36), (36, 40), (40, 45), (45, 60), (60, 100)]);
    }

    #[test]
    fn a_record_that_contradicts_itself_still_adds_up() {
        let (large, some) = (u64::MAX, 7);
        for (held_bytes, used_bytes) in [(large, large), (some, large), (0, some)] {
            let (scale_bytes, residual_bytes) = (Some(large), Some(large));
            let bytes = StepRecord { scale_bytes, residual_bytes, dead_bytes: large, ..record(1, 0.1) };
            let step = StepRecord { reserved_bytes: 10, held_bytes, used_bytes, ..bytes };
            assert_eq!(Waste::of(&step).sum(), 10, "{step:?}");
        }
    }

    #[test]
    fn users_multiply_and_never_overflow() {
        assert_eq!((for_users(3, 4), for_users(u64::MAX, 2)), (12, u64::MAX));
    }

    #[test]
    fn causes_of_real_caches_add_up_and_say_what_each_wastes() {
        let run = story_run("contiguous,concat,paged:16,paged:16+int8,paged:32+kivi:2,paged:16+window:4/60", 40);
        for lane in &run.lanes {
            assert_eq!(lane.records.len(), 40, "{}", lane.name);
            for record in &lane.records {
                let (waste, name) = (Waste::of(record), &lane.name);
                assert_eq!(waste.sum(), record.reserved_bytes, "{name}");
                // Nothing was cut off to make it so.
                let used =
                    [Cause::Numbers, Cause::Scales, Cause::Residual].map(|cause| waste.bytes(cause)).iter().sum();
                assert_eq!((used, waste.bytes(Cause::Dead)), (record.used_bytes, record.dead_bytes), "{name}");
                assert_eq!(waste.bytes(Cause::Numbers), record.formula_bytes, "{name}");
                assert_eq!(waste.bytes(Cause::Unused), record.reserved_bytes - record.held_bytes, "{name}");
            }
        }
        let most = |lane: usize, cause| {
            run.lanes[lane].records.iter().map(|record| Waste::of(record).bytes(cause)).max().unwrap_or(0)
        };
        let wastes = |lane: usize| Cause::ALL.map(|cause| most(lane, cause) > 0);
        assert_eq!(wastes(0), [true, false, false, false, true, false], "contiguous holds its region");
        assert_eq!(wastes(1), [true, false, false, false, false, false], "concat wastes no place");
        assert_eq!(
            wastes(2),
            [true, false, false, false, true, true],
            "paged leaves the rest of a block, and of the pool"
        );
        assert_eq!(wastes(3), [true, true, false, false, true, true], "int8 has scales");
        assert!(most(4, Cause::Scales) > 0 && most(4, Cause::Residual) > 0, "kivi has scales and exact tokens");
        assert!(most(5, Cause::Dead) > 0, "a window leaves dead rows");
    }
}
