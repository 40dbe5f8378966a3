//! The blocks pane in words.

use std::mem::discriminant;

use super::slots::{self, Census, Holder, Slot, count, runs};
use crate::{
    app::draft::FORMATS,
    cache::{Lane, PoolPicture, SequencePicture},
    report::units::bytes,
};

/// Ranges of free blocks that are named.
const MOST_RUNS: usize = 6;

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

/// A sequence: the lane itself, or one of its forks.
pub fn holder(sequence: usize) -> String {
    if sequence == 0 { "the lane".into() } else { format!("fork {sequence}") }
}

/// How a lane stores a row, and what that costs.
pub fn format(lane: Option<Lane>, picture: &PoolPicture) -> String {
    let Some(Lane::Cache(spec)) = lane else { return String::new() };
    let choice = FORMATS.into_iter().find(|choice| discriminant(&choice.value) == discriminant(&spec.format));
    let help = choice.map_or("", |choice| choice.help);
    let rotated = if spec.rotate { ", rotated first" } else { "" };
    let block = match picture.n_blocks {
        0 => String::new(),
        _ => format!(", {} a block", bytes(block_bytes(picture))),
    };
    format!("Format {}{rotated}. {help}. {} a token over all layers{block}.", spec.format, bytes(picture.token_bytes))
}

/// The blocks that nobody holds. The order in which the pool hands them out is not part of a picture.
pub fn free(holders: &[Vec<Holder>]) -> String {
    let is_free = |(block, holders): (usize, &Vec<Holder>)| holders.is_empty().then_some(block);
    let free: Vec<usize> = holders.iter().enumerate().filter_map(is_free).collect();
    if free.is_empty() {
        return "Free list: empty".into();
    }
    let runs: Vec<String> = free
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [only] => only.to_string(),
            run => format!("{} to {}", run[0], run[run.len() - 1]),
        })
        .collect();
    let more = runs.len().saturating_sub(MOST_RUNS);
    let more = if more > 0 { format!(" and {more} more ranges") } else { String::new() };
    let blocks = if free.len() == 1 { "block" } else { "blocks" };
    format!("Free list: {} {blocks}: {}{more}", free.len(), runs[..runs.len().min(MOST_RUNS)].join(", "))
}

/// What a block is to one of its holders, by its place in the table.
pub fn held(picture: &PoolPicture, sequence: &SequencePicture, place: usize) -> String {
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

/// Bytes of a block, as stored.
pub fn block_bytes(picture: &PoolPicture) -> u64 {
    picture.token_bytes.saturating_mul(picture.block_len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{blocks::NO_BLOCK, spec::parse_lanes};

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
    fn the_free_list_is_told_in_ranges() {
        let picture = picture();
        assert_eq!(free(&slots::holders(&picture)), "Free list: 2 blocks: 1, 4");
        assert_eq!(free(&vec![vec![]; 64]), "Free list: 64 blocks: 0 to 63");
        let every_other =
            |block: usize| if block.is_multiple_of(2) { vec![] } else { vec![Holder { sequence: 0, place: 0 }] };
        let said = free(&(0..40).map(every_other).collect::<Vec<_>>());
        assert_eq!(said, "Free list: 20 blocks: 0, 2, 4, 6, 8, 10 and 14 more ranges");
        assert_eq!(free(&[]), "Free list: empty");
    }

    #[test]
    fn a_format_is_named_with_what_it_costs() {
        let lane = |spec: &str| parse_lanes(spec).expect("a lane").first().copied();
        assert_eq!(
            format(lane("paged:4+int8"), &picture()),
            "Format int8. 8-bit codes with a scale for each token and head. 8 B a token over all layers, 32 B a block."
        );
        assert!(format(lane("paged:4+int4+rot"), &picture()).starts_with("Format int4, rotated first. "));
        assert_eq!(format(lane("none"), &picture()), "");
        for choice in FORMATS {
            assert!(format(lane(&std::format!("paged:32+{}", choice.value)), &picture()).contains(choice.help));
        }
    }
}
