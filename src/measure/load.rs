//! How busy others keep the cores: a time measured while they work is a time of both.

use std::fs;

/// Processor time since the system started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// All cores, idle or not.
    all: u64,
    /// Of that, somebody worked: a process here, or a neighbour on the same host (`steal`).
    busy: u64,
    /// Of that, this process and the ones it was told of.
    own: u64,
}

impl Load {
    /// Now, with the processes `also` counted as this one; `None` where the system does not say (it is read from Linux' `/proc`).
    #[must_use]
    pub fn now(also: &[u32]) -> Option<Self> {
        let cores = fs::read_to_string("/proc/stat").ok()?;
        let mut own = ticks_of(&fs::read_to_string("/proc/self/stat").ok()?)?;
        for id in also {
            own += fs::read_to_string(format!("/proc/{id}/stat")).ok().and_then(|stat| ticks_of(&stat)).unwrap_or(0);
        }
        let (all, busy) = ticks_of_cores(&cores)?;
        Some(Self { all, busy, own })
    }

    /// The share of all cores' time since `earlier` in which others worked, 0 to 1.
    #[must_use]
    pub fn others_since(self, earlier: Self) -> f64 {
        let since = |now: u64, then: u64| {
            let ticks = u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX);
            f64::from(ticks)
        };
        let (all, busy, own) =
            (since(self.all, earlier.all), since(self.busy, earlier.busy), since(self.own, earlier.own));
        if all > 0.0 { ((busy - own) / all).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// All and busy ticks from the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn ticks_of_cores(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|ticks| ticks.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    (ticks.len() == 8).then(|| (all, all - ticks[3] - ticks[4]))
}

/// User and system ticks of a process, all of its threads, from its `stat`. Its name may hold spaces and brackets.
fn ticks_of(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let (all, busy) = ticks_of_cores("cpu  10 1 4 80 5 0 2 3 7 7\ncpu0 1 2").expect("a line");
        assert_eq!((all, busy), (105, 20));
        assert_eq!(ticks_of("7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 30 12 9 9"), Some(42));
        assert_eq!((ticks_of_cores("cpu 1 2"), ticks_of("7 (a")), (None, None));
    }

    #[test]
    fn others_are_what_is_left() {
        let at = |all, busy, own| Load { all, busy, own };
        let share = at(1200, 700, 250).others_since(at(1000, 600, 200));
        assert!((share - 0.25).abs() < 1e-9);
        assert!(at(1, 1, 1).others_since(at(1, 1, 1)).abs() < 1e-9);
        assert!(at(110, 110, 150).others_since(at(100, 100, 100)).abs() < 1e-9, "never below nothing");
    }
}
