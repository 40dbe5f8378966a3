//! The memory that this process took at most.

use std::fs;

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
    fn the_high_water_mark_is_found() {
        assert_eq!(peak_of("Name:\tkvlab\nVmPeak:\t  900 kB\nVmHWM:\t  512 kB\nVmRSS:\t  100 kB\n"), Some(512 * 1024));
        for damaged in ["", "VmHWM:", "VmHWM: 512", "VmHWM: many kB"] {
            assert_eq!(peak_of(damaged), None, "{damaged}");
        }
    }
}
