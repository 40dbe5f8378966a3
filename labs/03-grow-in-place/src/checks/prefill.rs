// Task 5.

/// Tokens of a pass, and the past that it was told.
type Pass = (Vec<u32>, usize);

/// What `prefill` ran, and what it returned.
fn passes(tokens: &[u32], cached: usize, chunk: usize) -> Result<(Vec<Pass>, Option<u32>)> {
    let mut passes = vec![];
    let next = subject::prefill(tokens, cached, chunk, &mut |part, past| {
        passes.push((part.to_vec(), past));
        ensure!(passes.len() <= 50, "prefill of {} tokens, {cached} of them cached, does not end", tokens.len());
        Ok(1000 + u32::try_from(past + part.len())?)
    })?;
    Ok((passes, next))
}

fn every_token_is_run_once() -> Result<()> {
    let all: Vec<u32> = (100..112).collect();
    for (n, chunk) in (0..=12).flat_map(|n| [1, 2, 3, 5, 12, 100].map(|chunk| (n, chunk))) {
        for cached in 0..=n {
            let (got, _) = passes(&all[..n], cached, chunk)?;
            let run: Vec<u32> = got.iter().flat_map(|(part, _)| part).copied().collect();
            let call = format!("prefill of {n} tokens {:?}, the first {cached} cached, chunks of {chunk}", &all[..n]);
            let expected = &all[cached..n];
            let hint = match run.len() {
                len if len == n && cached > 0 => ": tokens that are cached were run again",
                len if len < expected.len() && expected.starts_with(&run) => {
                    ": the rest, which fills no whole chunk, is missing"
                }
                len if len > expected.len() => ": a token was run twice",
                _ => "",
            };
            ensure!(run == expected, "{call}: expected the passes to run {expected:?}, got {run:?}{hint}");
            let mut past = cached;
            for (part, got) in &got {
                ensure!(!part.is_empty() && part.len() <= chunk, "{call}: a pass ran {} tokens", part.len());
                let hint = if *got + cached == past { ": what is cached stands before it too" } else { "" };
                ensure!(
                    *got == past,
                    "{call}: the pass of {part:?} should be told past = {past} and was told {got}{hint}"
                );
                past += part.len();
            }
            equal(&format!("{call}: passes, each as full as can be"), &expected.len().div_ceil(chunk), &got.len())?;
        }
    }
    Ok(())
}

fn the_last_pass_says_what_follows() -> Result<()> {
    let tokens = [7, 8, 9, 10, 11];
    equal(
        "prefill of 5 tokens in chunks of 2, where run returns 1002, 1004 and 1005",
        &Some(1005),
        &passes(&tokens, 0, 2)?.1,
    )?;
    equal("prefill where all 5 tokens are cached", &None, &passes(&tokens, 5, 2)?.1)?;
    let mut calls = 0;
    let result = subject::prefill(&tokens, 0, 2, &mut |_, _| {
        calls += 1;
        bail!("the cache is full")
    });
    let Err(error) = result else { bail!("an error of `run` should come back from prefill, and it returned Ok") };
    ensure!(format!("{error:#}").contains("the cache is full"), "the error of `run` is lost: prefill says `{error:#}`");
    equal("passes after one that failed, itself counted", &1, &calls)
}
