// Task 1.

fn every_block_is_taken_once() -> Result<()> {
    let mut pool = Pool::new(3);
    let mut taken = vec![];
    for _ in 0..3 {
        let Some(block) = subject::take(&mut pool) else {
            bail!("take of a pool of 3 blocks: expected a block, got None after {taken:?}");
        };
        ensure!(
            !taken.contains(&block),
            "take gave block {block} to two holders, after {taken:?}: is it still in `free`?"
        );
        taken.push(block);
        equal(&format!("holders of block {block} after take"), &1, &pool.holders[block])?;
        pool_is_sound(&pool, "take")?;
    }
    equal("take of a pool where all 3 blocks are taken", &None, &subject::take(&mut pool))
}

fn a_block_is_free_after_its_last_holder() -> Result<()> {
    let mut pool = Pool::new(2);
    let Some(block) = subject::take(&mut pool) else { bail!("take of a pool of 2 free blocks: got None") };
    subject::share(&mut pool, block);
    equal(&format!("holders of block {block} after take and share"), &2, &pool.holders[block])?;
    subject::give_back(&mut pool, block)?;
    ensure!(
        !pool.free.contains(&block),
        "block {block} was taken and shared, so two hold it. One gave it back, and it is in the free list: the next take would give it away \
         under the other one's hands"
    );
    equal(&format!("holders of block {block} after take, share, give_back"), &1, &pool.holders[block])?;
    subject::give_back(&mut pool, block)?;
    equal(&format!("holders of block {block} after take, share and two times give_back"), &0, &pool.holders[block])?;
    ensure!(
        pool.free.contains(&block),
        "the last holder of block {block} gave it back, and it is not in the free list: it is lost"
    );
    pool_is_sound(&pool, "the last give_back")
}

fn what_nobody_holds_cannot_be_given_back() -> Result<()> {
    let mut pool = Pool::new(8);
    let before = pool.clone();
    let Err(error) = subject::give_back(&mut pool, 7) else {
        bail!(
            "give_back of block 7, which nobody holds: expected an error, and it went well. A block that is freed twice is given to two"
        )
    };
    ensure!(
        error.to_string().contains('7'),
        "give_back of block 7, which nobody holds: the error `{error}` does not name it"
    );
    equal("the pool after a give_back that was refused", &before, &pool)
}

fn no_block_is_both_free_and_held() -> Result<()> {
    for seed in 0..50 {
        let (mut pool, mut noise) = (Pool::new(4), Noise::new(seed));
        // By definition: what is held, as often as it is.
        let mut held: Vec<usize> = vec![];
        for step in 1..=60 {
            let done = match noise.below(3) {
                0 => {
                    let free = (0..4).filter(|block| !held.contains(block)).count();
                    let got = subject::take(&mut pool);
                    ensure!(
                        got.is_some() == (free > 0) && got.is_none_or(|block| !held.contains(&block)),
                        "take where {held:?} of 4 blocks are held: got {got:?} (step {step}, seed {seed})"
                    );
                    held.extend(got);
                    "take".to_owned()
                }
                1 if !held.is_empty() => {
                    let block = held[noise.below(held.len())];
                    subject::share(&mut pool, block);
                    held.push(block);
                    format!("share({block})")
                }
                _ if !held.is_empty() => {
                    let block = held.swap_remove(noise.below(held.len()));
                    subject::give_back(&mut pool, block)?;
                    format!("give_back({block})")
                }
                _ => continue,
            };
            let after = format!("{done}, step {step} of random ones (seed {seed})");
            let counts: Vec<usize> = (0..4).map(|block| held.iter().filter(|held| **held == block).count()).collect();
            equal(&format!("holders after {after}"), &counts, &pool.holders)?;
            pool_is_sound(&pool, &after)?;
        }
    }
    Ok(())
}
