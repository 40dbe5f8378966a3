// Task 6: what it takes.

fn a_short_text_takes_what_it_has() -> Result<()> {
    for (n_tokens, budget, expected) in
        [(100, 256, 768_000), (256, 256, 1_966_080), (1000, 256, 1_966_080), (0, 256, 0), (5, 0, 0)]
    {
        let got = subject::bytes_after(n_tokens, budget, 7_680);
        let hint = match got {
            got if got == budget * 7_680 => ". There are fewer tokens than the budget has room for",
            got if got == n_tokens * 7_680 => ". Tokens beyond the budget were forgotten",
            _ => "",
        };
        ensure!(
            got == expected,
            "bytes_after({n_tokens} tokens, budget {budget}, 7,680 bytes a token): expected {expected}, got {got}{hint}"
        );
    }
    Ok(())
}

fn a_pass_holds_its_new_tokens_too() -> Result<()> {
    for (prompt, new, budget, tokens) in [
        (1000, 10, 256, 1000),
        (100, 900, 256, 257),
        (100, 0, 50, 100),
        (10, 5, 256, 15),
        (50, 1, 50, 51),
        (0, 0, 9, 0),
    ] {
        let got = subject::peak_bytes(prompt, new, budget, 100);
        let hint = match got / 100 {
            got if prompt > got => ". The whole prompt is there before anything is forgotten",
            got if got + 1 == tokens => ". The pass of a new token holds it beside all that was kept",
            got if got == tokens + 1 && prompt + new <= budget => {
                ". The last token's own pass is the last one: there is no token more"
            }
            _ => "",
        };
        ensure!(
            got == tokens * 100,
            "peak_bytes(prompt: {prompt}, new: {new}, budget: {budget}, 100 bytes a token): at most {tokens} tokens are there at \
             once; expected {}, got {got}{hint}",
            tokens * 100
        );
    }
    Ok(())
}

fn bytes_are_those_of_the_buffers() -> Result<()> {
    use kvlab::cache::GuestCache;

    for (prompt, new, policy, budget) in [
        (9, 20, Policy::Window { sinks: 2, recent: 3 }, 5),
        (3, 20, Policy::Heavy { heavy: 4, recent: 4 }, 8),
        (30, 2, Policy::Window { sinks: 0, recent: 10 }, 10),
    ] {
        let mut guest = Guest::new(forget!(subject), policy);
        for pass in 0..=new {
            let n_new = if pass == 0 { prompt } else { 1 };
            let rows = marked(n_new, ROW, 0.0);
            for layer in 0..N_LAYER {
                guest.append(layer, &rows, &rows);
                guest.attend(layer, &rows);
            }
            let (expected, got) = (guest.slots.bytes(), subject::bytes_after(prompt + pass, budget, TOKEN_BYTES));
            equal(&format!("bytes after {} tokens under {policy:?}", prompt + pass), &expected, &got)?;
        }
        let got = subject::peak_bytes(prompt, new, budget, TOKEN_BYTES);
        equal(&format!("the most bytes, prompt of {prompt} and {new} more under {policy:?}"), &guest.peak_bytes, &got)?;
    }
    Ok(())
}
