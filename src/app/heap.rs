//! What the window frees it needs again with the next frame.

use std::hint::black_box;

/// Below the largest size at which glibc still learns (32 MiB).
const LEARNT_BYTES: usize = 24 << 20;

/// Asks the system's allocator to keep what is freed, by showing it that large blocks come and go.
///
/// OpenGL in software frees megabytes after each draw; glibc hands the end of its heap back to the system when more than a threshold of
/// it is free, and the next draw pays a page fault for every 4 KiB it gets again: a third of a frame's work (`docs/runs/window.md`).
/// The threshold follows the largest mapped block that was ever freed, at twice its size ("dynamic mmap threshold" in mallopt(3)), so
/// one such block is asked for and given back. None of its pages is touched. Other allocators take no notice.
pub fn keep_freed() {
    drop(black_box(Vec::<u8>::with_capacity(LEARNT_BYTES)));
}
