//! What this process takes: memory, now and at most, and processor time.

use std::fs;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Bytes in memory now, and milliseconds of processor time so far, over all threads; `None` where the system does not say.
fn of_process() -> Option<(u64, u64)> {
    let id = sysinfo::get_current_pid().ok()?;
    let mut system = System::new();
    let wanted = ProcessRefreshKind::nothing().with_memory().with_cpu();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, wanted);
    system.process(id).map(|process| (process.memory(), process.accumulated_cpu_time()))
}

/// Bytes of this process that are in memory now; 0 where the system does not say.
#[must_use]
pub fn resident_bytes() -> u64 {
    of_process().map_or(0, |(bytes, _)| bytes)
}

/// Processor time of this process so far, over all threads, in steps of some milliseconds; 0 where the system does not say.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far below 2^52 milliseconds")]
pub fn cpu_secs() -> f64 {
    of_process().map_or(0.0, |(_, millis)| millis as f64 / 1e3)
}

/// Most bytes that were in memory at one time since the process started, whatever for: weights, caches, code, stacks. `None` where the system
/// does not say (it is read from Linux' `/proc`).
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    peak_of(&fs::read_to_string("/proc/self/status").ok()?)
}

/// `VmHWM` ("high water mark"), given in KiB.
fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_time() {
        let before = cpu_secs();
        let busy = std::time::Instant::now();
        while busy.elapsed().as_millis() < 60 {
            std::hint::black_box(vec![1_u8; 1 << 16]);
        }
        assert!(resident_bytes() > 1 << 20 && cpu_secs() > before);
    }

    #[test]
    fn the_high_water_mark_is_found() {
        assert_eq!(peak_of("Name:\tkvlab\nVmPeak:\t  900 kB\nVmHWM:\t  512 kB\nVmRSS:\t  100 kB\n"), Some(512 * 1024));
        for damaged in ["", "VmHWM:", "VmHWM: 512", "VmHWM: many kB"] {
            assert_eq!(peak_of(damaged), None, "{damaged}");
        }
    }
}
