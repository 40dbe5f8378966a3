// Task 6.

fn truncation_touches_no_memory() -> Result<()> {
    let mut cache = subject::Cache::new(SMALL, 5);
    for layer in [0, 1] {
        append(&mut cache, layer, &marked(&SMALL, layer, 0..4))?;
    }
    let (keys, values, place) = (cache.keys.clone(), cache.values.clone(), cache.keys.as_ptr());
    cache.truncate(2);
    equal("tokens in each layer after truncate(2) of 4", &vec![2, 2], &cache.filled)?;
    ensure!(
        cache.keys.len() == keys.len() && cache.values.len() == values.len(),
        "truncate(2) changed the buffers from {} to {} numbers; their memory is wanted again at the next append",
        keys.len(),
        cache.keys.len()
    );
    ensure!(
        cache.keys == keys && cache.values == values,
        "truncate(2) wrote into the buffers; a length is all that changes"
    );
    ensure!(cache.keys.as_ptr() == place, "truncate(2) moved the buffers");
    Ok(())
}

fn no_layer_grows_by_truncation() -> Result<()> {
    // In the middle of a pass some layers have its tokens and some have not.
    let mut cache = subject::Cache::new(SMALL, 5);
    append(&mut cache, 0, &marked(&SMALL, 0, 0..4))?;
    append(&mut cache, 1, &marked(&SMALL, 1, 0..2))?;
    for (to, expected) in [(5, vec![4, 2]), (3, vec![3, 2]), (0, vec![0, 0])] {
        let before = cache.filled.clone();
        cache.truncate(to);
        let hint =
            if cache.filled == [to, to] { ": a layer that has fewer tokens has no more by truncation" } else { "" };
        ensure!(
            cache.filled == expected,
            "truncate({to}) of layers with {before:?} tokens: expected {expected:?}, got {:?}{hint}",
            cache.filled
        );
    }
    Ok(())
}

fn what_follows_overwrites_what_was_forgotten() -> Result<()> {
    for seed in 100..140 {
        let mut pair = Pair::new(Shape { n_layer: 3, n_head: 1, head_dim: 3 }, 8, seed);
        for step in 1..=30 {
            let after = if pair.noise.below(4) == 0 {
                let to = pair.noise.below(9);
                pair.cache.truncate(to);
                pair.plain.iter_mut().flatten().for_each(|rows| rows.truncate(to * 3));
                format!("truncate({to})")
            } else {
                let (layer, tokens) = (pair.noise.below(3), pair.noise.below(4));
                pair.append(layer, tokens)?;
                format!("an append of {tokens} to layer {layer}")
            };
            pair.is_equal(&format!("{after}, step {step} of random ones (seed {seed})"))?;
        }
    }
    Ok(())
}
