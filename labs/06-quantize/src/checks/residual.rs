// Task 5: the newest tokens stay exact.

fn the_newest_stay_out() -> Result<()> {
    for residual in [0, 1, 5, 32, 50] {
        for n_tokens in 0..200 {
            let got = subject::sealed(n_tokens, residual);
            // By its definition: the most groups that leave enough behind them.
            let expected =
                (0..10).map(|groups| groups * GROUP).filter(|sealed| sealed + residual <= n_tokens).max().unwrap_or(0);
            let hint = match got {
                got if got == expected => continue,
                got if got == n_tokens / GROUP * GROUP => {
                    ". That seals every full group, and of the newest tokens too few stay exact"
                }
                got if got == n_tokens.saturating_sub(residual) => ". Only whole groups of 32 are sealed",
                got if got * GROUP == expected => ". That counts groups, and tokens were asked for",
                got if got + GROUP == expected && n_tokens == expected + residual => {
                    ". Exactly `residual` tokens stay behind, and that is enough"
                }
                _ => "",
            };
            bail!(
                "sealed(n_tokens: {n_tokens}, residual: {residual}), groups of {GROUP}: expected {expected}, got {got}{hint}"
            );
        }
    }
    Ok(())
}

fn groups_are_sealed_once_and_in_order() -> Result<()> {
    for (width, residual) in [(1, 0), (2, 5), (3, 32), (2, 70)] {
        let mut noise = Noise::new(width as u64);
        let (mut cache, mut rows) = (Residual::<Vec<f32>>::new(width, residual), vec![]);
        for n_tokens in 1..=150_usize {
            let row = noise.floats(width, 1.0);
            rows.extend_from_slice(&row);
            // A group that is sealed is its rows, so that nothing is lost, and what is not right is out of place.
            subject::append(&mut cache, &row, <[f32]>::to_vec);
            let what = format!("{n_tokens} rows of {width}, residual {residual}");
            let due = n_tokens.saturating_sub(residual) / GROUP;
            equal(&format!("{what}: sealed groups"), &due, &cache.sealed.len())?;
            for (i, group) in cache.sealed.iter().enumerate() {
                let expected = &rows[i * GROUP * width..(i + 1) * GROUP * width];
                ensure!(
                    group.len() == expected.len(),
                    "{what}: group {i} should be made of {} numbers ({GROUP} tokens of {width}), and `seal` got {}",
                    expected.len(),
                    group.len()
                );
                let is_later = rows.windows(group.len()).position(|window| window == group.as_slice());
                let where_from = is_later.map_or("rows that are not behind each other".into(), |at| {
                    format!("those from token {} on", at / width)
                });
                ensure!(
                    group == expected,
                    "{what}: group {i} should be made of the tokens from {} on, and is of {where_from}",
                    i * GROUP
                );
            }
            let exact = &rows[due * GROUP * width..];
            ensure!(
                cache.exact == exact,
                "{what}: {} tokens should be exact, from token {} on, in order; `exact` has {} numbers, and {} were expected",
                exact.len() / width,
                due * GROUP,
                cache.exact.len(),
                exact.len()
            );
        }
    }
    Ok(())
}

fn the_model_tells_the_same_by_channel() -> Result<()> {
    let scheme = Scheme { keys: Format::Int8Channels, values: Format::Int8, residual: 4 };
    tells_the_same("keys by channel, all but the newest 4 to 35, and values by token, in 8 bits", scheme)
}
