//! The machine under the numbers: processor, threads, SIMD, memory and its bandwidth, devices.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::kernels::simd;

use super::{floor::read_secs, stats::median};

/// What stands beside every figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub os: String,
    pub cpu: String,
    pub cores: usize,
    /// Threads that kvlab computes with (`RAYON_NUM_THREADS` changes it).
    pub threads: usize,
    /// SIMD instruction sets found at run time.
    pub simd: Vec<String>,
    pub memory_bytes: u64,
}

impl Machine {
    #[must_use]
    pub fn detect() -> Self {
        let mut system = sysinfo::System::new();
        system.refresh_memory();
        system.refresh_cpu_all();
        let cpu = system.cpus().first().map_or_else(String::new, |cpu| cpu.brand().trim().to_owned());
        Self {
            os: sysinfo::System::long_os_version().unwrap_or_else(|| std::env::consts::OS.into()),
            cpu: if cpu.is_empty() { std::env::consts::ARCH.into() } else { cpu },
            cores: system.cpus().len(),
            threads: rayon::current_num_threads(),
            simd: simd(),
            memory_bytes: system.total_memory(),
        }
    }
}

/// Memory that can be taken without swapping, if the system says; in a container, at most what its limit leaves.
#[must_use]
pub fn available_memory_bytes() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    if system.total_memory() == 0 {
        return None;
    }
    // Without the files that the system keeps in memory as long as nobody needs it.
    let of_container = system.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss));
    of_container.into_iter().chain([system.available_memory()]).min()
}

/// Free space on the disk that holds a folder, if the system says.
#[must_use]
pub fn available_disk_bytes(folder: &Path) -> Option<u64> {
    let folder = folder.canonicalize().ok()?;
    let disks = sysinfo::Disks::new_with_refreshed_list_specifics(sysinfo::DiskRefreshKind::nothing().with_storage());
    let on = disks.list().iter().filter(|disk| folder.starts_with(disk.mount_point()));
    // The deepest mount point is the one that counts; some file systems do not say how large they are.
    let disk = on.max_by_key(|disk| disk.mount_point().components().count())?;
    (disk.total_space() > 0).then(|| disk.available_space())
}

/// The path that our kernels take on this processor.
///
/// # Errors
/// If the variable `KVLAB_SIMD` names another than those that it has.
pub fn simd_path() -> Result<&'static str, &'static str> {
    simd::Path::chosen().map(simd::Path::name)
}

fn simd() -> Vec<String> {
    let mut found: Vec<&str> = vec![];
    #[cfg(target_arch = "x86_64")]
    {
        let sets = [
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ];
        found.extend(sets.into_iter().filter_map(|(name, there)| there.then_some(name)));
    }
    #[cfg(target_arch = "aarch64")]
    found.push("neon");
    found.into_iter().map(str::to_owned).collect()
}

/// Bytes that a bandwidth measurement reads: several times any last-level cache of a laptop.
const BANDWIDTH_BYTES: usize = 256 << 20;
const BANDWIDTH_REPEATS: usize = 3;

/// Bytes per second that all threads of the current pool together read from memory: the median of several measurements over
/// 256 MiB, every byte used.
#[must_use]
pub fn read_bandwidth_bytes_per_sec() -> f64 {
    let bytes = vec![1_u8; BANDWIDTH_BYTES];
    let passes: [f64; BANDWIDTH_REPEATS] = std::array::from_fn(|_| read_secs(&[&bytes]));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = BANDWIDTH_BYTES as f64;
    median(&passes).map_or(0.0, |secs| bytes / secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_core_and_memory() {
        let machine = Machine::detect();
        assert!(machine.cores >= 1 && machine.threads >= 1 && machine.memory_bytes > 0 && !machine.cpu.is_empty());
    }

    #[test]
    fn a_folder_that_is_not_there_is_on_no_disk() {
        assert_eq!(available_disk_bytes(Path::new("/nowhere/at/all")), None);
        assert!(available_disk_bytes(&std::env::temp_dir()).is_none_or(|free| free > 0));
    }
}
