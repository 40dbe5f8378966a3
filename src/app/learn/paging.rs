//! Blocks and block tables: what they waste, and what can be shared.

use super::{
    Goal, LearnAction, Offer, Question, Seen, Setup, Step, Tour,
    seen::{held_and_used, list},
    tour::{run, show},
};
use crate::{
    app::{spots, state::Phase},
    cache::PoolPicture,
    report::units::{bytes, count},
};

const SETUP: Setup = Setup::new("contiguous,paged:16,paged:128", 80);
const LANES: [&str; 3] = ["contiguous", "paged:16", "paged:128"];
const PAGED: &str = "paged:16";
const RUN_FIRST: &str = "Press \"Run three lanes\" (step 1), and the measured numbers appear here.";
const FORK_FIRST: &str = "Press \"Fork the text\" (step 6), and what it shares appears here.";
const COPY_FIRST: &str = "Press \"Make one token\". If the last block was full, nothing is copied, and the next token can be \
                          forked again (step 6).";

pub(super) static TOUR: Tour = Tour {
    title: "What paging wastes and saves",
    sentence: "How block tables work, which slots stay empty, and how texts share what they have in common.",
    minutes: 7,
    steps: &[
        Step {
            title: "Blocks instead of a region",
            text: "A region for the whole context is mostly empty. Paging divides the memory into blocks of equal size, as an \
                   operating system does with pages. A text takes a block when it needs one, anywhere in the pool (vLLM, Kwon \
                   et al. 2023).",
            question: Some(Question {
                asks: "What will the text of paged:16 hold at the end?",
                choices: &[
                    "As much as the region, since the pool is as large",
                    "Whole blocks, as many as its tokens need",
                    "Exactly the bytes of its tokens",
                ],
                right: 1,
                because: "A text takes a block when the one before it is full, and a block belongs to it as a whole. The rest of \
                          the pool is free for other texts.",
            }),
            offer: Some(run("Run three lanes", SETUP)),
            goal: Some(Goal { words: "All three lanes are finished", is_met: |seen| seen.has_finished(&LANES) }),
            reveal: Some(held),
            ..Step::BLANK
        },
        Step {
            title: "The block table",
            text: "Left is the pool with its physical blocks. Right is the block table: the blocks of the text in the order of its \
                   tokens, each with its number in the pool. Attention finds keys and values through this table.",
            spot: Some(spots::BLOCK_TABLES),
            question: Some(Question {
                asks: "Must blocks that follow each other in the text be neighbours in memory?",
                choices: &[
                    "Yes, or attention reads wrong rows",
                    "No, they can lie anywhere",
                    "Only those of the prompt",
                ],
                right: 1,
                because: "The table says where each block is. Any free block of the pool will do, so no gaps too small for a \
                          text are left between texts.",
            }),
            offer: Some(show("Show blocks", "Blocks")),
            reveal: Some(table),
            ..Step::BLANK
        },
        Step {
            title: "What is wasted",
            text: "A held block belongs to one text. Slots of it that are not filled cannot be used by anybody else. This is the \
                   waste of paging.",
            spot: Some(spots::BLOCK_POOL),
            question: Some(Question {
                asks: "How many slots can one text in blocks of 16 hold without using them?",
                choices: &["None", "15 at most", "15 in each of its blocks", "The rest of the context"],
                right: 1,
                because: "All blocks but the last are full. Only the last one has empty slots, and at least one slot of it is \
                          filled.",
            }),
            reveal: Some(wasted_by_16),
            ..Step::BLANK
        },
        Step {
            title: "How long is a block?",
            text: "The length of a block is a choice. vLLM takes 16 tokens by default. The same text was also kept in blocks of \
                   128: it has fewer of them, and a shorter table.",
            spot: Some(spots::SUMMARY),
            question: Some(Question {
                asks: "What is wasted with blocks of 128, compared with blocks of 16?",
                choices: &[
                    "Less, since there are fewer blocks",
                    "The same, since only the last block has empty slots",
                    "More, since the last block is longer",
                ],
                right: 2,
                because: "Half a block is empty for each text on average, so long blocks waste more. Short blocks make long \
                          tables, and memory is read in smaller pieces.",
            }),
            offer: Some(show("Show cost", "Cost")),
            reveal: Some(block_lengths),
            ..Step::BLANK
        },
        Step {
            title: "A run that waits",
            text: "Only a run under way can be forked. The button begins the same run again, makes one token of every lane and \
                   pauses. Press it a few times and watch a slot fill.",
            spot: Some(spots::BLOCK_TABLES),
            offer: Some(Offer { button: "Make one token", action: LearnAction::Step }),
            goal: Some(Goal { words: "paged:16 has a token, and the run is paused", is_met: is_paused }),
            ..Step::BLANK
        },
        Step {
            title: "Fork the text",
            text: "A fork goes on from here in a second way, with another token than the lane took. Both texts have the same \
                   beginning.",
            spot: Some(spots::FORK),
            question: Some(Question {
                asks: "What is copied at the moment of the fork?",
                choices: &["All blocks", "The last block", "Nothing"],
                right: 2,
                because: "The fork gets a table of its own that names the same blocks. Each block counts how many tables name it.",
            }),
            offer: Some(Offer { button: "Fork the text", action: LearnAction::Fork }),
            goal: Some(Goal { words: "paged:16 has a fork", is_met: has_fork }),
            reveal: Some(shared),
        },
        Step {
            title: "Copy on write",
            text: "Now make one more token. Both texts write into the last block, which is shared and only partly filled. Their \
                   tokens differ, so it can no longer be the same block for both.",
            spot: Some(spots::BLOCK_POOL),
            question: Some(Question {
                asks: "What is copied now?",
                choices: &[
                    "All blocks of the text",
                    "The filled rows of the last block",
                    "Nothing, one of them moves on",
                ],
                right: 1,
                because: "The first to write gets a copy of the last block, with its filled rows only. Full blocks are never \
                          written again, so they stay shared.",
            }),
            offer: Some(Offer { button: "Make one token", action: LearnAction::Step }),
            goal: Some(Goal { words: "A shared block was copied", is_met: has_copied }),
            reveal: Some(copied),
        },
        Step {
            title: "What it saves",
            text: "Several answers to one prompt and users with the same system prompt share blocks in this way. Without sharing, \
                   what paging saves depends on lengths: a region is as long as the context, blocks as the text. If lengths \
                   are uniform, that is about twice as many users.",
            spot: Some(spots::BLOCK_POOL),
            question: Some(Question {
                asks: "What does each further answer to a prompt add?",
                choices: &[
                    "The blocks of the prompt and its own",
                    "The blocks from where it parts",
                    "Nothing, as long as the pool has room",
                ],
                right: 1,
                because: "Full blocks that texts have in common are stored once, however many tables name them. A region can be \
                          shared by nobody.",
            }),
            reveal: Some(saved),
            ..Step::BLANK
        },
    ],
};

fn is_paused(seen: &Seen<'_>) -> bool {
    seen.run.phase == Phase::Paused && seen.lane(PAGED).is_some()
}

fn has_fork(seen: &Seen<'_>) -> bool {
    seen.lane(PAGED).is_some_and(|lane| !lane.forks.is_empty())
}

fn has_copied(seen: &Seen<'_>) -> bool {
    has_fork(seen) && seen.newest(PAGED).is_some_and(|record| record.copied_bytes > 0)
}

/// The blocks of the lane that is forked.
fn picture<'a>(seen: &Seen<'a>) -> Option<&'a PoolPicture> {
    seen.lane(PAGED)?.blocks.as_ref()
}

fn held(seen: &Seen<'_>) -> Result<String, &'static str> {
    let held = |name: &str| Some(format!("{name} {}", bytes(seen.newest(name)?.held_bytes)));
    let lanes: Option<Vec<String>> = LANES.iter().map(|name| held(name)).collect();
    Ok(format!("What nobody else can use, for the same text: {}.", list(lanes.ok_or(RUN_FIRST)?)))
}

fn table(seen: &Seen<'_>) -> Result<String, &'static str> {
    let picture = picture(seen).ok_or(RUN_FIRST)?;
    let sequence = picture.sequences.first().ok_or(RUN_FIRST)?;
    let begin = sequence.blocks.iter().take(4).map(u32::to_string);
    Ok(format!(
        "The text of paged:16 has {} stored tokens in {} of {} blocks. Its table begins with {}.",
        sequence.len,
        sequence.blocks.len(),
        picture.n_blocks,
        list(begin)
    ))
}

/// Held and used bytes of some lanes.
fn wasted(seen: &Seen<'_>, names: &[&str]) -> Result<String, &'static str> {
    let lanes: Option<Vec<String>> = names.iter().map(|name| Some(held_and_used(name, seen.newest(name)?))).collect();
    Ok(format!("{}.", lanes.ok_or(RUN_FIRST)?.join(". ")))
}

fn wasted_by_16(seen: &Seen<'_>) -> Result<String, &'static str> {
    wasted(seen, &LANES[..2])
}

fn block_lengths(seen: &Seen<'_>) -> Result<String, &'static str> {
    wasted(seen, &LANES[1..])
}

/// Blocks that more than one sequence holds, and all that any holds.
fn shared_blocks(picture: &PoolPicture) -> (usize, usize) {
    let holders = picture.holders();
    (holders.iter().filter(|held| held.len() > 1).count(), holders.iter().filter(|held| !held.is_empty()).count())
}

fn shared(seen: &Seen<'_>) -> Result<String, &'static str> {
    let picture = picture(seen).filter(|_| has_fork(seen)).ok_or(FORK_FIRST)?;
    let (shared, held) = shared_blocks(picture);
    Ok(format!("{shared} of the {held} blocks that are held are shared by the lane and its fork."))
}

fn copied(seen: &Seen<'_>) -> Result<String, &'static str> {
    let picture = picture(seen).filter(|_| has_fork(seen)).ok_or(FORK_FIRST)?;
    if !has_copied(seen) {
        return Err(COPY_FIRST);
    }
    let copied_bytes = seen.newest(PAGED).map_or(0, |record| record.copied_bytes);
    let (shared, held) = shared_blocks(picture);
    Ok(format!(
        "{} were copied: {} rows of {}. {shared} of {held} held blocks are shared.",
        bytes(copied_bytes),
        count(copied_bytes / picture.token_bytes.max(1)),
        bytes(picture.token_bytes)
    ))
}

fn saved(seen: &Seen<'_>) -> Result<String, &'static str> {
    let picture = picture(seen).filter(|_| has_fork(seen)).ok_or(FORK_FIRST)?;
    let (Some(blocks), Some(region)) = (seen.newest(PAGED), seen.newest(LANES[0])) else { return Err(FORK_FIRST) };
    let (shared, held) = shared_blocks(picture);
    let n_texts = 1 + seen.lane(PAGED).map_or(0, |lane| lane.forks.len()) as u64;
    Ok(format!(
        "The lane and its forks are {n_texts} texts and hold {} in {held} blocks, {shared} of them shared. As many regions of \
         contiguous would take {}.",
        bytes(blocks.held_bytes),
        bytes(region.held_bytes.saturating_mul(n_texts))
    ))
}
