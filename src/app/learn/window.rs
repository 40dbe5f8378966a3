//! Fewer tokens: what is forgotten with them.

use super::{
    Goal, LearnAction, Offer, Question, Seen, Setup, Step, Tour,
    seen::list,
    tour::{run, show},
};
use crate::{
    app::{spots, units::quoted},
    report::{
        quality::{percent, perplexity},
        units::bytes,
    },
};

/// The default story, cut off before " her": the token after the prompt is chosen by prefill, which sees everything, and the
/// fact is asked for after that.
const PROMPT: &str = "\
Once upon a time there were three friends: Mia, Tom and Nora. Mia keeps a red key. Mia has a pet fox. \
Tom likes soup best. Tom can play the drum. Nora is wearing a green hat. Nora lives near the mill.
In the evening Mia and Nora met in the park. Mia took out";
const SETUP: Setup =
    Setup { prompt: Some(PROMPT), ..Setup::new("contiguous,paged:16+window:4/28,paged:16+h2o:16/16", 60) };
const LANES: [&str; 3] = ["contiguous", WINDOW, HEAVY];
const WINDOW: &str = "paged:16+window:4/28";
const HEAVY: &str = "paged:16+h2o:16/16";
const MEASURED: &str = "contiguous,paged:16+window:4/252,paged:16+h2o:128/128";
const MEASURED_LANES: [&str; 3] = ["contiguous", "paged:16+window:4/252", "paged:16+h2o:128/128"];
/// The distances of recall that a few stories say enough about.
const DISTANCES: [&str; 3] = ["0-100", "100-300", "300-600"];
const RUN_FIRST: &str = "Press \"Run three policies\" (step 2), and the measured numbers appear here.";
const MEASURE_FIRST: &str = "Press \"Measure recall\" (step 7), and the measured numbers appear here.";
/// Words of an answer that are shown.
const WORDS: usize = 4;

pub(super) static TOUR: Tour = Tour {
    title: "What a window forgets",
    sentence: "How caches of a fixed size choose what stays, and what a model says when a fact is gone.",
    minutes: 8,
    steps: &[
        Step {
            title: "Caches of a fixed size",
            text: "A retention policy evicts tokens. window:4/28 keeps the first 4, on which attention rests (attention sinks, \
                   StreamingLLM, Xiao et al. 2023), and the newest 28. h2o:16/16 keeps the 16 that got most attention so far \
                   (heavy hitters, Zhang et al. 2023) and the newest 16.",
            spot: Some(spots::LANES),
            ..Step::BLANK
        },
        Step {
            title: "Ask for a fact",
            text: "The story begins with: Mia keeps a red key. Some fifty tokens later the prompt ends with: Mia took out. The \
                   exact lane goes on with \"her red key\". The other two keep 32 tokens each.",
            spot: Some(spots::TEXT),
            question: Some(Question {
                asks: "What does the window take out?",
                choices: &["The red key", "Something else that fits the sentence", "No word at all, only noise"],
                right: 1,
                because: "The sentence about the key is outside the window. What is near still tells the model that a thing \
                          must follow.",
            }),
            offer: Some(run("Run three policies", SETUP)),
            goal: Some(Goal { words: "All three lanes are finished", is_met: |seen| seen.has_finished(&LANES) }),
            reveal: Some(answers),
        },
        Step {
            title: "Why the first token is right",
            text: "The first token is the same in all three lanes, and only later ones differ.",
            spot: Some(spots::TEXT),
            question: Some(Question {
                asks: "Why can the window not get the first token wrong?",
                choices: &[
                    "It is chosen by prefill, before anything is evicted",
                    "It is one of the 4 attention sinks",
                    "It was lucky",
                ],
                right: 0,
                because: "The prompt is read as a whole, and its last token looks at all of it. Tokens are evicted when the \
                          prompt ends.",
            }),
            reveal: Some(parting),
            ..Step::BLANK
        },
        Step {
            title: "What was evicted",
            text: "Choose the window lane in the Blocks pane. Evicted tokens are struck through in the text. Then choose the h2o \
                   lane, which keeps as many.",
            spot: Some(spots::BLOCK_TEXT),
            question: Some(Question {
                asks: "Where are the tokens that h2o keeps?",
                choices: &[
                    "At the beginning and at the end, as in the window",
                    "Scattered over the text, and at the end",
                    "All at the end, where attention is",
                ],
                right: 1,
                because: "Attention can rest on a token anywhere, and h2o keeps those. A window keeps the first and the newest \
                          ones, with one gap between.",
            }),
            offer: Some(show("Show blocks", "Blocks")),
            reveal: Some(evicted),
            ..Step::BLANK
        },
        Step {
            title: "Dead slots",
            text: "A block can go back to the pool only when all of its tokens are evicted. Until then slots of evicted tokens \
                   are dead: nobody reads them, and nobody else can use them.",
            spot: Some(spots::BLOCK_POOL),
            question: Some(Question {
                asks: "Both lanes keep 32 tokens. Which one has more dead slots?",
                choices: &["The window", "h2o", "Both have the same number"],
                right: 1,
                because: "A window keeps neighbours, which fill blocks. Heavy hitters lie anywhere, and one live token holds \
                          its whole block.",
            }),
            reveal: Some(dead),
            ..Step::BLANK
        },
        Step {
            title: "What a longer text takes",
            text: "Bytes in use are those of tokens that are kept. The prompt alone is longer than the 32 tokens that the window \
                   and h2o keep. Then each of the three lanes wrote its answer.",
            spot: Some(spots::MEMORY),
            question: Some(Question {
                asks: "What did the answer add to the bytes in use of the window lane?",
                choices: &["As much as in contiguous", "Half of that", "Nothing", "Less than nothing: they shrank"],
                right: 2,
                because: "The window is full, so each new token pushes an old one out, however long the text gets. Attention \
                          looks at 32 tokens only.",
            }),
            offer: Some(show("Show cost", "Cost")),
            reveal: Some(flat),
            ..Step::BLANK
        },
        Step {
            title: "Recall by distance",
            text: "A larger window, 4 + 252 tokens, and h2o with as many read four held-out stories. Recall is how often the \
                   likeliest word is right where a story asks for a fact, by the tokens since it was last named.",
            spot: Some(spots::RECALL),
            question: Some(Question {
                asks: "A fact was named 400 tokens ago. How often is window:4/252 right about it?",
                choices: &["Nearly always", "About half of the time", "Hardly ever"],
                right: 2,
                because: "What lies outside the window is gone. The model guesses then, and is right by chance now and then.",
            }),
            offer: Some(Offer { button: "Measure recall", action: LearnAction::MeasureQuality(MEASURED) }),
            goal: Some(Goal {
                words: "The quality of all three lanes is measured",
                is_met: |seen| seen.has_measured(&MEASURED_LANES),
            }),
            reveal: Some(recall),
        },
        Step {
            title: "Fluent is not correct",
            text: "Perplexity averages over all words of a text: among how many words a model hesitates, so to say. It is how \
                   caches are often compared. Test what you need from a cache: recall, if facts matter.",
            spot: Some(spots::QUALITY_TABLE),
            question: Some(Question {
                asks: "The window is wrong about nearly every fact from far back. How does its perplexity tell?",
                choices: &[
                    "It is at least ten times that of the exact lane",
                    "It is less than twice that of the exact lane",
                    "It is below that of the exact lane",
                ],
                right: 1,
                because: "Most words follow from what is near, and few are facts from far back. So a window reads well and looks \
                          acceptable, and yet makes those up.",
            }),
            reveal: Some(fluent),
            ..Step::BLANK
        },
    ],
};

fn answers(seen: &Seen<'_>) -> Result<String, &'static str> {
    let answer = |name: &&str| {
        let words: Vec<&str> = seen.lane(name)?.text.split_whitespace().take(WORDS).collect();
        Some(format!("{name} {}", quoted(Some(&words.join(" ")))))
    };
    let lanes: Option<Vec<String>> = LANES.iter().map(answer).collect();
    Ok(format!("Mia took out: {}.", list(lanes.ok_or(RUN_FIRST)?)))
}

fn parting(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &&str| {
        let lane = seen.lane(name)?;
        Some(match lane.first_divergence {
            Some(0) => format!("{name} differs at once"),
            Some(at) => format!("{name} differs from token {at} on"),
            None => format!("{name} is the same so far"),
        })
    };
    let lanes: Option<Vec<String>> = LANES[1..].iter().map(lane).collect();
    Ok(format!("Tokens count from 0, which is prefill's: {}.", list(lanes.ok_or(RUN_FIRST)?)))
}

fn evicted(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &&str| {
        let sequence = seen.lane(name)?.blocks.as_ref()?.sequences.first()?;
        let gone: usize = sequence.evicted.iter().map(|(start, end)| end.saturating_sub(*start)).sum();
        let (n_gaps, len) = (sequence.evicted.len(), sequence.len);
        Some(format!(
            "{name}: {gone} of {len} tokens evicted, in {n_gaps} {}",
            if n_gaps == 1 { "gap" } else { "gaps" }
        ))
    };
    let lanes: Option<Vec<String>> = LANES[1..].iter().map(lane).collect();
    Ok(format!("{}.", lanes.ok_or(RUN_FIRST)?.join(". ")))
}

fn dead(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &&str| {
        let record = seen.newest(name)?;
        Some(format!("{name}: {} live, {} dead", bytes(record.used_bytes), bytes(record.dead_bytes)))
    };
    let lanes: Option<Vec<String>> = LANES[1..].iter().map(lane).collect();
    Ok(format!("{}.", lanes.ok_or(RUN_FIRST)?.join(". ")))
}

fn flat(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &&str| {
        let records = &seen.lane(name)?.records;
        Some(format!("{name} {} and {}", bytes(records.first()?.used_bytes), bytes(records.last()?.used_bytes)))
    };
    let lanes: Option<Vec<String>> = LANES.iter().map(lane).collect();
    Ok(format!("In use after the prompt and at the end: {}.", list(lanes.ok_or(RUN_FIRST)?)))
}

fn recall(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &&str| {
        let lane = seen.quality(name)?;
        let shares = DISTANCES.map(|distance| lane.recall.get(distance).copied().flatten().map_or("-".into(), percent));
        Some(format!("{name}: {}", list(shares)))
    };
    let lanes: Option<Vec<String>> = MEASURED_LANES.iter().map(lane).collect();
    Ok(format!("Named {} tokens ago. {}.", DISTANCES.join(", "), lanes.ok_or(MEASURE_FIRST)?.join(". ")))
}

fn fluent(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &&str| Some(format!("{name} {}", perplexity(seen.quality(name)?.perplexity?)));
    let lanes: Option<Vec<String>> = MEASURED_LANES.iter().map(lane).collect();
    Ok(format!("Perplexity: {}.", list(lanes.ok_or(MEASURE_FIRST)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_called_what_a_run_calls_them() {
        let names = |lanes| crate::experiment::lane_names(&crate::cache::spec::parse_lanes(lanes).expect("lanes"));
        assert_eq!(names(SETUP.lanes), LANES);
        assert_eq!(names(MEASURED), MEASURED_LANES);
    }

    #[test]
    fn the_prompt_is_the_default_one_but_for_its_end() {
        assert_eq!(format!("{PROMPT} her"), crate::experiment::DEFAULT_PROMPT);
    }
}
