//! The block tables against a brute-force model: every sequence is a plain list of tokens, every held
//! block a list of holders.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Open,
    Fork(usize),
    Close(usize),
    Truncate(usize, usize),
    Step(Vec<(usize, usize)>, bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let i = any::<usize>;
    let op = prop_oneof![
        2 => Just(Op::Open),
        2 => i().prop_map(Op::Fork),
        1 => i().prop_map(Op::Close),
        2 => (i(), i()).prop_map(|(s, len)| Op::Truncate(s, len)),
        6 => (prop::collection::vec((i(), 0_usize..9), 1..3), any::<bool>()).prop_map(|(s, keep)| Op::Step(s, keep)),
    ];
    prop::collection::vec(op, 1..60)
}

/// Everything a caller can observe, to show that a failed call changed nothing.
fn observed(tables: &BlockTables, open: &[(SeqId, usize)]) -> String {
    format!("{tables:?} {:?}", open.iter().map(|(s, _)| (tables.len(*s), tables.table(*s))).collect::<Vec<_>>())
}

fn check_invariants(layout: Layout, tables: &BlockTables, open: &[(SeqId, usize)]) {
    let mut holders = std::collections::HashMap::<BlockId, u32>::new();
    for &(seq, len) in open {
        assert_eq!(tables.len(seq).expect("open"), len);
        let table = tables.table(seq).expect("open");
        assert!(layout == Layout::Concat || table.len() * tables.block_len() >= len, "a token has no block");
        for &block in table {
            assert!((block as usize) < tables.n_blocks());
            *holders.entry(block).or_default() += 1;
        }
        match layout {
            Layout::Paged { .. } => assert_eq!(table.len(), len.div_ceil(tables.block_len()), "a block too many"),
            _ => assert!(table.windows(2).all(|w| w[0] + 1 == w[1]), "not neighbours"),
        }
    }
    assert_eq!(tables.n_held(), holders.len(), "a block leaked or was lost");
    for (block, count) in holders {
        assert_eq!(tables.ref_count(block), count);
    }
}

fn run(layout: Layout, limits: Limits, ops: Vec<Op>) {
    let Ok(mut tables) = BlockTables::new(layout, limits) else { return };
    let mut open: Vec<(SeqId, usize)> = vec![];
    let mut closed: Vec<SeqId> = vec![];
    for op in ops {
        let before = observed(&tables, &open);
        let result = match op {
            Op::Open => tables.open().map(|seq| open.push((seq, 0))),
            Op::Fork(i) if !open.is_empty() => {
                let (seq, len) = open[i % open.len()];
                tables.fork(seq).map(|(child, copies)| {
                    let copied: usize = copies.iter().map(|c| c.rows).sum();
                    assert_eq!(copied, if layout == Layout::Contiguous { len } else { 0 });
                    open.push((child, len));
                })
            }
            Op::Close(i) if !open.is_empty() => {
                let (seq, _) = open.swap_remove(i % open.len());
                closed.push(seq);
                tables.close(seq)
            }
            Op::Truncate(i, len) if !open.is_empty() => {
                let i = i % open.len();
                let (seq, current) = open[i];
                let len = len % (current + 2);
                tables.truncate(seq, len).map(|()| open[i].1 = len)
            }
            Op::Step(requests, keep) if !open.is_empty() => {
                let picked: Vec<(usize, usize)> = requests.iter().map(|(i, n)| (i % open.len(), *n)).collect();
                let requests: Vec<_> = picked.iter().map(|&(i, n)| (open[i].0, n)).collect();
                tables.reserve(&requests).map(|reservation| {
                    for copy in &reservation.copies {
                        assert!(copy.rows < tables.block_len() && copy.from != copy.to);
                    }
                    for (_, &(i, n)) in requests.iter().zip(&picked) {
                        let span = reservation.spans.iter().find(|s| s.seq == open[i].0).expect("span");
                        assert_eq!((span.past, span.new), (open[i].1, n));
                        // What the step writes into is the sequence's own.
                        let table = tables.table(span.seq).expect("open");
                        for position in (span.past..span.past + span.new).filter(|_| layout != Layout::Concat) {
                            assert_eq!(tables.ref_count(table[position / tables.block_len()]), 1);
                        }
                    }
                    if keep {
                        tables.commit(&reservation);
                        for &(i, n) in &picked {
                            open[i].1 += n;
                        }
                    } else {
                        tables.roll_back(&reservation);
                        assert_eq!(observed(&tables, &open), before, "a dropped step left a trace");
                    }
                })
            }
            Op::Fork(_) | Op::Close(_) | Op::Truncate(..) | Op::Step(..) => Ok(()),
        };
        if result.is_err() {
            assert_eq!(observed(&tables, &open), before, "a failed call left a trace: {result:?}");
        }
        check_invariants(layout, &tables, &open);
        for seq in &closed {
            assert!(matches!(tables.len(*seq), Err(CacheError::UnknownSequence)), "a closed handle still works");
        }
    }
    for (seq, _) in open {
        tables.close(seq).expect("open");
    }
    assert_eq!(tables.n_held(), 0, "blocks leaked");
}

proptest! {
    #[test]
    fn agrees_with_brute_force(
        layout in prop_oneof![
            Just(Layout::Concat), Just(Layout::Contiguous),
            (1_usize..6).prop_map(|block_len| Layout::Paged { block_len }),
        ],
        max_sequences in 1_usize..4, max_seq_len in 1_usize..40, max_blocks in prop::option::of(0_usize..30), ops in ops(),
    ) {
        run(layout, Limits { max_sequences, max_seq_len, max_blocks }, ops);
    }
}

#[test]
fn full_says_how_much_is_missing() {
    let limits = Limits { max_sequences: 2, max_seq_len: 64, max_blocks: Some(3) };
    let mut tables = BlockTables::new(Layout::Paged { block_len: 4 }, limits).expect("limits");
    let (a, b) = (tables.open().expect("a"), tables.open().expect("b"));
    let step = tables.reserve(&[(a, 8)]).expect("two blocks");
    tables.commit(&step);
    let error = tables.reserve(&[(a, 1), (b, 5)]).expect_err("three more blocks");
    assert!(error.to_string().contains("3 more block(s) of 4 token(s) needed, 1 free; nothing was changed"), "{error}");
}

#[test]
fn forks_share_until_they_write() {
    let limits = Limits { max_sequences: 3, max_seq_len: 64, max_blocks: None };
    let mut tables = BlockTables::new(Layout::Paged { block_len: 4 }, limits).expect("limits");
    let a = tables.open().expect("a");
    let step = tables.reserve(&[(a, 6)]).expect("room");
    tables.commit(&step);
    let (b, _) = tables.fork(a).expect("fork");
    assert_eq!(tables.n_held(), 2, "both blocks are shared");
    let step = tables.reserve(&[(b, 1)]).expect("room");
    assert_eq!(step.copies.iter().map(|c| c.rows).collect::<Vec<_>>(), [2], "only the filled rows are copied");
    tables.commit(&step);
    assert_eq!(tables.n_held(), 3, "the full block stays shared");
}
