//! WRONG: every query reads every token, those behind its own too. Right for one query, as in decoding. Caught by
//! `a_query_reads_no_later_token`.

pub use crate::solution::{absorb, attend_split, empty, finish, merge, partial, parts, softmax};

use crate::given::Rows;

#[must_use]
pub fn attend(q: &[f32], rows: &Rows) -> Vec<f32> {
    let queries = q.chunks_exact(rows.head_dim());
    queries.flat_map(|q| finish(partial(q, &mut rows.reader_at(0), rows.n_tokens()))).collect()
}
