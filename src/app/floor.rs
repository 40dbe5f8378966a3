//! What this machine can do at best, and the least time that a step can take on it.
//!
//! A step reads at least its weights and its cache once and does at least its operations; whichever takes longer is its floor. That is
//! the roofline model (Williams, Waterman and Patterson, 2009).

use crate::engine::StepRecord;

/// The best that was measured on this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MachineFloor {
    /// Bytes that all threads read from memory per second.
    pub read_bytes_per_sec: f64,
    /// Floating-point operations of all threads per second.
    pub flops_per_sec: f64,
}

impl MachineFloor {
    /// The least seconds that the step of `record` can take: reading its bytes or doing its operations, whichever is longer. `None`
    /// where the record or the machine has no such numbers.
    #[must_use]
    pub fn least_secs(&self, record: &StepRecord) -> Option<f64> {
        let read_secs = to_f64(record.read_bytes) / self.read_bytes_per_sec;
        let compute_secs = to_f64(record.flops) / self.flops_per_sec;
        let secs = read_secs.max(compute_secs);
        (secs.is_finite() && secs > 0.0).then_some(secs)
    }

    /// The most operations per second of work that does `flops_per_byte` operations on each byte it reads: the roof.
    #[must_use]
    pub fn attainable_flops_per_sec(&self, flops_per_byte: f64) -> f64 {
        (flops_per_byte * self.read_bytes_per_sec).min(self.flops_per_sec)
    }

    /// Where the two roofs meet, in operations per byte: work with fewer waits for memory.
    #[must_use]
    pub fn ridge_flops_per_byte(&self) -> f64 {
        self.flops_per_sec / self.read_bytes_per_sec
    }
}

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "a drawing needs no more than 52 bits")]
pub(super) fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::series::test_runs::record;

    const MACHINE: MachineFloor = MachineFloor { read_bytes_per_sec: 10e9, flops_per_sec: 100e9 };

    #[test]
    fn the_longer_of_reading_and_computing_is_the_floor() {
        let step = |read_bytes, flops| MACHINE.least_secs(&StepRecord { flops, read_bytes, ..record(1, 0.1) });
        assert_eq!(step(10_000_000_000, 1), Some(1.0), "waits for memory");
        assert_eq!(step(1, 200_000_000_000), Some(2.0), "waits for arithmetic");
        assert_eq!(step(0, 0), None, "a trace without these counts has no floor");
    }

    #[test]
    fn roofs_meet_at_the_ridge() {
        let ridge = MACHINE.ridge_flops_per_byte();
        assert_eq!(ridge.to_bits(), 10.0_f64.to_bits());
        let at = |intensity| MACHINE.attainable_flops_per_sec(intensity);
        assert!((at(ridge) - 100e9).abs() < 1.0 && at(0.5) < 5.1e9 && at(1e3) <= 100e9);
    }

    #[test]
    fn a_machine_without_speed_has_no_floor() {
        let nothing = MachineFloor { read_bytes_per_sec: 0.0, flops_per_sec: 0.0 };
        assert_eq!(nothing.least_secs(&StepRecord { read_bytes: 1, flops: 1, ..record(1, 0.1) }), None);
    }
}
