//! What each format stores is what its published definition says, bit for bit; attention reads just that; and the bytes it takes are
//! those that were counted by hand.

mod support;

use candle_core::{Device, Tensor};
use kvlab::{
    cache::{CacheSpec, Calibration, Format, KvAccess, KvShape, KvStore, Probe, StoreConfig},
    kernels::{
        HeadShape,
        codec::{Codec, Levels, RowShape},
        reference,
        walk::Rows,
    },
};
use support::{
    codecs::{decode, encode, round_trip},
    floats,
    lanes::{Part, Source, assert_bits, build, noise, shape},
    max_difference,
    published::{self, BF16, E4M3, F16, Float, GROUP, hadamard, narrow, stored},
};

/// Formats whose rows are quantized as they are written, and whether they need groups of 32 channels.
const BY_ROW: [(&str, bool); 8] = [
    ("f32", false),
    ("f16", false),
    ("bf16", false),
    ("f8", false),
    ("int8", false),
    ("q8_0", true),
    ("q4_0", true),
    ("int4", true),
];
const LAYOUTS: [&str; 4] = ["concat", "contiguous", "paged:7", "paged:32"];

/// f32 sums of some tens of terms up to 4 against f64.
const WALK: f32 = 2e-5;
/// The same between two rotations of up to 128 values.
const ROTATED_WALK: f32 = 4e-5;
/// A rotation of 256 values up to 64, there and back: 18 roundings of 2^-24 of a row whose norm is up to 600.
const ROTATION: f64 = 6.5e-4;

fn format(name: &str) -> Format {
    format!("contiguous+{name}").parse::<CacheSpec>().expect(name).format
}

#[test]
fn what_is_stored_is_what_was_published() {
    let shapes = [(4, 2, 32), (2, 2, 64), (3, 1, 128), (6, 2, 8), (2, 1, 16), (2, 2, 24), (2, 1, 72), (4, 2, 80)];
    for (n_head, n_kv_head, head_dim) in shapes {
        let source = Source::noise(shape(n_head, n_kv_head, head_dim));
        for (name, _) in BY_ROW.into_iter().filter(|(_, grouped)| !grouped || head_dim % GROUP == 0) {
            for (layout, len) in LAYOUTS.into_iter().zip([33, 65, 40, 31]) {
                let spec = format!("{layout}+{name}");
                let tokens: Vec<u32> = (0..len).collect();
                let (store, seq, _) = source.filled(&spec, &tokens, 9);
                for layer in 0..2 {
                    let (k, v) = store.read(seq, layer).expect("open");
                    for (given, part) in [(k, Part::Key), (v, Part::Value)] {
                        let expected = stored(format(name), head_dim, &source.rows(&tokens, layer, part));
                        assert_bits(&format!("{spec}, head_dim {head_dim}, {part:?} {layer}"), &given, &expected);
                    }
                }
            }
        }
    }
}

#[test]
fn scattered_and_overlapping_views_are_stored_like_any_other() {
    let shape = shape(2, 2, 32);
    for name in ["f32", "q4_0"] {
        let mut store = build(&format!("paged:7+{name}"), shape);
        let seq = store.open().expect("sequence");
        let values = noise(2 * 10 * 32, 3);
        // [H, T, D] seen as [T, H, D]: heads lie apart. And one row for all tokens: a stride of 0.
        let k =
            Tensor::from_vec(values.clone(), (2, 10, 32), &Device::Cpu).and_then(|k| k.transpose(0, 1)).expect("view");
        let v = Tensor::from_vec(values[..64].to_vec(), (1, 2, 32), &Device::Cpu).expect("row");
        let v = v.broadcast_as((10, 2, 32)).expect("view");
        let mut step = store.reserve(&[(seq, 10)]).expect("room");
        for layer in 0..2 {
            step.attend(layer, &k, &k, &v, None).expect("attend");
        }
        step.commit(true).expect("a step");
        let (given_k, given_v) = store.read(seq, 1).expect("open");
        assert_bits(name, &given_k, &stored(format(name), 32, &floats(&k)));
        assert_bits(name, &given_v, &stored(format(name), 32, &values[..64]).repeat(10));
    }
}

#[test]
fn all_codes_of_an_8_bit_float() {
    let codes: Vec<u8> = (0..=255).collect();
    let shape = RowShape { n_kv_head: 1, head_dim: 256 };
    let rows = Rows { codec: Codec::F8, shape, codes: &codes, token_stride: 256, scales: &[], levels: None };
    let values = decode(&rows, 1);
    for (code, value) in codes.iter().copied().zip(values) {
        if code & 0x7f == 0x7f {
            assert!(value.is_nan(), "{code:#x} is {value}");
        } else {
            let size = narrow(E4M3.value(u32::from(code & 0x7f)));
            let expected = if code > 0x7f { -size } else { size };
            assert_eq!(value.to_bits(), expected.to_bits(), "{code:#x} is {value}, not {expected}");
        }
    }
    assert!((E4M3.value(0x7e), E4M3.value(1)) == (448.0, 2_f64.powi(-9)), "the reference is the specification's");
}

/// Every value of a float, every point half way between two, and the f32 on both sides of each; then numbers of all sizes.
fn probes(float: &Float) -> Vec<f32> {
    let values: Vec<f64> =
        float.codes().step_by(if float.codes().count() > 1000 { 37 } else { 1 }).map(|c| float.value(c)).collect();
    let next = float.codes().skip(1).step_by(if float.codes().count() > 1000 { 37 } else { 1 }).map(|c| float.value(c));
    let middles = values.iter().zip(next).map(|(a, b)| (a + b) / 2.0);
    let exact = values.iter().copied().chain(middles).map(narrow);
    let around = exact.flat_map(|x| [x.next_down(), x, x.next_up()]);
    let sizes = (0..u32::MAX).step_by(60_013).map(f32::from_bits);
    let mut all: Vec<f32> = around.chain(sizes).filter(|x| x.is_finite()).flat_map(|x| [x, -x]).collect();
    all.extend([0.0, -0.0, f32::MAX, f32::MIN]);
    all
}

#[test]
fn short_floats_are_the_nearest_with_ties_to_even_and_saturate() {
    for (codec, float) in [(Codec::F16, F16), (Codec::Bf16, BF16), (Codec::F8, E4M3)] {
        let row = probes(&float);
        let expected: Vec<f32> = row.iter().map(|x| float.nearest(*x)).collect();
        let given = round_trip(codec, &row);
        let different = (0..row.len()).find(|i| given[*i].to_bits() != expected[*i].to_bits());
        if let Some(i) = different {
            panic!("{codec:?}: {:?} became {:?}, not {:?}", row[i], given[i], expected[i]);
        }
    }
}

#[test]
fn codes_and_scales_are_the_bytes_of_ggmls_blocks() {
    for seed in 0..20 {
        let row: Vec<f32> =
            noise(64, seed).iter().map(|x| x * 10_f32.powi(i32::try_from(seed % 15).expect("small") - 10)).collect();
        let shape = RowShape { n_kv_head: 2, head_dim: 32 };
        let d =
            |scales: &[u8], block: usize| half::f16::from_ne_bytes([scales[2 * block], scales[2 * block + 1]]).to_f32();
        let (codes, scales, _) = encode(Codec::Q8_0, shape, None, &row);
        for (i, x) in row.chunks(GROUP).enumerate() {
            let block = published::q8_0(x);
            assert_eq!(
                (&codes[i * 32..][..32], d(&scales, i).to_bits()),
                (bytemuck::cast_slice(&block.qs), block.d.to_bits())
            );
        }
        let (codes, scales, _) = encode(Codec::Q4_0, shape, None, &row);
        for (i, x) in row.chunks(GROUP).enumerate() {
            let block = published::q4_0(x);
            assert_eq!((&codes[i * 16..][..16], d(&scales, i).to_bits()), (&block.qs[..], block.d.to_bits()));
        }
    }
}

#[test]
fn kivis_codes_lie_a_quarter_or_half_of_a_group_apart() {
    let row = noise(GROUP, 5);
    for (bits, per_byte) in [(2, 4), (4, 2), (8, 1)] {
        let shape = RowShape { n_kv_head: 1, head_dim: GROUP };
        let (codes, scales, _) = encode(Codec::Affine { bits }, shape, None, &row);
        let expected = published::min_max(bits, &row);
        let n_bytes = GROUP / per_byte;
        for (i, code) in expected.codes.iter().enumerate() {
            let stored = u16::from(codes[i % n_bytes]) >> (usize::from(bits) * (i / n_bytes)) & ((1 << bits) - 1);
            assert_eq!(stored, u16::from(*code), "code {i} of {bits} bits");
        }
        let number = |i: usize| half::f16::from_ne_bytes([scales[2 * i], scales[2 * i + 1]]).to_f32();
        assert_eq!([number(0), number(1)].map(f32::to_bits), [expected.minimum, expected.scale].map(f32::to_bits));
    }
}

#[test]
fn a_value_half_way_between_two_codes_is_rounded_as_published() {
    // Steps of 1 from 0 to 15: torch rounds halves to even.
    let mut row = vec![0.0, 15.0, 0.5, 1.5, 2.5, 13.5, 14.5];
    row.resize(GROUP, 0.0);
    assert_eq!(round_trip(Codec::Affine { bits: 4 }, &row)[..7], [0.0, 15.0, 0.0, 2.0, 2.0, 14.0, 14.0]);
    // Steps of 1 up to 127: C's roundf goes away from zero.
    let mut row = vec![127.0, -127.0, 0.5, 1.5, 2.5, -0.5, -2.5];
    row.resize(GROUP, 0.0);
    assert_eq!(round_trip(Codec::Q8_0, &row)[..7], [127.0, -127.0, 1.0, 2.0, 3.0, -1.0, -3.0]);
    // Steps of -1: half a step is added and the fraction dropped, and +8 steps do not exist.
    let mut row = vec![8.0, 7.0, -8.0, 0.5, -0.5, -7.5];
    row.resize(GROUP, 0.0);
    assert_eq!(round_trip(Codec::Q4_0, &row)[..6], [8.0, 7.0, -7.0, 0.0, -1.0, -7.0]);
}

#[test]
fn rotated_rows_are_quantized_as_any_others() {
    // Multiples of 1/4 up to 64 rotate exactly over 16 or 64 values, so that codes can be compared to the bit.
    let value = |_, channel, x: f32| (x * 4.0).round() / 4.0 + if channel == 3 { 60.0 } else { 0.0 };
    for (name, head_dim) in
        [("f32", 64), ("f16", 16), ("f8", 16), ("int8", 16), ("q8_0", 64), ("q4_0", 64), ("int4", 64)]
    {
        let source = Source { value, ..Source::noise(shape(2, 2, head_dim)) };
        let tokens: Vec<u32> = (0..20).collect();
        let (store, seq, _) = source.filled(&format!("paged:16+{name}+rot"), &tokens, 6);
        let (k, v) = store.read(seq, 1).expect("open");
        for (given, part) in [(k, Part::Key), (v, Part::Value)] {
            let rotated: Vec<f32> =
                hadamard(&source.rows(&tokens, 1, part), head_dim).into_iter().map(narrow).collect();
            let expected = hadamard(&stored(format(name), head_dim, &rotated), head_dim);
            for (a, b) in given.iter().zip(expected) {
                assert!((f64::from(*a) - b).abs() <= ROTATION, "{name}: {a} is not {b}");
            }
        }
    }
}

#[test]
fn the_rotation_is_the_hadamard_matrix() {
    for head_dim in [8, 16, 24, 32, 64, 72, 80, 128, 256] {
        let rows: Vec<f32> = noise(3 * head_dim, 7).iter().map(|x| x * 32.0).collect();
        let mut rotated = rows.clone();
        kvlab::kernels::hadamard::rotate(&mut rotated, head_dim);
        for (a, b) in rotated.iter().zip(hadamard(&rows, head_dim)) {
            assert!((f64::from(*a) - b).abs() <= ROTATION, "head_dim {head_dim}: {a} is not {b}");
        }
        kvlab::kernels::hadamard::rotate(&mut rotated, head_dim);
        for (a, b) in rotated.iter().zip(&rows) {
            assert!(f64::from((a - b).abs()) <= ROTATION, "head_dim {head_dim}: {b} came back as {a}");
        }
    }
}

#[test]
fn attention_is_that_over_what_is_stored() {
    for (n_head, n_kv_head, head_dim) in [(6, 2, 32), (2, 2, 64), (3, 1, 128), (4, 2, 24)] {
        let source = Source::noise(shape(n_head, n_kv_head, head_dim));
        let heads = source.shape.heads;
        for (name, _) in BY_ROW.into_iter().filter(|(_, grouped)| !grouped || head_dim % GROUP == 0) {
            for (layout, rot) in LAYOUTS.into_iter().zip(["", "+rot", "", "+rot"]) {
                let spec = format!("{layout}+{name}{rot}");
                let mut store = build(&spec, source.shape);
                let seq = store.open().expect("sequence");
                let mut len = 0;
                for n in [9, 1, 1, 13, 1, 20] {
                    let tokens: Vec<u32> = (len..len + n).collect();
                    len += n;
                    let [q, k, v] = source.tensors(&tokens, 1);
                    let mut probe = Probe::default();
                    let mut step = store.reserve(&[(seq, tokens.len())]).expect("room");
                    step.attend(0, &q, &k, &v, None).expect("attend");
                    let out = floats(&step.attend(1, &q, &k, &v, Some(&mut probe)).expect("attend"));
                    step.commit(true).expect("a step");
                    let (k, v) = store.read(seq, 1).expect("open");
                    let expected = reference::attention(heads, &floats(&q), &k, &v);
                    let tolerance = if rot.is_empty() { WALK } else { ROTATED_WALK };
                    assert!(max_difference(&out, &expected.out) <= tolerance, "{spec} {heads:?}");
                    // [T, H, n] -> [H, T, n]
                    let by_head: Vec<f32> = (0..n_head)
                        .flat_map(|head| {
                            expected.weights.chunks(len as usize).skip(head).step_by(n_head).flatten().copied()
                        })
                        .collect();
                    assert!(max_difference(&probe.spans[0], &by_head) <= tolerance, "{spec} {heads:?}: weights");
                }
            }
        }
    }
}

#[test]
fn reserved_bytes_are_those_counted_by_hand() {
    // 2 layers x (key, value) x 4 heads x 64 values = 1,024 values a token, in 32 groups of 32, and 16 rows.
    const TOKENS: u64 = 4096;
    let shape = KvShape { n_layer: 2, heads: HeadShape { n_head: 8, n_kv_head: 4, head_dim: 64 }, max_seq_len: 4096 };
    // A residual is kept in f32, with room for a group: (32 + 32) and (128 + 32) tokens of 4,096 bytes.
    let expected = [
        ("f32", 4096, 0),
        ("f16", 2048, 0),
        ("bf16", 2048, 0),
        ("f8", 1024, 0),
        ("int8", 1024 + 16 * 4, 0), // 8 bits and 32 / head_dim
        ("q8_0", 1088, 0),          // 8.5 bits
        ("q4_0", 576, 0),           // 4.5 bits
        ("int4", 640, 0),           // 5 bits
        ("kivi:8/32", 1152, 64 * 4096),
        ("kivi:4/32", 640, 64 * 4096),
        ("kivi:4/128", 640, 160 * 4096),
        ("kivi:2/0", 384, 32 * 4096),
    ];
    for (name, per_token, residual) in expected {
        for layout in ["contiguous", "paged:32"] {
            let spec = format!("{layout}+{name}").parse().expect(name);
            let config = StoreConfig::default();
            let mut store = KvStore::new(spec, shape, config).expect(name);
            store.open().expect("sequence");
            let reserved = store.footprint().reserved_bytes;
            assert_eq!(reserved, TOKENS * per_token + residual, "{spec}");
            assert_eq!(KvStore::pool_bytes(spec, shape, config).expect(name), reserved, "{spec}");
        }
    }
}

/// Of 256 values three may lie apart, 4 bytes each; values have a range for each of 4 heads, keys one found beforehand.
#[test]
fn reserved_bytes_of_levels_are_those_counted_by_hand() {
    let shape = KvShape { n_layer: 2, heads: HeadShape { n_head: 8, n_kv_head: 4, head_dim: 64 }, max_seq_len: 4096 };
    for (bits, of_codes) in [(2, 64), (3, 96), (4, 128)] {
        let levels: Vec<f32> = (0..1_u8 << bits).map(|code| f32::from(code) / 16.0).collect();
        let keys = Levels { levels: levels.clone(), channels: vec![(0.0, 1.0); 256] };
        let calibration = Calibration::new(vec![(keys, Levels { levels, channels: vec![] }); 2]);
        let spec = format!("paged:32+kvq:{bits}").parse().expect("a lane");
        let store = KvStore::with_calibration(spec, shape, StoreConfig::default(), Some(&calibration)).expect("store");
        assert_eq!(store.footprint().reserved_bytes, 4096 * 2 * (2 * of_codes + 3 * 4 + 3 * 4 + 4 * 4), "{bits} bits");
    }
}

#[test]
fn used_bytes_count_sealed_tokens_packed_and_open_ones_whole() {
    // 2 layers x (key, value) x 2 heads x 32 values: 256 values a token; 5 bits or 32.
    let source = Source::noise(shape(4, 2, 32));
    let used = |spec: &str, n: u32| {
        let (mut store, seq, _) = source.filled(spec, &(0..n).collect::<Vec<_>>(), 33);
        let alone = store.footprint().used_bytes;
        store.fork(seq).expect("room");
        (alone, store.footprint().used_bytes)
    };
    assert_eq!(used("contiguous+kivi:4/32", 95), (32 * 160 + 63 * 1024, 2 * (32 * 160 + 63 * 1024)));
    assert_eq!(
        used("paged:32+kivi:4/32", 100),
        (64 * 160 + 36 * 1024, 64 * 160 + 2 * 36 * 1024),
        "forks share what is sealed"
    );
    assert_eq!(used("paged:32+kivi:2/0", 64).0, 64 * 96);
    assert_eq!(used("paged:7+q4_0", 15), (15 * 144, 15 * 144));
    // Of these, what the formula (4 bits a value) does not count: half-precision scale and minimum for 32 values, and exact tokens.
    let beyond = |spec: &str, n: u32| {
        let (mut store, seq, _) = source.filled(spec, &(0..n).collect::<Vec<_>>(), 33);
        let of = |store: &KvStore| [store.footprint().scale_bytes, store.footprint().residual_bytes];
        let alone = of(&store);
        store.fork(seq).expect("room");
        [alone, of(&store)]
    };
    assert_eq!(beyond("paged:32+kivi:4/32", 100), [[64 * 32, 36 * 896], [64 * 32, 2 * 36 * 896]]);
    assert_eq!(beyond("paged:32", 100), [[0, 0]; 2], "a fork's numbers are no scales");
    // Both planes of `concat` are as long as the sequence.
    let (store, ..) = source.filled("concat+int4", &(0..64).collect::<Vec<_>>(), 9);
    assert_eq!(store.footprint().reserved_bytes, 64 * 160);
}
