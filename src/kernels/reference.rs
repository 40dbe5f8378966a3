//! Attention written down plainly, in f64: what every other path is tested against.
//!
//! Everything is materialised: scores, weights, sums. It is slow on purpose and used by tests only.

use super::HeadShape;

/// The result of [`attention`].
pub struct Attention {
    /// `[T, n_head, head_dim]`
    pub out: Vec<f32>,
    /// `[T, n_head, n]`, 0 where a key is newer than the query.
    pub weights: Vec<f32>,
}

/// `softmax(q k^T / sqrt(head_dim)) v`, causal: the last of the `T` queries belongs to the last of the
/// `n` tokens.
///
/// `queries` is `[T, n_head, head_dim]`, `keys` and `values` are `[n, n_kv_head, head_dim]`.
#[must_use]
pub fn attention(shape: HeadShape, queries: &[f32], keys: &[f32], values: &[f32]) -> Attention {
    let HeadShape { n_head, n_kv_head, head_dim } = shape;
    let n_queries = queries.len() / (n_head * head_dim);
    let n_tokens = keys.len() / (n_kv_head * head_dim);
    let row = |rows: &[f32], width: usize, token: usize, head: usize| -> Vec<f64> {
        rows[token * width + head * head_dim..][..head_dim].iter().map(|x| f64::from(*x)).collect()
    };
    let mut result = Attention { out: vec![], weights: vec![] };
    for t in 0..n_queries {
        let visible = n_tokens - n_queries + t + 1;
        for head in 0..n_head {
            let query = row(queries, n_head * head_dim, t, head);
            let mut weights = vec![0.0_f64; n_tokens];
            for (token, weight) in weights.iter_mut().enumerate().take(visible) {
                let key = row(keys, n_kv_head * head_dim, token, shape.kv_head(head));
                let dot: f64 = query.iter().zip(&key).map(|(a, b)| a * b).sum();
                #[expect(clippy::cast_precision_loss, reason = "head_dim is small")]
                let scale = (head_dim as f64).sqrt();
                *weight = (dot / scale).exp();
            }
            let sum: f64 = weights.iter().sum();
            let mut out = vec![0.0_f64; head_dim];
            for (token, weight) in weights.iter_mut().enumerate() {
                *weight /= sum;
                let value = row(values, n_kv_head * head_dim, token, shape.kv_head(head));
                for (o, x) in out.iter_mut().zip(&value) {
                    *o += *weight * x;
                }
            }
            #[expect(clippy::cast_possible_truncation, reason = "back to the precision under test")]
            {
                result.out.extend(out.iter().map(|x| *x as f32));
                result.weights.extend(weights.iter().map(|x| *x as f32));
            }
        }
    }
    result
}
