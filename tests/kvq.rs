//! `kvq`: levels found on a text, once for a model and kept on the disk, and what they are good for.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use kvlab::{
    cache::{Calibration, KvStore},
    engine::{Session, SessionConfig},
    experiment::{DEFAULT_PROMPT, Experiment, ExperimentError, LaneEvent},
    kernels::{
        codec::{Codec, Levels, RowShape},
        walk::Rows,
    },
    model::{CalibrationText, Calibrations, LoadedModel, ModelError, ModelSource},
};
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, StandardNormal};
use support::{GOLDENS, NEVER, calibrated_store, forward, golden_folder, golden_model, load, small::workload};

const LAYOUTS: [&str; 4] = ["concat", "contiguous", "paged:7", "paged:32"];

fn token(model: &LoadedModel, i: usize) -> u32 {
    u32::try_from((i * 37 + 11) % model.model.config().vocab_size).expect("an id")
}

fn tokens(model: &LoadedModel, from: usize, n: usize) -> Vec<u32> {
    (from..from + n).map(|i| token(model, i)).collect()
}

/// The rows of a layer.
type KeysAndValues = (Vec<f32>, Vec<f32>);

/// Keys and values of every layer, `[tokens, width]`.
fn captured(model: &LoadedModel, n_tokens: usize) -> (RowShape, Vec<KeysAndValues>) {
    let heads = model.model.config().heads();
    let mut store = calibrated_store("contiguous", model, 1);
    let seq = store.open().expect("sequence");
    forward(&model.model, &mut store, &[(seq, &tokens(model, 0, n_tokens))]);
    let layers = (0..model.model.config().n_layer).map(|layer| store.read(seq, layer).expect("rows")).collect();
    (RowShape { n_kv_head: heads.n_kv_head, head_dim: heads.head_dim }, layers)
}

/// Mean squared error of rows `[tokens, width]` that were stored and read back.
fn mean_squared_error(codec: Codec, shape: RowShape, levels: Option<&Levels>, rows: &[f32]) -> f64 {
    let width = shape.width();
    let mut sum = 0.0;
    for row in rows.chunks_exact(width) {
        let (mut codes, mut scales) = (vec![0; codec.code_bytes(shape)], vec![0; codec.scale_bytes(shape)]);
        codec.encode(shape, levels, row, &mut codes, &mut scales);
        let stored = Rows { codec, shape, codes: &codes, token_stride: codes.len(), scales: &scales, levels };
        let mut back = vec![f32::NAN; width];
        for (head, back) in back.chunks_exact_mut(shape.head_dim).enumerate() {
            stored.decode(0, 1, head, back);
        }
        sum += row.iter().zip(&back).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let n = rows.len() as f64;
    sum / n
}

/// Of keys by channel and of values by token, each with levels found on the rows themselves.
fn levels_errors(bits: u8, shape: RowShape, keys: &[f32], values: &[f32]) -> [f64; 2] {
    let error = |by_channel, levels: &Levels, rows: &[f32]| {
        mean_squared_error(Codec::Levels { bits, by_channel }, shape, Some(levels), rows)
    };
    [
        error(true, &Levels::of_keys(bits, shape, keys), keys),
        error(false, &Levels::of_values(bits, shape, values), values),
    ]
}

#[test]
fn a_bit_more_is_better() {
    let model = golden_model("gpt2-2l-2h-128d");
    let (shape, layers) = captured(&model, 120);
    for (layer, (keys, values)) in layers.iter().enumerate() {
        let errors = [2, 3, 4].map(|bits| levels_errors(bits, shape, keys, values));
        println!("layer {layer}: mean squared errors of keys and values with 2, 3 and 4 bits {errors:?}");
        for kind in [0, 1] {
            // Twice as many levels for half a range each: a quarter of the error, if the rest is alike; half at least.
            assert!(errors.windows(2).all(|pair| pair[1][kind] < pair[0][kind] / 2.0), "{errors:?}");
        }
    }
}

#[test]
fn found_levels_beat_equal_steps_where_channels_lie_out_and_tails_are_heavy() {
    let shape = RowShape { n_kv_head: 2, head_dim: 64 };
    let mut rng = StdRng::seed_from_u64(3);
    let mut normal = || -> f32 { StandardNormal.sample(&mut rng) };
    // Cubes of normal values have heavy tails; channel 70 lies far out, as keys' channels do.
    let mut rows: Vec<f32> = (0..300 * shape.width()).map(|_| normal().powi(3)).collect();
    rows.iter_mut().skip(70).step_by(shape.width()).for_each(|x| *x += 120.0);
    for bits in [2, 4] {
        let affine = mean_squared_error(Codec::Affine { bits }, shape, None, &rows);
        let [keys, values] = levels_errors(bits, shape, &rows, &rows);
        println!("{bits} bits: equal steps {affine:.3}, found levels by channel {keys:.3}, by token {values:.3}");
        assert!(keys < affine / 4.0 && values < affine / 4.0, "{keys}, {values}, {affine}");
    }
}

/// Prefill in pieces, single tokens, a fork, truncations: what came out, as bits.
fn script(model: &LoadedModel, spec: &str) -> Vec<Vec<u32>> {
    let mut store = calibrated_store(spec, model, 3);
    let mut seen = vec![];
    let mut step = |store: &mut KvStore, batch: &[(kvlab::cache::SeqId, &[u32])]| {
        let logits = forward(&model.model, store, batch);
        seen.extend(logits.into_iter().map(|row| row.into_iter().map(f32::to_bits).collect::<Vec<u32>>()));
    };
    let (a, b) = (store.open().expect("sequence"), store.open().expect("sequence"));
    step(&mut store, &[(a, &tokens(model, 0, 40))]);
    step(&mut store, &[(a, &tokens(model, 40, 9)), (b, &tokens(model, 100, 5))]);
    let c = store.fork(a).expect("fork");
    for i in 0..6 {
        step(&mut store, &[(a, &[token(model, 200 + i)]), (c, &[token(model, 300 + i)])]);
    }
    store.truncate(c, 45).expect("into what it shares");
    store.truncate(b, 1).expect("of its own");
    step(&mut store, &[(c, &tokens(model, 400, 12)), (b, &tokens(model, 500, 30)), (a, &[token(model, 9)])]);
    store.close(a).expect("close");
    step(&mut store, &[(c, &[token(model, 7)]), (b, &[token(model, 8)])]);
    seen
}

#[test]
fn layouts_are_bit_identical() {
    let model = golden_model("gpt2-3l-4h-64d");
    let exact = script(&model, "contiguous");
    for format in ["kvq:2", "kvq:3", "kvq:4", "kvq:3+rot"] {
        let first = script(&model, &format!("{}+{format}", LAYOUTS[0]));
        assert!(first != exact, "{format} stored what it was given");
        for layout in &LAYOUTS[1..] {
            assert!(script(&model, &format!("{layout}+{format}")) == first, "{layout}+{format} differs from concat");
        }
    }
}

#[test]
fn every_number_of_heads_and_channels_works() {
    for name in GOLDENS {
        let model = golden_model(name);
        assert!(script(&model, "paged:7+kvq:3") == script(&model, "concat+kvq:3"), "{name}");
    }
}

/// A golden model whose levels are kept in `folder`.
fn kept_in(folder: &Path) -> LoadedModel {
    let model = load(&ModelSource::Folder(golden_folder(GOLDENS[0])));
    LoadedModel { calibrations: Calibrations::kept_in(Some(folder.into())), ..model }
}

/// The levels of a lane, and whether they came from the disk.
fn calibrated(model: &LoadedModel, lane: &str) -> (Calibration, bool) {
    let found = model.calibrated(lane.parse().expect(lane), &mut |_| {}, &NEVER).expect(lane).expect("levels");
    (found.calibration.clone(), found.from_disk)
}

fn is_same(a: &Calibration, b: &Calibration) -> bool {
    let bits = |x: f32| x.to_bits();
    let of = |levels: &Levels| -> Vec<u32> {
        let ranges = levels.channels.iter().flat_map(|(centre, half)| [bits(*centre), bits(*half)]);
        levels.levels.iter().map(|x| bits(*x)).chain(ranges).collect()
    };
    a.layers().map(|(keys, values)| (of(keys), of(values))).eq(b.layers().map(|(keys, values)| (of(keys), of(values))))
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_calibration_is_kept_and_read_back_to_the_bit() {
    let home = tempfile::tempdir().expect("folder");
    let folder = home.path().join("not").join("there yet");
    let first = kept_in(&folder);
    let (found, from_disk) = calibrated(&first, "contiguous+kvq:3");
    assert!(!from_disk && first.calibrations.note().is_none());
    let file = only_file(&folder);
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    assert_eq!(name, format!("{}-kvq3.safetensors", first.hash));

    let second = kept_in(&folder);
    let (read, from_disk) = calibrated(&second, "paged:7+kvq:3");
    assert!(from_disk && is_same(&read, &found));
    assert!(script(&first, "contiguous+kvq:3") == script(&second, "contiguous+kvq:3"), "other logits");
    // Others have files of their own.
    for (lane, n_files) in [("contiguous+kvq:3+rot", 2), ("contiguous+kvq:2", 3), ("concat+kvq:3", 3)] {
        calibrated(&second, lane);
        assert_eq!(fs::read_dir(&folder).expect("folder").count(), n_files, "{lane}");
    }
    assert!(!is_same(&calibrated(&second, "contiguous+kvq:3+rot").0, &found));
}

#[test]
fn a_damaged_or_foreign_file_is_made_again() {
    let home = tempfile::tempdir().expect("folder");
    let (found, _) = calibrated(&kept_in(home.path()), "contiguous+kvq:3");
    let file = only_file(home.path());
    let whole = fs::read(&file).expect("file");
    let other = tempfile::tempdir().expect("folder");
    let foreign = |lane: &str| {
        calibrated(&kept_in(other.path()), lane);
        let path = only_file(other.path());
        let bytes = fs::read(&path).expect("file");
        fs::remove_file(path).expect("file");
        bytes
    };
    let replaced = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|bytes| bytes == from.as_bytes()).expect(from);
        [&whole[..at], to.as_bytes(), &whole[at + from.len()..]].concat()
    };
    let flipped = |at: usize, bit: u8| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        bytes
    };
    let mut bad = vec![
        ("empty", vec![]),
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("cut by a byte", whole[..whole.len() - 1].to_vec()),
        ("too long", [&whole[..], &[0; 4]].concat()),
        ("very long", [&whole[..], &[0; 1 << 16]].concat()),
        ("another version", replaced(r#""kvlab_kvq":"1""#, r#""kvlab_kvq":"0""#)),
        ("another shape", replaced("[2,8]", "[8,2]")),
        ("levels of other bits", foreign("contiguous+kvq:4")),
        ("rotated levels", foreign("contiguous+kvq:3+rot")),
        ("no safetensors", vec![b'x'; 4000]),
        ("a header that says it is huge", [&[0xff; 8], &whole[8..]].concat()),
    ];
    // A bit anywhere in the numbers: of a sign, an exponent, a mantissa.
    for back in [1, 2, 4, 100, 301] {
        bad.extend([0, 6, 7].map(|bit| ("a bit of a number", flipped(whole.len() - back, bit))));
    }
    for (what, bytes) in bad {
        assert_ne!(bytes, whole, "{what}");
        fs::write(&file, bytes).expect("written");
        let (again, from_disk) = calibrated(&kept_in(home.path()), "contiguous+kvq:3");
        assert!(!from_disk && is_same(&again, &found), "{what}: was trusted");
        let (read, from_disk) = calibrated(&kept_in(home.path()), "contiguous+kvq:3");
        assert!(from_disk && is_same(&read, &found), "{what}: was not replaced");
        only_file(home.path());
    }
}

#[test]
fn a_disk_that_keeps_nothing_is_no_error() {
    let home = tempfile::tempdir().expect("folder");
    let in_the_way = home.path().join("a file");
    fs::write(&in_the_way, "").expect("file");
    let model = Arc::new(kept_in(&in_the_way.join("kvq")));
    for lane in ["contiguous+kvq:3", "contiguous+kvq:2"] {
        Session::new(model.clone(), lane.parse().expect(lane), SessionConfig::default()).expect(lane);
    }
    let note = model.calibrations.note().expect("a note");
    assert!(note.contains("levels of kvq:3 could not be kept") && note.contains("a file"), "{note}");

    // A folder where the file should be.
    let model = kept_in(home.path());
    calibrated(&model, "contiguous+kvq:3");
    let file = home.path().join(format!("{}-kvq3.safetensors", model.hash));
    fs::remove_file(&file).expect("file");
    fs::create_dir(&file).expect("folder");
    let model = kept_in(home.path());
    assert!(!calibrated(&model, "contiguous+kvq:3").1 && model.calibrations.note().is_some());
}

#[test]
fn lanes_of_one_model_share_one_calibration_and_a_cancelled_one_leaves_nothing() {
    let home = tempfile::tempdir().expect("folder");
    let model = kept_in(&home.path().join("kvq"));
    let spec = "contiguous+kvq:3".parse().expect("a lane");
    for stop_at in [0, 1, 5] {
        let cancel = AtomicBool::new(false);
        let cancelled = model.calibrated(spec, &mut |at| cancel.store(at.done >= stop_at, Ordering::Relaxed), &cancel);
        assert!(matches!(cancelled, Err(ModelError::Cancelled)), "at {stop_at}");
        assert!(!home.path().join("kvq").exists());
    }

    let (begun, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let count = |at: kvlab::model::Calibrating| {
        begun.fetch_add(usize::from(at.done == 0), Ordering::Relaxed);
        told.fetch_add(usize::from(at.done == at.all), Ordering::Relaxed);
        assert!(at.done <= at.all && at.n_tokens == 4096 && at.text == CalibrationText::RandomIds, "{at:?}");
    };
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| model.calibrated(spec, &mut |at| count(at), &NEVER).expect("made").expect("levels"))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!((begun.into_inner(), told.into_inner()), (1, 1));
    assert!(made.iter().all(|one| Arc::ptr_eq(one, &made[0])));
    assert!(model.calibrated("paged:7".parse().expect("a lane"), &mut |_| {}, &NEVER).expect("none needed").is_none());
}

#[test]
fn an_experiment_forks_and_watches_such_lanes() {
    let model = golden_model(GOLDENS[0]);
    let lanes = kvlab::cache::spec::parse_lanes("paged:7+kvq:3,contiguous+kvq:3,contiguous+kvq:4+rot").expect("lanes");
    let cancelled = Experiment::with_progress(model.clone(), &lanes, workload(8), &mut |_| {}, &AtomicBool::new(true));
    assert!(matches!(cancelled, Err(ExperimentError::Engine(error)) if error.is_cancelled()));
    let mut experiment = Experiment::new(model, &lanes, workload(8)).expect("an experiment");
    let (mut tokens, mut fork_tokens, mut attention) = (vec![vec![]; 3], 0, 0);
    while let Some(event) = experiment.step(&NEVER).expect("a step") {
        match event {
            LaneEvent::Token { lane, record, .. } => {
                tokens[lane].push(record.token_id);
                if lane == 0 && tokens[0].len() == 3 {
                    experiment.fork(0).expect("fork");
                    experiment.watch(Some(0), &NEVER).expect("watched");
                }
            }
            LaneEvent::ForkToken { .. } => fork_tokens += 1,
            LaneEvent::Attention { .. } => attention += 1,
            LaneEvent::Ended { end, .. } => assert_eq!(end, kvlab::experiment::LaneEnd::Finished),
            _ => {}
        }
    }
    assert_eq!(tokens[0], tokens[1], "layouts differ");
    assert!(
        tokens.iter().all(|lane| lane.len() == 8) && fork_tokens >= 5 && attention >= 5,
        "{fork_tokens}, {attention}"
    );

    let mut session = Session::new(golden_model(GOLDENS[0]), lanes[1], SessionConfig::default()).expect("a session");
    session.prefill(&workload(8).prompt_ids, &NEVER).expect("prefill");
    session.reset().expect("reset");
    session.prefill(&workload(8).prompt_ids, &NEVER).expect("prefill");
    assert_eq!(session.generated(), &tokens[1][..1]);
}

/// Logits after each token of `ids` from `first` on, fed one by one as a decoding lane is.
fn logits(model: &LoadedModel, spec: &str, ids: &[u32], first: usize) -> Vec<Vec<f32>> {
    let mut store = calibrated_store(spec, model, 1);
    let seq = store.open().expect("sequence");
    forward(&model.model, &mut store, &[(seq, &ids[..first])]);
    ids[first..].iter().map(|id| forward(&model.model, &mut store, &[(seq, &[*id])]).remove(0)).collect()
}

fn mean_kl(p: &[Vec<f32>], q: &[Vec<f32>]) -> f64 {
    let log_softmax = |x: &Vec<f32>| -> Vec<f64> {
        let max = x.iter().fold(f64::MIN, |m, v| m.max(f64::from(*v)));
        let sum: f64 = x.iter().map(|v| (f64::from(*v) - max).exp()).sum();
        x.iter().map(|v| f64::from(*v) - max - sum.ln()).collect()
    };
    let of = |(p, q): (&Vec<f32>, &Vec<f32>)| -> f64 {
        log_softmax(p).iter().zip(log_softmax(q)).map(|(p, q)| p.exp() * (p - q)).sum()
    };
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let n = p.len() as f64;
    p.iter().zip(q).map(of).sum::<f64>() / n
}

#[test]
fn the_story_model_still_remembers() {
    /// Mean KL divergence in nats from the exact cache over 100 tokens after 300 of a held-out story. Measured 0.96 and 0.28;
    /// the bounds leave half as much again. That is a lot: `model/calibration.rs` says why.
    const KVQ3_MEAN_KL: f64 = 1.5;
    const KVQ4_MEAN_KL: f64 = 0.42;
    let model = Arc::new(load(&ModelSource::Story));
    let tokenizer = model.tokenizer.as_ref().expect("a tokenizer");
    let prompt = tokenizer.encode(DEFAULT_PROMPT).expect("ids");
    let spec = "paged:32+kvq:3".parse().expect("a lane");
    let found = model.calibrated(spec, &mut |_| {}, &NEVER).expect("made").expect("levels");
    println!("{} tokens of {}, {} bytes of levels", found.n_tokens, found.text, found.calibration.bytes());
    assert_eq!((found.text, found.n_tokens > 3900), (CalibrationText::Stories, true));

    let lane = "paged:32+kvq:3".parse().expect("a lane");
    let mut session = Session::new(model.clone(), lane, SessionConfig::default()).expect("a session");
    session.prefill(&prompt, &NEVER).expect("prefill");
    session.decode(&NEVER).expect("decode");
    assert_eq!(tokenizer.decode(session.generated()).expect("text"), " red key");

    let heldout = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/story-gpt2/heldout.jsonl");
    let heldout = fs::read_to_string(heldout).expect("stories");
    let story: serde_json::Value = serde_json::from_str(heldout.lines().next().expect("a story")).expect("json");
    let ids = tokenizer.encode(story["text"].as_str().expect("a text")).expect("ids");
    let (ids, first) = (&ids[..400], 300);
    let exact = logits(&model, "contiguous", ids, first);
    for (format, bound) in [("kvq:3", KVQ3_MEAN_KL), ("kvq:4", KVQ4_MEAN_KL)] {
        let kl = mean_kl(&exact, &logits(&model, &format!("contiguous+{format}"), ids, first));
        println!("{format}: mean KL {kl:.3} nats");
        assert!(kl > 0.0 && kl < bound, "{format}: {kl}");
    }
}

#[test]
fn the_command_line_says_what_it_does_once() {
    let home = tempfile::tempdir().expect("folder");
    let model = golden_folder(GOLDENS[0]);
    let run = |kept: &Path| {
        let args = ["generate", "--ids", "3,17,5", "--tokens", "3", "--json", "--lane", "paged:7+kvq:3", "--model"];
        let mut kvlab = Command::new(env!("CARGO_BIN_EXE_kvlab"));
        let output = kvlab.args(args).arg(&model).env("KVLAB_CACHE", kept).output().expect("kvlab starts");
        assert!(output.status.success());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("utf8");
        (text(output.stdout), text(output.stderr))
    };
    let (ids, says) = run(home.path());
    assert_eq!(says.matches("calibrating kvq:3 on 4096 tokens of random ids").count(), 1, "{says}");
    assert!(!says.contains("note"), "{says}");
    let (again, says) = run(home.path());
    assert!(!says.contains("calibrating"), "{says}");
    assert_eq!(ids, again);
    // A folder that cannot be.
    let (again, says) = run(&only_file(&home.path().join("kvq")));
    assert_eq!((ids, says.matches("could not be kept").count()), (again, 1), "{says}");
}
