// Task 1.

fn the_formula_counts_what_concat_copies() -> Result<()> {
    let shape = Shape { n_layer: 3, n_head: 1, head_dim: 2 };
    for (prompt, new) in [(1, 0), (0, 1), (0, 4), (5, 1), (7, 40), (30, 100)] {
        let mut concat = Concat::new(shape);
        let passes = [prompt].into_iter().filter(|prompt| *prompt > 0).chain(vec![1; new]);
        for (tokens, layer) in passes.flat_map(|tokens| (0..shape.n_layer).map(move |layer| (tokens, layer))) {
            let rows = vec![0.0; tokens * shape.row()];
            concat.append(layer, &rows, &rows);
        }
        let token = shape.token_bytes();
        let (prompt, new) = (prompt as u64, new as u64);
        let got = subject::concat_copied_bytes(prompt, new, token);
        let hint = if got == concat.copied_bytes {
            continue;
        } else if got == (prompt + new) * token {
            "that is every token once. A pass copies all tokens before it again"
        } else if got + (prompt + new) * token == concat.copied_bytes {
            "that leaves out rows that are new. They are written into the new buffer too"
        } else if got * shape.n_layer as u64 == concat.copied_bytes || got == concat.copied_bytes * shape.n_layer as u64
        {
            "that is right up to the number of layers, which token_bytes has in it already"
        } else if got + prompt * token == concat.copied_bytes {
            "that leaves out the prompt's own pass"
        } else {
            "add up what the first three passes write, by hand"
        };
        bail!(
            "a prompt of {prompt} tokens and {new} more, {token} bytes each: given::Concat copied {} bytes, and your formula says {got}: {hint}",
            concat.copied_bytes
        );
    }
    Ok(())
}
