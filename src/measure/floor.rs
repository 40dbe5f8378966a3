//! The floor under a measured time: what the machine needs at least for the same bytes and the same operations, measured in the same
//! process, because the same machine reads memory at twice the speed in another (`docs/benchmarks.md`).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::kernels::{
    peak,
    thread_pool::{for_each, n_threads},
};

/// What a machine can do at best, as measured beside a run: no step can take less than its bytes and its operations at these speeds
/// (the roofs of a roofline, Williams et al. 2009).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// How fast the threads of our kernels read the model's own weights, wherever those lie: a small model's are in the processor's
    /// caches.
    pub read_bytes_per_sec: f64,
    pub flops_per_sec: f64,
}

impl Floor {
    /// Measures the machine for about a tenth of a second; `weights` are what a token reads.
    #[must_use]
    pub fn measure(weights: &[&[u8]]) -> Self {
        let bytes: usize = weights.iter().map(|buffer| buffer.len()).sum();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let read_bytes_per_sec = bytes as f64 / read_secs(weights);
        Self { read_bytes_per_sec, flops_per_sec: flops_per_sec() }
    }
}

/// What a thread reads at once; large enough that handing it out costs nothing.
const PIECE_BYTES: usize = 256 << 10;
/// One measurement repeats its pass until so much time has gone by, and at least so often: the first pass pays for waking the threads, and there
/// are two ways to read.
const LEAST_SECS: f64 = 5e-3;
const LEAST_PASSES: usize = 4;

/// Seconds of the fastest of a few read-only passes over `buffers` by the threads of our kernels ([`for_each`]), which take turns at
/// each way to read.
#[must_use]
pub fn read_secs(buffers: &[&[u8]]) -> f64 {
    let pieces: Vec<&[u8]> = buffers.iter().flat_map(|buffer| buffer.chunks(PIECE_BYTES)).collect();
    let (started, mut fastest) = (Instant::now(), f64::INFINITY);
    for (pass, how) in (1..).zip(peak::Read::ALL.into_iter().cycle()) {
        let before = Instant::now();
        let sum = AtomicU64::new(0);
        for_each(pieces.len(), |piece| {
            sum.fetch_add(peak::read(pieces[piece], how), Ordering::Relaxed);
        });
        std::hint::black_box(sum);
        fastest = before.elapsed().as_secs_f64().min(fastest);
        if pass >= LEAST_PASSES && started.elapsed().as_secs_f64() >= LEAST_SECS {
            break;
        }
    }
    fastest
}

/// Some 20 ms: less is lost in waking the threads.
const FLOPS_ROUNDS: u32 = 1 << 22;
const FLOPS_REPEATS: usize = 5;

/// f32 operations a second of the threads of our kernels, in registers: the best of a few measurements. Instructions for shorter
/// numbers can do more.
#[must_use]
pub fn flops_per_sec() -> f64 {
    let once = || {
        let started = Instant::now();
        let flops = AtomicU64::new(0);
        for_each(n_threads(), |_| {
            flops.fetch_add(peak::multiply_add(FLOPS_ROUNDS), Ordering::Relaxed);
        });
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let flops = flops.into_inner() as f64;
        flops / started.elapsed().as_secs_f64()
    };
    (0..FLOPS_REPEATS).map(|_| once()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_are_positive_and_finite() {
        let bytes = vec![1_u8; PIECE_BYTES + 1];
        let secs = read_secs(&[&bytes, &bytes[..7], &[]]);
        assert!(secs > 0.0 && secs.is_finite());
        let flops = flops_per_sec();
        assert!(flops > 0.0 && flops.is_finite());
    }
}
