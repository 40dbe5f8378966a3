// Task 6.

fn what_is_shared_counts_once() -> Result<()> {
    let Forked { mut pages, parent, mut child, .. } = Forked::new(8, 6)?;
    let both = subject::usage(&pages, &[&parent, &child]);
    let hint = if both.used == 12 { ". Tokens of a fork lie in the same places as its parent's" } else { "" };
    ensure!(
        (both.held, both.used) == (8, 6),
        "a text of 6 tokens in blocks of 4 and its fork: expected 8 held and 6 used, got {} and {}{hint}",
        both.held,
        both.used
    );
    subject::grow(&mut pages, &mut child, 1)?;
    let both = subject::usage(&pages, &[&parent, &child]);
    // Blocks: one full and shared, the parent's with 2, the child's with 3.
    ensure!(
        (both.held, both.used) == (12, 9),
        "the same after the fork grew by 1 token: expected 12 held and 9 used (4 shared, 2 and 3 of their own), got {} and {}",
        both.held,
        both.used
    );
    let none = subject::usage(&Pages::new(SMALL, 8, 4), &[]);
    equal("held and used of nobody", &(0, 0), &(none.held, none.used))
}

fn usage_is_what_counting_every_place_gives() -> Result<()> {
    for seed in 100..130 {
        let mut world = World::new([1, 3, 4][seed % 3], seed as u64);
        for step in 1..=40 {
            let done = world.step()?;
            let pages = &world.pages;
            let sequences: Vec<&Sequence> = world.texts.values().map(|(seq, _)| seq).collect();
            let places = (0..10).flat_map(|block| (0..pages.block_len).map(move |offset| (block, offset)));
            let index = |seq: &Sequence, block: usize| seq.table.iter().position(|held| *held == block);
            let filled = |(block, offset): &(usize, usize)| {
                sequences.iter().any(|seq| index(seq, *block).is_some_and(|at| at * pages.block_len + offset < seq.len))
            };
            let held =
                places.clone().filter(|(block, _)| sequences.iter().any(|seq| index(seq, *block).is_some())).count();
            let used = places.filter(filled).count();
            let got = subject::usage(pages, &sequences);
            let lengths: Vec<usize> = sequences.iter().map(|seq| seq.len).collect();
            equal(
                &format!(
                    "(held, used) of texts with {lengths:?} tokens after {done}, step {step} of random ones (seed {seed}), blocks of {}",
                    pages.block_len
                ),
                &(held, used),
                &(got.held, got.used),
            )?;
        }
    }
    Ok(())
}
