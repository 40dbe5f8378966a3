//! What the GPU's kernels store is what the processor stores, byte for byte (but for the sign of a minimum that is zero).
#![cfg(not(no_emulator))]

mod support;

use kvlab::kernels::{
    HeadShape,
    codec::{Codec, RowShape},
    cuda::{Geometry, append_name},
};
use support::{Memory, PlaneMemory, Random, UNTOUCHED, run};

const ROW_CODECS: [Codec; 10] = [
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

const HEAD_DIMS: [usize; 8] = [8, 24, 32, 40, 64, 96, 128, 256];

/// Rows of all kinds: ordinary ones, constants, zeros, numbers near the ends of f32, one value that dwarfs the others, halves of steps.
fn rows(width: usize, random: &mut Random) -> Vec<Vec<f32>> {
    let scaled = |size: f32, random: &mut Random| random.floats(width).iter().map(|x| x * size).collect::<Vec<_>>();
    let mut outlier = scaled(1.0, random);
    outlier[width / 2] = -900.0;
    let small = |i: usize| f32::from(u8::try_from(i).expect("small"));
    // Halves of steps: a scale of 1 for codes up to 127, and steps of 1 for codes of 2, 4 and 8 bits.
    let halves = |largest: f32| -> Vec<f32> {
        let of_group = move |i: usize| if i == 0 { largest } else { (small(i - 1) + 0.5).min(largest - 0.5) };
        (0..width).map(|i| if i % 32 == 31 { 0.0 } else { of_group(i % 32) }).collect()
    };
    let signed_halves = halves(127.0).iter().enumerate().map(|(i, x)| if i % 3 == 1 { -x } else { *x }).collect();
    // The farthest from zero on both sides, which comes first now and then.
    let both_ends = (0..width).map(|i| [0.5, 4.0, -4.0, 1.0, -4.0, 4.0, 0.25][(i / 32 * 3 + i) % 7]).collect();
    vec![
        scaled(1.0, random),
        scaled(3e38, random),
        scaled(1e-38, random),
        scaled(1e-41, random),
        scaled(7e4, random),
        scaled(500.0, random),
        vec![0.0; width],
        // Of zeros of both signs, either may be the smallest.
        vec![-0.0; width],
        vec![-1.25; width],
        vec![f32::MAX; width],
        outlier,
        signed_halves,
        both_ends,
        halves(3.0),
        halves(15.0),
        halves(255.0),
    ]
}

#[test]
fn rows_are_stored_as_the_processor_stores_them() {
    let mut random = Random(1);
    let mut n_cases = 0;
    for (codec, head_dim, n_kv_head) in ROW_CODECS
        .into_iter()
        .flat_map(|codec| HEAD_DIMS.map(|head_dim| (codec, head_dim)))
        .flat_map(|(codec, head_dim)| [1, 3].map(|n_kv_head| (codec, head_dim, n_kv_head)))
    {
        let shape = RowShape { n_kv_head, head_dim };
        if codec.refuses(shape).is_some() {
            continue;
        }
        let tokens = rows(shape.width(), &mut random);
        // Somewhere in the pool, and with other things between one token and the next, as keys have in a layer's output.
        let mut places: Vec<u32> = (0..20).collect();
        random.shuffle(&mut places);
        places.truncate(tokens.len());
        let stride = shape.width() + 5;
        let mut x = vec![f32::NAN; tokens.len() * stride];
        for (token, row) in tokens.iter().enumerate() {
            x[token * stride..][..row.len()].copy_from_slice(row);
        }
        let (mut expected, mut stored) = (PlaneMemory::new(codec, shape, 20), PlaneMemory::new(codec, shape, 20));
        for (row, place) in tokens.iter().zip(&places) {
            expected.encode(usize::try_from(*place).expect("small"), row);
        }
        let (mut x, mut places, mut flag) = (Memory::of(&x), Memory::of(&places), Memory::of(&[0_u32]));
        let name = append_name(codec).expect("a kernel");
        run(&name, Geometry::append(n_kv_head, tokens.len()), n_cases, |launch| {
            launch
                .arg(x.address())
                .arg(i32::try_from(stride).expect("small"))
                .arg(0_u64)
                .arg(places.address())
                .arg(stored.codes.address())
                .arg(stored.scales.address())
                .arg(i32::try_from(head_dim).expect("small"))
                .arg(flag.address())
        });
        let what = format!("{name}, {n_kv_head} heads of {head_dim}");
        assert_eq!(stored.codes.bytes(), expected.codes.bytes(), "{what}");
        assert_eq!(stored.scales.bytes(), expected.scales.bytes(), "{what}");
        assert!(stored.codes.bytes().contains(&UNTOUCHED) && flag.as_slice::<u32>() == [0], "{what}");
        n_cases += 1;
    }
    assert!(n_cases > 120, "{n_cases}");
}

#[test]
fn chosen_rows_of_a_ring_are_stored() {
    let shape = RowShape { n_kv_head: 2, head_dim: 32 };
    let mut random = Random(2);
    let ring: Vec<Vec<f32>> = (0..7).map(|_| random.floats(shape.width())).collect();
    let (from, to) = ([6_u32, 0, 3], [1_u32, 2, 3]);
    let codec = Codec::Affine { bits: 4 };
    let (mut expected, mut stored) = (PlaneMemory::new(codec, shape, 5), PlaneMemory::new(codec, shape, 5));
    for (from, to) in from.iter().zip(to) {
        expected.encode(usize::try_from(to).expect("small"), &ring[usize::try_from(*from).expect("small")]);
    }
    let (mut x, mut from, mut to) = (Memory::of(&ring.concat()), Memory::of(&from), Memory::of(&to));
    let mut flag = Memory::of(&[0_u32]);
    run("append_affine4", Geometry::append(2, 3), 3, |launch| {
        launch
            .arg(x.address())
            .arg(64_i32)
            .arg(from.address())
            .arg(to.address())
            .arg(stored.codes.address())
            .arg(stored.scales.address())
            .arg(32_i32)
            .arg(flag.address())
    });
    assert_eq!(stored.codes.bytes(), expected.codes.bytes());
    assert_eq!(stored.scales.bytes(), expected.scales.bytes());
}

#[test]
fn what_is_no_number_is_told() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for codec in ROW_CODECS {
            // The second and the fourth of the tokens that are stored, of those that there are the third and the fifth.
            let mut rows = vec![0.5_f32; 6 * 64];
            (rows[2 * 64 + 33], rows[4 * 64 + 1]) = (bad, bad);
            let mut stored = PlaneMemory::new(codec, RowShape { n_kv_head: 1, head_dim: 64 }, 4);
            let (mut x, mut from, mut places) =
                (Memory::of(&rows), Memory::of(&[1_u32, 2, 3, 4]), Memory::of(&[0_u32, 1, 2, 3]));
            let mut flag = Memory::of(&[0_u32]);
            run(&append_name(codec).expect("a kernel"), Geometry::append(1, 4), 5, |launch| {
                launch
                    .arg(x.address())
                    .arg(64_i32)
                    .arg(from.address())
                    .arg(places.address())
                    .arg(stored.codes.address())
                    .arg(stored.scales.address())
                    .arg(64_i32)
                    .arg(flag.address())
            });
            assert_eq!(flag.as_slice::<u32>(), [u32::MAX - 2], "{codec:?} {bad}: the first of the two");
        }
    }
}

#[test]
fn groups_of_tokens_are_sealed_as_the_processor_seals_them() {
    let mut random = Random(3);
    for (bits, head_dim, n_kv_head) in
        [2, 4, 8].into_iter().flat_map(|bits| [(32, 1), (64, 3), (256, 2)].map(|(dim, heads)| (bits, dim, heads)))
    {
        let (shape, codec) = (RowShape { n_kv_head, head_dim }, Codec::Channels { bits });
        let mut ring: Vec<Vec<f32>> = (0..40).map(|_| random.floats(shape.width())).collect();
        // A channel that is constant, one that is huge, one that is all but zero.
        for row in &mut ring {
            (row[0], row[1], row[2]) = (2.5, row[1] * 3e38, row[2] * 1e-40);
        }
        let mut from: Vec<u32> = (0..40).collect();
        random.shuffle(&mut from);
        from.truncate(32);
        let (mut expected, mut stored) = (PlaneMemory::new(codec, shape, 96), PlaneMemory::new(codec, shape, 96));
        let tokens: Vec<&[f32]> = from.iter().map(|row| &ring[usize::try_from(*row).expect("small")][..]).collect();
        expected.seal(64, &tokens);
        let (mut exact, mut from) = (Memory::of(&ring.concat()), Memory::of(&from));
        let heads = HeadShape { n_head: n_kv_head, n_kv_head, head_dim };
        run(&format!("seal_channels{bits}"), Geometry::seal(heads), u64::from(bits), |launch| {
            launch
                .arg(exact.address())
                .arg(from.address())
                .arg(64_u32)
                .arg(stored.codes.address())
                .arg(stored.scales.address())
        });
        assert_eq!(stored.codes.bytes(), expected.codes.bytes(), "{bits} bits, {n_kv_head} heads of {head_dim}");
        assert_eq!(stored.scales.bytes(), expected.scales.bytes(), "{bits} bits, {n_kv_head} heads of {head_dim}");
    }
}
