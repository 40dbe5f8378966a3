//! What the lab gives you: sizes, and how a cache is kept that forgets. Nothing to change here.

/// The model in this repository.
pub const N_LAYER: usize = 5;
pub const N_HEAD: usize = 6;
pub const HEAD_DIM: usize = 32;
/// Numbers of one token's keys in one layer; its values have as many.
pub const ROW: usize = N_HEAD * HEAD_DIM;
/// Bytes of one token's keys and values, over all layers.
pub const TOKEN_BYTES: usize = 2 * N_LAYER * ROW * size_of::<f32>();

/// Keys and values of the tokens that are kept. A token has the same slot in every layer; slots are in the order of the text and have no
/// holes.
#[derive(Clone, Debug, PartialEq)]
pub struct Slots {
    /// Numbers of one token in one layer.
    pub row: usize,
    /// For each slot, where its token stands in the text: 0 is the first. Rising, and with gaps where tokens were forgotten.
    pub positions: Vec<usize>,
    /// For each slot, the attention that its token got so far.
    pub scores: Vec<f64>,
    /// For each layer `[slots, row]`.
    pub keys: Vec<Vec<f32>>,
    /// As `keys`.
    pub values: Vec<Vec<f32>>,
}

impl Slots {
    /// No token, in `n_layer` layers.
    #[must_use]
    pub fn new(n_layer: usize, row: usize) -> Self {
        Self { row, positions: vec![], scores: vec![], keys: vec![vec![]; n_layer], values: vec![vec![]; n_layer] }
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.keys.iter().chain(&self.values).map(|rows| size_of_val(rows.as_slice())).sum()
    }
}

/// Who stays when a pass is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    All,
    /// The first `sinks` tokens and the newest `recent` ones.
    Window {
        sinks: usize,
        recent: usize,
    },
    /// The newest `recent` tokens, and of the others the `heavy` ones that got most attention.
    Heavy {
        heavy: usize,
        recent: usize,
    },
}

/// Numbers from a seed, the same every time (xorshift64).
pub struct Noise(u64);

impl Noise {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) as usize) % n
    }
}
