// Task 5.

fn truncation_keeps_the_block_it_ends_in() -> Result<()> {
    for (to, len, blocks) in [(9, 9, 3), (20, 9, 3), (8, 8, 2), (5, 5, 2), (1, 1, 1), (0, 0, 0)] {
        let (mut pages, mut seq, mut plain) = (Pages::new(SMALL, 4, 4), Sequence::default(), vec![vec![]; 2]);
        push(&mut pages, &mut seq, &mut plain, &mut Noise::new(1), 9)?;
        subject::truncate(&mut pages, &mut seq, to)?;
        let call = format!("truncate of 9 tokens in blocks of 4 to {to}");
        equal(&format!("{call}: tokens"), &len, &seq.len)?;
        let hint = match seq.table.len() {
            got if got < blocks => ": the last one kept is not full, but it has tokens in it",
            got if got == len / 4 + 1 => ": none of these tokens is in the last one",
            3 => ": no block was given back",
            _ => "",
        };
        ensure!(
            seq.table.len() == blocks,
            "{call}: expected {blocks} blocks in the table, got {}{hint}",
            seq.table.len()
        );
        equal(&format!("{call}: free blocks of 4"), &(4 - blocks), &pages.pool.free.len())?;
        for rows in &mut plain {
            rows.truncate(len);
        }
        has_its_rows(&call, &pages, &seq, &plain)?;
        pool_is_sound(&pages.pool, &call)?;
    }
    Ok(())
}

fn closing_gives_back_what_nobody_else_holds() -> Result<()> {
    let Forked { mut pages, parent, mut child, plain, mut noise } = Forked::new(8, 6)?;
    let mut childs = plain.clone();
    push(&mut pages, &mut child, &mut childs, &mut noise, 3)?;
    equal(
        "free blocks of 8: a text has 2, its fork shares one of them and has 2 of its own",
        &4,
        &pages.pool.free.len(),
    )?;
    subject::close(&mut pages, parent)?;
    let free = pages.pool.free.len();
    let hint = match free {
        6 => ": the first block is the fork's as well",
        4 => ": the second block was the parent's alone",
        _ => "",
    };
    ensure!(free == 5, "free blocks after the parent was closed: expected 5, got {free}{hint}");
    has_its_rows("a fork whose parent was closed", &pages, &child, &childs)?;
    subject::close(&mut pages, child)?;
    equal("free blocks of 8 after the fork was closed too", &8, &pages.pool.free.len())?;
    pool_is_sound(&pages.pool, "close of both")
}

/// Texts in the cache, by number, and what they hold by definition.
struct World {
    pages: Pages,
    texts: BTreeMap<usize, (Sequence, Plain)>,
    noise: Noise,
}

impl World {
    fn new(block_len: usize, seed: u64) -> Self {
        Self { pages: Pages::new(SMALL, 10, block_len), texts: BTreeMap::new(), noise: Noise::new(seed) }
    }

    /// Something random, and what it was.
    fn step(&mut self) -> Result<String> {
        let Self { pages, texts, noise } = self;
        let number = noise.below(5);
        let Some((mut seq, mut plain)) = texts.remove(&number) else {
            texts.insert(number, (Sequence::default(), vec![vec![]; SMALL.n_layer]));
            return Ok(format!("opening text {number}"));
        };
        let done = match noise.below(8) {
            0 => {
                subject::close(pages, seq)?;
                return Ok(format!("close of text {number}"));
            }
            1 => {
                let to = noise.below(12);
                subject::truncate(pages, &mut seq, to)?;
                for rows in &mut plain {
                    rows.truncate(to);
                }
                format!("truncate of text {number} to {to}")
            }
            2 | 3 => {
                let child = (0..5).find(|child| *child != number && !texts.contains_key(child));
                if let Some(child) = child {
                    texts.insert(child, (subject::fork(pages, &seq), plain.clone()));
                }
                format!("fork of text {number} as {child:?}")
            }
            _ => {
                let (new, before) = (noise.below(5), (seq.len, seq.table.clone(), pages.pool.clone()));
                let copies = usize::from(new > 0 && subject::writes_to_shared(pages, &seq));
                let needed = (seq.len + new).div_ceil(pages.block_len) - seq.table.len() + copies;
                let result = push(pages, &mut seq, &mut plain, noise, new);
                if needed > before.2.free.len() {
                    let unchanged = before == (seq.len, seq.table.clone(), pages.pool.clone());
                    ensure!(
                        result.is_err() && unchanged,
                        "grow of text {number} by {new}, which do not fit, changed something"
                    );
                } else {
                    result?;
                }
                format!("grow of text {number} by {new}")
            }
        };
        texts.insert(number, (seq, plain));
        Ok(done)
    }

    fn is_sound(&self, after: &str) -> Result<()> {
        let Self { pages, texts, .. } = self;
        pool_is_sound(&pages.pool, after)?;
        for (block, holders) in pages.pool.holders.iter().enumerate() {
            let tables = texts.values().flat_map(|(seq, _)| &seq.table).filter(|held| **held == block).count();
            equal(&format!("after {after}: holders of block {block}, and tables that have it"), &tables, holders)?;
        }
        for (number, (seq, plain)) in texts {
            let blocks = seq.len.div_ceil(pages.block_len);
            equal(&format!("after {after}: blocks of text {number}, {} tokens", seq.len), &blocks, &seq.table.len())?;
            has_its_rows(&format!("text {number} after {after}"), pages, seq, plain)?;
        }
        Ok(())
    }
}

fn any_order_keeps_every_text() -> Result<()> {
    for seed in 0..60 {
        let mut world = World::new([1, 3, 4][seed % 3], seed as u64);
        for step in 1..=60 {
            let done = world.step()?;
            world.is_sound(&format!("{done}, step {step} of random ones (seed {seed})"))?;
        }
        for (seq, _) in world.texts.into_values() {
            subject::close(&mut world.pages, seq)?;
        }
        equal(
            &format!("free blocks of 10 after every text was closed (seed {seed})"),
            &10,
            &world.pages.pool.free.len(),
        )?;
    }
    Ok(())
}
