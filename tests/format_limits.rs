//! Where formats end: the largest and the smallest numbers, infinities and NaN, shapes and specifications that mean nothing. All is
//! stored finite, saturates as documented, or is refused and changes nothing.

mod support;

use candle_core::{Device, Tensor};
use kvlab::{
    cache::{CacheError, CacheSpec, Format, KvAccess, KvStore, Layout, Retention, StoreConfig},
    kernels::codec::Codec,
};
use support::{
    codecs::round_trip,
    floats,
    lanes::{Source, assert_bits, build, noise, observe, shape},
    published::{BF16, E4M3, F16, GROUP, narrow},
};

fn spec(name: &str) -> CacheSpec {
    format!("contiguous+{name}").parse().expect(name)
}

/// Rows of extreme values: each is given to a whole group, alone and among others.
fn extremes() -> Vec<Vec<f32>> {
    let tiny = f32::from_bits(1);
    let values = [
        0.0,
        -0.0,
        tiny,
        1e-40,
        f32::MIN_POSITIVE,
        1e-8,
        6e-8,
        1.0,
        -3.3,
        448.0,
        464.0,
        500.0,
        65_504.0,
        65_520.0,
        7e4,
        1e6,
        1e9,
        3e37,
        f32::MAX,
    ];
    let mut rows = vec![];
    for x in values {
        rows.push(vec![x; GROUP]);
        rows.push(vec![-x; GROUP]);
        rows.push((0..GROUP).map(|i| if i % 2 == 0 { x } else { -x }).collect());
        for y in values {
            rows.push((0..GROUP).map(|i| if i == 7 { x } else { y }).collect());
        }
        rows.push(noise(GROUP, 9).into_iter().map(|noise| noise / 2.0 * x).collect());
    }
    rows
}

#[test]
fn whatever_is_finite_stays_finite_and_constants_come_back() {
    for name in ["f16", "bf16", "f8", "int8", "q8_0", "q4_0", "int4", "kivi:4/0", "kivi:2/0", "kivi:8/0"] {
        let shape = shape(1, 1, GROUP);
        let (mut store, rows) = (build(&format!("contiguous+{name}"), shape), extremes());
        for row in &rows {
            let seq = store.open().expect("sequence");
            let k = Tensor::from_vec(row.repeat(GROUP), (GROUP, 1, GROUP), &Device::Cpu).expect("tensor");
            // By channel, the same rows lie the other way.
            let k = if name.starts_with("kivi") { k.transpose(0, 2).expect("square") } else { k };
            let v = Tensor::from_vec(row.repeat(GROUP), (GROUP, 1, GROUP), &Device::Cpu).expect("tensor");
            let q = k.zeros_like().expect("tensor");
            let mut step = store.reserve(&[(seq, GROUP)]).expect("room");
            for layer in 0..2 {
                step.attend(layer, &q, &k, &v, None).expect("finite rows are taken");
            }
            step.commit(true).expect("a step");
            let (k, v) = store.read(seq, 1).expect("open");
            store.close(seq).expect("open");
            assert!(k.iter().chain(&v).all(|x| x.is_finite()), "{name}: {row:?} is stored as {v:?}");
            let column: Vec<f32> = k.iter().step_by(GROUP).copied().collect();
            let first = if name.starts_with("kivi") { &column } else { &k[..GROUP] };
            assert_bits(&format!("{name}: keys of {row:?}"), first, &v[..GROUP]);
            if row.iter().all(|x| x.to_bits() == row[0].to_bits()) {
                let (x, y) = (row[0], v[0]);
                let most = if name.contains(":8") {
                    255.0
                } else if name.contains(":2") {
                    3.0
                } else {
                    15.0
                };
                // 127 or 8 steps of an f16, or an f16 itself; a constant is never between two codes.
                let tolerance = match name {
                    "bf16" => BF16.rounding(x),
                    "f8" => E4M3.rounding(x),
                    "int8" => f64::from(x.abs()) * 1e-6 + 1.2e-38,
                    "q8_0" => 127.0 * F16.rounding(x / 127.0) * 1.001,
                    "q4_0" => 8.0 * F16.rounding(x / 8.0) * 1.001,
                    "f16" => F16.rounding(x),
                    // Above the largest f16 steps lead on from it, as many as there are codes.
                    _ if x > 65_504.0 => most * F16.rounding((x - 65_504.0) / narrow(most)),
                    _ => F16.rounding(x),
                };
                let largest = match name {
                    "f8" => 448.0,
                    "f16" => 65_504.0,
                    "q8_0" => 127.0 * 65_504.0,
                    "q4_0" => 8.0 * 65_504.0,
                    "bf16" | "int8" => f32::MAX,
                    _ if x > 0.0 => narrow(most + 1.0) * 65_504.0,
                    _ => 65_504.0,
                };
                let expected = f64::from(x.clamp(-largest, largest));
                assert!((f64::from(y) - expected).abs() <= tolerance, "{name}: constant {x} became {y}");
            }
        }
    }
}

/// What saturates takes nothing else with it: a value inside the range is as exact as the scale that is stored allows.
#[test]
fn a_value_out_of_range_leaves_its_neighbours_alone() {
    for (codec, largest) in [(Codec::Q8_0, 127.0 * 65_504.0), (Codec::Q4_0, 7.0 * 65_504.0)] {
        for (giant, sign) in [(1e9, 1.0), (1e9, -1.0), (f32::MAX, 1.0), (f32::MAX, -1.0)] {
            let mut row: Vec<f32> = noise(GROUP, 2).iter().map(|x| x * largest / 2.0).collect();
            row[4] = giant * sign;
            let back = round_trip(codec, &row);
            for (i, (x, y)) in row.iter().zip(&back).enumerate().filter(|(i, _)| *i != 4) {
                assert!((x - y).abs() <= 65_504.0 / 2.0 * 1.001, "{codec:?}: {x} at {i} became {y} beside {}", row[4]);
            }
            assert!(back[4] * sign >= largest, "{codec:?}: {} became {}", row[4], back[4]);
        }
    }
}

/// What a rotated row can hold comes back; what it cannot is refused.
#[test]
fn rotation_overflows_in_neither_direction() {
    for head_dim in [8, 32, 64, 128] {
        let shape = shape(1, 1, head_dim);
        let attend = |row: &[f32]| -> Result<(Vec<f32>, Vec<f32>), CacheError> {
            let mut store = build("contiguous+f32+rot", shape);
            let seq = store.open()?;
            let rows = Tensor::from_vec(row.to_vec(), (1, 1, head_dim), &Device::Cpu)?;
            let mut step = store.reserve(&[(seq, 1)])?;
            let mut out = vec![];
            for layer in 0..2 {
                out = floats(&step.attend(layer, &rows.zeros_like()?, &rows, &rows, None)?);
            }
            step.commit(true).expect("a step");
            Ok((out, store.read(seq, 1)?.0))
        };
        for size in [1e-30, 1.0, 1e30, 3e38] {
            for (first, second) in [(size, 0.0), (size, -size), (size, size)] {
                let mut row = vec![0.0; head_dim];
                (row[3], row[6]) = (first, second);
                let (out, stored) = attend(&row).expect("every rotated value is finite");
                for (i, x) in row.iter().enumerate() {
                    assert!((out[i] - x).abs() <= size * 1e-6, "{x} of head_dim {head_dim} is answered as {}", out[i]);
                    assert!(
                        (stored[i] - x).abs() <= size * 1e-6,
                        "{x} of head_dim {head_dim} is read as {}",
                        stored[i]
                    );
                }
            }
        }
        let error = attend(&vec![3e38; head_dim]).err();
        assert!(matches!(error, Some(CacheError::NotFinite { tensor: "k", layer: 0, token: 0 })), "{error:?}");
    }
}

#[test]
fn infinities_and_nan_are_an_error_and_change_nothing() {
    let source = Source::noise(shape(4, 2, 32));
    let before: Vec<u32> = (0..45).collect();
    for spec in [
        "concat",
        "contiguous+f16",
        "paged:7+f8",
        "paged:16+int8",
        "concat+q8_0",
        "paged:7+q4_0+rot",
        "contiguous+int4",
        "paged:32+kivi:4/8",
        "contiguous+kivi:2/0",
    ] {
        for (bad, layer, part, token) in
            [(f32::NAN, 0, "k", 0), (f32::INFINITY, 1, "v", 39), (f32::NEG_INFINITY, 1, "k", 17), (f32::NAN, 1, "v", 3)]
        {
            let (mut store, seq, _) = source.filled(spec, &before, 45);
            let fork = store.fork(seq).expect("room");
            let look = |store: &KvStore| {
                let mut footprint = store.footprint();
                footprint.copied_bytes = 0;
                (footprint, observe(store, seq), observe(store, fork))
            };
            let seen = look(&store);
            let tokens: Vec<u32> = (100..140).collect();
            let mut step = store.reserve(&[(fork, 40)]).expect("room");
            let mut answer = Ok(());
            for l in 0..2 {
                let [q, k, v] = source.tensors(&tokens, l);
                let spoil = |tensor: &Tensor| {
                    let mut values = floats(tensor);
                    values[token * 64 + 33] = bad;
                    Tensor::from_vec(values, (40, 2, 32), &Device::Cpu).expect("tensor")
                };
                let k = if l == layer && part == "k" { spoil(&k) } else { k };
                let v = if l == layer && part == "v" { spoil(&v) } else { v };
                answer = answer.and_then(|()| step.attend(l, &q, &k, &v, None).map(|_| ()));
            }
            drop(step);
            match answer {
                Err(CacheError::NotFinite { tensor, layer: l, token: t }) => {
                    assert_eq!((tensor, l, t), (part, layer, token));
                }
                other => panic!("{spec}: {bad} in {part} answered {other:?}"),
            }
            assert!(look(&store) == seen, "{spec}: {bad} left a trace");
            // Both go on as if it had not been.
            for seq in [fork, seq] {
                let outs = source.feed(&mut store, seq, &tokens).expect("room");
                let (mut clean, other, _) = source.filled(spec, &before, 45);
                let expected = source.feed(&mut clean, other, &tokens).expect("room");
                assert_bits(spec, &outs.concat(), &expected.concat());
                assert!(observe(&store, seq).1 == observe(&clean, other).1, "{spec}: what follows {bad} differs");
            }
        }
    }
}

#[test]
fn groups_that_do_not_divide_head_dim_are_refused() {
    for name in ["q8_0", "q4_0", "int4", "kivi:4", "kivi:2/0"] {
        for head_dim in [8, 16, 24, 72, 80] {
            let error = KvStore::new(spec(name), shape(2, 1, head_dim), StoreConfig::default()).err().expect(name);
            assert!(
                matches!(&error, CacheError::Refused { reason, .. } if reason.contains("do not divide")),
                "{name}: {error}"
            );
        }
    }
}

/// What the parser refuses cannot come in through the fields either.
#[test]
fn specifications_that_mean_nothing_are_refused_however_they_are_made() {
    let kivi = spec("kivi:4/8");
    let paged = Layout::Paged { block_len: 16 };
    let nonsense = [
        CacheSpec { layout: paged, ..kivi },
        CacheSpec { layout: Layout::Concat, ..kivi },
        CacheSpec { layout: Layout::Paged { block_len: 0 }, ..kivi },
        CacheSpec { format: Format::Kivi { bits: 3, residual: 8 }, ..kivi },
        CacheSpec { format: Format::Kivi { bits: 0, residual: 8 }, ..kivi },
        CacheSpec { format: Format::Kivi { bits: 4, residual: usize::MAX }, ..kivi },
        CacheSpec { retention: Retention::Window { sinks: 1, recent: 0 }, ..kivi },
    ];
    for spec in nonsense {
        let error = KvStore::new(spec, shape(2, 1, 32), StoreConfig::default()).err();
        assert!(matches!(error, Some(CacheError::Spec(_))), "{spec:?}");
    }
}
