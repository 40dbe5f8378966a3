//! Fewer bits for a number: what they save, and what they lose.

use super::{
    Goal, LearnAction, Offer, Question, Seen, Setup, Step, Tour,
    seen::{bytes_per_token, list, name_and_bytes_per_token, share},
    tour::{run, show},
};
use crate::{
    app::spots,
    report::{
        Latency,
        quality::{agreement, nats, percent},
        units::secs,
    },
};

const SETUP: Setup = Setup::new("contiguous,paged:16+f16,paged:16+int8,paged:16+q4_0", 100);
const LANES: [&str; 4] = ["contiguous", "paged:16+f16", "paged:16+int8", "paged:16+q4_0"];
/// All lanes read the words of the exact one.
const FORCED: Setup =
    Setup { forced: true, ..Setup::new("contiguous,paged:16+int8,paged:16+q4_0,paged:32+kivi:4/32", 100) };
const MEASURED: &str = "contiguous,paged:16+int8,paged:16+q4_0,paged:32+kivi:4/32";
const MEASURED_LANES: [&str; 4] = ["contiguous", "paged:16+int8", "paged:16+q4_0", KIVI];
const KIVI: &str = "paged:32+kivi:4/32";
/// The distances of recall that a few stories say enough about.
const DISTANCES: [&str; 3] = ["0-100", "100-300", "300-600"];
const RUN_FIRST: &str = "Press \"Run four formats\" (step 1), and the measured numbers appear here.";
const FORCE_FIRST: &str = "Press \"Run with the same words\", and the measured numbers appear here.";
const MEASURE_FIRST: &str = "Press \"Measure the loss\" (step 6), and the measured numbers appear here.";

pub(super) static TOUR: Tour = Tour {
    title: "What 8 bits cost",
    sentence: "How numbers become codes, how much memory that saves, and how to measure what is lost.",
    minutes: 8,
    steps: &[
        Step {
            title: "Codes and a scale",
            text: "int8 stores a number as a code from -127 to 127. Each head's part of a row has a scale, an f32: its largest \
                   magnitude divided by 127. Code times scale gives the number back, rounded. One head's part of a row has 32 \
                   numbers here.",
            question: Some(Question {
                asks: "Which share of the bytes of f32 is left with int8?",
                choices: &["Exactly a quarter", "A little more than a quarter", "A half"],
                right: 1,
                because: "32 codes of one byte and a scale of four are 36 bytes. 32 numbers in f32 are 128.",
            }),
            offer: Some(run("Run four formats", SETUP)),
            goal: Some(Goal { words: "All four lanes are finished", is_met: |seen| seen.has_finished(&LANES) }),
            reveal: Some(sizes),
            ..Step::BLANK
        },
        Step {
            title: "Against 16 bits",
            text: "Papers compare with f16, the usual format of a cache on a GPU. The scale counts for less in wider heads: it \
                   adds one bit to each number where a head has 32, and a quarter of a bit where it has 128.",
            spot: Some(spots::MEMORY),
            question: Some(Question {
                asks: "Which share of the bytes of f16 is left with int8?",
                choices: &["A little more than a quarter", "Exactly a half", "A little more than a half"],
                right: 2,
                because: "36 bytes are left of 64: 8 bits of code and 1 of scale for each number, instead of 16. With heads of \
                          128 it is closer to a half.",
            }),
            offer: Some(show("Show cost", "Cost")),
            reveal: Some(against_f16),
            ..Step::BLANK
        },
        Step {
            title: "Where rounding hurts",
            text: "A code is a whole number, so a value is wrong by half a scale at most. The scale follows from the largest of \
                   the numbers that share it.",
            question: Some(Question {
                asks: "Which head's part of a row is rounded worst, compared with its small numbers?",
                choices: &[
                    "One of numbers that are all small",
                    "One of numbers that are all large",
                    "One with a single number far larger than the others",
                ],
                right: 2,
                because: "The single large number makes the scale large, and all others share the few codes near zero. Such \
                          outliers are why 4 bits are hard.",
            }),
            ..Step::BLANK
        },
        Step {
            title: "Does the text change?",
            text: "All lanes take the likeliest token each time. One token that differs leads the text elsewhere from there on.",
            spot: Some(spots::TEXT),
            question: Some(Question {
                asks: "Which lane leaves the text of the exact lane first?",
                choices: &["paged:16+f16", "paged:16+int8", "paged:16+q4_0"],
                right: 2,
                because: "q4_0 has 16 codes for a number where int8 has 255, so its steps are about 16 times as coarse.",
            }),
            reveal: Some(divergence),
            ..Step::BLANK
        },
        Step {
            title: "The same words for all",
            text: "After the first different token, texts can no longer be compared: the lanes answer different questions. So let \
                   every lane read the words of the exact lane, whatever it would have said (teacher forcing), and count where \
                   it would have said something else.",
            question: Some(Question {
                asks: "q4_0 soon wrote another text. With the same words to read, how often does it say the same token?",
                choices: &["Hardly ever after its first other token", "About half of the time", "Most of the time"],
                right: 2,
                because: "Each prediction is only a little off. The texts parted because one other token changes all that \
                          follows, not because each prediction was wrong.",
            }),
            offer: Some(run("Run with the same words", FORCED)),
            goal: Some(Goal {
                words: "All four lanes are finished, kivi among them",
                is_met: |seen| seen.has_finished(&MEASURED_LANES),
            }),
            reveal: Some(same_words),
            ..Step::BLANK
        },
        Step {
            title: "Measure the loss",
            text: "One text says little. The Quality pane lets all lanes read held-out stories and compares every prediction with \
                   that of the exact lane. KL divergence, in nats, is how much of the exact prediction is lost. Top-1 is how \
                   often both expect the same token.",
            spot: Some(spots::QUALITY_TABLE),
            question: Some(Question {
                asks: "q4_0 has half the bits of int8. How much more is its KL?",
                choices: &["About twice as much", "About 16 times as much", "Over a hundred times as much"],
                right: 2,
                because: "Four bits less make the steps about 16 times as coarse, and KL grows with about the square of such \
                          errors.",
            }),
            offer: Some(Offer { button: "Measure the loss", action: LearnAction::MeasureQuality(MEASURED) }),
            goal: Some(Goal {
                words: "The quality of all four lanes is measured",
                is_met: |seen| seen.has_measured(&MEASURED_LANES),
            }),
            reveal: Some(loss),
        },
        Step {
            title: "Are facts still known?",
            text: "The stories name facts, such as who keeps a red key, and ask for them later. Recall is how often a lane's \
                   likeliest word is right, by the number of tokens since the fact was last named.",
            spot: Some(spots::RECALL),
            question: Some(Question {
                asks: "A fact was named 300 tokens ago. What does int8 recall, compared with the exact lane?",
                choices: &["The same", "A little less", "About half"],
                right: 0,
                because: "Errors of 8 bits hardly change what attention finds. Distance does not matter either: every row is \
                          rounded once, however long ago.",
            }),
            reveal: Some(recall),
            ..Step::BLANK
        },
        Step {
            title: "Four bits, two ways",
            text: "q4_0 gives 32 numbers of one token a common scale. kivi:4 also has 4 bits, but gives 32 tokens of one key \
                   channel their own minimum and step, and keeps the newest tokens exact for a while (KIVI, Liu et al. 2024).",
            spot: Some(spots::PARETO),
            question: Some(Question {
                asks: "Which one loses less?",
                choices: &["q4_0", "kivi:4", "Both lose the same"],
                right: 1,
                because: "Some channels of keys are large in every token. Quantized by channel, they no longer make the steps of \
                          all other channels coarse.",
            }),
            reveal: Some(by_channel),
            ..Step::BLANK
        },
        Step {
            title: "The bill for 8 bits",
            text: "8 bits need about a quarter of the memory of f32, half of that of f16, and lose nothing that recall shows. \
                   What is left is time: fewer bytes are read, but codes have to be decoded.",
            spot: Some(spots::SUMMARY),
            question: Some(Question {
                asks: "What do 8 bits do to the time of a token here?",
                choices: &[
                    "It falls to a quarter, as the cache does",
                    "It changes far less than the memory",
                    "It grows fourfold, since codes are decoded",
                ],
                right: 1,
                because: "A text as short as this one costs little to read: most of a token's time goes to all the rest. Fewer \
                          bytes pay in long texts, if decoding is cheap.",
            }),
            offer: Some(run("Run four formats", SETUP)),
            reveal: Some(times_of_tokens),
            ..Step::BLANK
        },
    ],
};

fn sizes(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lanes: Option<Vec<String>> = LANES.iter().map(|name| name_and_bytes_per_token(seen.lane(name)?)).collect();
    let (Some(int8), Some(exact)) = (seen.newest(LANES[2]), seen.newest(LANES[0])) else { return Err(RUN_FIRST) };
    Ok(format!(
        "Bytes of a token: {}. int8 takes {} of f32.",
        list(lanes.ok_or(RUN_FIRST)?),
        share(int8.used_bytes, exact.used_bytes)
    ))
}

fn against_f16(seen: &Seen<'_>) -> Result<String, &'static str> {
    let (Some(int8), Some(f16)) = (seen.newest(LANES[2]), seen.newest(LANES[1])) else { return Err(RUN_FIRST) };
    Ok(format!(
        "A token takes {:.0} B in int8 and {:.0} B in f16: {}.",
        bytes_per_token(int8),
        bytes_per_token(f16),
        share(int8.used_bytes, f16.used_bytes)
    ))
}

fn divergence(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &&str| {
        let lane = seen.lane(name)?;
        Some(match lane.first_divergence {
            Some(at) => format!("{} differs from token {at} on", lane.name),
            None => format!("all {} tokens of {} are the same", lane.agreed, lane.name),
        })
    };
    let lanes: Option<Vec<String>> = LANES[1..].iter().map(lane).collect();
    Ok(format!("Tokens count from 0: {}.", list(lanes.filter(|_| seen.lane(LANES[0]).is_some()).ok_or(RUN_FIRST)?)))
}

fn same_words(seen: &Seen<'_>) -> Result<String, &'static str> {
    let exact = seen.lane(LANES[0]).filter(|_| seen.lane(KIVI).is_some()).ok_or(FORCE_FIRST)?;
    let agreed = |name: &&str| {
        let lane = seen.lane(name)?;
        let pairs = lane.records.iter().zip(&exact.records);
        let n = pairs.clone().count();
        let same = pairs.filter(|(own, exact)| own.token_id == exact.token_id).count();
        Some(format!("{} {same} of {n}", lane.name))
    };
    let lanes: Option<Vec<String>> = MEASURED_LANES[1..].iter().map(agreed).collect();
    Ok(format!("Would have said the same token as contiguous: {}.", list(lanes.ok_or(FORCE_FIRST)?)))
}

/// A number of each lane but the exact one.
fn measured(seen: &Seen<'_>, say: impl Fn(&str) -> Option<String>) -> Result<String, &'static str> {
    let lanes: Option<Vec<String>> = MEASURED_LANES[1..].iter().map(|name| say(name)).collect();
    lanes.filter(|_| seen.has_measured(&MEASURED_LANES)).map(|lanes| lanes.join(". ")).ok_or(MEASURE_FIRST)
}

fn loss(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &str| {
        let lane = seen.quality(name)?;
        Some(format!("{name}: KL {} nats, top-1 {}", nats(lane.kl?), agreement(lane.top1_agreement?)))
    };
    measured(seen, lane).map(|text| format!("{text}."))
}

fn recall(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &str| {
        let lane = seen.quality(name)?;
        let shares = DISTANCES.map(|distance| lane.recall.get(distance).copied().flatten().map_or("-".into(), percent));
        Some(format!("{name}: {}", list(shares)))
    };
    measured(seen, lane).map(|text| format!("Named {} tokens ago. {text}.", DISTANCES.join(", ")))
}

fn by_channel(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &str| {
        let lane = seen.quality(name)?;
        Some(format!("{name}: KL {} nats with {:.0} B a token", nats(lane.kl?), lane.bytes_per_token?))
    };
    measured(seen, lane).map(|text| format!("{text}. The exact tokens of kivi count in its bytes."))
}

fn times_of_tokens(seen: &Seen<'_>) -> Result<String, &'static str> {
    let lane = |name: &&str| {
        let lane = seen.lane(name)?;
        Some(format!("{name} {}", secs(Latency::of(&lane.records).tpot_secs?)))
    };
    let lanes: Option<Vec<String>> = LANES.iter().map(lane).collect();
    Ok(format!("Time of a token after the first (TPOT): {}.", list(lanes.ok_or(RUN_FIRST)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_called_what_a_run_calls_them() {
        for (lanes, names) in [(SETUP.lanes, LANES), (FORCED.lanes, MEASURED_LANES), (MEASURED, MEASURED_LANES)] {
            let lanes = crate::cache::spec::parse_lanes(lanes).expect("lanes");
            assert_eq!(crate::experiment::lane_names(&lanes), names);
        }
    }
}
