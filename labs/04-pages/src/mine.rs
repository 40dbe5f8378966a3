//! Your pages and the solution's, as the story model takes them: one sequence.

use kvlab::cache::GuestCache;

/// Tokens of a block, where nothing else is said.
const BLOCK_LEN: usize = 16;

/// A sequence over the functions of a module, with room for the story model's context, as a boxed [`GuestCache`].
macro_rules! guest {
    ($module:ident, $block_len:expr) => {{
        use kvlab::cache::{GuestBytes, GuestCache};
        use $crate::given::{CONTEXT, Pages, STORY, Sequence, attention};

        struct Guest {
            pages: Pages,
            seq: Sequence,
        }

        impl GuestCache for Guest {
            fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
                let row = self.pages.shape.row();
                let new = k.len() / row;
                // A pass begins in layer 0. All layers have the same table.
                if layer == 0
                    && let Err(error) = $module::grow(&mut self.pages, &mut self.seq, new)
                {
                    panic!("{error:#}"); // the model asks for no answer; who runs it catches this and says it
                }
                let first = self.seq.len - new;
                for (i, rows) in k.chunks_exact(row).zip(v.chunks_exact(row)).enumerate() {
                    $module::write(&mut self.pages, &self.seq, layer, first + i, rows);
                }
            }

            fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
                attention(&self.pages.shape, q, &$module::gather(&self.pages, &self.seq, layer))
            }

            fn bytes(&self) -> GuestBytes {
                GuestBytes {
                    reserved_bytes: (size_of_val(&*self.pages.keys) + size_of_val(&*self.pages.values)) as u64,
                    used_bytes: self.seq.len as u64 * self.pages.shape.token_bytes(),
                    copied_bytes: self.pages.copied_bytes,
                }
            }
        }

        let pages = Pages::new(STORY, CONTEXT.div_ceil($block_len), $block_len);
        Box::new(Guest { pages, seq: Sequence::default() }) as Box<dyn GuestCache>
    }};
}
pub(crate) use guest;

/// The cache of `exercise.rs`, in blocks of 16 tokens.
#[must_use]
pub fn exercise() -> Box<dyn GuestCache> {
    exercise_in_blocks_of(BLOCK_LEN)
}

/// The cache of `solution.rs`, in blocks of 16 tokens.
#[must_use]
pub fn solution() -> Box<dyn GuestCache> {
    solution_in_blocks_of(BLOCK_LEN)
}

/// The cache of `exercise.rs`.
#[must_use]
pub fn exercise_in_blocks_of(block_len: usize) -> Box<dyn GuestCache> {
    use crate::exercise;
    guest!(exercise, block_len)
}

/// The cache of `solution.rs`.
#[must_use]
pub fn solution_in_blocks_of(block_len: usize) -> Box<dyn GuestCache> {
    use crate::solution;
    guest!(solution, block_len)
}
