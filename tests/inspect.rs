//! The numbers inside a lane, on the story model: stored rows beside exact ones, their groups, and the newest token's softmax.

mod support;

use std::sync::{Arc, LazyLock, atomic::AtomicBool};

use kvlab::{
    cache::{Format, Lane, Over, Retention, Rule},
    engine::{Ask, Attention, EngineError, InspectedRow, Inspection, Session, SessionConfig, Stored},
    experiment::DEFAULT_PROMPT,
    model::{LoadedModel, ModelSource},
};
use support::{NEVER, load};

const LANES: [&str; 16] = [
    "none",
    "contiguous",
    "concat",
    "paged:16",
    "paged:16+f16",
    "paged:16+int8",
    "paged:16+q8_0",
    "contiguous+q4_0",
    "concat+int4",
    "paged:32+kivi:2",
    "paged:16+kvq:3",
    "paged:16+rot",
    "paged:16+int4+rot",
    "paged:4+window:4/20",
    "concat+window:4/20",
    "paged:16+h2o:16/16",
];
const GENERATED: usize = 30;
/// What a rotation there and back costs a value, as part of its row's norm.
const ROTATED: f32 = 4e-6;

static MODEL: LazyLock<Arc<LoadedModel>> = LazyLock::new(|| Arc::new(load(&ModelSource::Story)));

/// The default prompt and some decoded tokens.
fn session(lane: &str) -> Session {
    let mut session =
        Session::new(MODEL.clone(), lane.parse().expect(lane), SessionConfig::default()).expect("a session");
    let prompt = MODEL.tokenizer.as_ref().expect("the story model has one").encode(DEFAULT_PROMPT).expect("ids");
    session.prefill(&prompt, &NEVER).expect("prefill");
    for _ in 0..GENERATED {
        session.decode(&NEVER).expect("a token");
    }
    session
}

fn inspect(session: &mut Session, layer: usize, head: usize, position: usize) -> Inspection {
    session.inspect(Ask { layer, head, position }, &NEVER).expect("a look")
}

fn spec_of(lane: &str) -> Option<kvlab::cache::CacheSpec> {
    match lane.parse().expect(lane) {
        Lane::None | Lane::Mine => None,
        Lane::Cache(spec) => Some(spec),
    }
}

fn norm(row: &[f32]) -> f32 {
    row.iter().map(|x| x * x).sum::<f32>().sqrt()
}

/// The most that each number may be off: half a step of its group, and what is said beside it.
fn bounds(row: &InspectedRow, format: Format) -> Vec<f32> {
    /// Half the step of f16, as part of a number.
    const F16: f32 = 1.0 / 2048.0;
    let Stored::Decoded { groups, .. } = &row.stored else { return vec![0.0; row.exact.len()] };
    let groups = groups.as_ref().expect("on the CPU");
    let bound = |(channel, exact): (usize, &f32)| {
        let Some(group) = groups.groups.iter().find(|group| group.holds(channel)) else {
            // Plain floats, and outliers in f16.
            return if format == Format::F32 { 0.0 } else { exact.abs() * F16 + 1e-7 };
        };
        #[expect(clippy::cast_precision_loss, reason = "at most 256")]
        let steps = (group.levels.len() - 1) as f32;
        match group.rule {
            // ggml finds codes with the scale before it is rounded to f16; of 4 bits the farther end stops a step early.
            Rule::Symmetric { scale } if format == Format::Q4_0 => scale.abs() * (1.0 + 8.0 * F16),
            Rule::Symmetric { scale } => scale * (0.5 + 127.0 * F16),
            // Values at the ends of a group lie beyond its levels by as much as minimum and scale were rounded.
            Rule::Affine { minimum, scale } => scale * (0.501 + steps * F16) + minimum.abs() * F16,
            // No level is nearer.
            Rule::Found { .. } => {
                group.levels.iter().map(|level| (level - exact).abs()).fold(f32::INFINITY, f32::min) + 1e-6
            }
        }
    };
    row.exact.iter().enumerate().map(bound).collect()
}

#[test]
fn what_is_stored_is_what_was_computed_up_to_the_formats_own_loss() {
    for lane in LANES {
        let mut session = session(lane);
        let Some(spec) = spec_of(lane) else { continue };
        let n_stored = session.tokens().len() - 1;
        let mut seen = [0; 3];
        for position in [5, 40, n_stored - 1] {
            for (layer, head) in [(0, 3), (3, 2)] {
                let inspection = inspect(&mut session, layer, head, position);
                assert_eq!((inspection.stored_tokens, inspection.position), (n_stored, position), "{lane}");
                for row in [&inspection.key, &inspection.value] {
                    match &row.stored {
                        Stored::NoCache => panic!("{lane} has a cache"),
                        Stored::Evicted => seen[0] += 1,
                        Stored::Exact(_) => seen[1] += 1,
                        Stored::Decoded { .. } => seen[2] += 1,
                    }
                    let Some(stored) = row.stored.numbers() else { continue };
                    assert_eq!(row.exact.len(), stored.len(), "{lane}");
                    if spec.format == Format::F32 && !spec.rotate && spec.retention == Retention::All {
                        assert_eq!(row.exact, stored, "{lane} layer {layer} token {position}: nothing is lost");
                    }
                    let bounds =
                        if spec.rotate && spec.format != Format::F32 { vec![] } else { bounds(row, spec.format) };
                    for (channel, bound) in bounds.iter().enumerate().filter(|_| layer == 0) {
                        let bound = bound + if spec.rotate { ROTATED * norm(&row.exact) } else { 0.0 };
                        let (exact, stored) = (row.exact[channel], stored[channel]);
                        let error = (exact - stored).abs();
                        assert!(error <= bound, "{lane} token {position} channel {channel}: {exact} {stored} {bound}");
                    }
                }
            }
        }
        let evicts = spec.retention != Retention::All;
        let waits = matches!(spec.format, Format::Kivi { .. });
        assert_eq!((seen[0] > 0, seen[1] > 0), (evicts, waits), "{lane}: {seen:?}");
        assert!(seen[2] > 0, "{lane}: {seen:?}");
    }
}

#[test]
fn groups_say_what_is_stored() {
    for lane in LANES {
        let (mut session, Some(spec)) = (session(lane), spec_of(lane)) else { continue };
        let inspection = inspect(&mut session, 2, 1, 5);
        let (store, seq) = session.cache().expect("a cache");
        let (keys, values) = store.read(seq, 2).expect("rows");
        let picture = store.picture(seq).expect("a picture");
        let rank = picture[..5].iter().filter(|token| token.live).count();
        let heads = store.shape().heads;
        for (row, rows) in [(&inspection.key, keys), (&inspection.value, values)] {
            let Stored::Decoded { numbers, groups, is_rotated } = &row.stored else {
                assert!(!picture[5].live, "{lane}");
                continue;
            };
            let first = rank * heads.n_kv_head * heads.head_dim + heads.head_dim;
            assert_eq!(numbers, &rows[first..first + heads.head_dim], "{lane}: what a store reads");
            assert_eq!(*is_rotated, spec.rotate, "{lane}");
            let groups = groups.as_ref().expect("on the CPU");
            let is_grouped = !matches!(spec.format, Format::F32 | Format::F16 | Format::Bf16 | Format::F8);
            assert_eq!(!groups.groups.is_empty(), is_grouped, "{lane}");
            for (channel, number) in numbers.iter().enumerate().filter(|_| is_grouped && !spec.rotate) {
                let level = groups.number(channel).map(f32::to_bits);
                assert_eq!(level, Some(number.to_bits()), "{lane} channel {channel}");
            }
        }
        if let (Format::Kivi { .. }, Stored::Decoded { groups: Some(groups), .. }) =
            (spec.format, &inspection.key.stored)
        {
            assert_eq!(groups.groups.len(), heads.head_dim, "a group for each channel");
            assert!(groups.groups.iter().all(|group| matches!(group.over, Over::Tokens { own: 5, .. })));
        }
    }
}

#[test]
fn the_softmax_is_the_lanes_attention() {
    for lane in LANES {
        let mut session = session(lane);
        let attention = session.attention_of_next(&NEVER).expect("attention");
        let row = &attention.rows[0];
        for (layer, head) in [(0, 0), (4, 3)] {
            let softmax = inspect(&mut session, layer, head, 1).softmax;
            let n_tokens = session.tokens().len();
            assert_eq!(softmax.weights.len(), n_tokens, "{lane}");
            assert!((softmax.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{lane}");
            assert!((softmax.tiles.iter().map(|tile| tile.share).sum::<f64>() - 1.0).abs() < 1e-9, "{lane}");
            for (position, weight) in softmax.weights.iter().enumerate() {
                let code = row[(layer * attention.n_head + head) * n_tokens + position];
                let error = (weight - f64::from(Attention::weight(code))).abs();
                // As `Attention::code` says, and what f32 and a rotation add.
                let precision = if *weight < 0.002 { 2e-4 } else { 0.004 } + 1e-5;
                assert!(error <= precision, "{lane} layer {layer} head {head} token {position}: {weight}");
            }
            let expected = match lane {
                "paged:32+kivi:2" => 32,
                "paged:4+window:4/20" => 8,
                _ => 16,
            };
            assert_eq!(softmax.tile_tokens, expected, "{lane}");
            let live: usize = softmax.tiles.iter().map(|tile| tile.n_live).sum();
            let cached = session.cache().map(|(store, seq)| store.n_live(seq).expect("open"));
            assert_eq!(live, cached.unwrap_or(n_tokens - 1) + 1, "{lane}");
        }
    }
}

#[test]
fn a_look_changes_nothing() {
    for lane in LANES {
        let (mut plain, mut watched) = (session(lane), session(lane));
        for round in 0..3 {
            let footprint = watched.cache().map(|(store, _)| store.footprint());
            inspect(&mut watched, round, 0, 3 * round);
            assert_eq!(watched.cache().map(|(store, _)| store.footprint()), footprint, "{lane}");
            assert_eq!(plain.tokens(), watched.tokens(), "{lane}");
            plain.decode(&NEVER).expect("a token");
            watched.decode(&NEVER).expect("a token");
        }
        assert_eq!(plain.tokens(), watched.tokens(), "{lane}");
        let logits = |session: &Session| session.logits().expect("logits").to_vec1::<f32>().expect("f32");
        assert_eq!(logits(&plain), logits(&watched), "{lane}");
    }
}

#[test]
fn what_is_not_there_is_refused_and_said() {
    for lane in ["none", "paged:16+int8"] {
        let mut session =
            Session::new(MODEL.clone(), lane.parse().expect(lane), SessionConfig::default()).expect("a session");
        let ask = |layer, head, position| Ask { layer, head, position };
        assert!(matches!(session.inspect(ask(0, 0, 0), &NEVER), Err(EngineError::NotStarted)), "{lane}");
        session.prefill(&[1, 2, 3], &NEVER).expect("prefill");
        let config = MODEL.model.config();
        for (asked, n, what) in [
            (ask(config.n_layer, 0, 0), config.n_layer, "layer"),
            (ask(0, config.n_head, 0), config.n_head, "head"),
            // Three tokens are stored; the fourth is the newest.
            (ask(0, 0, 3), 3, "stored token"),
        ] {
            let error = session.inspect(asked, &NEVER).expect_err("not there");
            assert!(matches!(error, EngineError::NotThere { n: there, .. } if there == n), "{lane}: {error}");
            assert!(error.to_string().contains(&format!("no {what} ")), "{lane}: {error}");
        }
        let cancelled = AtomicBool::new(true);
        assert!(session.inspect(ask(0, 0, 2), &cancelled).expect_err("cancelled").is_cancelled());
        session.inspect(ask(0, 0, 2), &NEVER).expect("a look");
    }
}
