//! What the lab gives you: keys and values that are lent a tile at a time, what is kept of the tiles, and attention the plain way. Nothing to
//! change here.

use std::cell::Cell;

/// What is known of the attention of one query to the tokens that it has seen so far. Its size does not depend on how many these are.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The largest score; minus infinity as long as there is none.
    pub max: f32,
    /// The sum of all weights `exp(score - max)`.
    pub sum: f32,
    /// The sum of all values, each times its weight: `[head_dim]`.
    pub out: Vec<f32>,
}

/// Keys and values of one head, `[N, head_dim]` each, to be read in tiles of at most `tile` tokens.
pub struct Rows<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    head_dim: usize,
    tile: usize,
    lent: Cell<Lent>,
}

/// What was lent of some [`Rows`] so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lent {
    pub readers: usize,
    pub tiles: usize,
    pub tokens: usize,
    /// Tokens of the largest tile.
    pub largest: usize,
}

/// Reads [`Rows`] once, from front to back.
pub struct Reader<'a> {
    rows: &'a Rows<'a>,
    at: usize,
    /// Room for the scores of one tile, and there is no other.
    scores: Vec<f32>,
}

impl<'a> Rows<'a> {
    #[must_use]
    pub fn new(keys: &'a [f32], values: &'a [f32], head_dim: usize, tile: usize) -> Self {
        Self { keys, values, head_dim, tile, lent: Cell::default() }
    }

    /// `N`.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.keys.len() / self.head_dim
    }

    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// A reader whose first tile begins at `token`.
    #[must_use]
    pub fn reader_at(&self, token: usize) -> Reader<'_> {
        self.lent.update(|lent| Lent { readers: lent.readers + 1, ..lent });
        Reader { rows: self, at: token, scores: vec![0.0; self.tile] }
    }

    #[must_use]
    pub fn lent(&self) -> Lent {
        self.lent.get()
    }
}

impl Reader<'_> {
    /// The most tokens of a tile.
    #[must_use]
    pub fn tile(&self) -> usize {
        self.rows.tile
    }

    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.rows.head_dim
    }

    /// Lends the next `n` tokens: their scores against the query `q` `[head_dim]`, that is `q . k / sqrt(head_dim)`, `[n]`, and their values
    /// `[n, head_dim]`. Both are yours until the next tile is asked for, which goes where this one was.
    ///
    /// # Panics
    /// There is no room for `n` scores, or there are no `n` tokens left.
    pub fn lend(&mut self, q: &[f32], n: usize) -> (&[f32], &[f32]) {
        let Rows { keys, values, head_dim, tile, .. } = *self.rows;
        let n_tokens = self.rows.n_tokens();
        assert!(n <= tile, "a tile of {n} tokens was asked for, and there is room for the scores of {tile}");
        assert!(
            self.at + n <= n_tokens,
            "tokens {}..{} were asked for, and there are {n_tokens}: is the last tile shorter?",
            self.at,
            self.at + n
        );
        let tokens = self.at * head_dim..(self.at + n) * head_dim;
        for (score, key) in self.scores.iter_mut().zip(keys[tokens.clone()].chunks_exact(head_dim)) {
            *score = score_of(q, key);
        }
        self.at += n;
        self.rows.lent.update(|lent| Lent {
            tiles: lent.tiles + 1,
            tokens: lent.tokens + n,
            largest: lent.largest.max(n),
            ..lent
        });
        (&self.scores[..n], &values[tokens])
    }

    /// Bytes of the room for scores.
    #[must_use]
    pub fn score_bytes(&self) -> usize {
        size_of_val(self.scores.as_slice())
    }
}

/// How well a key fits a query: `q . k / sqrt(head_dim)`.
fn score_of(q: &[f32], key: &[f32]) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a head has few elements")]
    let root = (q.len() as f32).sqrt();
    q.iter().zip(key).map(|(q, k)| q * k).sum::<f32>() / root
}

/// Attention of one query `q` `[head_dim]` over all of `keys` and `values` `[N, head_dim]`, with all scores at once. `softmax` makes weights of
/// them in place. Returns `[head_dim]` and the bytes of the scores.
pub fn plain(q: &[f32], keys: &[f32], values: &[f32], softmax: impl Fn(&mut [f32])) -> (Vec<f32>, usize) {
    let mut scores: Vec<f32> = keys.chunks_exact(q.len()).map(|key| score_of(q, key)).collect();
    softmax(&mut scores);
    let mut out = vec![0.0; q.len()];
    for (weight, value) in scores.iter().zip(values.chunks_exact(q.len())) {
        for (out, v) in out.iter_mut().zip(value) {
            *out += weight * v;
        }
    }
    (out, size_of_val(scores.as_slice()))
}

/// Numbers from a seed, the same every time (xorshift64).
pub struct Noise(u64);

impl Noise {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) as usize) % n
    }

    /// Numbers from `-size` to `size`.
    #[expect(clippy::cast_precision_loss, reason = "20 bits fit")]
    pub fn floats(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| (self.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0) * size).collect()
    }
}
