//! Steps under the machine's roofs: the roofline model (Williams, Waterman and Patterson, 2009).

use crate::{
    app::floor::{MachineFloor, to_f64},
    engine::StepRecord,
};

/// A step as a point of the roofline plot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Arithmetic intensity: operations on each byte that the step reads at least.
    pub flops_per_byte: f64,
    /// Operations per second of its forward pass.
    pub flops_per_sec: f64,
}

impl Work {
    /// `None` for a record that has no counts or took no time: a logarithm has no place for it.
    #[must_use]
    pub fn of(record: &StepRecord) -> Option<Self> {
        let flops = to_f64(record.flops);
        let work =
            Self { flops_per_byte: flops / to_f64(record.read_bytes), flops_per_sec: flops / record.forward_secs };
        let has_place = |value: f64| value.is_finite() && value > 0.0;
        (has_place(work.flops_per_byte) && has_place(work.flops_per_sec)).then_some(work)
    }
}

/// The two roofs between the intensities `low` and `high`, which end outside the ridge at least: first memory's from its left end
/// to the ridge, then arithmetic's from there on.
#[must_use]
pub fn roofs(machine: MachineFloor, low: f64, high: f64) -> [[Work; 2]; 2] {
    let ridge = machine.ridge_flops_per_byte();
    let at =
        |flops_per_byte: f64| Work { flops_per_byte, flops_per_sec: machine.attainable_flops_per_sec(flops_per_byte) };
    [[at(low.min(ridge)), at(ridge)], [at(ridge), at(high.max(ridge))]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::series::test_runs::record;

    #[test]
    fn work_is_counted_per_byte_and_per_second() {
        let step = StepRecord { flops: 400, read_bytes: 800, forward_secs: 0.5, ..record(1, 0.6) };
        assert_eq!(Work::of(&step), Some(Work { flops_per_byte: 0.5, flops_per_sec: 800.0 }));
        for no_work in [
            StepRecord { flops: 0, ..step },
            StepRecord { read_bytes: 0, ..step },
            StepRecord { forward_secs: 0.0, ..step },
        ] {
            assert_eq!(Work::of(&no_work), None);
        }
    }

    #[test]
    fn roofs_rise_to_the_ridge_and_go_on_flat() {
        let machine = MachineFloor { read_bytes_per_sec: 10.0, flops_per_sec: 100.0 };
        let [memory, arithmetic] = roofs(machine, 0.5, 1_000.0);
        assert_eq!(memory[0], Work { flops_per_byte: 0.5, flops_per_sec: 5.0 });
        assert_eq!(memory[1], Work { flops_per_byte: 10.0, flops_per_sec: 100.0 });
        assert_eq!(arithmetic, [memory[1], Work { flops_per_byte: 1_000.0, flops_per_sec: 100.0 }]);
        let [memory, arithmetic] = roofs(machine, 20.0, 30.0);
        assert_eq!((memory[0], arithmetic[0]), (memory[1], memory[1]), "all to the right of the ridge");
    }
}
