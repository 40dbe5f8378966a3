use super::*;
use crate::kernels::{
    codec::{Codec, Levels, RowShape, encode_channels},
    reference,
};
use proptest::prelude::*;

/// f32 sums of at most 1,000 tokens and 128 elements up to 2 against f64: an order of magnitude of room.
const F32_ATTENTION: f32 = 3e-5;

const FORMATS: [Codec; 14] = [
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
    Codec::Channels { bits: 2 },
    Codec::Channels { bits: 4 },
    Codec::Channels { bits: 8 },
    Codec::Levels { bits: 3, by_channel: false },
];

fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 16_384.0 - 2.0
        })
        .collect()
}

/// Rows of some tokens in a format, each followed by `gap` f32 that belong to nobody.
struct Stored {
    codec: Codec,
    shape: RowShape,
    // f32, so that codes and scales are aligned as a store's are.
    codes: Vec<f32>,
    token_stride: usize,
    scales: Vec<f32>,
    levels: Option<Levels>,
}

impl Stored {
    fn new(codec: Codec, shape: RowShape, rows: &[f32], gap: usize) -> Self {
        let n_tokens = rows.len() / shape.width();
        let levels = match codec {
            Codec::Levels { bits, .. } => Some(Levels::of_values(bits, shape, rows)),
            _ => None,
        };
        // Keys by channel come in whole groups; the last one repeats its last token.
        let n_stored = n_tokens.next_multiple_of(GROUP);
        let code_bytes = codec.code_bytes(shape);
        let token_stride = code_bytes + gap * size_of::<f32>();
        let mut codes = vec![f32::NAN; (n_stored * token_stride).div_ceil(4)];
        let mut scales = vec![f32::NAN; (n_stored * codec.scale_bytes(shape)).div_ceil(4)];
        let tokens: Vec<&[f32]> = rows.chunks_exact(shape.width()).collect();
        let code_plane: &mut [u8] = bytemuck::cast_slice_mut(&mut codes);
        let scale_plane: &mut [u8] = bytemuck::cast_slice_mut(&mut scales);
        for first in (0..n_tokens).step_by(GROUP) {
            let group: [&[f32]; GROUP] = std::array::from_fn(|i| tokens[(first + i).min(n_tokens - 1)]);
            let scale_bytes = codec.scale_bytes(shape);
            let mut packed = vec![0_u8; GROUP * code_bytes];
            let of_group = &mut scale_plane[first * scale_bytes..][..GROUP * scale_bytes];
            if let Codec::Channels { bits } = codec {
                encode_channels(bits, shape, &group, &mut packed, of_group);
            }
            for (i, row) in group.into_iter().enumerate() {
                // Aligned for codecs that write short floats.
                let mut row_codes = vec![0.0_f32; code_bytes.div_ceil(4)];
                let row_codes = &mut bytemuck::cast_slice_mut::<f32, u8>(&mut row_codes)[..code_bytes];
                if matches!(codec, Codec::Channels { .. }) {
                    row_codes.copy_from_slice(&packed[i * code_bytes..][..code_bytes]);
                } else {
                    let scales = &mut of_group[i * scale_bytes..][..scale_bytes];
                    codec.encode(shape, levels.as_ref(), row, row_codes, scales);
                }
                code_plane[(first + i) * token_stride..][..code_bytes].copy_from_slice(row_codes);
            }
        }
        Self { codec, shape, codes, token_stride, scales, levels }
    }

    fn rows(&self) -> Rows<'_> {
        let (codes, scales) = (bytemuck::cast_slice(&self.codes), bytemuck::cast_slice(&self.scales));
        let Self { codec, shape, token_stride, .. } = *self;
        Rows { codec, shape, codes, token_stride, scales, levels: self.levels.as_ref() }
    }

    /// As f32, `[token][n_kv_head][head_dim]`.
    fn decoded(&self, n_tokens: usize) -> Vec<f32> {
        let mut all = vec![f32::NAN; n_tokens * self.shape.width()];
        for (token, row) in all.chunks_exact_mut(self.shape.width()).enumerate() {
            for (head, out) in row.chunks_exact_mut(self.shape.head_dim).enumerate() {
                self.rows().decode_plainly(token, 1, head, out);
            }
        }
        all
    }
}

#[derive(Clone, Debug)]
struct Case {
    shape: HeadShape,
    keys: Codec,
    values: Codec,
    past: usize,
    new: usize,
    tile_len: usize,
    gap: usize,
    seed: u32,
}

fn case() -> impl Strategy<Value = Case> {
    let shape = (1_usize..4, 1_usize..4, prop::sample::select(vec![8_usize, 24, 32, 64, 80, 96, 128]));
    // Around a chunk or two, and beyond where chunks are shared out.
    let past = prop_oneof![3 => 0_usize..70, 2 => 120_usize..280, 1 => Just(8 * CHUNK - 3)];
    let codecs = (prop::sample::select(FORMATS.to_vec()), prop::sample::select(FORMATS.to_vec()));
    (shape, codecs, past, 1_usize..20, 1_usize..40, 0_usize..9, any::<u32>()).prop_map(
        |((group, n_kv_head, head_dim), (keys, values), past, new, tile_len, gap, seed)| {
            let row = RowShape { n_kv_head, head_dim };
            let fits = |codec: Codec| if codec.refuses(row).is_none() { codec } else { Codec::Int8 };
            let shape = HeadShape { n_head: group * n_kv_head, n_kv_head, head_dim };
            Case { shape, keys: fits(keys), values: fits(values), past, new, tile_len, gap, seed }
        },
    )
}

/// One sequence of a case.
struct Stage {
    shape: HeadShape,
    n: usize,
    new: usize,
    queries: Vec<f32>,
    stride: usize,
    keys: Stored,
    values: Stored,
}

impl Stage {
    fn new(case: &Case) -> Self {
        let HeadShape { n_head, n_kv_head, head_dim } = case.shape;
        let (n, row) = (case.past + case.new, RowShape { n_kv_head, head_dim });
        let stride = n_head * head_dim + case.gap;
        let rows = |codec, seed| Stored::new(codec, row, &noise(n * row.width(), seed), case.gap);
        let (keys, values) = (rows(case.keys, case.seed ^ 1), rows(case.values, case.seed ^ 2));
        let queries = noise(case.new * stride, case.seed);
        Self { shape: case.shape, n, new: case.new, queries, stride, keys, values }
    }

    fn width(&self) -> usize {
        self.shape.n_head * self.shape.head_dim
    }

    fn tiles(&self, tile_len: usize) -> Vec<Tile<'_>> {
        let (keys, values) = (self.keys.rows(), self.values.rows());
        (0..self.n)
            .step_by(tile_len)
            .map(|first| Tile { keys, values, first, len: tile_len.min(self.n - first) })
            .collect()
    }

    /// The result of the last `len` queries.
    fn attend(&self, path: Path, threads: usize, tile_len: usize, len: usize) -> Vec<f32> {
        let tiles = self.tiles(tile_len);
        let mut out = vec![f32::NAN; len * self.width()];
        let mut sequences = [Sequence { queries: self.last(len), tiles: &tiles, out: &mut out, probe: None }];
        thread_pool::with_threads(threads, || walk_with(path, 0, self.shape, &mut sequences));
        out
    }

    fn last(&self, len: usize) -> Queries<'_> {
        Queries { data: &self.queries[(self.new - len) * self.stride..], token_stride: self.stride, len }
    }
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let stage = Stage::new(case);
    let (n, width) = (stage.n, stage.width());
    let queries: Vec<f32> = stage.queries.chunks(stage.stride).flat_map(|row| &row[..width]).copied().collect();
    let expected = reference::attention(case.shape, &queries, &stage.keys.decoded(n), &stage.values.decoded(n));
    for path in Path::available() {
        let (mut out, mut weights) =
            (vec![f32::NAN; case.new * width], vec![f32::NAN; case.new * case.shape.n_head * n]);
        let tiles = stage.tiles(case.tile_len);
        let (queries, probe) = (stage.last(case.new), Some(&mut weights[..]));
        walk_with(path, 0, case.shape, &mut [Sequence { queries, tiles: &tiles, out: &mut out, probe }]);
        for (a, b) in out.iter().zip(&expected.out).chain(weights.iter().zip(&expected.weights)) {
            prop_assert!((a - b).abs() <= F32_ATTENTION, "{path}: {a} is not {b}");
        }
        let alone = &out[(case.new - 1) * width..];
        for threads in [1, 2, 3] {
            for tile_len in [case.tile_len, n] {
                let given = stage.attend(path, threads, tile_len, case.new);
                prop_assert_eq!(&out, &given, "{} threads or tiles of {} changed a bit", threads, tile_len);
                let given = stage.attend(path, threads, tile_len, 1);
                prop_assert_eq!(alone, &given[..], "a query alone differs, {} threads, {}", threads, tile_len);
            }
        }
        if case.new > 1 {
            prop_assert_eq!(&out[width..], &stage.attend(path, 2, case.tile_len, case.new - 1)[..], "another chunk");
        }
    }
    Ok(())
}

proptest! {
    /// Cut anywhere, on any path, in any formats, with grouped queries or not: the walk is the plain reference, and the cut, the threads and
    /// the company of other queries change no bit.
    #[test]
    fn agrees_with_the_plain_reference(case in case()) {
        check(&case)?;
    }

    /// Sequences that are walked together are what they are alone.
    #[test]
    fn sequences_are_apart(cases in prop::collection::vec(case(), 1..4), threads in 1_usize..4) {
        let stages: Vec<Stage> = cases.iter().map(|case| Stage::new(&Case { shape: cases[0].shape, keys: Codec::Int8, values: Codec::F16, ..*case })).collect();
        let tiles: Vec<Vec<Tile>> = stages.iter().zip(&cases).map(|(stage, case)| stage.tiles(case.tile_len)).collect();
        let mut outs: Vec<Vec<f32>> = stages.iter().map(|stage| vec![f32::NAN; stage.new * stage.width()]).collect();
        let parts = stages.iter().zip(&tiles).zip(&mut outs);
        let mut sequences: Vec<Sequence> =
            parts.map(|((stage, tiles), out)| Sequence { queries: stage.last(stage.new), tiles, out, probe: None }).collect();
        thread_pool::with_threads(threads, || walk_with(Path::current(), 0, cases[0].shape, &mut sequences));
        for (stage, out) in stages.iter().zip(&outs) {
            prop_assert_eq!(out, &stage.attend(Path::current(), 1, stage.n, stage.new));
        }
    }

    /// What is decoded in registers is what the plain decoders give, to the bit.
    #[test]
    fn packed_rows_are_the_plain_ones(codec in prop::sample::select(FORMATS.to_vec()), seed: u32, first in 0_usize..40) {
        let shape = RowShape { n_kv_head: 2, head_dim: 96 };
        let stored = Stored::new(codec, shape, &noise(80 * shape.width(), seed), 3);
        let (mut plain, mut packed) = (vec![f32::NAN; 40 * 96], vec![f32::NAN; 40 * 96]);
        stored.rows().decode_plainly(first, 40, 1, &mut plain);
        stored.rows().decode(first, 40, 1, &mut packed);
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&plain), bits(&packed));
    }
}
