// Task 3.

fn a_slot_goes_through_the_table() -> Result<()> {
    let (table, block_len) = ([5, 2, 9], 4);
    for (position, expected) in [(6, 10), (11, 39), (0, 20), (3, 23), (4, 8)] {
        let got = subject::slot(&table, block_len, position);
        let (index, offset) = (position / block_len, position % block_len);
        let hint = match got {
            got if got == position => ": that is the position itself, as if the text lay in one piece",
            got if got == table[index] => ": that is the block; a slot counts tokens",
            got if got == table[index] + offset => ": a block has block_len slots, not one",
            got if got == table[index] * block_len => ": that is the first slot of the block, for any token in it",
            got if got == table[index] * block_len + position => {
                ": in its block, a token is `position % block_len` slots from the first"
            }
            _ => "",
        };
        ensure!(
            got == expected,
            "slot(table: {table:?}, block_len: {block_len}, position: {position}): expected {expected}, got {got}{hint}"
        );
    }
    Ok(())
}

fn rows_come_back_in_the_order_of_the_text() -> Result<()> {
    for (seed, block_len) in [(1, 1), (2, 3), (3, 4), (4, 16)] {
        let (mut pages, mut noise) = (Pages::new(SMALL, 40, block_len), Noise::new(seed));
        let mut texts = [(); 3].map(|()| (Sequence::default(), vec![vec![]; SMALL.n_layer]));
        // In turns, so that no text has its blocks in one piece.
        for (step, new) in [2, 1, 3, 1, 1, 4, 2, 1, 1].into_iter().enumerate() {
            let (seq, plain) = &mut texts[step % 3];
            push(&mut pages, seq, plain, &mut noise, new)?;
            for (number, (seq, plain)) in texts.iter().enumerate() {
                let name =
                    format!("text {number} of 3 that grow in turns, blocks of {block_len}, table {:?}", seq.table);
                has_its_rows(&name, &pages, seq, plain)?;
            }
        }
    }
    Ok(())
}

fn the_model_writes_what_it_writes_over_kvlab() -> Result<()> {
    let story = Story::load()?;
    let expected = story.run("contiguous", PROMPT, 12)?;
    for (block_len, chunk) in [(16, 1000), (5, 7)] {
        let got = story.generate(crate::mine::guest!(subject, block_len).as_mut(), PROMPT, chunk, 12)?;
        equal(
            &format!("12 tokens of the story model over your pages of {block_len}, the prompt in chunks of {chunk}"),
            &story.text(expected.generated())?,
            &story.text(&got)?,
        )?;
    }
    Ok(())
}
