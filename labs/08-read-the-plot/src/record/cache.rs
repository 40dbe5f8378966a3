//! A plain cache, and the faults that can be planted in it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Instant,
};

use kvlab::cache::{
    KvShape,
    guest::{GuestBytes, GuestCache, register},
};

/// What is wrong with the cache of the lane `mine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// It tries out ways to compute attention on its first tokens.
    Tunes,
    /// It makes new buffers for every token, and lays the rows of a head behind each other before it reads them.
    Copies,
    /// It starts a thread for each head of each layer.
    Starts,
    /// Blocks of a chat that is over are not given back.
    Leaks,
    /// It takes the memory of many chats at once.
    Reserves,
}

const KINDS: [Kind; 6] = [Kind::Plain, Kind::Tunes, Kind::Copies, Kind::Starts, Kind::Leaks, Kind::Reserves];

/// What [`make`] makes: a program registers one guest for good.
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// The next guests have this fault.
pub fn plant(kind: Kind) {
    PLANTED.store(kind as u8, Ordering::Relaxed);
    register(make);
}

#[expect(clippy::unnecessary_wraps, reason = "what a program registers may refuse a model")]
fn make(shape: KvShape) -> Result<Box<dyn GuestCache>, String> {
    let kind = KINDS[usize::from(PLANTED.load(Ordering::Relaxed))];
    Ok(Box::new(Cache::new(kind, shape)))
}

/// Tokens of a block.
const BLOCK: usize = 16;
/// The story model's context.
const CONTEXT: usize = 1024;
/// Chats that [`Kind::Reserves`] has room for.
const ROOM: usize = 8;
/// Tokens on which [`Kind::Tunes`] tries things out, and how often each.
const TUNING: usize = 24;
const TRIES: usize = 6;

/// Blocks that were taken from the system, by all chats: those that are free, and how many there are. A block has the keys and values of
/// [`BLOCK`] tokens in all layers, `[n_layer, 2, BLOCK, row]`.
struct Pool {
    free: Vec<Vec<f32>>,
    n_blocks: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: vec![], n_blocks: 0 });

fn pool<T>(f: impl FnOnce(&mut Pool) -> T) -> T {
    f(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner))
}

/// As if the program had just begun.
pub fn forget_pool() {
    pool(|pool| *pool = Pool { free: vec![], n_blocks: 0 });
}

struct Cache {
    kind: Kind,
    n_layer: usize,
    n_head: usize,
    head_dim: usize,
    blocks: Vec<Vec<f32>>,
    /// Tokens of each layer.
    filled: Vec<usize>,
    /// Where [`Kind::Copies`] keeps rows instead: keys and values of each layer.
    buffers: Vec<[Vec<f32>; 2]>,
    copied_bytes: u64,
    /// Passes so far, and the seconds of each way.
    passes: usize,
    tried: [f64; 2],
}

impl Cache {
    fn new(kind: Kind, shape: KvShape) -> Self {
        let (n_layer, n_head, head_dim) = (shape.n_layer, shape.heads.n_head, shape.heads.head_dim);
        let (blocks, buffers) = (vec![], vec![[vec![], vec![]]; n_layer]);
        let filled = vec![0; n_layer];
        let cache = Self {
            kind,
            n_layer,
            n_head,
            head_dim,
            blocks,
            filled,
            buffers,
            copied_bytes: 0,
            passes: 0,
            tried: [0.0; 2],
        };
        if kind == Kind::Reserves {
            pool(|pool| {
                let missing = (ROOM * CONTEXT / BLOCK).saturating_sub(pool.n_blocks);
                pool.free.extend((0..missing).map(|_| vec![0.0; cache.block_len()]));
                pool.n_blocks += missing;
            });
        }
        cache
    }

    fn row(&self) -> usize {
        self.n_head * self.head_dim
    }

    fn block_len(&self) -> usize {
        self.n_layer * 2 * BLOCK * self.row()
    }

    /// Where the row of a token begins in its block; `of` 0 is keys, 1 values.
    fn place(&self, layer: usize, of: usize, token: usize) -> usize {
        ((layer * 2 + of) * BLOCK + token % BLOCK) * self.row()
    }

    fn stored(&self, layer: usize, of: usize, token: usize) -> &[f32] {
        if self.kind == Kind::Copies {
            return &self.buffers[layer][of][token * self.row()..][..self.row()];
        }
        &self.blocks[token / BLOCK][self.place(layer, of, token)..][..self.row()]
    }

    /// Attention of one query's head over `seen` tokens.
    fn head(&self, layer: usize, head: usize, q: &[f32], seen: usize) -> Vec<f32> {
        let of_head = |of, token| &self.stored(layer, of, token)[head * self.head_dim..(head + 1) * self.head_dim];
        attention(q, seen, |token| of_head(0, token), |token| of_head(1, token))
    }

    /// All queries of a layer, `[T, n_head, head_dim]`.
    fn layer(&self, layer: usize, q: &[f32]) -> Vec<f32> {
        let past = self.filled[layer] - q.len() / self.row();
        let heads = q.chunks_exact(self.head_dim).enumerate();
        heads
            .flat_map(|(i, q)| {
                let attend = || self.head(layer, i % self.n_head, q, past + i / self.n_head + 1);
                if self.kind == Kind::Starts && q.len() * self.n_head == self.row() {
                    // One thread for one head, and the next when it is done.
                    thread::scope(|scope| scope.spawn(attend).join().unwrap_or_default())
                } else {
                    attend()
                }
            })
            .collect()
    }

    /// The same, but rows of a head are laid behind each other first.
    fn layer_gathered(&self, layer: usize, q: &[f32]) -> Vec<f32> {
        let (past, width) = (self.filled[layer] - q.len() / self.row(), self.head_dim);
        let gathered = |i: usize, q: &[f32]| {
            let (head, seen) = (i % self.n_head, past + i / self.n_head + 1);
            let [keys, values] = [0, 1].map(|of| -> Vec<f32> {
                let rows = (0..seen).flat_map(|token| &self.stored(layer, of, token)[head * width..(head + 1) * width]);
                rows.copied().collect()
            });
            attention(q, seen, |token| &keys[token * width..][..width], |token| &values[token * width..][..width])
        };
        q.chunks_exact(width).enumerate().flat_map(|(i, q)| gathered(i, q)).collect()
    }
}

impl GuestCache for Cache {
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        let row = self.row();
        if self.kind == Kind::Copies {
            for (rows, new) in self.buffers[layer].iter_mut().zip([k, v]) {
                *rows = [rows.as_slice(), new].concat();
                self.copied_bytes += size_of_val(rows.as_slice()) as u64;
            }
            self.filled[layer] += k.len() / row;
            return;
        }
        for (k, v) in k.chunks_exact(row).zip(v.chunks_exact(row)) {
            let token = self.filled[layer];
            if token / BLOCK == self.blocks.len() {
                let len = self.block_len();
                self.blocks.push(pool(|pool| {
                    pool.free.pop().unwrap_or_else(|| {
                        pool.n_blocks += 1;
                        vec![0.0; len]
                    })
                }));
            }
            for (of, new) in [k, v].into_iter().enumerate() {
                let place = self.place(layer, of, token);
                self.blocks[token / BLOCK][place..place + row].copy_from_slice(new);
            }
            self.filled[layer] += 1;
        }
    }

    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
        self.passes += usize::from(layer == 0);
        if self.kind == Kind::Copies {
            // As a tensor library does whose product wants rows of a head behind each other.
            for of in 0..2 {
                let dense = std::hint::black_box(self.buffers[layer][of].clone());
                self.copied_bytes += size_of_val(dense.as_slice()) as u64;
                self.buffers[layer][of] = dense;
            }
        }
        if self.kind == Kind::Tunes && self.passes > 1 && self.passes <= TUNING + 1 {
            let mut attended = vec![];
            for _ in 0..TRIES {
                for (way, tried) in [Self::layer, Self::layer_gathered].into_iter().enumerate() {
                    let start = Instant::now();
                    attended = tried(self, layer, q);
                    self.tried[way] += start.elapsed().as_secs_f64();
                }
            }
            return attended;
        }
        let is_slower = self.kind == Kind::Tunes && self.tried[1] < self.tried[0];
        if is_slower { self.layer_gathered(layer, q) } else { self.layer(layer, q) }
    }

    fn bytes(&self) -> GuestBytes {
        let float = size_of::<f32>();
        let used = (2 * self.filled.iter().sum::<usize>() * self.row() * float) as u64;
        let reserved = match self.kind {
            Kind::Copies => used,
            _ => (pool(|pool| pool.n_blocks) * self.block_len() * float) as u64,
        };
        GuestBytes { reserved_bytes: reserved, used_bytes: used, copied_bytes: self.copied_bytes }
    }
}

impl Drop for Cache {
    /// A chat is over.
    fn drop(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        if self.kind == Kind::Leaks {
            std::mem::forget(blocks); // nobody has them any more, and nobody gives them back
        } else {
            pool(|pool| pool.free.extend(blocks));
        }
    }
}

/// Attention of one query `[head_dim]` over `seen` rows.
fn attention<'a>(
    q: &[f32],
    seen: usize,
    key: impl Fn(usize) -> &'a [f32],
    value: impl Fn(usize) -> &'a [f32],
) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "a head has few elements")]
    let root = (q.len() as f32).sqrt();
    let mut weights: Vec<f32> = (0..seen).map(|token| dot(q, key(token)) / root).collect();
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for weight in &mut weights {
        *weight = (*weight - largest).exp();
    }
    let sum: f32 = weights.iter().sum();
    let mut out = vec![0.0; q.len()];
    for (token, weight) in weights.iter().enumerate() {
        out.iter_mut().zip(value(token)).for_each(|(out, v)| *out += weight / sum * v);
    }
    out
}

/// Eight sums side by side, which a processor adds up at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum()
}
