//! A device's memory, and caches in it, for kernels that are run here.
#![allow(dead_code, reason = "every test binary compiles this module and uses some of it")]

use bytemuck::{AnyBitPattern, NoUninit};
use kvlab::kernels::{
    HeadShape,
    codec::{Codec, RowShape, encode_channels},
    cuda::{Address, EXACT, Geometry, Layer, Plane},
    walk::Rows,
};
use kvlab_emulator::Launch;

/// Memory as a device gives it: at an address that 16 divides.
#[derive(Clone, Debug)]
pub struct Memory {
    words: Vec<u128>,
    n_bytes: usize,
}

impl Memory {
    /// Every byte of which is `byte`.
    pub fn full_of(byte: u8, n_bytes: usize) -> Self {
        Self { words: vec![u128::from_ne_bytes([byte; 16]); n_bytes.div_ceil(16)], n_bytes }
    }

    /// Floats that are no numbers: whoever forgets to write one is found out.
    pub fn floats(n: usize) -> Self {
        Self::full_of(0xff, n * size_of::<f32>())
    }

    pub fn of<T: NoUninit>(values: &[T]) -> Self {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let mut memory = Self::full_of(0, bytes.len());
        memory.bytes_mut().copy_from_slice(bytes);
        memory
    }

    pub fn address(&mut self) -> Address {
        self.words.as_mut_ptr().expose_provenance() as Address
    }

    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.n_bytes]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.n_bytes]
    }

    pub fn as_slice<T: AnyBitPattern>(&self) -> &[T] {
        bytemuck::cast_slice(self.bytes())
    }
}

/// Numbers that look random (splitmix64, Steele et al. 2014), the same for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("below a usize")
    }

    /// From -1 to 1.
    pub fn float(&mut self) -> f32 {
        let bits = u16::try_from(self.next() >> 48).expect("16 bits");
        f32::from(bits) / 32768.0 - 1.0
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

/// Runs a kernel whose arguments `args` adds.
pub fn run(name: &str, geometry: Geometry, seed: u64, args: impl FnOnce(Launch) -> Launch) {
    let launch = Launch::new(name, geometry.grid, geometry.n_threads)
        .shared_bytes(usize::try_from(geometry.shared_bytes).expect("small"))
        .seed(seed);
    #[expect(unsafe_code, reason = "kernels take addresses")]
    // SAFETY: the addresses are those of buffers that the caller holds, as long as the shapes of the launch say.
    let outcome = unsafe { args(launch).run() };
    assert_eq!(outcome, Ok(()), "{name}");
}

/// Codes and scales of `n_rows` tokens.
pub struct PlaneMemory {
    pub codec: Codec,
    pub shape: RowShape,
    pub codes: Memory,
    pub scales: Memory,
}

/// What planes are full of before anything is stored.
pub const UNTOUCHED: u8 = 0xa5;

impl PlaneMemory {
    pub fn new(codec: Codec, shape: RowShape, n_rows: usize) -> Self {
        let plane = |bytes: usize| Memory::full_of(UNTOUCHED, n_rows * bytes);
        Self { codec, shape, codes: plane(codec.code_bytes(shape)), scales: plane(codec.scale_bytes(shape)) }
    }

    pub fn plane(&mut self) -> Plane {
        Plane { codes: self.codes.address(), scales: self.scales.address() }
    }

    /// Stores a token as the processor does.
    pub fn encode(&mut self, row: usize, x: &[f32]) {
        let (codes, scales) = (self.codec.code_bytes(self.shape), self.codec.scale_bytes(self.shape));
        self.codec.encode(
            self.shape,
            None,
            x,
            &mut self.codes.bytes_mut()[row * codes..][..codes],
            &mut self.scales.bytes_mut()[row * scales..][..scales],
        );
    }

    /// Stores 32 tokens by channel.
    pub fn seal(&mut self, row: usize, tokens: &[&[f32]]) {
        let Codec::Channels { bits } = self.codec else { panic!("{:?} is not by channel", self.codec) };
        let (codes, scales) = (self.codec.code_bytes(self.shape), self.codec.scale_bytes(self.shape));
        encode_channels(
            bits,
            self.shape,
            tokens,
            &mut self.codes.bytes_mut()[row * codes..][..tokens.len() * codes],
            &mut self.scales.bytes_mut()[row * scales..][..tokens.len() * scales],
        );
    }

    /// A token as it is read back, `[n_kv_head, head_dim]`.
    pub fn decode(&self, row: usize) -> Vec<f32> {
        let RowShape { n_kv_head, head_dim } = self.shape;
        let rows = Rows {
            codec: self.codec,
            shape: self.shape,
            codes: self.codes.bytes(),
            token_stride: self.codec.code_bytes(self.shape),
            scales: self.scales.bytes(),
            levels: None,
        };
        let mut out = vec![f32::NAN; n_kv_head * head_dim];
        for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
            rows.decode(row, 1, head, out);
        }
        out
    }
}

/// Keys and values of several sequences in one layer, and which rows are whose.
pub struct Cache {
    pub heads: HeadShape,
    keys: PlaneMemory,
    values: PlaneMemory,
    exact_keys: PlaneMemory,
    exact_values: PlaneMemory,
    /// Of each sequence, in the order of positions.
    pub rows: Vec<Vec<u32>>,
}

impl Cache {
    /// Sequences of so many tokens, each with random rows, in blocks of `block_len` that lie anywhere. Where keys are stored by channel, the tokens
    /// behind the last whole group are exact.
    pub fn random(
        heads: HeadShape,
        (keys, values): (Codec, Codec),
        block_len: usize,
        lens: &[usize],
        random: &mut Random,
    ) -> Self {
        const GROUP: usize = 32;
        let shape = RowShape { n_kv_head: heads.n_kv_head, head_dim: heads.head_dim };
        let n_blocks: usize = lens.iter().map(|len| len.div_ceil(block_len)).sum::<usize>() + 2;
        let mut free: Vec<usize> = (0..n_blocks).collect();
        random.shuffle(&mut free);
        let n_rows = n_blocks * block_len;
        let by_channel = matches!(keys, Codec::Channels { .. });
        let n_exact = if by_channel { lens.len() * GROUP } else { 0 };
        let mut cache = Self {
            heads,
            keys: PlaneMemory::new(keys, shape, n_rows),
            values: PlaneMemory::new(values, shape, n_rows),
            exact_keys: PlaneMemory::new(Codec::F32, shape, n_exact),
            exact_values: PlaneMemory::new(Codec::F32, shape, n_exact),
            rows: vec![],
        };
        for (sequence, len) in lens.iter().enumerate() {
            let blocks: Vec<usize> = (0..len.div_ceil(block_len)).filter_map(|_| free.pop()).collect();
            let row = |token: usize| blocks[token / block_len] * block_len + token % block_len;
            let tokens: Vec<[Vec<f32>; 2]> =
                (0..*len).map(|_| [random.floats(shape.width()), random.floats(shape.width())]).collect();
            let sealed = if by_channel { len / GROUP * GROUP } else { *len };
            let mut rows = vec![];
            for (token, [key, value]) in tokens.iter().enumerate() {
                let at = if token < sealed { row(token) } else { sequence * GROUP + token - sealed };
                if token >= sealed {
                    cache.exact_keys.encode(at, key);
                    cache.exact_values.encode(at, value);
                } else {
                    cache.values.encode(at, value);
                    if !by_channel {
                        cache.keys.encode(at, key);
                    } else if token % GROUP == 0 {
                        let group: Vec<&[f32]> = tokens[token..token + GROUP].iter().map(|[key, _]| &key[..]).collect();
                        cache.keys.seal(at, &group);
                    }
                }
                rows.push(u32::try_from(at).expect("small") | if token < sealed { 0 } else { EXACT });
            }
            cache.rows.push(rows);
        }
        cache
    }

    pub fn layer(&mut self) -> Layer {
        Layer {
            keys: self.keys.plane(),
            values: self.values.plane(),
            exact_keys: self.exact_keys.plane(),
            exact_values: self.exact_values.plane(),
        }
    }

    /// What a sequence's keys and values are when they are read, `[n, n_kv_head, head_dim]`.
    pub fn read(&self, sequence: usize) -> (Vec<f32>, Vec<f32>) {
        let of = |pool: &PlaneMemory, exact: &PlaneMemory| {
            let rows = self.rows[sequence].iter();
            rows.flat_map(|row| {
                let plane = if row & EXACT == 0 { pool } else { exact };
                plane.decode(usize::try_from(row & !EXACT).expect("small"))
            })
            .collect()
        };
        (of(&self.keys, &self.exact_keys), of(&self.values, &self.exact_values))
    }
}
