// Task 3: what is filled, against plain vectors.

fn rows_are_what_is_filled() -> Result<()> {
    let mut cache = subject::Cache::new(SMALL, 5);
    let both = marked(&SMALL, 1, 0..2);
    append(&mut cache, 1, &both)?;
    for (layer, tokens) in [(0, 0), (1, 2)] {
        let (keys, values) = cache.rows(layer);
        for (name, len) in [("keys", keys.len()), ("values", values.len())] {
            let hint = match len {
                len if len == tokens => ": that is tokens, and a token is 6 numbers",
                30 => ": that is all that is reserved. Zeros behind the last token would be keys like any other",
                60 => ": that is the buffer of all layers",
                _ => "",
            };
            ensure!(
                len == tokens * 6,
                "rows({layer}), a layer with {tokens} of 5 tokens: expected {} numbers of {name}, got {len}{hint}",
                tokens * 6
            );
        }
    }
    let (keys, values) = cache.rows(1);
    ensure!(keys != both[1], "rows(1) begins with values; keys come first");
    close("keys of rows(1)", &both[0], keys, &[2, 2, 3], 0.0)?;
    close("values of rows(1)", &both[1], values, &[2, 2, 3], 0.0)
}

/// A cache and plain vectors that are appended to, for each layer.
struct Pair {
    cache: subject::Cache,
    plain: Vec<[Vec<f32>; 2]>,
    noise: Noise,
}

impl Pair {
    fn new(shape: Shape, capacity: usize, seed: u64) -> Self {
        let plain = vec![[vec![], vec![]]; shape.n_layer];
        Self { cache: subject::Cache::new(shape, capacity), plain, noise: Noise::new(seed) }
    }

    /// Appends `tokens` tokens of noise to both; the cache refuses where they do not fit.
    fn append(&mut self, layer: usize, tokens: usize) -> Result<()> {
        let new = [(); 2].map(|()| self.noise.floats(tokens * self.cache.shape.row()));
        let past = self.plain[layer][0].len() / self.cache.shape.row();
        if past + tokens > self.cache.capacity {
            let refused = self.cache.append(layer, &new[0], &new[1]).is_err();
            ensure!(refused, "{tokens} tokens behind {past} with room for {}: expected an error", self.cache.capacity);
        } else {
            append(&mut self.cache, layer, &new)?;
            self.plain[layer].iter_mut().zip(&new).for_each(|(plain, new)| plain.extend_from_slice(new));
        }
        Ok(())
    }

    fn is_equal(&self, after: &str) -> Result<()> {
        let shape = self.cache.shape;
        for (layer, plain) in self.plain.iter().enumerate() {
            let (keys, values) = self.cache.rows(layer);
            let dims = [plain[0].len() / shape.row(), shape.n_head, shape.head_dim];
            close(&format!("keys of rows({layer}) after {after}"), &plain[0], keys, &dims, 0.0)?;
            close(&format!("values of rows({layer}) after {after}"), &plain[1], values, &dims, 0.0)?;
        }
        Ok(())
    }
}

fn any_appends_give_the_rows_of_plain_vectors() -> Result<()> {
    for seed in 0..40 {
        let mut pair = Pair::new(Shape { n_layer: 3, n_head: 2, head_dim: 2 }, 9, seed);
        for appended in 1..=20 {
            let (layer, tokens) = (pair.noise.below(3), pair.noise.below(4));
            pair.append(layer, tokens)?;
            pair.is_equal(&format!("{appended} random appends (seed {seed})"))?;
        }
    }
    Ok(())
}
