//! Tasks 1 and 5: attention on tensors small enough to compute by hand.

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};

use super::generation::Reference;
use crate::{contract::Lab, given::Model};

/// H, tokens, D.
const SMALL: [usize; 3] = [2, 7, 8];
/// f32 against f64 on numbers of size 1 with eight products a score: some 1e-7 apart, so wrong formulas stand out.
const TOLERANCE: f32 = 1e-5;
/// A right solution may mask after softmax and divide by the sum again; then a later key takes part in the rounding, by
/// 1e-7 here. A later key that is seen makes a difference of size 1.
const CAUSAL_TOLERANCE: f32 = 1e-6;

/// The usual way to get one.
const NAN: &str =
    "a result is NaN. Softmax gives NaN for a row that sees no key at all; does each query see its own key?";

/// What can be different about attention.
#[derive(Clone, Copy)]
struct Rule {
    scaled: bool,
    /// Does query row i of T see key row j of N?
    sees: fn(i: usize, j: usize, past: usize) -> bool,
}

const RIGHT: Rule = Rule { scaled: true, sees: |i, j, past| j <= past + i };

/// Rules that people write instead, and what to say then.
const MISTAKES: [(Rule, &str); 5] = [
    (Rule { scaled: false, ..RIGHT }, "It is what comes out without the division by sqrt(D), D = 8 here."),
    (
        Rule { sees: |_, _, _| true, ..RIGHT },
        "It is what comes out when every query sees every key, the later ones too: the mask is missing.",
    ),
    (
        Rule { sees: |i, j, _| j <= i, ..RIGHT },
        "It is what comes out when row i sees the keys 0..=i. With `past` cached keys in front, row i stands at position \
         past + i.",
    ),
    (
        Rule { sees: |i, j, past| j <= past + i + 1, ..RIGHT },
        "It is what comes out when a query sees one key too many, the one after its own.",
    ),
    (
        Rule { sees: |i, j, past| j < past + i || j == 0, ..RIGHT },
        "It is what comes out when a query does not see its own key.",
    ),
];

pub fn matches_the_definition<L: Lab>(_: &Reference, _: &Model) -> Result<()> {
    let [q, k, v] = qkv()?;
    compare("attention(q, k, v)", &L::attention(&q, &k, &v).context("attention returned an error")?, [&q, &k, &v])
}

pub fn is_causal<L: Lab>(_: &Reference, _: &Model) -> Result<()> {
    let [q, k, v] = qkv()?;
    let before = L::attention(&q, &k, &v)?;
    let n_kept = SMALL[1] - 1;
    let other = values(40)?;
    let replace = |x: &Tensor| Tensor::cat(&[&x.narrow(1, 0, n_kept)?, &other.narrow(1, n_kept, 1)?], 1);
    let after = L::attention(&q, &replace(&k)?, &replace(&v)?)?;
    let is_nan = |x: &Tensor| -> Result<bool> { Ok(x.flatten_all()?.to_vec1::<f32>()?.iter().any(|x| x.is_nan())) };
    ensure!(!is_nan(&before)?, "{NAN}");
    let difference = (before.narrow(1, 0, n_kept)? - after.narrow(1, 0, n_kept)?)?.abs()?.max_all()?;
    ensure!(
        difference.to_scalar::<f32>()? <= CAUSAL_TOLERANCE,
        "another key and value for the last token changed the result of tokens before it; a query must see no later key"
    );
    Ok(())
}

pub fn one_query_sees_the_whole_cache<L: Lab>(_: &Reference, _: &Model) -> Result<()> {
    let [q, k, v] = qkv()?;
    let newest = q.narrow(1, SMALL[1] - 1, 1)?.contiguous()?;
    let got = L::attention_over_cache(&newest, &k, &v).context("attention_over_cache returned an error")?;
    compare("attention_over_cache of 1 query over 7 keys", &got, [&newest, &k, &v])
}

pub fn chunked_equals_whole<L: Lab>(_: &Reference, _: &Model) -> Result<()> {
    let [q, k, v] = qkv()?;
    // Three chunks: an empty past, one longer than the chunk, and one where both are longer than 1.
    for (past, n_new) in [(0, 3), (3, 2), (5, 2)] {
        let new = q.narrow(1, past, n_new)?.contiguous()?;
        let [k, v] = [&k, &v].map(|x| x.narrow(1, 0, past + n_new).and_then(|x| x.contiguous()));
        let (k, v) = (k?, v?);
        let got = L::attention_over_cache(&new, &k, &v).context("attention_over_cache returned an error")?;
        let call = format!("attention_over_cache of {n_new} new queries after {past} cached tokens");
        compare(&call, &got, [&new, &k, &v])?;
    }
    Ok(())
}

/// q, k and v of seven tokens.
fn qkv() -> Result<[Tensor; 3]> {
    Ok([values(0)?, values(1)?, values(2)?])
}

/// Numbers between -2 and 2 without a pattern that a mistake could hide in.
fn values(seed: u32) -> Result<Tensor> {
    let n = SMALL.iter().product::<usize>();
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 16_384.0 - 2.0
    };
    next();
    Ok(Tensor::from_vec((0..n).map(|_| next()).collect::<Vec<_>>(), &SMALL, &Device::Cpu)?)
}

/// `got` against the definition, and where it differs, against common mistakes.
fn compare(call: &str, got: &Tensor, [q, k, v]: [&Tensor; 3]) -> Result<()> {
    let (dims, expected_dims) = (got.dims(), q.dims());
    ensure!(dims == expected_dims, "{call} returned {dims:?}; [H, T, D] = {expected_dims:?} was expected");
    let got = got.to_vec3::<f32>()?;
    let right = plain(RIGHT, q, k, v)?;
    let Some((head, row)) = first_difference(&got, &right) else { return Ok(()) };
    ensure!(!got.iter().flatten().flatten().any(|x| x.is_nan()), "{call}: {NAN}");
    let hint = MISTAKES.iter().map(|(rule, says)| Ok((plain(*rule, q, k, v)?, *says))).collect::<Result<Vec<_>>>()?;
    let hint = hint.iter().find(|(mistake, _)| first_difference(&got, mistake).is_none());
    bail!(
        "{call}: head {head}, row {row} should begin with {:.3?} and begins with {:.3?}. {}",
        &right[head][row][..3],
        &got[head][row][..3],
        hint.map_or("Look at the scores first (q x k^T, divided by the root of D), then the mask, then which dimension softmax runs over.", |(_, says)| {
            says
        })
    )
}

/// Head and row of the first value that is not the same, NaN included.
fn first_difference(a: &[Vec<Vec<f32>>], b: &[Vec<Vec<f32>>]) -> Option<(usize, usize)> {
    for (head, (a, b)) in a.iter().zip(b).enumerate() {
        for (row, (a, b)) in a.iter().zip(b).enumerate() {
            if !a.iter().zip(b).all(|(a, b)| (a - b).abs() <= TOLERANCE) {
                return Some((head, row));
            }
        }
    }
    None
}

/// Attention by its definition, one number after the other in f64: `q` `[H, T, D]`, `k` and `v` `[H, past + T, D]`.
fn plain(rule: Rule, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Vec<Vec<Vec<f32>>>> {
    let (n_head, n_new, head_dim) = q.dims3()?;
    let n_keys = k.dim(1)?;
    let past = n_keys - n_new;
    let scale = if rule.scaled { (head_dim as f64).sqrt() } else { 1.0 };
    let [q, k, v] = [q.to_vec3::<f32>()?, k.to_vec3::<f32>()?, v.to_vec3::<f32>()?];
    let mut out = vec![vec![vec![0.0; head_dim]; n_new]; n_head];
    for head in 0..n_head {
        for row in 0..n_new {
            let dot =
                |key: &[f32]| q[head][row].iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>();
            let weight =
                |key: usize| if (rule.sees)(row, key, past) { (dot(&k[head][key]) / scale).exp() } else { 0.0 };
            let weights: Vec<f64> = (0..n_keys).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            for (d, out) in out[head][row].iter_mut().enumerate() {
                let value: f64 = weights.iter().zip(&v[head]).map(|(w, v)| w / sum * f64::from(v[d])).sum();
                #[expect(clippy::cast_possible_truncation, reason = "numbers of size 1, compared as f32")]
                let value = value as f32;
                *out = value;
            }
        }
    }
    Ok(out)
}
