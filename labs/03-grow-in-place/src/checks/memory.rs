// Task 2: where appended rows lie.

fn all_memory_is_taken_at_once() -> Result<()> {
    let mut cache = subject::Cache::new(SMALL, 5);
    let numbers = 2 * 5 * 6;
    for (name, len) in [("keys", cache.keys.len()), ("values", cache.values.len())] {
        ensure!(
            len == numbers,
            "`{name}` of 2 layers with room for 5 tokens of 6 numbers: expected {numbers} numbers, got {len}{}",
            if len == 0 {
                ". `Vec::with_capacity` takes memory but holds no number yet; `vec![0.0; n]` does"
            } else {
                ""
            }
        );
    }
    equal("tokens in each layer of a new cache", &vec![0, 0], &cache.filled)?;
    let places = [cache.keys.as_ptr(), cache.values.as_ptr()];
    for (layer, token) in (0..5).flat_map(|token| [(0, token), (1, token)]) {
        append(&mut cache, layer, &marked(&SMALL, layer, token..token + 1))?;
    }
    ensure!(
        places == [cache.keys.as_ptr(), cache.values.as_ptr()] && cache.keys.len() == numbers,
        "after 5 tokens the buffers lie elsewhere or have another length (`keys` has {} numbers, {numbers} at first): an append moved what \
         was there. It is to write into the memory that `new` took",
        cache.keys.len()
    );
    equal("tokens in each layer after 5 tokens", &vec![5, 5], &cache.filled)
}

fn a_row_lies_at_its_offset() -> Result<()> {
    let shape = Shape { n_layer: 3, n_head: 2, head_dim: 3 };
    // One layer alone, where a row that is misplaced writes over little; then all of them in turns.
    for layer in [1, 2, 0] {
        let mut cache = subject::Cache::new(shape, 4);
        for tokens in [0..2, 2..3] {
            append(&mut cache, layer, &marked(&shape, layer, tokens.clone()))?;
            tokens.into_iter().try_for_each(|token| lies_at_its_offset(&cache, layer, token))?;
        }
    }
    let mut cache = subject::Cache::new(shape, 4);
    for (tokens, layer) in [0..2, 2..3].into_iter().flat_map(|tokens| (0..3).map(move |layer| (tokens.clone(), layer)))
    {
        append(&mut cache, layer, &marked(&shape, layer, tokens))?;
    }
    (0..9).try_for_each(|of| lies_at_its_offset(&cache, of / 3, of % 3))
}

/// The marked rows of a token are where the layout says; else where they are, and how they came there.
fn lies_at_its_offset(cache: &subject::Cache, layer: usize, token: usize) -> Result<()> {
    let (shape, capacity, row) = (&cache.shape, cache.capacity, cache.shape.row());
    let expected = (layer * capacity + token) * row;
    let rows = marked(shape, layer, token..token + 1);
    for (name, buffer, wanted) in [("keys", &cache.keys, &rows[0]), ("values", &cache.values, &rows[1])] {
        if buffer[expected..expected + row] == wanted[..] {
            continue;
        }
        let found = buffer.windows(row).position(|window| window == wanted.as_slice());
        let found = found.map_or("is nowhere: was another one written over it?".into(), |at| {
            format!("begins at {at}{}", misplaced(at, layer, token, capacity, row))
        });
        bail!(
            "`{name}` `[3, {capacity}, 2, 3]`, layer {layer}, token {token}: its {row} numbers should begin at {expected} = (layer x \
             capacity + token) x row, and the row {found}"
        );
    }
    Ok(())
}

/// A formula that people write instead and that leads to `at`.
fn misplaced(at: usize, layer: usize, token: usize, capacity: usize, row: usize) -> &'static str {
    match at {
        at if at == layer * capacity + token => {
            " = layer x capacity + token: that counts tokens, and a token is `row` numbers"
        }
        at if at == layer * capacity * row + token => ": the layer's offset is right, the token's lacks the row",
        at if at == (layer + token) * row => {
            " = (layer + token) x row: a layer has room for `capacity` tokens, not for one"
        }
        at if at == (token * 3 + layer) * row => {
            ": that is [token][layer][row]. Here layers come first, so that a layer's rows lie together"
        }
        at if at == token * row => " = token x row: every layer writes into the first one's place",
        at if at == layer * capacity * row => {
            ": that is where the layer begins; behind what is filled is where it goes on"
        }
        _ => "",
    }
}

fn a_full_cache_refuses_and_changes_nothing() -> Result<()> {
    for layer in [0, 1] {
        let mut cache = subject::Cache::new(SMALL, 4);
        for layer in [0, 1] {
            append(&mut cache, layer, &marked(&SMALL, layer, 0..3))?;
        }
        let before = (cache.filled.clone(), cache.keys.clone(), cache.values.clone());
        let [k, v] = marked(&SMALL, layer, 3..5);
        let call = format!("2 tokens behind 3 in layer {layer}, with room for 4");
        let Err(error) = cache.append(layer, &k, &v) else {
            let over = if layer == 0 && cache.keys[4 * 6..5 * 6] != before.1[4 * 6..5 * 6] {
                " and wrote over token 0 of layer 1"
            } else {
                ""
            };
            bail!("{call}: expected an error, and append went well{over}");
        };
        ensure!(
            error.to_string().contains('4'),
            "{call}: the error `{error}` does not say for how many tokens there is room (4), so nobody knows what to do"
        );
        equal(&format!("{call}, refused: tokens in each layer"), &before.0, &cache.filled)?;
        ensure!(
            (&before.1, &before.2) == (&cache.keys, &cache.values),
            "{call}: append refused and yet wrote. Ask whether all of it fits before the first number is written"
        );
        append(&mut cache, layer, &marked(&SMALL, layer, 3..4))
            .context("one more token fits, after two were refused")?;
    }
    Ok(())
}
