//! How far stored values lie from what was written: within half a step, within ggml's own bounds, less with more bits; and what
//! helps against outliers, on data where it does and on data where it does not.

mod support;

use kvlab::kernels::{
    codec::{Codec, Levels, RowShape, encode_channels},
    walk::Rows,
};
use support::{
    codecs::{decode, encode},
    lanes::{Part, Source, assert_bits, noise, shape},
    published::{BF16, E4M3, F16, GROUP, absmax, narrow},
};

/// Products and quotients of f32 on the way to a code and back, as a share of a step: 127 * 2^-23.
const ARITHMETIC: f64 = 2e-5;

fn stored(codec: Codec, shape: RowShape, levels: Option<&Levels>, row: &[f32]) -> Vec<f32> {
    encode(codec, shape, levels, row).2
}

/// 32 tokens of `width` channels, quantized by channel and read.
fn stored_by_channel(bits: u8, width: usize, tokens: &[f32]) -> Vec<f32> {
    let (codec, shape) = (Codec::Channels { bits }, RowShape { n_kv_head: 1, head_dim: width });
    let (mut codes, mut scales) = (vec![0; GROUP * codec.code_bytes(shape)], vec![0; GROUP * codec.scale_bytes(shape)]);
    let rows: Vec<&[f32]> = tokens.chunks(width).collect();
    encode_channels(bits, shape, &rows, &mut codes, &mut scales);
    let stride = codec.code_bytes(shape);
    decode(&Rows { codec, shape, codes: &codes, token_stride: stride, scales: &scales, levels: None }, GROUP)
}

fn range(group: &[f32]) -> (f32, f32) {
    group.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)))
}

/// The most a value of a group may be off: half a step, and what the f16 numbers of the group were rounded by.
fn bound(codec: Codec, group: &[f32], x: f32) -> f64 {
    let step_of = |step: f32, most: f64| f64::from(step) * (0.5 + ARITHMETIC) + most * F16.rounding(step);
    match codec {
        Codec::F16 => F16.rounding(x),
        Codec::Bf16 => BF16.rounding(x),
        Codec::F8 => E4M3.rounding(x),
        Codec::Int8 => f64::from(absmax(group) / 127.0) * (0.5 + ARITHMETIC),
        Codec::Q8_0 => step_of(absmax(group) / 127.0, 127.0),
        Codec::Q4_0 => {
            let farthest = group.iter().copied().reduce(|far, x| if x.abs() > far.abs() { x } else { far });
            let d = farthest.expect("values") / -8.0;
            // +8 steps are stored as +7: there the format clamps, by up to a whole step.
            let clamped = f64::from(d.abs()) * (f64::from(x / d) - 7.0).clamp(0.0, 1.0 + ARITHMETIC);
            step_of(d.abs(), 8.0).max(clamped + 8.0 * F16.rounding(d))
        }
        Codec::Affine { bits } | Codec::Channels { bits } => {
            let ((low, high), most) = (range(group), f32::from((1_u16 << bits) - 1));
            let rounded = F16.rounding(low);
            step_of((high - low) / most, f64::from(most)) + rounded * 1.5
        }
        Codec::F32 | Codec::Levels { .. } => 0.0,
    }
}

/// Rows of all sizes and offsets, scales that are subnormal in f16 among them.
fn rows() -> Vec<Vec<f32>> {
    let mut rows = vec![];
    for size in -9..=4 {
        for (seed, offset) in (0..).zip([0.0, 0.7, -30.0, 100.0]) {
            let size = 10_f32.powi(size);
            let seed = seed * 31 + size.to_bits();
            rows.push(noise(128, seed).iter().map(|x| (x + offset) * size).collect());
            // A few far out, the rest near zero.
            rows.push(noise(128, seed + 7).iter().map(|x| (x.powi(9) + offset) * size / 500.0).collect());
        }
    }
    rows
}

#[test]
fn errors_are_within_half_a_step() {
    let codecs = [
        Codec::F32,
        Codec::F16,
        Codec::Bf16,
        Codec::F8,
        Codec::Int8,
        Codec::Q8_0,
        Codec::Q4_0,
        Codec::Affine { bits: 2 },
        Codec::Affine { bits: 4 },
        Codec::Affine { bits: 8 },
    ];
    for codec in codecs {
        let shape = RowShape { n_kv_head: 2, head_dim: 64 };
        let group = if codec == Codec::Int8 { 64 } else { GROUP };
        for row in rows() {
            if codec == Codec::F8 && absmax(&row) > 448.0 || absmax(&row) > 65_504.0 {
                continue;
            }
            let back = stored(codec, shape, None, &row);
            for (i, (x, y)) in row.iter().zip(&back).enumerate() {
                let bound = bound(codec, &row[i / group * group..][..group], *x);
                let error = (f64::from(*x) - f64::from(*y)).abs();
                assert!(error <= bound, "{codec:?}: {x} came back as {y}, {error:e} > {bound:e}");
            }
        }
    }
    for bits in [2, 4, 8] {
        for row in rows().iter().filter(|row| absmax(row) <= 65_504.0) {
            // 32 tokens of 32 channels; a channel's values lie 32 apart.
            let tokens: Vec<f32> =
                (0..8).flat_map(|turn| row.iter().map(move |x| x * (1.0 + 0.1 * narrow(f64::from(turn))))).collect();
            let back = stored_by_channel(bits, GROUP, &tokens);
            for channel in 0..GROUP {
                let column: Vec<f32> = tokens.iter().skip(channel).step_by(GROUP).copied().collect();
                for (x, y) in column.iter().zip(back.iter().skip(channel).step_by(GROUP)) {
                    let bound = bound(Codec::Channels { bits }, &column, *x);
                    assert!((f64::from(*x) - f64::from(*y)).abs() <= bound, "{bits} bits: {x} came back as {y}");
                }
            }
        }
    }
}

/// ggml's `array_rmse` (tests/test-quantize-fns.cpp): not a mean, the root of the sum over n.
fn ggml_error(a: &[f32], b: &[f32]) -> f64 {
    squares(a, b).sqrt() / count(a)
}

fn squares(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

fn rms(a: &[f32], b: &[f32]) -> f64 {
    (squares(a, b) / count(a)).sqrt()
}

fn count(values: &[f32]) -> f64 {
    f64::from(u32::try_from(values.len()).expect("small"))
}

/// Levels that lie equally far apart: 3 bits without a text.
fn even_levels(bits: u8) -> Levels {
    let most = f32::from((1_u16 << bits) - 1);
    Levels { levels: (0..1_u16 << bits).map(|code| f32::from(code) * 2.0 / most - 1.0).collect(), channels: vec![] }
}

#[test]
fn ggmls_own_bounds_hold_on_ggmls_own_data() {
    const TOTAL: f64 = 0.002;
    const TOTAL_3_BITS: f64 = 0.0040;
    const TOTAL_2_BITS: f64 = 0.0075;
    let data: Vec<f32> = (0..32 * 128).map(|i| 0.1 + 2.0 * narrow(f64::from(i).cos())).collect();
    let shape = RowShape { n_kv_head: 32, head_dim: 128 };
    let levels = [even_levels(2), even_levels(3)];
    for (codec, levels, bound) in [
        (Codec::Int8, None, TOTAL),
        (Codec::Q8_0, None, TOTAL),
        (Codec::Q4_0, None, TOTAL),
        (Codec::Affine { bits: 8 }, None, TOTAL),
        (Codec::Affine { bits: 4 }, None, TOTAL),
        (Codec::Affine { bits: 2 }, None, TOTAL_2_BITS),
        (Codec::Levels { bits: 3, by_channel: false }, Some(&levels[1]), TOTAL_3_BITS),
        (Codec::Levels { bits: 2, by_channel: false }, Some(&levels[0]), TOTAL_2_BITS),
    ] {
        let error = ggml_error(&data, &stored(codec, shape, levels, &data));
        assert!(error > 0.0 && error <= bound, "{codec:?}: {error}");
    }
    for (bits, bound) in [(8, TOTAL), (4, TOTAL), (2, TOTAL_2_BITS)] {
        let error = ggml_error(&data, &stored_by_channel(bits, 128, &data));
        assert!(error > 0.0 && error <= bound, "{bits} bits by channel: {error}");
    }
}

/// Error of the stored keys and values of 64 tokens, over the channels that `wanted` names.
fn store_errors(format: &str, value: fn(Part, usize, f32) -> f32, wanted: impl Fn(usize) -> bool) -> [f64; 2] {
    let source = Source { value, ..Source::noise(shape(2, 2, 64)) };
    let tokens: Vec<u32> = (0..64).collect();
    let (store, seq, _) = source.filled(&format!("paged:32+{format}"), &tokens, 64);
    let (k, v) = store.read(seq, 1).expect("open");
    let pick = |rows: &[f32]| -> Vec<f32> {
        rows.iter().enumerate().filter(|(i, _)| wanted(i % 64)).map(|(_, x)| *x).collect()
    };
    [(k, Part::Key), (v, Part::Value)].map(|(given, part)| rms(&pick(&given), &pick(&source.rows(&tokens, 1, part))))
}

fn flat(_: Part, _: usize, x: f32) -> f32 {
    x
}

/// One channel of each head is large in every key, with its sign: what the literature finds in keys.
fn outlier_channel(_: Part, channel: usize, x: f32) -> f32 {
    if channel == 5 { 40.0 + 2.0 * x } else { x }
}

#[test]
fn errors_fall_with_bits() {
    for value in [flat, outlier_channel] {
        // From worst to best. f8 has 4 significant bits and no scale, int8 up to 8: on values of one size that is fewer.
        for names in
            [["kivi:2/0", "kivi:4/0", "kivi:8/0", "f32"], ["int4", "q8_0", "f16", "f32"], ["f8", "bf16", "f16", "f32"]]
        {
            let errors = names.map(|name| store_errors(name, value, |_| true));
            for (pair, names) in errors.windows(2).zip(names.windows(2)) {
                // Two bits more make steps four times smaller; half of that is asked for.
                assert!(pair[0].iter().zip(&pair[1]).all(|(a, b)| *a > 2.0 * b), "{names:?}: {pair:?}");
            }
        }
    }
    let [f8, int8] = ["f8", "int8"].map(|name| store_errors(name, flat, |_| true));
    assert!(int8[0] < f8[0] && int8[1] < f8[1]);
}

#[test]
fn keys_by_channel_beat_keys_by_token_where_a_channel_lies_apart() {
    let beside = |channel: usize| channel != 5;
    let [by_channel, _] = store_errors("kivi:4/0", outlier_channel, beside);
    let [by_token, _] = store_errors("int4", outlier_channel, beside);
    // Half of the groups hold the outlier, whose range is ten times theirs.
    assert!(by_token > 5.0 * by_channel, "{by_token} by token, {by_channel} by channel");
    // Without an outlier neither is better: the same range, 32 values each.
    let ([by_channel, _], [by_token, _]) = (store_errors("kivi:4/0", flat, beside), store_errors("int4", flat, beside));
    assert!((by_token / by_channel - 1.0).abs() < 0.1, "{by_token} by token, {by_channel} by channel");
}

/// Rotation spreads an outlier over all channels. Where there is none it has nothing to spread, and makes flat noise round: more
/// of it lies far out, so that steps grow. And it takes from keys by channel the channels they live on.
#[test]
fn rotation_helps_where_outliers_are_and_only_there() {
    for name in ["int4", "q4_0"] {
        let error = |suffix: &str, value| store_errors(&format!("{name}{suffix}"), value, |_| true)[0];
        let (plain, rotated) = (error("", outlier_channel), error("+rot", outlier_channel));
        assert!(rotated < 0.7 * plain, "{name}: {plain} plain, {rotated} rotated");
        let (plain, rotated) = (error("", flat), error("+rot", flat));
        assert!(rotated > plain, "{name}: {plain} plain, {rotated} rotated");
    }
    let [plain, rotated] = ["kivi:4/0", "kivi:4/0+rot"].map(|name| store_errors(name, outlier_channel, |_| true)[0]);
    assert!(rotated > plain, "kivi: {plain} plain, {rotated} rotated");
}

#[test]
fn levels_are_the_nearest_and_outliers_lie_apart() {
    // 2 heads of 64: 128 values, of which two may lie apart.
    let shape = RowShape { n_kv_head: 2, head_dim: 64 };
    for bits in [2_u8, 3, 4] {
        // Closer to each other near zero.
        let mut levels = even_levels(bits);
        levels.levels.iter_mut().for_each(|level| *level = *level * level.abs() * 0.5 + *level * 0.5);
        let mut row = noise(128, 11);
        (row[10], row[100]) = (70_000.0, -37.3);
        let apart = [10, 100];
        let codec = Codec::Levels { bits, by_channel: false };
        let back = stored(codec, shape, Some(&levels), &row);
        let nearest = |x: f32, centre: f32, half: f32, y: f32| {
            let best =
                levels.levels.iter().map(|level| (x - (centre + half * level)).abs()).fold(f32::INFINITY, f32::min);
            let is_level = levels.levels.iter().any(|level| (y - (centre + half * level)).abs() <= 1e-6);
            assert!(is_level && (x - y).abs() <= best + 1e-5, "{bits} bits: {x} became {y}");
        };
        for head in 0..2 {
            let inside: Vec<usize> = (head * 64..(head + 1) * 64).filter(|i| !apart.contains(i)).collect();
            let (low, high) = range(&inside.iter().map(|i| row[*i]).collect::<Vec<_>>());
            let (centre, half) = (F16.nearest(low / 2.0 + high / 2.0), F16.nearest(high / 2.0 - low / 2.0));
            for i in inside {
                nearest(row[i], centre, half, back[i]);
            }
        }
        assert_bits("apart, saturated", &apart.map(|i| back[i]), &[65_504.0, F16.nearest(-37.3)]);

        // Keys have a range for each channel; only what lies beyond it is apart, and the farthest first.
        let channels: Vec<(f32, f32)> = (0..128_u8).map(|i| (f32::from(i) * 0.25, 2.0 + f32::from(i % 3))).collect();
        let keys = Levels { channels: channels.clone(), ..levels.clone() };
        let mut row: Vec<f32> =
            noise(128, 12).iter().zip(&channels).map(|(x, (centre, half))| centre + half * x / 2.1).collect();
        let codec = Codec::Levels { bits, by_channel: true };
        let beyond = channels[64].0 + 1.5 * channels[64].1;
        row[64] = beyond;
        let back = stored(codec, shape, Some(&keys), &row);
        assert_bits("one apart, the other place is nobody's", &back[64..65], &[F16.nearest(beyond)]);
        (row[3], row[127]) = (500.0, -900.0);
        let back = stored(codec, shape, Some(&keys), &row);
        assert_bits("the two farthest", &[back[3], back[127]], &[500.0, -900.0]);
        for (i, (centre, half)) in channels.into_iter().enumerate().filter(|(i, _)| ![3, 127].contains(i)) {
            nearest(row[i], centre, half, back[i]);
        }
    }
}

#[test]
fn levels_stay_finite() {
    let shape = RowShape { n_kv_head: 1, head_dim: 32 };
    let levels = even_levels(3);
    for x in [0.0, -0.0, f32::from_bits(1), 1e-30, 448.0, 7e4, 1e20, f32::MAX] {
        for row in [
            [x; 32],
            std::array::from_fn(|i| if i % 2 == 0 { x } else { -x }),
            std::array::from_fn(|i| if i == 9 { x } else { 1.0 }),
        ] {
            let back = stored(Codec::Levels { bits: 3, by_channel: false }, shape, Some(&levels), &row);
            assert!(back.iter().all(|y| y.is_finite()), "{row:?} became {back:?}");
            if row.iter().all(|y| y.to_bits() == row[0].to_bits()) {
                let rounding = F16.rounding(x) * 2.0;
                assert!((f64::from(back[0]) - f64::from(x.min(65_504.0))).abs() <= rounding, "{x} became {}", back[0]);
            }
        }
    }
}
