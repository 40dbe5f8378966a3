//! Moving rows and picking tokens; and that the emulator notices what is wrong.
#![cfg(not(no_emulator))]

mod support;

use kvlab::kernels::cuda::Geometry;
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
            let geometry = Geometry { grid: [2, 3, 1], n_threads: 64, shared_bytes: 0 };
            run(name, geometry, 2, |launch| {
                launch.arg(memory.address()).arg(list.address()).arg(u32::try_from(row_words).expect("small"))
            });
            assert_eq!(memory.bytes(), expected, "{name}, rows of {row_words} words");
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
        // What is no number is left out, wherever it stands.
        if n > 5 {
            for place in [0, 5, n - 1].into_iter().filter(|place| ![first, second].contains(place)) {
                rows[0][place] = f32::NAN;
            }
        }
        let expected = rows.iter().map(|row| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter().position(|x| *x >= largest).and_then(|place| u32::try_from(place).ok()).expect("one")
        });
        let expected: Vec<u32> = expected.collect();
        let (mut x, mut places) = (Memory::of(&rows.concat()), Memory::full_of(0xff, 16));
        for seed in 0..3 {
            run("argmax", Geometry::argmax(4), seed, |launch| {
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
