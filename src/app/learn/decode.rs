//! Why a cache: what a token costs without one.

use super::{
    Goal, Question, Seen, Setup, Step, Tour,
    seen::{float, from_to, median_secs, times},
    tour::{run, show},
};
use crate::{
    app::spots,
    engine::StepRecord,
    report::{
        Latency,
        units::{count, secs},
    },
};

const SETUP: Setup = Setup::new("none,contiguous", 200);
const LANES: [&str; 2] = ["none", "contiguous"];
const RUN_FIRST: &str = "Press \"Run both lanes\" (step 2), and the measured numbers appear here.";
/// How many tokens are early ones. The time of the last of them is told beside that of the last of all.
const EARLY: usize = 20;

pub(super) static TOUR: Tour = Tour {
    title: "Why decode slows down without a cache",
    sentence: "What prefill and decode do, what a KV cache saves, and what it does not.",
    minutes: 6,
    steps: &[
        Step {
            title: "Two lanes, one model",
            text: "Both lanes run the same model on the same prompt. Lane none keeps nothing: for each token it runs the model \
                   over the whole text again. Lane contiguous stores the keys and values of past tokens in a KV cache, and \
                   runs the model over the newest token only.",
            spot: Some(spots::LANES),
            ..Step::BLANK
        },
        Step {
            title: "Predict, then run",
            text: "The model writes 200 tokens in each lane. Make a prediction first. Then run both lanes and watch the latency \
                   plot: each point is the time of one token.",
            spot: Some(spots::LATENCY),
            question: Some(Question {
                asks: "How does the time of a token change in lane none while the text grows?",
                choices: &["It stays the same", "It grows with the length of the text", "It shrinks"],
                right: 1,
                because: "Without a cache, token n runs the model over all tokens before it, and there are ever more of them.",
            }),
            offer: Some(run("Run both lanes", SETUP)),
            goal: Some(Goal { words: "Both lanes are finished", is_met: |seen| seen.has_finished(&LANES) }),
            reveal: Some(growth),
        },
        Step {
            title: "Read the latency plot",
            text: "Lane none climbs from left to right, lane contiguous lies near the bottom. Switch on the log scale above the \
                   plot, so that both lanes can be read at once.",
            spot: Some(spots::LATENCY),
            question: Some(Question {
                asks: "On the log scale: what does the height between both lanes at one token tell?",
                choices: &[
                    "How many milliseconds longer one of them takes",
                    "How many times as long one of them takes",
                    "How many tokens one of them is ahead",
                ],
                right: 1,
                because: "Every tenfold is equally high on a log scale, so a height is a factor. On the usual scale it is a \
                          difference.",
            }),
            offer: Some(show("Show cost", "Cost")),
            reveal: Some(per_token),
            ..Step::BLANK
        },
        Step {
            title: "The first token",
            text: "Generation has two phases. Prefill runs the whole prompt through the model at once and yields the first token. \
                   Decode yields every later token, one by one. The table tells them apart: TTFT is the time to the first \
                   token, TPOT the time of each later one.",
            spot: Some(spots::SUMMARY),
            question: Some(Question {
                asks: "Which lane has the shorter time to first token?",
                choices: &["none", "contiguous", "It is about the same in both"],
                right: 2,
                because: "Either lane runs the whole prompt through the model once: it is the same work. If the times below \
                          differ, that is scatter: each is one measurement of a few milliseconds.",
            }),
            reveal: Some(first_token),
            ..Step::BLANK
        },
        Step {
            title: "What a step computes",
            text: "Attention compares the newest token's query with the keys of all tokens so far, and mixes their values. Keys \
                   and values of past tokens never change, since a token sees only what stands before it. Lane contiguous \
                   reads them back. Lane none computes them all again.",
            question: Some(Question {
                asks: "How much work is the last step of lane contiguous, compared with that of lane none?",
                choices: &[
                    "About half, since attention still looks at all tokens",
                    "About a tenth",
                    "Less than a fiftieth",
                ],
                right: 2,
                because: "The model runs over one token instead of over all of them. Attention to stored tokens is a small part \
                          of the work while the text is short.",
            }),
            reveal: Some(work),
            ..Step::BLANK
        },
        Step {
            title: "The same text",
            text: "Both lanes always take the likeliest token. Compare what they wrote: if a token differs from that of the first \
                   lane, it is marked.",
            spot: Some(spots::TEXT),
            question: Some(Question {
                asks: "What does this cache change in the text?",
                choices: &["Nothing", "A word here and there", "More and more, the longer it gets"],
                right: 0,
                because: "The stored keys and values are those that would be computed again, so the predictions are equal, up to \
                          rounding.",
            }),
            reveal: Some(same_text),
            ..Step::BLANK
        },
        Step {
            title: "Is decode flat with a cache?",
            text: "The cache removes repeated work. But attention still looks at every stored token, and each new token adds one. \
                   The weights of the model are read for every token as well, and their size does not change.",
            spot: Some(spots::LATENCY),
            question: Some(Question {
                asks: "How do the last tokens of lane contiguous compare with its first ones?",
                choices: &[
                    "They take exactly as long",
                    "They take a little longer",
                    "They grow as steeply as in lane none",
                ],
                right: 1,
                because: "Each token reads a cache that has grown. Beside the weights that is little here, so scatter can hide \
                          it, and even less in a larger model with a short text.",
            }),
            reveal: Some(first_and_last),
            ..Step::BLANK
        },
        Step {
            title: "What it adds up to",
            text: "To write n tokens without a cache, the model runs over the prompt n times, and over about n\u{b2}/2 tokens \
                   besides. With a cache it runs over n. That is why engines keep one. The price is memory, which grows with \
                   every token: the next tour is about that.",
            spot: Some(spots::SUMMARY),
            question: Some(Question {
                asks: "Lane none ran the model over many times as many tokens. How many times as long did it take?",
                choices: &["As many times", "Fewer times", "More times"],
                right: 1,
                because: "A step reads all weights, for one token as for hundreds. Many tokens at once share that, so each of \
                          them costs less than one that comes alone.",
            }),
            reveal: Some(total),
            ..Step::BLANK
        },
    ],
};

/// The decode steps of both lanes.
fn decoded<'a>(seen: &Seen<'a>) -> Result<(&'a [StepRecord], &'a [StepRecord]), &'static str> {
    let [none, contiguous] = LANES.map(|name| seen.lane(name));
    match (none, contiguous) {
        (Some(none), Some(contiguous)) if !none.decode().is_empty() && !contiguous.decode().is_empty() => {
            Ok((none.decode(), contiguous.decode()))
        }
        _ => Err(RUN_FIRST),
    }
}

fn growth(seen: &Seen<'_>) -> Result<String, &'static str> {
    let (none, contiguous) = decoded(seen)?;
    let n = none.len().min(contiguous.len());
    if n < 2 * EARLY {
        return Err("It takes some more tokens to compare. Run both lanes to their end.");
    }
    // The first token, number 0, is the prefill's.
    let (early, last) = (EARLY - 2, n - 1);
    let ends = |steps: &[StepRecord]| from_to(steps[early].total_secs, steps[last].total_secs);
    Ok(format!(
        "Token {} and token {}. Lane none: {}. Lane contiguous: {}.",
        none[early].step,
        none[last].step,
        ends(none),
        ends(contiguous)
    ))
}

fn latencies(seen: &Seen<'_>) -> Result<[Latency; 2], &'static str> {
    decoded(seen)?;
    Ok(LANES.map(|name| Latency::of(seen.lane(name).map(|lane| lane.records.as_slice()).unwrap_or_default())))
}

fn per_token(seen: &Seen<'_>) -> Result<String, &'static str> {
    let [none, contiguous] = latencies(seen)?.map(|latency| latency.tpot_secs.unwrap_or_default());
    Ok(format!(
        "A token after the first takes {} in lane none and {} in lane contiguous on average: {} as long.",
        secs(none),
        secs(contiguous),
        times(none, contiguous)
    ))
}

fn first_token(seen: &Seen<'_>) -> Result<String, &'static str> {
    let [none, contiguous] = latencies(seen)?.map(|latency| latency.ttft_secs.unwrap_or_default());
    let prefill = seen.lane(LANES[1]).and_then(|lane| lane.records.first()).ok_or(RUN_FIRST)?;
    Ok(format!(
        "TTFT was {} in lane none and {} in lane contiguous, for the same {} million operations. One measurement of a few \
         milliseconds scatters.",
        secs(none),
        secs(contiguous),
        count(prefill.flops / 1_000_000)
    ))
}

fn work(seen: &Seen<'_>) -> Result<String, &'static str> {
    let (none, contiguous) = decoded(seen)?;
    let (Some(none), Some(contiguous)) = (none.last(), contiguous.last()) else { return Err(RUN_FIRST) };
    Ok(format!(
        "The last step of lane none ran the model over {} tokens: {} million operations. That of lane contiguous ran over {}: \
         {} million.",
        none.tokens_in,
        count(none.flops / 1_000_000),
        contiguous.tokens_in,
        count(contiguous.flops / 1_000_000)
    ))
}

fn same_text(seen: &Seen<'_>) -> Result<String, &'static str> {
    decoded(seen)?;
    let lane = seen.lane(LANES[1]).ok_or(RUN_FIRST)?;
    Ok(match lane.first_divergence {
        Some(at) => format!("Token {at} of lane contiguous is the first that differs."),
        None => format!("All {} tokens of lane contiguous are those of lane none.", lane.agreed),
    })
}

fn first_and_last(seen: &Seen<'_>) -> Result<String, &'static str> {
    let (none, contiguous) = decoded(seen)?;
    let n = (none.len().min(contiguous.len()) / 2).min(EARLY);
    let medians = |steps: &[StepRecord]| Some((median_secs(&steps[..n])?, median_secs(&steps[steps.len() - n..])?));
    let (Some(slow), Some(fast)) = (medians(none), medians(contiguous)) else { return Err(RUN_FIRST) };
    Ok(format!(
        "Median of the first {n} and of the last {n} tokens. Lane contiguous: {}. Lane none: {}.",
        from_to(fast.0, fast.1),
        from_to(slow.0, slow.1)
    ))
}

fn total(seen: &Seen<'_>) -> Result<String, &'static str> {
    let (none, contiguous) = decoded(seen)?;
    let sums = |steps: &[StepRecord]| {
        let tokens: usize = steps.iter().map(|step| step.tokens_in).sum();
        (tokens as u64, steps.iter().map(|step| step.total_secs).sum::<f64>())
    };
    let (slow, fast) = (sums(none), sums(contiguous));
    Ok(format!(
        "After the first token, lane none ran the model over {} tokens in {}, lane contiguous over {} in {}: {} the work and {} \
         the time.",
        count(slow.0),
        secs(slow.1),
        count(fast.0),
        secs(fast.1),
        times(float(slow.0), float(fast.0)),
        times(slow.1, fast.1)
    ))
}
