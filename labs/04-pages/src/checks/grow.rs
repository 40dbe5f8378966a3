// Task 2.

fn a_block_is_taken_when_the_last_is_full() -> Result<()> {
    for block_len in [1, 4] {
        let (mut pages, mut seq) = (Pages::new(SMALL, 16, block_len), Sequence::default());
        for new in [1, 2, 1, 0, 1, 6, 4] {
            let past = seq.len;
            subject::grow(&mut pages, &mut seq, new)?;
            let (call, len) = (format!("grow by {new} of {past} tokens, blocks of {block_len}"), past + new);
            equal(&format!("{call}: tokens"), &len, &seq.len)?;
            let expected = len.div_ceil(block_len);
            let hint = match seq.table.len() {
                got if got == len && block_len > 1 => ": that is one for every token",
                got if got == len / block_len + 1 => {
                    ": that is one that no token is in yet. It is taken when it is needed"
                }
                got if got == len / block_len => ": the last tokens have none",
                got if got > expected => ": was the room in the last block used?",
                _ => "",
            };
            let got = seq.table.len();
            ensure!(
                got == expected,
                "{call}: expected {expected} blocks in the table for {len} tokens, got {got}{hint}"
            );
            for (index, block) in seq.table.iter().enumerate() {
                ensure!(
                    !seq.table[..index].contains(block),
                    "{call}: block {block} is twice in the table {:?}",
                    seq.table
                );
                equal(&format!("{call}: holders of block {block}"), &1, &pages.pool.holders[*block])?;
            }
            pool_is_sound(&pages.pool, &call)?;
        }
    }
    Ok(())
}

fn what_does_not_fit_takes_nothing() -> Result<()> {
    // 5 tokens hold 2 blocks of 4, and one is free: there is room for 3 + 4 more.
    for (new, fits) in [(8, false), (12, false), (100, false), (7, true)] {
        let (mut pages, mut seq) = (Pages::new(SMALL, 3, 4), Sequence::default());
        subject::grow(&mut pages, &mut seq, 5)?;
        let (pool, table) = (pages.pool.clone(), seq.table.clone());
        let call = format!("grow by {new} of 5 tokens in blocks of 4, where 1 of 3 blocks is free");
        match subject::grow(&mut pages, &mut seq, new) {
            Ok(()) => ensure!(
                fits,
                "{call}: there is room for 7, expected an error, and it went well with the table {:?}",
                seq.table
            ),
            Err(error) => {
                ensure!(!fits, "{call}: all fit, and it was refused: {error}. The last block has room for 3");
                ensure!(
                    (seq.len, &seq.table, &pages.pool) == (5, &table, &pool),
                    "{call}: it was refused and yet changed something: the table was {table:?} and is {:?}, 5 tokens are {}, {} free \
                     blocks are {}. What a refused step keeps, nobody gives back. Count first, then take",
                    seq.table,
                    seq.len,
                    pool.free.len(),
                    pages.pool.free.len()
                );
            }
        }
    }
    Ok(())
}
