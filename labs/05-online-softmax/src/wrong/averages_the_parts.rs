//! WRONG: finishes each part and takes the mean, as if all parts had got the same weight. Caught by
//! `any_number_of_parts_gives_the_definition`.

pub use crate::solution::{absorb, attend, empty, finish, merge, partial, parts, softmax};

use crate::given::Rows;

#[must_use]
pub fn attend_split(q: &[f32], rows: &Rows, n_parts: usize) -> Vec<f32> {
    let mut mean = vec![0.0; rows.head_dim()];
    let parts: Vec<_> = parts(rows.n_tokens(), n_parts);
    #[expect(clippy::cast_precision_loss, reason = "a few parts")]
    let n = parts.iter().filter(|part| !part.is_empty()).count() as f32;
    for part in parts {
        let of_part = finish(partial(q, &mut rows.reader_at(part.start), part.len()));
        mean.iter_mut().zip(of_part).for_each(|(mean, out)| *mean += out / n);
    }
    mean
}
