// Task 2: the same policy as a mask.

fn a_prompt_sees_all_before() -> Result<()> {
    for (query, key) in (0..12).flat_map(|query| (0..12).map(move |key| (query, key))) {
        let got = subject::sees(query, key, 12, 1, 3);
        let hint = match key {
            key if key > query => ". That token comes later",
            key if key == query => ". A token sees itself",
            _ => ". The prompt is one pass, and nothing is forgotten before a pass is over",
        };
        ensure!(
            got == (key <= query),
            "sees(query: {query}, key: {key}, prompt: 12, sinks: 1, recent: 3): expected {}, got {got}{hint}",
            key <= query
        );
    }
    Ok(())
}

/// By passes that are made and tokens that are forgotten, without a rule for any position.
fn the_mask_is_what_eviction_leaves() -> Result<()> {
    for (prompt, sinks, recent) in [(5, 0, 3), (5, 2, 3), (1, 1, 1), (9, 4, 2), (3, 2, 0), (2, 0, 20)] {
        let mut there: Vec<usize> = (0..prompt).collect();
        for query in prompt..24 {
            there = there.iter().copied().filter(|key| *key < sinks || key + recent >= query).collect();
            there.push(query);
            for key in 0..24 {
                let (expected, got) = (there.contains(&key), subject::sees(query, key, prompt, sinks, recent));
                let hint = match key {
                    _ if got == expected => continue,
                    key if key > query => ": that token comes later",
                    key if key == query => ": a token sees itself",
                    key if key < sinks => ": it is a sink",
                    key if key + recent == query => {
                        ": when the pass before was over, it was the oldest of the newest `recent`. The query's own token came after that"
                    }
                    key if key < prompt && got => {
                        ": the prompt's tokens are forgotten like others once its pass is over"
                    }
                    _ => "",
                };
                bail!(
                    "sees(query: {query}, key: {key}, prompt: {prompt}, sinks: {sinks}, recent: {recent}): when its pass begins, \
                     tokens {:?} are there; expected {expected}, got {got}{hint}",
                    &there[..there.len() - 1]
                );
            }
        }
    }
    Ok(())
}
