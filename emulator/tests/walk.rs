//! The GPU's walk against plain attention in f64: formats, heads, widths, lengths, splits, sequences of different lengths, orders of threads.
#![cfg(not(no_emulator))]

mod support;

use kvlab::kernels::{
    HeadShape,
    codec::Codec,
    cuda::{Geometry, Query, WalkOut, WalkShape, format_name, prefill_name, walk_name},
    reference::attention,
};
use support::{Cache, Memory, Random, run};

/// Values are up to 1, decoded ones a little more; sums of some thousand products in f32, in another order than in f64.
const F32_SUMS: f64 = 3e-6;

fn formats() -> Vec<(Codec, Codec)> {
    let plain = [
        Codec::F32,
        Codec::F16,
        Codec::Bf16,
        Codec::F8,
        Codec::Int8,
        Codec::Q8_0,
        Codec::Q4_0,
        Codec::Affine { bits: 4 },
    ];
    let by_channel = [2, 4, 8].map(|bits| (Codec::Channels { bits }, Codec::Affine { bits }));
    plain.into_iter().map(|codec| (codec, codec)).chain(by_channel).collect()
}

fn small<T: TryFrom<usize>>(n: usize) -> T {
    T::try_from(n).unwrap_or_else(|_| panic!("{n} is too large"))
}

/// Sequences, and how many of their newest tokens ask.
struct Case {
    heads: HeadShape,
    format: (Codec, Codec),
    block_len: usize,
    /// Tokens of each sequence.
    lens: Vec<usize>,
    /// Queries of each.
    n_queries: usize,
    seed: u64,
}

struct Walked {
    /// `[query][n_head][head_dim]`, of all sequences.
    out: Vec<f32>,
    /// `[query][n_head][stride]`
    weights: Vec<f32>,
    stride: usize,
}

impl Case {
    fn name(&self) -> String {
        let Self { heads, format, block_len, lens, n_queries, seed } = self;
        format!("{format:?}, {heads:?}, blocks of {block_len}, {lens:?} tokens, {n_queries} queries, seed {seed}")
    }

    /// The walk in so many splits, or as a prompt's, and its attention weights.
    fn walk(&self, cache: &mut Cache, queries: &[f32], n_splits: Option<usize>, with_weights: bool) -> Walked {
        let Self { heads, format, n_queries, seed, .. } = self;
        let HeadShape { n_head, head_dim, .. } = *heads;
        let format = format_name(format.0, format.1).expect("kernels");
        // Queries lie where a layer's output has them, keys and values behind each.
        let (width, stride) = (n_head * head_dim, 3 * n_head * head_dim);
        let mut q = vec![f32::NAN; queries.len() * 3];
        for (to, from) in q.chunks_exact_mut(stride).zip(queries.chunks_exact(width)) {
            to[..width].copy_from_slice(from);
        }
        let mut of_queries = vec![];
        let mut first_row = 0;
        for rows in &cache.rows {
            let seen = (0..*n_queries).map(|query| rows.len() - n_queries + query + 1);
            of_queries.extend(seen.map(|n_visible| Query { first_row, n_visible: small(n_visible) }));
            first_row += small::<u32>(rows.len());
        }
        let n_all = of_queries.len();
        let longest = cache.rows.iter().map(Vec::len).max().unwrap_or(0);
        let (n_results, parts) = (n_all * n_head, n_splits.unwrap_or(1));
        let bytes: Vec<[u32; 2]> = of_queries.iter().map(|query| [query.first_row, query.n_visible]).collect();
        let (mut q, mut asked, mut rows) = (Memory::of(&q), Memory::of(&bytes), Memory::of(&cache.rows.concat()));
        let (mut out, mut stats) = (Memory::floats(n_results * head_dim), Memory::floats(n_results * 2));
        let mut scores = Memory::floats(n_results * longest);
        let mut partial_sums = Memory::floats(n_results * parts * head_dim);
        let mut partial_stats = Memory::floats(n_results * parts * 2);
        let shape = WalkShape::new(*heads).expect("such heads");
        let to = WalkOut {
            out: out.address(),
            partial_sums: partial_sums.address(),
            partial_stats: partial_stats.address(),
            // Nothing, where nobody asks for weights.
            stats: if with_weights { stats.address() } else { 0 },
            scores: if with_weights { scores.address() } else { 0 },
            scores_stride: small(longest),
        };
        let layer = cache.layer();
        if let Some(n_splits) = n_splits {
            run(&walk_name(&format, head_dim), Geometry::walk(*heads, n_all, n_splits), *seed, |launch| {
                launch
                    .arg(q.address())
                    .arg(small::<i32>(stride))
                    .arg(layer)
                    .arg(rows.address())
                    .arg(asked.address())
                    .arg(shape)
                    .arg(to)
            });
            if n_splits > 1 {
                run("merge", Geometry::of_results(*heads, n_all), *seed, |launch| {
                    launch
                        .arg(partial_sums.address())
                        .arg(partial_stats.address())
                        .arg(small::<i32>(n_splits))
                        .arg(small::<i32>(head_dim))
                        .arg(out.address())
                        .arg(to.stats)
                });
            }
        } else {
            run(&prefill_name(&format), Geometry::prefill(*heads, n_all), *seed, |launch| {
                launch
                    .arg(q.address())
                    .arg(small::<i32>(stride))
                    .arg(small::<i32>(n_all))
                    .arg(layer)
                    .arg(rows.address())
                    .arg(asked.address())
                    .arg(shape)
                    .arg(to)
            });
        }
        if !with_weights {
            return Walked { out: out.as_slice().to_vec(), weights: vec![], stride: longest };
        }
        run("weights", Geometry::of_results(*heads, n_all), *seed, |launch| {
            launch.arg(scores.address()).arg(small::<i32>(longest)).arg(stats.address()).arg(asked.address())
        });
        Walked { out: out.as_slice().to_vec(), weights: scores.as_slice().to_vec(), stride: longest }
    }

    fn check(&self, ways: &[Option<usize>]) {
        let mut random = Random(self.seed + 77);
        let HeadShape { n_head, head_dim, .. } = self.heads;
        let mut cache = Cache::random(self.heads, self.format, self.block_len, &self.lens, &mut random);
        let width = n_head * head_dim;
        let mut queries = random.floats(self.lens.len() * self.n_queries * width);
        // Some weights of a softmax should be large, or nothing is told apart.
        for x in &mut queries {
            *x *= 4.0;
        }
        for way in ways {
            let walked = self.walk(&mut cache, &queries, *way, true);
            let plain = self.walk(&mut cache, &queries, *way, false);
            assert_eq!(plain.out, walked.out, "{}: weights change nothing", self.name());
            for sequence in 0..self.lens.len() {
                let (keys, values) = cache.read(sequence);
                let first = sequence * self.n_queries;
                let expected =
                    attention(self.heads, &queries[first * width..][..self.n_queries * width], &keys, &values);
                let n_tokens = self.lens[sequence];
                let near = |a: f32, b: f32| f64::from((a - b).abs()) <= F32_SUMS * (1.0 + f64::from(b.abs()));
                let name = || format!("{}, sequence {sequence}, splits {way:?}", self.name());
                for (i, (out, expected)) in walked.out[first * width..].iter().zip(&expected.out).enumerate() {
                    assert!(near(*out, *expected), "{}: element {i} is {out}, not {expected}", name());
                }
                let rows = walked.weights.chunks_exact(walked.stride).skip(first * n_head);
                for (weights, expected) in rows.zip(expected.weights.chunks_exact(n_tokens)) {
                    let padded = expected.iter().copied().chain(std::iter::repeat(0.0));
                    for (token, (weight, expected)) in weights.iter().zip(padded).enumerate() {
                        assert!(near(*weight, expected), "{}: weight of {token} is {weight}, not {expected}", name());
                    }
                }
            }
        }
    }
}

fn heads(n_head: usize, n_kv_head: usize, head_dim: usize) -> HeadShape {
    HeadShape { n_head, n_kv_head, head_dim }
}

/// Whether a format takes rows of such heads.
fn takes(format: (Codec, Codec), heads: HeadShape) -> bool {
    let shape = kvlab::kernels::codec::RowShape { n_kv_head: heads.n_kv_head, head_dim: heads.head_dim };
    format.0.refuses(shape).is_none() && format.1.refuses(shape).is_none()
}

/// Blocks of so many tokens, or of whole groups where a format wants them.
fn blocks(format: (Codec, Codec), block_len: usize) -> usize {
    if matches!(format.0, Codec::Channels { .. }) { block_len.next_multiple_of(32) } else { block_len }
}

#[test]
fn decode_in_every_format_and_width() {
    let mut seed = 0;
    for format in formats() {
        let shapes = [
            heads(2, 2, 64),
            heads(2, 1, 128),
            heads(4, 2, 32),
            heads(1, 1, 256),
            heads(2, 2, 8),
            heads(3, 1, 40),
            heads(1, 1, 96),
        ];
        for heads in shapes.into_iter().filter(|heads| takes(format, *heads)) {
            seed += 1;
            let block_len = blocks(format, [1, 16, 7, 32][small::<usize>(seed) % 4]);
            let case = Case { heads, format, block_len, lens: vec![1, 70, 33], n_queries: 1, seed: small(seed % 3) };
            case.check(&[Some(1), Some(3)]);
        }
    }
}

#[test]
fn decode_over_lengths_and_splits() {
    for (i, len) in [1, 2, 15, 16, 17, 31, 32, 127, 128, 129, 500, 2000].into_iter().enumerate() {
        for format in [
            (Codec::F32, Codec::F32),
            (Codec::Int8, Codec::Int8),
            (Codec::Channels { bits: 4 }, Codec::Affine { bits: 4 }),
        ] {
            let case = Case {
                heads: heads(1, 1, 64),
                format,
                block_len: blocks(format, 16),
                lens: vec![len],
                n_queries: 1,
                seed: small(i % 3),
            };
            // More splits than tokens leave some with nothing to see.
            case.check(&[Some(1), Some(2), Some(7)]);
        }
    }
}

#[test]
fn prompts_in_every_format() {
    let mut seed = 0;
    for format in formats() {
        for heads in [heads(2, 1, 64), heads(1, 1, 256), heads(2, 2, 32), heads(1, 1, 40)]
            .into_iter()
            .filter(|heads| takes(format, *heads))
        {
            seed += 1;
            let block_len = blocks(format, 16);
            // Behind some tokens, from the first on, and fewer than a tile takes.
            for (len, n_queries) in [(45, 11), (9, 9), (33, 3)] {
                let case = Case { heads, format, block_len, lens: vec![len], n_queries, seed: seed % 3 };
                case.check(&[None, Some(2)]);
            }
        }
    }
}

/// What `ThreadSanitizer` has the patience for.
#[test]
fn a_short_sequence_in_every_way() {
    let heads = heads(2, 1, 64);
    let format = (Codec::Channels { bits: 4 }, Codec::Affine { bits: 4 });
    Case { heads, format, block_len: 32, lens: vec![41], n_queries: 9, seed: 1 }.check(&[None, Some(1), Some(2)]);
}

#[test]
fn scores_are_summed_token_by_token() {
    let mut random = Random(5);
    let (n_rows, stride, n_tokens) = (6, 200, 150);
    let weights = random.floats(n_rows * stride);
    let before = random.floats(n_tokens);
    let (mut x, mut sums) = (Memory::of(&weights), Memory::of(&before));
    let geometry = Geometry { grid: [2, 1, 1], n_threads: 128, shared_bytes: 0 };
    run("add_scores", geometry, 1, |launch| {
        launch
            .arg(x.address())
            .arg(small::<i32>(stride))
            .arg(small::<i32>(n_rows))
            .arg(small::<i32>(n_tokens))
            .arg(sums.address())
    });
    for (token, sum) in sums.as_slice::<f32>().iter().enumerate() {
        let added: f64 = (0..n_rows).map(|row| f64::from(weights[row * stride + token])).sum();
        let expected = f64::from(before[token]) + added;
        assert!((f64::from(*sum) - expected).abs() <= F32_SUMS, "{token}: {sum} {expected}");
    }
}
