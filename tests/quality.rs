//! What a cache costs in quality: a run against the plainest loops, and what must hold of it.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use candle_core::Device;
use kvlab::{
    cache::{Uncached, spec::parse_lanes},
    experiment::quality::{LaneQuality, QualityError, QualityEvent, QualityRun, QualitySettings},
    model::{LoadedModel, Logits, ModelSource, Passage},
};
use support::{GOLDENS, NEVER, argmax, forward, golden_model, store};

const SETTINGS: QualitySettings = QualitySettings { prompt_tokens: 16, greedy_tokens: 8, batch: 2 };

fn story_model() -> Arc<LoadedModel> {
    Arc::new(ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &NEVER).expect("embedded"))
}

/// The `n` stories from the third on (it recalls early), each up to `len` tokens.
fn stories(n: usize, len: usize) -> Vec<Passage> {
    let stories = Passage::held_out_stories().expect("embedded").into_iter().skip(2).take(n);
    stories
        .map(|mut story| {
            story.truncate(len);
            story
        })
        .collect()
}

fn run(lanes: &str, passages: Vec<Passage>, settings: QualitySettings) -> QualityRun {
    let lanes = parse_lanes(lanes).expect(lanes);
    let mut run = QualityRun::new(story_model(), &lanes, passages, settings).expect("a run");
    while run.step(&NEVER).expect("a step").is_some() {}
    run
}

fn refusal(lanes: &str, passages: Vec<Passage>, settings: QualitySettings) -> QualityError {
    let lanes = if lanes.is_empty() { vec![] } else { parse_lanes(lanes).expect(lanes) };
    QualityRun::new(story_model(), &lanes, passages, settings).err().expect("refused")
}

fn number(value: Option<f64>) -> f64 {
    value.expect("a number")
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).expect("few"))
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

#[test]
fn exact_lanes_lose_nothing_and_int8_little() {
    let passages = stories(2, 200);
    let run = run("paged:16+int8,paged:16", passages.clone(), SETTINGS);
    assert_eq!(run.lanes(), ["contiguous", "paged:16+int8", "paged:16"], "the exact lane is always there");
    let lanes = run.summaries();
    for lane in &lanes {
        assert_eq!((lane.is_exact, lane.failed.as_ref()), (lane.lane == "contiguous", None));
        assert_eq!(lane.positions, 2 * (200 - 1 - 16));
        let marks = passages.iter().flat_map(|p| &p.recall);
        let near = marks.clone().filter(|mark| mark.distance < 100).count();
        assert_eq!((lane.recall_asked["0-100"], lane.recall_asked["100-300"]), (near, marks.count() - near));
    }
    assert!(lanes[0].recall_asked["0-100"] > 5 && lanes[0].recall_asked["100-300"] > 0);
    for exact in [&lanes[0], &lanes[2]] {
        // Bit for bit: equal logits, so exactly 0.
        assert_eq!((exact.kl, exact.kl_p99, exact.kl_standard_error), (Some(0.0), Some(0.0), Some(0.0)));
        assert_eq!((exact.top1_agreement, exact.greedy_same_share), (Some(1.0), Some(1.0)));
        assert_eq!((exact.perplexity, exact.greedy_divergence_median), (lanes[0].perplexity, None));
        assert_eq!((exact.recall["0-100"], exact.recall["100-300"]), (Some(1.0), Some(1.0)), "the card says 100 %");
        assert_eq!(exact.recall["600-900"], None, "no value was asked for");
        // Keys and values of 5 layers of 6 heads of 32 f32.
        assert_eq!(exact.bytes_per_token, Some(2.0 * 5.0 * 6.0 * 32.0 * 4.0));
    }
    let int8 = &lanes[1];
    let kl = number(int8.kl);
    assert!(kl > 0.0 && kl < 1e-3, "{kl}");
    assert!(number(int8.kl_median) < number(int8.kl_p99) && number(int8.kl_standard_error) < kl);
    // 32 codes and an f32 scale instead of 32 f32.
    assert_eq!(int8.bytes_per_token, Some(number(lanes[0].bytes_per_token) * 36.0 / 128.0));
    // The whole region of 1,024 tokens against blocks of 16: 199 tokens are 13 blocks.
    assert!(close(number(lanes[0].held_bytes_per_token), 7680.0 * 1024.0 / 199.0, 1e-12));
    assert!(close(number(lanes[2].held_bytes_per_token), 7680.0 * 208.0 / 199.0, 1e-12));
}

/// What the README's table shows: formats lie apart, and a window forgets what it cannot reach and keeps what it can.
#[test]
fn the_table_discriminates() {
    let settings = QualitySettings { prompt_tokens: 64, greedy_tokens: 0, batch: 2 };
    // One that asks for much from long ago.
    let mut story = Passage::held_out_stories().expect("embedded").swap_remove(20);
    story.truncate(640);
    let run = run("contiguous,paged:16+int8,paged:32+kivi:2,paged:16+window:4/252", vec![story], settings);
    let [exact, int8, kivi, window] = &run.summaries()[..] else { panic!("four lanes") };
    let (int8_kl, kivi_kl) = (number(int8.kl), number(kivi.kl));
    assert!(int8_kl < 1e-3 && kivi_kl >= 10.0 * int8_kl, "{int8_kl} {kivi_kl}");
    let recall = |lane: &LaneQuality, bucket: &str| number(lane.recall[bucket]);
    assert!(exact.recall_asked["300-600"] > 10 && recall(exact, "300-600") > 0.9);
    assert!(recall(window, "300-600") <= 0.2, "{}", recall(window, "300-600"));
    assert!(recall(window, "0-100") >= recall(exact, "0-100") - 0.05, "{}", recall(window, "0-100"));
}

#[test]
fn positions_recombine_to_the_totals() {
    let mut passages = stories(2, 120);
    passages.extend(stories(1, 90));
    let run = run("paged:16+int8", passages, QualitySettings { batch: 2, ..SETTINGS });
    for (index, lane) in run.summaries().iter().enumerate() {
        let positions = run.positions(index);
        assert!(positions.iter().map(|at| at.position).eq(17..120));
        assert!(positions.iter().all(|at| at.passages == if at.position < 90 { 3 } else { 2 }));
        let n: usize = positions.iter().map(|at| at.passages).sum();
        assert_eq!(n, lane.positions);
        let mean = |of: fn(&_) -> f64| -> f64 {
            positions.iter().map(|at| of(at) * count(at.passages)).sum::<f64>() / count(n)
        };
        assert!(close(mean(|at| at.kl), number(lane.kl), 1e-12));
        assert!(close(mean(|at| at.top1_agreement), number(lane.top1_agreement), 1e-12));
        assert!(close(mean(|at| at.nll).exp(), number(lane.perplexity), 1e-12));
    }
}

/// `ln` of the softmax, the plain way: logits of this model are small enough to be exponentiated as they are.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    logits.iter().map(|x| f64::from(*x) - sum.ln()).collect()
}

#[test]
fn the_plainest_loops_say_the_same() {
    let (story, n_prompt) = (stories(1, 160).remove(0), SETTINGS.prompt_tokens);
    let run = run("paged:16+int8", vec![story.clone()], SETTINGS);
    let summary = run.summaries().remove(1);

    let loaded = story_model();
    let model = &loaded.model;
    let (mut exact, mut int8) = (store("contiguous", model, 1), store("paged:16+int8", model, 1));
    let (exact_seq, int8_seq) = (exact.open().expect("room"), int8.open().expect("room"));
    // All rows of one uncached pass: a third way to the exact logits.
    let mut kv = Uncached::new(model.config().heads(), story.ids.len());
    let all = model.forward(&story.ids, &mut kv, None, Logits::All, &NEVER).expect("forward");
    let all: Vec<Vec<f32>> = all.to_vec2().expect("rows");
    forward(model, &mut exact, &[(exact_seq, &story.ids[..n_prompt])]);
    forward(model, &mut int8, &[(int8_seq, &story.ids[..n_prompt])]);

    let (mut kl, mut uncached_kl, mut nll, mut same, mut hits, mut asked) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for position in n_prompt + 1..story.ids.len() {
        let fed = &story.ids[position - 1..position];
        let p = forward(model, &mut exact, &[(exact_seq, fed)]).remove(0);
        let q = forward(model, &mut int8, &[(int8_seq, fed)]).remove(0);
        let divergence = |p: &[f32], q: &[f32]| -> f64 {
            log_softmax(p).iter().zip(log_softmax(q)).map(|(p, q)| p.exp() * (p - q)).sum()
        };
        kl += divergence(&p, &q);
        uncached_kl += divergence(&all[position - 1], &q);
        nll -= log_softmax(&q)[story.ids[position] as usize];
        same += f64::from(u8::from(argmax(&p) == argmax(&q)));
        if let Some(mark) = story.recall.iter().find(|mark| mark.position == position) {
            asked += 1.0;
            hits += f64::from(u8::from(argmax(&q) == mark.token));
        }
    }
    let n = count(story.ids.len() - n_prompt - 1);
    assert!(close(kl / n, number(summary.kl), 1e-9), "{} and {:?}", kl / n, summary.kl);
    // Logits of another order of additions: their rounding is about 1 % of what int8 does here, and not in its direction.
    assert!(close(uncached_kl / n, number(summary.kl), 0.05), "{} and {:?}", uncached_kl / n, summary.kl);
    assert!(close((nll / n).exp(), number(summary.perplexity), 1e-12));
    assert!(close(same / n, number(summary.top1_agreement), 1e-12));
    let recalled: usize = summary.recall_asked.values().sum();
    assert!(asked > 0.0 && close(asked, count(recalled), 0.0));
    let hit: f64 =
        summary.recall.iter().filter_map(|(bucket, share)| Some((*share)? * count(summary.recall_asked[bucket]))).sum();
    assert!(close(hit, hits, 1e-12));
    assert_eq!(
        summary.bytes_per_token,
        Some(count(int8.footprint().used_bytes.try_into().expect("few")) / count(story.ids.len() - 1))
    );
}

#[test]
fn greedy_texts_part_where_the_tokens_do() {
    const GREEDY: usize = 100;
    // Untrained weights: their logits lie close together, so 8 bits sooner or later pick another token.
    let model = golden_model(GOLDENS[2]);
    let passages = Passage::cut(&(0..100_u32).map(|i| i * 37 % 256).collect::<Vec<_>>(), 10);
    let settings = QualitySettings { prompt_tokens: 8, greedy_tokens: GREEDY, batch: 1 };
    let lanes = parse_lanes("paged:16+int8").expect("lanes");
    let mut run = QualityRun::new(model.clone(), &lanes, passages.clone(), settings).expect("a run");
    while run.step(&NEVER).expect("a step").is_some() {}

    let parted = passages.iter().map(|passage| {
        let text = |spec: &str| -> Vec<u32> {
            let mut store = store(spec, &model.model, 1);
            let seq = store.open().expect("room");
            let mut ids = vec![argmax(&forward(&model.model, &mut store, &[(seq, &passage.ids[..8])])[0])];
            while ids.len() < GREEDY {
                ids.push(argmax(&forward(&model.model, &mut store, &[(seq, &ids[ids.len() - 1..])])[0]));
            }
            ids
        };
        text("contiguous").iter().zip(&text("paged:16+int8")).position(|(a, b)| a != b)
    });
    let parted: Vec<Option<usize>> = parted.collect();
    let mut at: Vec<usize> = parted.iter().copied().flatten().collect();
    at.sort_unstable();
    assert!((5..10).contains(&at.len()), "half of 10 part, and not all: {parted:?}");
    let summary = run.summaries().remove(1);
    assert_eq!(summary.greedy_divergence_median, Some(at[4]));
    assert_eq!(summary.greedy_same_share, Some(count(10 - at.len()) / 10.0));
    assert!(summary.recall.is_empty() && summary.recall_asked.is_empty(), "a text without marks");
}

#[test]
fn a_cancelled_step_changes_nothing_and_can_be_made_again() {
    let (lanes, passages) = (parse_lanes("paged:16+int8").expect("lanes"), stories(2, 30));
    let mut whole = QualityRun::new(story_model(), &lanes, passages.clone(), SETTINGS).expect("a run");
    let mut broken = QualityRun::new(story_model(), &lanes, passages, SETTINGS).expect("a run");
    let cancel = AtomicBool::new(false);
    let mut events = 0;
    loop {
        cancel.store(true, Ordering::Relaxed);
        let before = (broken.summaries(), broken.progress());
        match broken.step(&cancel) {
            Err(error) => assert!(error.is_cancelled()),
            Ok(event) => assert_eq!(event, None, "a step was made in spite of the cancel flag"),
        }
        assert_eq!((broken.summaries(), broken.progress()), before);
        cancel.store(false, Ordering::Relaxed);
        let event = whole.step(&NEVER).expect("a step");
        assert_eq!(broken.step(&cancel).expect("a step"), event);
        if event.is_none() {
            break;
        }
        events += 1;
    }
    assert_eq!(broken.summaries(), whole.summaries());
    let (all, done) = whole.progress();
    assert!(done == all && events <= all && events > all / 2, "{events} events in {done} of {all} steps");
}

#[test]
fn the_exact_lane_goes_first_wherever_it_stands() {
    let lanes = parse_lanes("paged:16,concat,contiguous,paged:8,contiguous").expect("lanes");
    let mut run = QualityRun::new(story_model(), &lanes, stories(1, 30), SETTINGS).expect("a run");
    assert_eq!(run.lanes(), ["paged:16", "concat", "contiguous", "paged:8", "contiguous#2"]);
    let first: Vec<_> = (0..5).map(|_| run.step(&NEVER).expect("a step").expect("an event")).collect();
    assert_eq!(first, [2, 0, 1, 3, 4].map(|lane| QualityEvent::Prompt { lane }));
    let exact: Vec<bool> = run.summaries().iter().map(|lane| lane.is_exact).collect();
    assert_eq!(exact, [false, false, true, false, false]);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let stories = || stories(1, 40);
    let settings = |prompt_tokens, greedy_tokens, batch| QualitySettings { prompt_tokens, greedy_tokens, batch };
    assert!(matches!(refusal("", stories(), SETTINGS), QualityError::NoLanes));
    assert!(matches!(refusal("paged:16,none", stories(), SETTINGS), QualityError::NoCache));
    assert!(matches!(refusal("paged:16", vec![], SETTINGS), QualityError::NoPassages));
    assert!(matches!(refusal("paged:16", stories(), settings(16, 0, 0)), QualityError::NoBatch));
    assert!(matches!(refusal("paged:16", stories(), settings(0, 0, 1)), QualityError::NoPrompt));
    for prompt in [39, usize::MAX] {
        assert!(matches!(refusal("paged:16", stories(), settings(prompt, 0, 1)), QualityError::PromptTooLong { .. }));
    }
    for greedy in [1009, usize::MAX] {
        assert!(matches!(refusal("paged:16", stories(), settings(16, greedy, 1)), QualityError::PastContext { .. }));
    }
    let long = Passage { ids: vec![1; 1025], recall: vec![] };
    assert!(matches!(refusal("paged:16", vec![long], SETTINGS), QualityError::PassageTooLong { .. }));
    let foreign = Passage { ids: vec![2048; 40], recall: vec![] };
    assert!(matches!(refusal("paged:16", vec![foreign], SETTINGS), QualityError::Model(_)));
}
