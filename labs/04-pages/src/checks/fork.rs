// Task 4.

/// A text of `len` tokens in blocks of 4, with `n_blocks` in the pool, and its fork.
struct Forked {
    pages: Pages,
    parent: Sequence,
    child: Sequence,
    plain: Plain,
    noise: Noise,
}

impl Forked {
    fn new(n_blocks: usize, len: usize) -> Result<Self> {
        let (mut pages, mut parent, mut plain) = (Pages::new(SMALL, n_blocks, 4), Sequence::default(), vec![vec![]; 2]);
        let mut noise = Noise::new(len as u64);
        push(&mut pages, &mut parent, &mut plain, &mut noise, len)?;
        let child = subject::fork(&mut pages, &parent);
        Ok(Self { pages, parent, child, plain, noise })
    }
}

fn a_fork_shares_every_block() -> Result<()> {
    let Forked { pages, parent, child, plain, .. } = Forked::new(8, 6)?;
    equal("tokens of a fork of 6 tokens", &6, &child.len)?;
    ensure!(
        pages.pool.free.len() == 6,
        "a fork of a text with 2 of 8 blocks: expected 6 free blocks as before, got {}: a fork copies nothing",
        pages.pool.free.len()
    );
    equal("the table of a fork", &parent.table, &child.table)?;
    for block in &parent.table {
        let holders = pages.pool.holders[*block];
        let hint = if holders == 1 {
            ": the fork was not counted. Whoever ends first would give the other's blocks away"
        } else {
            ""
        };
        ensure!(
            holders == 2,
            "holders of block {block}, which a text and its fork have in their tables: expected 2, got {holders}{hint}"
        );
    }
    has_its_rows("a fork", &pages, &child, &plain)
}

fn only_a_shared_block_with_room_is_copied() -> Result<()> {
    // 6 tokens in blocks of 4: the second block has room. 8 tokens: none has.
    for (len, copied) in [(6, true), (8, false)] {
        let Forked { mut pages, mut parent, mut child, .. } = Forked::new(8, len)?;
        equal(
            &format!("writes_to_shared of a fork of {len} tokens, blocks of 4"),
            &copied,
            &subject::writes_to_shared(&pages, &child),
        )?;
        let shared = parent.table[1];
        subject::grow(&mut pages, &mut child, 1)?;
        let tokens = if copied { 2 } else { 0 };
        ensure!(
            (child.table[1] != shared) == copied,
            "a fork of {len} tokens in blocks of 4 grows by 1, tables {:?} of the parent and {:?} of the fork: {}",
            parent.table,
            child.table,
            if copied {
                "the second block is still shared, and the new token would be written into the parent's text. `grow` is to call \
                 own_last_block before"
            } else {
                "the second block is full and nothing will be written to it, so it should still be shared"
            }
        );
        equal("the first block, full and shared, after the fork grew", &parent.table[0], &child.table[0])?;
        equal(
            &format!("holders of the parent's second block {shared} after the fork grew"),
            &if copied { 1 } else { 2 },
            &pages.pool.holders[shared],
        )?;
        equal(
            &format!(
                "copied bytes after a fork of {len} tokens in blocks of 4 grew, {tokens} tokens of {} bytes",
                SMALL.token_bytes()
            ),
            &(tokens * SMALL.token_bytes()),
            &pages.copied_bytes,
        )?;
        // The parent holds that block alone now, or it is full: nothing is left to copy.
        subject::grow(&mut pages, &mut parent, 1)?;
        equal("copied bytes after the parent grew too", &(tokens * SMALL.token_bytes()), &pages.copied_bytes)?;
        let unshared = Sequence { table: child.table.clone(), len: child.len };
        equal(
            "writes_to_shared of a sequence that holds its last block alone",
            &false,
            &subject::writes_to_shared(&pages, &unshared),
        )?;
        pool_is_sound(&pages.pool, "a fork and two grows")?;
    }
    let pages = Pages::new(SMALL, 2, 4);
    equal("writes_to_shared of an empty sequence", &false, &subject::writes_to_shared(&pages, &Sequence::default()))
}

fn the_parent_keeps_its_rows() -> Result<()> {
    for len in 1..=9 {
        let Forked { mut pages, mut parent, mut child, plain, mut noise } = Forked::new(12, len)?;
        let (mut parents, mut childs) = (plain.clone(), plain);
        push(&mut pages, &mut child, &mut childs, &mut noise, 2)?;
        has_its_rows(&format!("a text of {len} tokens whose fork was written to"), &pages, &parent, &parents)?;
        let name = format!("a fork of {len} tokens and 2 of its own");
        if let Err(error) = has_its_rows(&name, &pages, &child, &childs) {
            let one_layer = has_its_rows(&name, &pages, &child, &vec![childs[0].clone()]).is_ok();
            let hint = if one_layer { ". Layer 0 is right: were the shared rows copied in every layer?" } else { "" };
            bail!("{error}{hint}");
        }
        push(&mut pages, &mut parent, &mut parents, &mut noise, 3)?;
        has_its_rows(
            &format!("a fork of {len} tokens and 2 of its own, after its parent grew too"),
            &pages,
            &child,
            &childs,
        )?;
        has_its_rows(&format!("a text of {len} tokens and 3 more, after its fork grew"), &pages, &parent, &parents)?;
    }
    Ok(())
}

fn a_copy_that_does_not_fit_changes_nothing() -> Result<()> {
    // 6 tokens hold both blocks. A copy of the second needs a third, and so does a copy with 3 more tokens a fourth.
    for (n_blocks, new) in [(2, 1), (3, 3)] {
        let Forked { mut pages, parent, mut child, plain, .. } = Forked::new(n_blocks, 6)?;
        let (pool, table) = (pages.pool.clone(), child.table.clone());
        let call =
            format!("grow by {new} of a fork of 6 tokens in blocks of 4, {} of {n_blocks} blocks free", n_blocks - 2);
        let refused = subject::grow(&mut pages, &mut child, new).is_err();
        let needed = if new == 1 {
            "a copy of the last block needs 1"
        } else {
            "a copy of the last block needs 1, the new tokens another"
        };
        ensure!(refused, "{call}: {needed}, expected an error, and it went well");
        ensure!(
            (&child.table, child.len, &pages.pool) == (&table, 6, &pool),
            "{call}: it was refused and yet changed something: table {table:?} -> {:?}, {} tokens, {} free blocks. Count the copy among the \
             blocks that are needed, before you make it",
            child.table,
            child.len,
            pages.pool.free.len()
        );
        has_its_rows("a text whose fork was refused", &pages, &parent, &plain)?;
    }
    Ok(())
}
