//! What a cache takes, and why it grows.

use super::{
    Goal, Question, Seen, Setup, Step, Tour,
    seen::{bytes_per_token, float, share, times},
    tour::{run, show},
};
use crate::{
    app::spots,
    cache::Format,
    model::KnownModel,
    report::units::{bytes, count},
};

const SETUP: Setup = Setup::new("contiguous,concat,paged:16", 200);
const LANES: [&str; 3] = ["contiguous", "concat", "paged:16"];
const RUN_FIRST: &str = "Press \"Run three layouts\" (step 1), and the measured numbers appear here.";

pub(super) static TOUR: Tour = Tour {
    title: "Why memory grows",
    sentence: "What a token takes, why more is reserved than used, and why memory bounds how many users a server has.",
    minutes: 6,
    steps: &[
        Step {
            title: "What is stored",
            text: "For every token, each layer keeps a key and a value for each KV head, of head_dim numbers each: 2 x layers x KV \
                   heads x head_dim numbers in all. The story model has 5 layers and 6 heads of 32, stored as f32 (4 bytes a \
                   number).",
            question: Some(Question {
                asks: "How many bytes does one token take?",
                choices: &["960 B", "3,840 B", "7,680 B"],
                right: 2,
                because: "2 x 5 x 6 x 32 are 1,920 numbers, of 4 bytes each. Forgetting that keys and values are both stored \
                          gives half of it.",
            }),
            offer: Some(run("Run three layouts", SETUP)),
            goal: Some(Goal { words: "All three lanes are finished", is_met: |seen| seen.has_finished(&LANES) }),
            reveal: Some(token_bytes),
            ..Step::BLANK
        },
        Step {
            title: "What a later token adds",
            text: "Solid lines are bytes in use. They begin with the prompt, which is stored at once in prefill. Then decode \
                   stores one token after another. None of it is given back before the text ends.",
            spot: Some(spots::MEMORY),
            question: Some(Question {
                asks: "The last token attends to all before it. What does it add to the cache, compared with an early one?",
                choices: &[
                    "More bytes, since it attends to more tokens",
                    "As many bytes",
                    "Fewer bytes, since most is stored already",
                ],
                right: 1,
                because: "Each token adds its own keys and values and nothing else, wherever it stands. So memory grows in a \
                          straight line with the text.",
            }),
            offer: Some(show("Show cost", "Cost")),
            reveal: Some(line),
            ..Step::BLANK
        },
        Step {
            title: "Reserved is not used",
            text: "Lane contiguous keeps a text in one region that is written in place. Dashed lines are bytes that are \
                   allocated.",
            spot: Some(spots::MEMORY),
            question: Some(Question {
                asks: "How much does contiguous reserve before the first token?",
                choices: &[
                    "Room for the prompt",
                    "Room for the prompt and 200 tokens",
                    "Room for the whole context of the model",
                ],
                right: 2,
                because: "A region that is written in place cannot grow, and nobody knows how long an answer will be. So there \
                          is room for the longest.",
            }),
            reveal: Some(reserved),
            ..Step::BLANK
        },
        Step {
            title: "Growing by copying",
            text: "Lane concat reserves nothing ahead: for each token it allocates a new buffer that is one row longer, and \
                   copies everything into it. Code that calls torch.cat for every token does this.",
            spot: Some(spots::SUMMARY),
            question: Some(Question {
                asks: "After 200 tokens, how much was copied, compared with what concat holds?",
                choices: &["As much as it holds", "About ten times as much", "More than a hundred times as much"],
                right: 2,
                because: "Each token copies all rows before it. Copies therefore grow with the square of the length, while the \
                          cache grows linearly.",
            }),
            reveal: Some(copied),
            ..Step::BLANK
        },
        Step {
            title: "Other models",
            text: "Llama 2 7B has 32 layers and 32 KV heads of 128: a token takes 512 KiB in f16, and 1,000 tokens half a \
                   gigabyte. Llama 2 70B has 80 layers, but its 64 query heads share 8 KV heads of 128 (grouped-query \
                   attention).",
            question: Some(Question {
                asks: "What does a token of the 70B take, compared with one of the 7B?",
                choices: &["Ten times as much", "About the same", "Less"],
                right: 2,
                because: "Only layers and KV heads count, not the size of the model: 80 x 8 is less than 32 x 32.",
            }),
            reveal: Some(other_models),
            ..Step::BLANK
        },
        Step {
            title: "Memory bounds users",
            text: "A server keeps a cache for every user. What is left beside the weights, divided by what a user takes, is how \
                   many it can serve at a time. Users in one batch share each read of the weights, so memory for caches \
                   bounds throughput too.",
            question: Some(Question {
                asks: "How many users like this run fit with paged:16, compared with contiguous?",
                choices: &[
                    "As many, since a text has the same rows in both",
                    "About a tenth more",
                    "Several times as many",
                ],
                right: 2,
                because: "contiguous holds the whole context for each user, paged:16 only blocks for the text there is. The \
                          shorter the texts, the larger the difference.",
            }),
            reveal: Some(users),
            ..Step::BLANK
        },
        Step {
            title: "Four ways to need less",
            text: "Fewer KV heads: another model. Less waste: the tour on paging. Fewer bytes for a number: the tour on 8 bits. \
                   Fewer tokens: the tour on windows. The last three are independent of each other, and a lane can combine \
                   them: paged:16+int8+window:4/252.",
            spot: Some(spots::LANES),
            ..Step::BLANK
        },
    ],
};

fn token_bytes(seen: &Seen<'_>) -> Result<String, &'static str> {
    let record = seen.newest(LANES[0]).ok_or(RUN_FIRST)?;
    Ok(format!(
        "Lane contiguous stores {} tokens in {}: {:.0} B a token.",
        count(record.cached_tokens),
        bytes(record.used_bytes),
        bytes_per_token(record)
    ))
}

fn line(seen: &Seen<'_>) -> Result<String, &'static str> {
    let records = &seen.lane(LANES[0]).ok_or(RUN_FIRST)?.records;
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return Err(RUN_FIRST) };
    let tokens = last.cached_tokens.saturating_sub(first.cached_tokens);
    if tokens == 0 {
        return Err(RUN_FIRST);
    }
    let grown = last.used_bytes.saturating_sub(first.used_bytes);
    Ok(format!(
        "After the prompt of {} tokens {} were in use, at the end {}. {} more tokens took {} more: {:.0} B each.",
        count(first.cached_tokens),
        bytes(first.used_bytes),
        bytes(last.used_bytes),
        count(tokens),
        bytes(grown),
        float(grown) / float(tokens)
    ))
}

fn reserved(seen: &Seen<'_>) -> Result<String, &'static str> {
    let record = seen.newest(LANES[0]).ok_or(RUN_FIRST)?;
    let context = seen.run.facts.as_ref().and_then(|facts| facts.shape).map_or(0, |shape| shape.n_positions);
    Ok(format!(
        "{} are reserved, for {} tokens. At the end of the run {} of that are used ({}).",
        bytes(record.reserved_bytes),
        count(context as u64),
        bytes(record.used_bytes),
        share(record.used_bytes, record.reserved_bytes)
    ))
}

fn copied(seen: &Seen<'_>) -> Result<String, &'static str> {
    let record = seen.newest(LANES[1]).ok_or(RUN_FIRST)?;
    Ok(format!(
        "Lane concat copied {} to hold {}: {} as much. The other two copied {}.",
        bytes(record.copied_bytes),
        bytes(record.used_bytes),
        times(float(record.copied_bytes), float(record.used_bytes)),
        bytes(seen.newest(LANES[0]).map_or(0, |record| record.copied_bytes))
    ))
}

/// By the formula, of shapes that are known; nothing is loaded.
fn other_models(_: &Seen<'_>) -> Result<String, &'static str> {
    let token = |name: &str| -> Result<String, &'static str> {
        let model: KnownModel = name.parse().map_err(|_| "The shape of this model is not known here.")?;
        Ok(bytes(model.kv_shape(1).formula_bytes_per_token(Format::F16)))
    };
    Ok(format!("By the formula a token of the 7B takes {} in f16, one of the 70B {}.", token("7b")?, token("70b")?))
}

fn users(seen: &Seen<'_>) -> Result<String, &'static str> {
    let (Some(region), Some(blocks)) = (seen.newest(LANES[0]), seen.newest(LANES[2])) else { return Err(RUN_FIRST) };
    let users = |held_bytes: u64| count((1 << 30) / held_bytes.max(1));
    Ok(format!(
        "Users like this run in 1 GiB: {} with contiguous, which holds {} each, and {} with paged:16, which holds {} at the \
         end.",
        users(region.held_bytes),
        bytes(region.held_bytes),
        users(blocks.held_bytes),
        bytes(blocks.held_bytes)
    ))
}
