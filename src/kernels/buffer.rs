//! Large memory for weights and caches: aligned to cache lines, and in large pages where the system has them.

/// Bytes of a cache line, of which a buffer takes whole ones.
pub const LINE_BYTES: usize = 64;

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE_BYTES]);

/// From this size on large pages (2 MiB on x86) are asked for: streaming through small ones, the processor looks up an address every 4 KiB.
const LARGE_BYTES: usize = 4 << 20;

/// Zeroed bytes, the first at an address that 64 divides.
pub struct Buffer {
    lines: Vec<Line>,
    n_bytes: usize,
}

impl Buffer {
    /// The system gives pages of a large buffer only when they are first written.
    #[must_use]
    pub fn zeroed(n_bytes: usize) -> Self {
        let lines: Vec<Line> = bytemuck::zeroed_vec(n_bytes.div_ceil(size_of::<Line>()));
        if n_bytes >= LARGE_BYTES {
            ask_for_large_pages(&lines);
        }
        Self { lines, n_bytes }
    }

    /// What it takes of memory, or may take when all of it is written.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        size_of_val(&*self.lines) as u64
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.n_bytes]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.n_bytes]
    }

    /// Numbers of a type whose size divides the buffer's.
    #[must_use]
    pub fn as_slice<T: bytemuck::AnyBitPattern>(&self) -> &[T] {
        bytemuck::cast_slice(self.bytes())
    }

    /// As [`Buffer::as_slice`].
    pub fn as_mut_slice<T: bytemuck::Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(self.bytes_mut())
    }
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages(lines: &[Line]) {
    const PAGE: usize = 4096;
    let bytes = size_of_val(lines);
    let address = lines.as_ptr().addr();
    let skipped = address.next_multiple_of(PAGE) - address;
    let len = bytes.saturating_sub(skipped) / PAGE * PAGE;
    #[expect(unsafe_code, reason = "a call of the system's library")]
    // SAFETY: whole pages inside the buffer, and advice changes nothing but how they are mapped. Being refused is no harm.
    unsafe {
        libc::madvise(lines.as_ptr().cast_mut().cast::<u8>().add(skipped).cast(), len, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_lines: &[Line]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_zeroed_and_as_long_as_asked() {
        for n_bytes in [0, 1, 64, 100, LARGE_BYTES + 7] {
            let mut buffer = Buffer::zeroed(n_bytes);
            assert_eq!((buffer.bytes().len(), buffer.bytes().as_ptr().addr() % 64), (n_bytes, 0));
            assert!(buffer.bytes().iter().all(|byte| *byte == 0));
            buffer.bytes_mut().fill(1);
        }
        assert_eq!(Buffer::zeroed(64).as_slice::<f32>(), [0.0; 16]);
    }
}
