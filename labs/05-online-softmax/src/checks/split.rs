// Task 6: parts that do not know of each other.

fn parts_hold_every_token_once() -> Result<()> {
    #[expect(clippy::single_range_in_vec_init, reason = "one part is the whole")]
    let whole = vec![0..7];
    equal("parts(7, 1)", &whole, &subject::parts(7, 1))?;
    let got = subject::parts(10, 4);
    let end = got.last().map_or(0, |last| last.end);
    ensure!(
        end == 10,
        "parts(10, 4): expected [0..3, 3..6, 6..8, 8..10], got {got:?}, which ends at {end}: 10 / 4 is 2, and a rest of 2 has to go somewhere"
    );
    let hint = if got == [0..3, 3..6, 6..9, 9..10] {
        ". Rounding up for every part leaves too little for the last: only as many are longer as there is a rest"
    } else {
        ""
    };
    ensure!(got == [0..3, 3..6, 6..8, 8..10], "parts(10, 4): expected [0..3, 3..6, 6..8, 8..10], got {got:?}{hint}");
    equal("parts(2, 4), more parts than tokens", &vec![0..1, 1..2, 2..2, 2..2], &subject::parts(2, 4))?;
    for (n_tokens, n_parts) in (0..40).flat_map(|n_tokens| (1..9).map(move |n_parts| (n_tokens, n_parts))) {
        let got = subject::parts(n_tokens, n_parts);
        equal(&format!("parts({n_tokens}, {n_parts}): how many"), &n_parts, &got.len())?;
        let all: Vec<usize> = got.iter().cloned().flatten().collect();
        ensure!(
            all.iter().copied().eq(0..n_tokens),
            "parts({n_tokens}, {n_parts}): {got:?} is not 0..{n_tokens} in order"
        );
        let lengths: Vec<usize> = got.iter().map(ExactSizeIterator::len).collect();
        let is_even = lengths.is_sorted_by(|a, b| a >= b) && lengths[0] - lengths[n_parts - 1] <= 1;
        ensure!(
            is_even,
            "parts({n_tokens}, {n_parts}): lengths {lengths:?} should differ by at most 1, longer ones first"
        );
    }
    Ok(())
}

fn each_part_is_read_by_itself() -> Result<()> {
    let Head { q, keys, values } = head(&mut Noise::new(3), 1, 50, 4);
    for n_parts in [1, 2, 3, 7] {
        let rows = Rows::new(&keys, &values, 4, 8);
        let _attended = subject::attend_split(&q, &rows, n_parts);
        let Lent { readers, tokens, .. } = rows.lent();
        let call = format!("attend_split over 50 tokens in {n_parts} parts");
        ensure!(
            readers == n_parts,
            "{call}: expected a reader for each part, and there were {readers}. Parts that share one must wait for each other"
        );
        ensure!(
            tokens == 50,
            "{call}: expected 50 tokens to be read once, and {tokens} were. Does each reader begin at its part's first token, and end at its last?"
        );
    }
    Ok(())
}

fn any_number_of_parts_gives_the_definition() -> Result<()> {
    for seed in 0..40 {
        let mut noise = Noise::new(seed);
        let (n_tokens, head_dim, tile) = (1 + noise.below(150), 1 + noise.below(8), 1 + noise.below(20));
        let n_parts = 1 + noise.below(12);
        let Head { q, keys, values } = head(&mut noise, 1, n_tokens, head_dim);
        let rows = Rows::new(&keys, &values, head_dim, tile);
        let got = subject::attend_split(&q, &rows, n_parts);
        let expected = attention(&q, &keys, &values, n_tokens);
        let call = format!(
            "attend_split over {n_tokens} tokens of {head_dim} in {n_parts} parts, tiles of {tile} (seed {seed})"
        );
        if let Err(error) = close(&call, &expected, &got, &[head_dim], TOLERANCE) {
            let of_part = |part: &std::ops::Range<usize>| {
                let range = part.start * head_dim..part.end * head_dim;
                attention(&q, &keys[range.clone()], &values[range], part.len())
            };
            let parts: Vec<_> = subject::parts(n_tokens, n_parts).into_iter().filter(|part| !part.is_empty()).collect();
            #[expect(clippy::cast_precision_loss, reason = "a few parts")]
            let n = parts.len() as f32;
            let mean: Vec<f32> =
                (0..head_dim).map(|d| parts.iter().map(|part| of_part(part)[d]).sum::<f32>() / n).collect();
            let hint = if close("", &mean, &got, &[head_dim], 1e-4).is_ok() {
                ". It is the mean of the parts' results. Parts have different sums of weights, which finished results no longer tell: merge the \
                 states, then finish once"
            } else {
                ""
            };
            bail!("{error}{hint}");
        }
    }
    Ok(())
}
