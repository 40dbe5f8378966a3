use proptest::prelude::*;

use super::{tile::multiply_on, *};
use crate::kernels::{simd::Path, thread_pool::with_threads};

/// f32 sums of up to 400 products of numbers below 3, in blocks of 128, against f64, relative to the sum of their sizes.
const F32_SUM: f64 = 2e-6;

fn noise(n: usize, seed: u32, range: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 32_768.0 - 1.0) * range
    };
    (0..n).map(|_| next()).collect()
}

fn packed(format: WeightFormat, n_in: usize, n_out: usize, seed: u32) -> PackedMatrix {
    PackedMatrix::from_in_out(format, n_in, n_out, &noise(n_in * n_out, seed, 0.7))
}

/// Inputs as int8 products see them.
fn rounded(x: &[f32], n_in: usize) -> Vec<f64> {
    let group = |group: &[f32]| {
        let scale = group.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / 127.0;
        let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
        group.iter().map(|x| f64::from((x * inverse).round_ties_even()) * f64::from(scale)).collect::<Vec<_>>()
    };
    x.chunks(n_in).flat_map(|row| row.chunks(int8::GROUP).flat_map(group)).collect()
}

proptest! {
    /// Every format on every path is the f64 product of the weights as kept (and, of int8, of the inputs as rounded), and neither rows, nor threads, nor
    /// company change a bit.
    #[test]
    fn products_are_those_of_f64(
        format in prop::sample::select(WeightFormat::ALL.to_vec()), n_in in prop_oneof![1_usize..400, Just(1024_usize)], n_out in 1_usize..150,
        rows in prop::sample::select(vec![1_usize, 2, 3, 5, 8, 12, 13, 31, 100]), seed: u32,
        gelu: bool, with_bias: bool, with_residual: bool,
    ) {
        let matrix = packed(format, n_in, n_out, seed);
        let (x, bias) = (noise(rows * n_in, seed ^ 1, 3.0), noise(n_out, seed ^ 2, 1.0));
        let residual = noise(rows * n_out, seed ^ 3, 1.0);
        let epilogue =
            Epilogue { bias: with_bias.then_some(&bias), gelu, residual: with_residual.then_some(&residual) };
        let inputs: Vec<f64> =
            if format == WeightFormat::Int8 { rounded(&x, n_in) } else { x.iter().map(|x| f64::from(*x)).collect() };
        let mut weights = vec![0.0; n_in];
        let mut expected = vec![(0.0, 0.0); rows * n_out];
        for output in 0..n_out {
            matrix.read_output(output, &mut weights);
            for (row, inputs) in inputs.chunks(n_in).enumerate() {
                let products = || inputs.iter().zip(&weights).map(|(x, w)| x * f64::from(*w));
                let mut sum: f64 = products().sum::<f64>() + if with_bias { f64::from(bias[output]) } else { 0.0 };
                if gelu {
                    sum *= 0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (sum + 0.044_715 * sum.powi(3))).tanh());
                }
                if with_residual {
                    sum += f64::from(residual[row * n_out + output]);
                }
                expected[row * n_out + output] = (sum, products().map(f64::abs).sum::<f64>() + 1.0);
            }
        }
        for path in Path::available() {
            let mut out = vec![f32::NAN; rows * n_out];
            multiply_on(Some(path), &matrix, &x, rows, epilogue, &mut out);
            for (given, (sum, size)) in out.iter().zip(&expected) {
                prop_assert!((f64::from(*given) - sum).abs() <= F32_SUM * size, "{format:?} on {path}: {given} is not {sum}");
            }
            for threads in [1, 3] {
                let mut again = vec![f32::NAN; rows * n_out];
                with_threads(threads, || multiply_on(Some(path), &matrix, &x, rows, epilogue, &mut again));
                prop_assert_eq!(&again, &out, "{} threads changed a bit on {}", threads, path);
            }
            for row in [0, rows - 1] {
                let residual = with_residual.then(|| &residual[row * n_out..][..n_out]);
                let mut alone = vec![f32::NAN; n_out];
                multiply_on(Some(path), &matrix, &x[row * n_in..][..n_in], 1, Epilogue { residual, ..epilogue }, &mut alone);
                prop_assert_eq!(&alone[..], &out[row * n_out..][..n_out], "a row alone differs on {}", path);
            }
        }
    }

    /// Both ways to give a matrix are the same, and what is kept is as near to it as the format allows.
    #[test]
    fn weights_are_kept_within_their_rounding(
        format in prop::sample::select(WeightFormat::ALL.to_vec()), n_in in 1_usize..150, n_out in 1_usize..100, seed: u32,
    ) {
        let weights = noise(n_in * n_out, seed, 0.7); // [in, out]
        let turned: Vec<f32> = (0..n_out).flat_map(|o| (0..n_in).map(move |i| (i, o))).map(|(i, o)| weights[i * n_out + o]).collect();
        let (matrix, same) = (
            PackedMatrix::from_in_out(format, n_in, n_out, &weights),
            PackedMatrix::from_out_in(format, n_out, n_in, &turned),
        );
        prop_assert_eq!(matrix.memory(), same.memory());
        let mut row = vec![0.0; n_in];
        for (output, exact) in turned.chunks(n_in).enumerate() {
            matrix.read_output(output, &mut row);
            let most = exact.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            for (kept, exact) in row.iter().zip(exact) {
                let bound = match format {
                    WeightFormat::F32 => 0.0,
                    WeightFormat::F16 => exact.abs() / 2048.0 + 6e-8, // half a unit of 11 bits, or of the smallest numbers
                    WeightFormat::Bf16 => exact.abs() / 256.0,
                    WeightFormat::Int8 => most / 127.0 * 0.500_01,
                };
                prop_assert!((kept - exact).abs() <= bound, "{format:?}: {exact} is kept as {kept}");
            }
        }
    }
}

#[test]
fn empty_products_are_empty() {
    for format in WeightFormat::ALL {
        packed(format, 5, 3, 0).multiply(&[], Epilogue::default(), &mut []);
        let nothing = packed(format, 0, 3, 0);
        let mut out = [f32::NAN; 6];
        nothing.multiply(&[], Epilogue { bias: Some(&[1.0, 2.0, 3.0]), ..Epilogue::default() }, &mut out);
        assert_eq!(out.map(f32::to_bits), [1.0_f32, 2.0, 3.0, 1.0, 2.0, 3.0].map(f32::to_bits));
    }
}

#[test]
fn rows_of_zeros_and_the_largest_numbers_stay_numbers() {
    for format in WeightFormat::ALL {
        let matrix = packed(format, 70, 40, 1);
        for x in [0.0, f32::MIN_POSITIVE / 4.0, 1e30] {
            let mut out = [f32::NAN; 40];
            matrix.multiply(&[x; 70], Epilogue::default(), &mut out);
            assert!(out.iter().all(|x| x.is_finite()), "{format:?} of {x}");
        }
    }
}
