//! The blocks pane in words: its sentences and what it says under the pointer.

use super::slots::{self, Census, Holder, Slot, count, runs};
use crate::{
    app::units::quoted,
    cache::{PoolPicture, SequencePicture, blocks::NO_BLOCK},
    report::units::bytes,
};

/// A number of tokens, in words.
pub fn tokens(n: usize) -> String {
    if n == 1 { "1 token".into() } else { format!("{n} tokens") }
}

/// How long a sequence is, and what is left of it.
pub fn length(sequence: &SequencePicture) -> String {
    let live = slots::live(sequence);
    let live = if live < sequence.len { format!(", {live} live") } else { String::new() };
    format!("{}{live}", tokens(sequence.len))
}

/// A store of blocks in a sentence. `is_region`: they are neighbours (`contiguous`).
pub fn store(picture: &PoolPicture, is_region: bool, census: &Census) -> String {
    let mut text = if is_region { region(picture) } else { pool(picture, census) };
    let mut add = |n: usize, words: &str| {
        if n > 0 {
            text.push_str(&format!(", {n} {words}"));
        }
    };
    add(census.given_back, "given back");
    add(census.dead_slots, if census.dead_slots == 1 { "dead slot" } else { "dead slots" });
    add(census.exact_tokens, "tokens exact, outside the blocks");
    text
}

/// What `contiguous` reserved: blocks too, but neighbours, from the start, and of one sequence.
fn region(picture: &PoolPicture) -> String {
    let all = picture.n_blocks * picture.block_len;
    let live = picture.sequences.first().map_or(0, slots::live);
    format!(
        "one region for {all} tokens, {}, reserved from the start and drawn in blocks of {} that are neighbours: {live} \
         live tokens",
        bytes(picture.token_bytes.saturating_mul(all as u64)),
        picture.block_len
    )
}

fn pool(picture: &PoolPicture, census: &Census) -> String {
    let Census { held, shared, free, .. } = census;
    format!(
        "{} blocks of {}, {} each: {held} held, {shared} shared, {free} free",
        picture.n_blocks,
        tokens(picture.block_len),
        bytes(block_bytes(picture)),
    )
}

/// What `concat` has instead of blocks. `copied_bytes`: so far.
pub fn buffer(picture: &PoolPicture, copied_bytes: u64) -> String {
    let (len, live) = picture.sequences.first().map_or((0, 0), |sequence| (sequence.len, slots::live(sequence)));
    let left_out = match len - live {
        0 => String::new(),
        gone => format!(" (the rows of {} that were evicted were not copied along)", tokens(gone)),
    };
    format!(
        "concat has no blocks: each layer has one buffer of exactly {live} rows{left_out}, and at the next token all of them \
         are copied into a new one.\nSo far it moved {}.",
        bytes(copied_bytes)
    )
}

/// Why bytes moved in a store of blocks.
pub fn moved(picture: &PoolPicture, has_forks: bool, copied_bytes: u64) -> String {
    let seals = picture.sequences.iter().any(|sequence| sequence.sealed.is_some());
    let why = match (seals, has_forks) {
        (false, _) => "copied on write",
        (true, false) => "written again, quantized",
        (true, true) => "written again, quantized, or copied on write",
    };
    format!("{} {why}", bytes(copied_bytes))
}

/// A block, and what it is to each of its holders.
pub fn block(picture: &PoolPicture, block: u32, holders: &[Holder]) -> String {
    let mut lines = vec![format!("block {block}: {}", bytes(block_bytes(picture)))];
    for holder in holders {
        let Some(sequence) = picture.sequences.get(holder.sequence) else { continue };
        let who = if holder.sequence == 0 { "the lane".into() } else { format!("fork {}", holder.sequence) };
        lines.push(format!("{who}: {}", held(picture, sequence, holder.place)));
    }
    match holders {
        [] => lines.push("free".into()),
        [_] => {}
        _ => lines.push("shared: copied when one of them writes into it".into()),
    }
    lines.join("\n")
}

fn held(picture: &PoolPicture, sequence: &SequencePicture, place: usize) -> String {
    let (slots, first) = (runs(sequence, place, picture.block_len), place.saturating_mul(picture.block_len));
    let n = sequence.len.saturating_sub(first).min(picture.block_len);
    if n == 0 {
        return "reserved, empty".into();
    }
    let [stored, dead, exact] = [Slot::Stored, Slot::Dead, Slot::Exact].map(|kind| count(&slots, kind));
    let mut text = format!("{} of {} slots, tokens {first} to {}", stored + dead, picture.block_len, first + n - 1);
    if dead > 0 {
        text.push_str(&format!(", {dead} evicted"));
    }
    if exact > 0 {
        text.push_str(&format!("; {exact} exact, not in the block yet"));
    }
    text
}

/// A place in a table whose block was given back.
pub fn gap(picture: &PoolPicture, place: usize) -> String {
    let first = place.saturating_mul(picture.block_len);
    let last = first.saturating_add(picture.block_len).saturating_sub(1);
    format!("tokens {first} to {last}: all evicted,\nand their block was given back to the pool")
}

/// A token, and where it lies.
pub fn token(picture: &PoolPicture, sequence: &SequencePicture, position: usize, text: Option<&str>) -> String {
    let block_len = picture.block_len.max(1);
    let block = sequence.blocks.get(position / block_len).filter(|_| picture.n_blocks > 0);
    let place = match block {
        Some(block) if *block != NO_BLOCK => Some(format!("block {block}, slot {}", position % block_len)),
        _ => None,
    };
    let has_table = block.is_some();
    let row = format!("{} of keys and values over all layers", bytes(picture.token_bytes));
    let (state, rest) = match (slots::slot(sequence, position), place) {
        (Slot::Stored, Some(place)) => ("", format!("{place}\n{row}")),
        (Slot::Stored, None) => ("", row),
        (Slot::Dead, Some(place)) => (": evicted", format!("{place}, stays taken: a dead slot")),
        (Slot::Dead, None) if has_table => (": evicted", "its block was given back".into()),
        (Slot::Dead, None) => (": evicted", "its row is not copied along any more".into()),
        (Slot::Exact, place) => {
            let place = place.map_or_else(String::new, |place| format!("\nkept for it: {place}"));
            (": exact still", format!("waits in the residual until its group is quantized{place}"))
        }
        (Slot::Empty, _) => (": evicted", "before its group was quantized".into()),
    };
    format!("{} is token {position}{state}\n{rest}", quoted(text))
}

fn block_bytes(picture: &PoolPicture) -> u64 {
    picture.token_bytes.saturating_mul(picture.block_len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> PoolPicture {
        let sequence =
            SequencePicture { len: 14, blocks: vec![3, NO_BLOCK, 0, 2], evicted: vec![(1, 9)], sealed: Some(12) };
        PoolPicture { block_len: 4, n_blocks: 5, token_bytes: 8, sequences: vec![sequence] }
    }

    #[test]
    fn the_pool_says_what_is_held_given_back_and_dead() {
        let picture = picture();
        let census = Census::of(&picture, &slots::holders(&picture));
        assert_eq!(
            store(&picture, false, &census),
            "5 blocks of 4 tokens, 32 B each: 3 held, 0 shared, 2 free, 1 given back, 4 dead slots, 2 tokens exact, \
             outside the blocks"
        );
        assert_eq!(length(&picture.sequences[0]), "14 tokens, 6 live");
        let copied = buffer(&picture, 64);
        assert!(copied.contains("exactly 6 rows (the rows of 8 tokens that were evicted"), "{copied}");
    }

    #[test]
    fn a_block_and_a_token_say_what_became_of_them() {
        let picture = picture();
        let holders = slots::holders(&picture);
        assert_eq!(block(&picture, 3, &holders[3]), "block 3: 32 B\nthe lane: 4 of 4 slots, tokens 0 to 3, 3 evicted");
        let last = block(&picture, 2, &holders[2]);
        assert!(last.ends_with("0 of 4 slots, tokens 12 to 13; 2 exact, not in the block yet"), "{last}");
        assert!(block(&picture, 1, &holders[1]).ends_with("free"));
        assert!(gap(&picture, 1).starts_with("tokens 4 to 7: all evicted"));
        let say = |position| token(&picture, &picture.sequences[0], position, Some(" red"));
        assert_eq!(say(0), "\u{201c} red\u{201d} is token 0\nblock 3, slot 0\n8 B of keys and values over all layers");
        assert_eq!(say(2), "\u{201c} red\u{201d} is token 2: evicted\nblock 3, slot 2, stays taken: a dead slot");
        assert_eq!(say(5), "\u{201c} red\u{201d} is token 5: evicted\nits block was given back");
        assert!(say(13).contains("token 13: exact still\nwaits in the residual"));
    }
}
