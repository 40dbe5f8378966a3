//! One matrix that several threads write, each its own part.

/// A matrix `[rows, width]` whose columns several threads write.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    data: *mut f32,
    len: usize,
    width: usize,
    borrow: std::marker::PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "shared so that threads can write what is theirs")]
// SAFETY: all access is through `part`, whose callers promise that no two parts overlap.
unsafe impl Sync for Columns<'_> {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Send for Columns<'_> {}

impl<'a> Columns<'a> {
    pub fn new(data: &'a mut [f32], width: usize) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), width, borrow: std::marker::PhantomData }
    }

    /// `len` numbers of `row` from `column` on.
    ///
    /// # Safety
    /// No two parts that live at the same time overlap.
    ///
    /// # Panics
    /// If that is not all inside.
    #[expect(unsafe_code, reason = "see Safety")]
    #[expect(clippy::mut_from_ref, reason = "see Safety")]
    #[inline]
    pub unsafe fn part(&self, row: usize, column: usize, len: usize) -> &mut [f32] {
        let start = row * self.width + column;
        assert!(start <= self.len && len <= self.len - start, "{len} numbers from {start} of {}", self.len);
        // SAFETY: inside the slice that `new` borrowed for as long as this lives, and not overlapping by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::thread_pool::{for_each, with_threads};

    #[test]
    fn parts_are_where_they_belong() {
        let (rows, width, each) = (30, 50, 7);
        let mut data = vec![0.0; rows * width];
        with_threads(3, || {
            let columns = Columns::new(&mut data, width);
            for_each(width.div_ceil(each), |piece| {
                let first = piece * each;
                for row in 0..rows {
                    #[expect(unsafe_code, reason = "columns of one matrix for several threads")]
                    // SAFETY: a piece has its own columns.
                    let part = unsafe { columns.part(row, first, each.min(width - first)) };
                    for x in part {
                        *x += 1.0 + f32::from(u8::try_from(piece).expect("small"));
                    }
                }
            });
        });
        for (i, x) in data.iter().enumerate() {
            assert!((x - 1.0 - f32::from(u8::try_from(i % width / each).expect("small"))).abs() < 0.5, "{i}: {x}");
        }
    }

    #[test]
    #[should_panic(expected = "3 numbers from 8 of 10")]
    fn a_part_beyond_the_end_is_a_panic() {
        let mut data = [0.0; 10];
        let columns = Columns::new(&mut data, 5);
        #[expect(unsafe_code, reason = "to see that it is checked")]
        // SAFETY: there is no other part.
        unsafe {
            columns.part(1, 3, 3);
        }
    }
}
