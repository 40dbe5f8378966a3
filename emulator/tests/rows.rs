//! Moving rows and picking tokens; and that the emulator notices what is wrong.
#![cfg(not(no_emulator))]

mod support;

use kvlab::kernels::{cuda::Geometry, hadamard::rotate};
use kvlab_emulator::{Launch, Refused};
use support::{Memory, Random, run};

#[test]
fn runs_of_rows_are_copied_and_nothing_else() {
    let mut random = Random(1);
    for (name, word_bytes) in [("copy_rows_16", 16), ("copy_rows_2", 2)] {
        for row_words in [1_usize, 3, 48] {
            let row_bytes = row_words * word_bytes;
            let plane: Vec<u8> =
                (0..20 * row_bytes).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect();
            // From, to, how many.
            let copies = [[0_u32, 10, 4], [5, 17, 1], [7, 15, 2]];
            let mut expected = plane.clone();
            for [from, to, n_rows] in copies.map(|copy| copy.map(|n| usize::try_from(n).expect("small") * row_bytes)) {
                expected.copy_within(from..from + n_rows, to);
            }
            let (mut memory, mut list) = (Memory::of(&plane), Memory::of(&copies));
            // Blocks that have several words to copy, and more than there are.
            for geometry in
                [Geometry { grid: [2, 3, 1], n_threads: 64, shared_bytes: 0 }, Geometry::copy(3, 4 * row_words)]
            {
                let words = u32::try_from(row_words).expect("small");
                run(name, geometry, 2, |launch| {
                    launch.arg(memory.address()).arg(memory.address()).arg(list.address()).arg(words)
                });
                assert_eq!(memory.bytes(), expected, "{name}, rows of {row_words} words");
                // Into another plane.
                let mut other = Memory::full_of(0x55, plane.len());
                run(name, geometry, 2, |launch| {
                    launch.arg(memory.address()).arg(other.address()).arg(list.address()).arg(words)
                });
                let mut expected = vec![0x55; plane.len()];
                for [from, to, n] in copies.map(|copy| copy.map(|n| usize::try_from(n).expect("small") * row_bytes)) {
                    expected[to..to + n].copy_from_slice(&memory.bytes()[from..from + n]);
                }
                assert_eq!(other.bytes(), expected, "{name} between planes, rows of {row_words} words");
            }
        }
    }
}

/// What `argmax` answers where a value is no number.
const NO_NUMBER: u32 = 0xffff_fffe;

#[test]
fn rows_are_rotated_as_the_processor_rotates_them() {
    let mut random = Random(3);
    for head_dim in [8, 24, 40, 64, 80, 128, 256] {
        let (n_tokens, heads, gap) = (5_usize, 3_usize, 2 * 3 * head_dim);
        let width = heads * head_dim;
        let stride = width + gap;
        let x = random.floats(n_tokens * stride);
        let mut expected: Vec<f32> =
            (0..n_tokens).flat_map(|token| x[token * stride..][..width].iter().copied()).collect();
        rotate(&mut expected, head_dim);
        let (mut memory, mut out) = (Memory::of(&x), Memory::floats(n_tokens * width));
        for seed in 0..3 {
            run("rotate", Geometry::rotate(n_tokens, heads, head_dim), seed, |launch| {
                let int = |n: usize| i32::try_from(n).expect("small");
                launch.arg(memory.address()).arg(int(stride)).arg(int(head_dim)).arg(out.address())
            });
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(out.as_slice()), bits(&expected), "head_dim {head_dim}");
        }
    }
}

#[test]
fn the_first_of_the_largest_is_picked() {
    let mut random = Random(2);
    for n in [1, 31, 32, 33, 1000, 5000] {
        let mut rows: Vec<Vec<f32>> = (0..4).map(|_| random.floats(n)).collect();
        // The largest twice; all the same; nothing above minus infinity.
        let (first, second) = (random.below(n), random.below(n));
        (rows[0][first], rows[0][second]) = (7.0, 7.0);
        rows[2].fill(-3.0);
        rows[3].fill(f32::NEG_INFINITY);
        let expected = rows.iter().map(|row| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter().position(|x| *x >= largest).and_then(|place| u32::try_from(place).ok()).expect("one")
        });
        let expected: Vec<u32> = expected.collect();
        // One that is no number, wherever it stands, is what counts.
        for (row, place) in [0, n / 2, n - 1].into_iter().enumerate() {
            rows.push(random.floats(n));
            rows[4 + row][place] = f32::NAN;
        }
        let expected = [expected, vec![NO_NUMBER; 3]].concat();
        let (mut x, mut places) = (Memory::of(&rows.concat()), Memory::full_of(0xff, 28));
        for seed in 0..3 {
            run("argmax", Geometry::argmax(7), seed, |launch| {
                launch.arg(x.address()).arg(i32::try_from(n).expect("small")).arg(places.address())
            });
            assert_eq!(places.as_slice::<u32>(), expected, "of {n}");
        }
    }
}

#[test]
fn calls_that_do_not_fit_a_kernel_are_refused() {
    #[expect(unsafe_code, reason = "nothing runs")]
    // SAFETY: none of these is run.
    let outcome = |launch: Launch| unsafe { launch.run() };
    assert_eq!(outcome(Launch::new("none", [1, 1, 1], 32)), Err(Refused::NoSuchKernel));
    assert_eq!(outcome(Launch::new("argmax", [1, 1, 1], 32).arg(0_u64).arg(1_i32)), Err(Refused::OtherArguments));
    // An i64 where the kernel has an int.
    assert_eq!(
        outcome(Launch::new("argmax", [1, 1, 1], 32).arg(0_u64).arg(1_i64).arg(0_u64)),
        Err(Refused::OtherArguments)
    );
}
