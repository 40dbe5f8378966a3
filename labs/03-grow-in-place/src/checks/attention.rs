// Task 4: against the definition, and the story model.

fn a_query_sees_the_past_and_itself() -> Result<()> {
    for (past, i) in [(0, 0), (0, 2), (5, 0), (5, 1), (5, 2), (1023, 0)] {
        let got = subject::visible(past, i);
        let hint = match got {
            got if got == i + 1 => ": that forgets the past",
            got if got == past + i => {
                ": that leaves out its own key. Rows count from 0, so row i is the one after i others"
            }
            got if got == past + i + 2 => ": that is one too many; it would see the token that it is to predict",
            got if got == past + 1 => ": that is right for row 0 only; row i sees the new tokens before it too",
            _ => "",
        };
        ensure!(got == past + i + 1, "visible(past: {past}, i: {i}): expected {} keys, got {got}{hint}", past + i + 1);
    }
    Ok(())
}

/// Attention by its definition in f64, the query in row `i` over the first `sees(i)` keys.
fn definition(shape: &Shape, q: &[f32], k: &[f32], v: &[f32], sees: impl Fn(usize) -> usize) -> Vec<f32> {
    let (row, head_dim) = (shape.row(), shape.head_dim);
    let at = |rows: &[f32], token: usize, head: usize, d: usize| f64::from(rows[token * row + head * head_dim + d]);
    let mut out = vec![];
    for (i, head) in (0..q.len() / row).flat_map(|i| (0..shape.n_head).map(move |head| (i, head))) {
        #[expect(clippy::cast_precision_loss, reason = "a head has few elements")]
        let root = (head_dim as f64).sqrt();
        let score = |key| (0..head_dim).map(|d| at(q, i, head, d) * at(k, key, head, d)).sum::<f64>() / root;
        let weights: Vec<f64> = (0..sees(i)).map(|key| f64::exp(score(key))).collect();
        let sum: f64 = weights.iter().sum();
        let value = |d| weights.iter().enumerate().map(|(key, weight)| weight / sum * at(v, key, head, d)).sum::<f64>();
        #[expect(clippy::cast_possible_truncation, reason = "numbers of size 1, compared as f32")]
        out.extend((0..head_dim).map(|d| value(d) as f32));
    }
    out
}

fn chunks_attend_as_the_definition_says() -> Result<()> {
    let shape = Shape { n_layer: 2, n_head: 3, head_dim: 4 };
    for seed in 0..20 {
        let mut pair = Pair::new(shape, 16, seed);
        for layer in [0, 1, 0, 1, 1, 0] {
            let new = 1 + pair.noise.below(4);
            let past = pair.plain[layer][0].len() / shape.row();
            pair.append(layer, new)?;
            let q = pair.noise.floats(new * shape.row());
            let got = subject::attend(&pair.cache, layer, &q);
            let [k, v] = &pair.plain[layer];
            let as_if = |sees: &dyn Fn(usize) -> usize| {
                close("", &definition(&shape, &q, k, v, sees), &got, &[new, 3, 4], 1e-5).is_ok()
            };
            let what = format!("attend of {new} queries behind {past} tokens in layer {layer} (seed {seed})");
            let expected = definition(&shape, &q, k, v, |i| past + i + 1);
            if let Err(error) = close(&what, &expected, &got, &[new, 3, 4], 1e-5) {
                let hint = if as_if(&|_| past + new) {
                    ". It is what comes out when every query sees every key: is `past` what stood there before these queries? The \
                     layer holds the new tokens too by now"
                } else if as_if(&|i| i + 1) {
                    ". It is what comes out when `past` is 0"
                } else {
                    ""
                };
                bail!("{error}{hint}");
            }
        }
    }
    Ok(())
}

fn the_model_writes_what_it_writes_over_kvlab() -> Result<()> {
    let story = Story::load()?;
    let expected = story.run("contiguous", PROMPT, 12)?;
    for chunk in [1000, 7] {
        let got = story.generate(crate::mine::guest!(subject).as_mut(), PROMPT, chunk, 12)?;
        equal(
            &format!("12 tokens of the story model over your cache, the prompt in chunks of {chunk}"),
            &story.text(expected.generated())?,
            &story.text(&got)?,
        )?;
    }
    Ok(())
}
