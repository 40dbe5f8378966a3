//! Tasks 3 and 4: what is kept, and where the next token stands.

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};

use super::generation::Reference;
use crate::{contract::Lab, given::Model};

const HEADS: usize = 2;
const HEAD_DIM: usize = 4;

pub fn appends_in_order<L: Lab>(_: &Reference, _: &Model) -> Result<()> {
    let mut cache = L::new_cache(1);
    let mut n_tokens = 0;
    // A chunk of three tokens, two tokens alone, and a chunk again.
    for n_new in [3, 1, 1, 2] {
        let before = n_tokens;
        n_tokens += n_new;
        let (k, v) = append::<L>(&mut cache, 0, before, n_new)?;
        let call = format!("append of {n_new} token(s) to a layer that holds {before}");
        is_kept(&call, "keys", &k, &rows(0, 0, n_tokens)?)?;
        is_kept(&call, "values", &v, &rows(1, 0, n_tokens)?)?;
        let counted = L::n_tokens(&cache);
        ensure!(counted == n_tokens, "after {call}, n_tokens is {counted}; {n_tokens} was expected");
    }
    let empty = L::n_tokens(&L::new_cache(1));
    ensure!(empty == 0, "n_tokens of an empty cache is {empty}; 0 was expected");
    Ok(())
}

pub fn keeps_layers_apart<L: Lab>(_: &Reference, _: &Model) -> Result<()> {
    let mut cache = L::new_cache(3);
    for (before, n_new) in [(0, 2), (2, 1)] {
        for layer in 0..3 {
            let (k, v) = append::<L>(&mut cache, layer, before, n_new)?;
            let call = format!("append of {n_new} token(s) to layer {layer} of 3, which holds {before}");
            is_kept(&call, "keys", &k, &rows(2 * layer, 0, before + n_new)?)?;
            is_kept(&call, "values", &v, &rows(2 * layer + 1, 0, before + n_new)?)?;
        }
    }
    Ok(())
}

pub fn positions_start_after_the_past<L: Lab>(_: &Reference, _: &Model) -> Result<()> {
    for (past, n_new, expected) in [(0, 3, vec![0, 1, 2]), (3, 1, vec![3]), (5, 2, vec![5, 6])] {
        let got = L::positions(past, n_new);
        ensure!(got == expected, "positions({past}, {n_new}) is {got:?}; {expected:?} was expected");
    }
    Ok(())
}

/// Appends the tokens `from..from + n_new` to `layer`; keys are plane 2 x layer, values the plane after it.
fn append<L: Lab>(cache: &mut L::Cache, layer: usize, from: usize, n_new: usize) -> Result<(Tensor, Tensor)> {
    let (k, v) = (rows(2 * layer, from, n_new)?, rows(2 * layer + 1, from, n_new)?);
    L::append(cache, layer, &k, &v).context("append returned an error")
}

/// `[H, n, D]` for the tokens `from..from + n` of a plane; every number says where it belongs: plane, token, head.
fn rows(plane: usize, from: usize, n: usize) -> Result<Tensor> {
    let mut values = vec![];
    for head in 0..HEADS {
        for token in from..from + n {
            values.extend([(1000 * plane + 10 * token + head) as f32; HEAD_DIM]);
        }
    }
    Ok(Tensor::from_vec(values, (HEADS, n, HEAD_DIM), &Device::Cpu)?)
}

fn is_kept(call: &str, what: &str, got: &Tensor, expected: &Tensor) -> Result<()> {
    let (dims, expected_dims) = (got.dims(), expected.dims());
    ensure!(
        dims == expected_dims,
        "{call} returned {what} of shape {dims:?}; [H, N + T, D] = {expected_dims:?} was expected. Tokens are dimension 1, and \
         all of this layer's are returned, old and new"
    );
    ensure!(
        got.to_vec3::<f32>()? == expected.to_vec3::<f32>()?,
        "{call} returned the wrong {what}: the old ones of this layer come first, in order, then the new ones"
    );
    Ok(())
}
