//! What the integers of a cache do: pool, block tables, policies, grammar. Timed by `pool.rs`, counted by `instructions.rs`.
//!
//! Every operation begins from the same state and does the same, on every machine and in every run.

use std::hint::black_box;

use kvlab::cache::{
    Layout, Retention, SeqId,
    blocks::{BlockTables, Limits},
    live::{LiveTokens, Positions},
    pool::{BlockId, BlockPool},
    spec::parse_lanes,
};

/// An operation on a state of its own.
pub struct Operation {
    pub name: &'static str,
    /// How often one run of it does what its name says.
    pub times: u64,
    /// Builds the state; what it returns is the operation, to be run once.
    pub prepare: fn() -> Box<dyn FnMut()>,
}

pub const OPERATIONS: [Operation; 12] = [
    Operation { name: "pool/take_release", times: 4096, prepare: take_release },
    Operation { name: "pool/share_release", times: 4096, prepare: share_release },
    Operation { name: "tables/reserve_commit", times: 64 * 64, prepare: reserve_commit },
    Operation { name: "tables/reserve_roll_back", times: 64 * 64, prepare: reserve_roll_back },
    Operation { name: "tables/fork", times: 32, prepare: fork },
    Operation { name: "tables/copy_on_write", times: 64, prepare: copy_on_write },
    Operation { name: "tables/truncate", times: 64, prepare: truncate },
    Operation { name: "tables/rows", times: 64, prepare: rows },
    Operation { name: "tables/rows_with_holes", times: 64, prepare: rows_with_holes },
    Operation { name: "retention/window", times: 256, prepare: window },
    Operation { name: "retention/h2o", times: 16, prepare: h2o },
    Operation { name: "spec/parse", times: 64, prepare: parse },
];

/// Numbers that look random and are the same forever, as those of a library are not promised to be (Knuth's MMIX generator).
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 1_u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below
    }
}

fn shuffled(mut blocks: Vec<BlockId>) -> Vec<BlockId> {
    let mut number = numbers();
    for i in (1..blocks.len()).rev() {
        blocks.swap(i, number(i + 1));
    }
    blocks
}

/// 64 sequences of so many tokens in blocks of 16, with room for as many forks.
fn tables(tokens: usize) -> (BlockTables, Vec<SeqId>) {
    let limits = Limits { max_sequences: 128, max_seq_len: 8192, max_blocks: None };
    let mut tables = BlockTables::new(Layout::Paged { block_len: 16 }, limits).expect("tables");
    let seqs: Vec<SeqId> = (0..64).map(|_| tables.open().expect("a sequence")).collect();
    let requests: Vec<_> = seqs.iter().map(|seq| (*seq, tokens)).collect();
    step(&mut tables, &requests);
    (tables, seqs)
}

fn step(tables: &mut BlockTables, requests: &[(SeqId, usize)]) {
    let reservation = tables.reserve(requests).expect("room");
    tables.commit(&reservation);
}

fn take_release() -> Box<dyn FnMut()> {
    let (mut pool, order) = (BlockPool::new(4096), shuffled((0..4096).collect()));
    Box::new(move || {
        for _ in 0..order.len() {
            black_box(pool.take());
        }
        for block in &order {
            pool.release(*block);
        }
    })
}

fn share_release() -> Box<dyn FnMut()> {
    let mut pool = BlockPool::new(4096);
    let taken: Vec<BlockId> = std::iter::from_fn(|| pool.take()).collect();
    let order = shuffled(taken);
    Box::new(move || {
        for block in &order {
            pool.share(*block);
        }
        for block in &order {
            pool.release(*block);
        }
    })
}

/// 64 decode steps of 64 sequences.
fn reserve_commit() -> Box<dyn FnMut()> {
    let (mut tables, seqs) = tables(1000);
    let requests: Vec<_> = seqs.iter().map(|seq| (*seq, 1)).collect();
    Box::new(move || {
        for _ in 0..64 {
            step(&mut tables, &requests);
        }
    })
}

/// The same step tried and dropped: what a rehearsal does.
fn reserve_roll_back() -> Box<dyn FnMut()> {
    let (mut tables, seqs) = tables(1024);
    let requests: Vec<_> = seqs.iter().map(|seq| (*seq, 1)).collect();
    Box::new(move || {
        for _ in 0..64 {
            let reservation = tables.reserve(&requests).expect("room");
            tables.roll_back(&reservation);
        }
    })
}

fn fork() -> Box<dyn FnMut()> {
    let (mut tables, seqs) = tables(4096);
    Box::new(move || {
        for seq in &seqs[..32] {
            black_box(tables.fork(*seq).expect("a fork"));
        }
    })
}

/// A step of every sequence and its fork, of whose last block one of the two needs a copy.
fn copy_on_write() -> Box<dyn FnMut()> {
    let (mut tables, mut seqs) = tables(1000);
    let forks: Vec<SeqId> = seqs.iter().map(|seq| tables.fork(*seq).expect("a fork").0).collect();
    seqs.extend(forks);
    let requests: Vec<_> = seqs.into_iter().map(|seq| (seq, 1)).collect();
    Box::new(move || step(&mut tables, &requests))
}

fn truncate() -> Box<dyn FnMut()> {
    let (mut tables, seqs) = tables(4096);
    Box::new(move || {
        for seq in &seqs {
            tables.truncate(*seq, 1000).expect("shorter");
        }
    })
}

/// Where 4,096 tokens lie: what every attention asks, layer by layer.
fn rows() -> Box<dyn FnMut()> {
    let (tables, seqs) = tables(4096);
    Box::new(move || {
        for seq in &seqs {
            black_box(tables.rows(*seq, Positions { start: 0, end: 4096 }).expect("open"));
        }
    })
}

/// The same where every third token was evicted.
fn rows_with_holes() -> Box<dyn FnMut()> {
    let (mut tables, seqs) = tables(1024);
    let gone: Vec<usize> = (0..1024).step_by(3).collect();
    for seq in &seqs {
        tables.evict(*seq, &gone).expect("open");
    }
    Box::new(move || {
        for seq in &seqs {
            black_box(tables.rows(*seq, Positions { start: 0, end: 1024 }).expect("open"));
        }
    })
}

/// 256 decode steps of one sequence that has already lost the middle of its 2,048 tokens.
fn window() -> Box<dyn FnMut()> {
    let policy = Retention::Window { sinks: 4, recent: 256 };
    let (mut tables, seqs) = tables(2048);
    let seq = seqs[0];
    let evict = move |tables: &mut BlockTables| {
        let (live, len) = (tables.live(seq).expect("open"), tables.len(seq).expect("open"));
        let evicted = policy.evictions(live, len, &[]);
        black_box(tables.evict(seq, &evicted).expect("open"));
    };
    evict(&mut tables);
    Box::new(move || {
        for _ in 0..256 {
            step(&mut tables, &[(seq, 1)]);
            evict(&mut tables);
        }
    })
}

/// The heavy hitters of 2,048 tokens.
fn h2o() -> Box<dyn FnMut()> {
    let policy = Retention::H2o { heavy: 128, recent: 128 };
    let mut live = LiveTokens::default();
    live.extend(0, 2048);
    let mut number = numbers();
    let scores: Vec<f64> = (0..2048).map(|_| f64::from(u32::try_from(number(1 << 20)).expect("20 bits"))).collect();
    Box::new(move || {
        for _ in 0..16 {
            black_box(policy.evictions(&live, 2048, &scores));
        }
    })
}

fn parse() -> Box<dyn FnMut()> {
    const LANES: &str = "none,concat,contiguous+f16,paged:16+int8+window:4/252,paged:32+kivi:2/32,paged+kvq:3+rot";
    Box::new(|| {
        for _ in 0..64 {
            black_box(parse_lanes(black_box(LANES)).expect("lanes"));
        }
    })
}
