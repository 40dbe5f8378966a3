//! Attention of one query the plain way, tile by tile, and in parts on several threads: scores held, time, and the distance to f64.

use std::{hint::black_box, io::Write, iter::repeat_with, ops::Range, thread, time::Instant};

use anyhow::Result;
use kvlab::report::units::{bytes, count, secs};

use super::{Yours, exact_bytes};
use crate::given::{Noise, Rows, plain};

const HEAD_DIM: usize = 64;
const TILE: usize = 128;
/// A time is the shortest of so many: what else the machine does only ever adds.
const TIMES: usize = 15;

/// A line for each of `lengths`.
pub fn show(yours: Yours, lengths: &[usize], out: &mut dyn Write) -> Result<()> {
    let n_threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    let on_threads = format!("{n_threads} threads");
    writeln!(out, "One query, one head of {HEAD_DIM}, f32.")?;
    let above = ["scores held", "", "time", "", "", "error", "", ""];
    writeln!(out, "{:>9}{}", "", above.map(|title| format!("{title:>12}")).concat().trim_end())?;
    let titles = ["plain", "tiles", "plain", "tiles", &on_threads, "plain", "tiles", &on_threads];
    writeln!(out, "{:>9}{}", "tokens", titles.map(|title| format!("{title:>12}")).concat())?;
    for &n in lengths {
        let mut noise = Noise::new(5);
        let q = noise.floats(HEAD_DIM, 4.0);
        let (keys, values) = (noise.floats(n * HEAD_DIM, 1.0), noise.floats(n * HEAD_DIM, 1.0));
        let exact = in_f64(&q, &keys, &values);
        let rows = Rows::new(&keys, &values, HEAD_DIM, TILE);
        let ((all, all_bytes), all_secs) = timed(|| plain(&q, &keys, &values, yours.softmax));
        let (tiled, tiled_secs) = timed(|| (yours.attend)(&q, &rows));
        let (threaded, threaded_secs) = timed(|| on(n_threads, yours, &q, &keys, &values));
        let mut cells = vec![exact_bytes(all_bytes), exact_bytes(rows.reader_at(0).score_bytes())];
        cells.extend([all_secs, tiled_secs, threaded_secs].map(secs));
        cells.extend([all, tiled, threaded].map(|out| format!("{:.1e}", error(&exact, &out))));
        let cells: Vec<_> = cells.iter().map(|cell| format!("{cell:>12}")).collect();
        writeln!(out, "{:>9}{}", count(n as u64), cells.concat())?;
    }
    let longest = lengths.iter().max().copied().unwrap_or_default() as u64;
    writeln!(
        out,
        "\nscores held  the size of the buffer they stand in; tiles of {TILE} tokens, one such buffer for each thread\n\
         time         the shortest of {TIMES} runs, keys and values in f32, plain Rust\n\
         error        the largest distance of an element to attention in f64; values are from -1 to 1\n\
         Scores of a whole prompt of {} tokens at once, by arithmetic: {} for each head.\n",
        count(longest),
        bytes(longest * longest * 4)
    )?;
    Ok(())
}

/// In parts, each on a thread of its own, which shares nothing with the others.
fn on(n_threads: usize, yours: Yours, q: &[f32], keys: &[f32], values: &[f32]) -> Vec<f32> {
    let parts = (yours.parts)(keys.len() / HEAD_DIM, n_threads);
    let mut whole = (yours.empty)(HEAD_DIM);
    thread::scope(|scope| {
        let spawn = |part: Range<usize>| {
            let part = part.start * HEAD_DIM..part.end * HEAD_DIM;
            let (keys, values) = (&keys[part.clone()], &values[part]);
            scope.spawn(move || {
                let rows = Rows::new(keys, values, HEAD_DIM, TILE);
                (yours.partial)(q, &mut rows.reader_at(0), rows.n_tokens())
            })
        };
        // All are started before the first one is waited for.
        let started: Vec<_> = parts.into_iter().map(spawn).collect();
        for state in started.into_iter().filter_map(|thread| thread.join().ok()) {
            (yours.merge)(&mut whole, &state);
        }
    });
    (yours.finish)(whole)
}

/// What `run` returned, and the shortest of its times.
fn timed<T>(mut run: impl FnMut() -> T) -> (T, f64) {
    let result = run();
    let time = || {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    };
    (result, repeat_with(time).take(TIMES).fold(f64::INFINITY, f64::min))
}

fn in_f64(q: &[f32], keys: &[f32], values: &[f32]) -> Vec<f64> {
    let dot = |key: &[f32]| q.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "a head has few elements")]
    let root = (q.len() as f64).sqrt();
    let scores: Vec<f64> = keys.chunks_exact(q.len()).map(|key| dot(key) / root).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut out = vec![0.0; q.len()];
    for (weight, value) in weights.iter().zip(values.chunks_exact(q.len())) {
        out.iter_mut().zip(value).for_each(|(out, v)| *out += weight / sum * f64::from(*v));
    }
    out
}

fn error(exact: &[f64], out: &[f32]) -> f64 {
    exact.iter().zip(out).map(|(exact, out)| (exact - f64::from(*out)).abs()).fold(0.0, f64::max)
}
