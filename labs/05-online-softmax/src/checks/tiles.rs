// Task 4: tile by tile.

/// Keys and values of one head, and as many queries.
struct Head {
    q: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Scores of some size, so that a wrong maximum shows.
fn head(noise: &mut Noise, n_queries: usize, n_tokens: usize, head_dim: usize) -> Head {
    Head {
        q: noise.floats(n_queries * head_dim, 4.0),
        keys: noise.floats(n_tokens * head_dim, 4.0),
        values: noise.floats(n_tokens * head_dim, 1.0),
    }
}

/// The scores of a query, as the reader computes them.
fn scores(q: &[f32], keys: &[f32], values: &[f32]) -> Vec<f32> {
    Rows::new(keys, values, q.len(), keys.len()).reader_at(0).lend(q, keys.len() / q.len()).0.to_vec()
}

fn every_token_is_read_once() -> Result<()> {
    let Head { q, keys, values } = head(&mut Noise::new(4), 1, 37, 5);
    for (from, n, tile) in [(0, 32, 16), (0, 37, 16), (0, 3, 16), (5, 30, 7), (0, 37, 1), (0, 37, 37), (20, 0, 8)] {
        let rows = Rows::new(&keys, &values, 5, tile);
        let got = subject::partial(&q, &mut rows.reader_at(from), n);
        let call = format!("partial over {n} tokens from token {from}, in tiles of at most {tile}");
        let Lent { tiles, tokens, .. } = rows.lent();
        ensure!(
            tokens != n / tile * tile || tokens == n,
            "{call}: {tokens} tokens were read and {n} were expected. The last tile is shorter, and counts too"
        );
        equal(&format!("{call}: tokens that were read"), &n, &tokens)?;
        equal(&format!("{call}: tiles that were lent"), &n.div_ceil(tile), &tiles)?;
        let (keys, values) = (&keys[from * 5..(from + n) * 5], &values[from * 5..(from + n) * 5]);
        let expected = if n == 0 { definition(&[], &[], 5) } else { definition(&scores(&q, keys, values), values, 5) };
        same_state(&call, &expected, &got)?;
    }
    Ok(())
}

fn a_query_reads_no_later_token() -> Result<()> {
    for (past, new) in [(0, 1), (6, 1), (0, 4), (6, 3)] {
        let n_tokens = past + new;
        let Head { q, keys, values } = head(&mut Noise::new(9), new, n_tokens, 4);
        let rows = Rows::new(&keys, &values, 4, 16);
        let got = subject::attend(&q, &rows);
        let call = format!("attend of {new} queries behind {past} tokens");
        let seen: usize = (1..=new).map(|i| past + i).sum();
        let Lent { tokens, readers, .. } = rows.lent();
        let hint = match tokens {
            tokens if tokens == new * n_tokens => ": every query read every token, the later ones too",
            tokens if tokens == new * (new + 1) / 2 => {
                ": as if there were no past. Row i stands behind `past` + i tokens"
            }
            tokens if tokens + new == seen => ": no query read its own token",
            _ => "",
        };
        let each: Vec<_> = (1..=new).map(|i| (past + i).to_string()).collect();
        ensure!(
            tokens == seen,
            "{call}: these see {} tokens, one query after the other, and {tokens} were read in all{hint}",
            each.join(" and ")
        );
        equal(&format!("{call}: readers (each query begins anew at token 0)"), &new, &readers)?;
        let expected: Vec<f32> =
            q.chunks(4).enumerate().flat_map(|(i, q)| attention(q, &keys, &values, past + i + 1)).collect();
        close(&call, &expected, &got, &[new, 4], TOLERANCE)?;
    }
    Ok(())
}

fn any_tile_gives_the_definition() -> Result<()> {
    for seed in 0..40 {
        let mut noise = Noise::new(seed);
        let (n_tokens, head_dim, tile) = (1 + noise.below(90), 1 + noise.below(8), 1 + noise.below(33));
        let new = 1 + noise.below(n_tokens.min(5));
        let Head { q, keys, values } = head(&mut noise, new, n_tokens, head_dim);
        let rows = Rows::new(&keys, &values, head_dim, tile);
        let got = subject::attend(&q, &rows);
        let sees = |i: usize| n_tokens - new + i + 1;
        let queries = q.chunks(head_dim).enumerate();
        let expected: Vec<f32> = queries.flat_map(|(i, q)| attention(q, &keys, &values, sees(i))).collect();
        let call =
            format!("attend of {new} queries over {n_tokens} tokens of {head_dim}, tiles of {tile} (seed {seed})");
        close(&call, &expected, &got, &[new, head_dim], TOLERANCE)?;
        ensure!(rows.lent().largest <= tile, "{call}: {} scores were held", rows.lent().largest);
    }
    Ok(())
}

fn the_model_writes_what_it_writes_over_kvlab() -> Result<()> {
    let story = Story::load()?;
    let expected = story.run("contiguous", PROMPT, 12)?;
    let mut cache = guest(Attention { tile: 16, attend: subject::attend, split: None });
    equal(
        "12 tokens of the story model over your attention, in tiles of 16, the prompt in chunks of 7",
        &story.text(expected.generated())?,
        &story.text(&story.generate(cache.as_mut(), PROMPT, 7, 12)?)?,
    )
}
