//! What real stores cannot show yet (retention, bytes of a sequence), against brute force.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn lane(layout: Layout, block_len: u64, retention: Retention) -> LaneBytes {
    LaneBytes { layout, retention, n_layer: 3, block_len, plane_bytes: [8, 8, 8, 8], sequence_bytes: 0 }
}

fn paged(block_len: u64, retention: Retention) -> LaneBytes {
    lane(Layout::Paged { block_len: 1 }, block_len, retention)
}

fn lengths(text: &str) -> Lengths {
    text.parse().expect(text)
}

#[test]
fn straddling_is_counted_at_its_worst() {
    // Of 16-token blocks, 16 recent tokens touch two unless they begin with one; 17 never touch three, 18 may.
    for (recent, blocks) in [(1, 1), (2, 2), (16, 2), (17, 2), (18, 3), (33, 3)] {
        let window = Retention::Window { sinks: 0, recent };
        assert_eq!(paged(16, window).blocks_at_rest(1000, 0), blocks, "{recent}");
    }
    let window = paged(16, Retention::Window { sinks: 4, recent: 256 });
    assert_eq!(window.blocks_at_rest(1000, 0), 1 + 17);
    assert_eq!(window.blocks_at_rest(100, 0), 7, "nothing is evicted yet");
    assert_eq!(window.blocks_at_rest(1000, 2), 17, "the sinks lie in the shared prefix");
    let heavy = paged(16, Retention::H2o { heavy: 10, recent: 16 });
    assert_eq!((heavy.blocks_at_rest(1000, 0), heavy.blocks_at_rest(40, 0)), (12, 3));
    assert_eq!(heavy.worst_case(1000).own_blocks, Mean::constant(63), "the prompt is whole before anything goes");
}

#[test]
fn contiguous_never_gives_back_and_concat_holds_its_rows() {
    let window = Retention::Window { sinks: 1, recent: 4 };
    let contiguous = lane(Layout::Contiguous, 32, window);
    assert_eq!(contiguous.live_length(&lengths("fixed:40"), 100), contiguous.worst_case(100));
    let concat = lane(Layout::Concat, 1, window);
    assert_eq!(concat.live_length(&lengths("list:3,40"), 100).own_blocks, Mean { sum: 3 + 5, weight: 2 });
    assert_eq!(concat.shared_prefix(&lengths("fixed:40"), 32, 100).shared_blocks, 0);
}

#[test]
fn bytes_of_a_sequence_count_once_a_user() {
    let lane = LaneBytes { sequence_bytes: 1000, ..paged(16, Retention::All) };
    let two_blocks = lane.live_length(&lengths("fixed:20"), 100);
    assert_eq!(lane.bytes(&two_blocks, 3), Some(3 * (1000 + 2 * 16 * 96)));
    assert_eq!(lane.users(&two_blocks, 3 * (1000 + 2 * 16 * 96)), 3);
    assert_eq!(lane.users(&two_blocks, 3 * (1000 + 2 * 16 * 96) - 1), 2);
    assert_eq!(lane.one_user_tokens(999), 0);
    assert_eq!(lane.one_user_tokens(1000 + 16 * 96), 16);
    assert_eq!(lane.one_user_tokens(1000 + 2 * 16 * 96 - 1), 16);
    assert_eq!(lane.reserved_bytes(2, 17), Some(2 * (1000 + 2 * 16 * 96)));
}

#[test]
fn what_no_u64_holds_is_none() {
    let lane = LaneBytes { plane_bytes: [1 << 45; 4], ..paged(1 << 10, Retention::All) };
    let demand = lane.worst_case(1 << 24);
    assert_eq!(lane.bytes(&demand, 1), None);
    assert_eq!(lane.users(&demand, u64::MAX), 0);
    assert_eq!(lane.reserved_bytes(1, 1 << 24), None);
    assert_eq!(lane.bytes(&paged(1, Retention::All).worst_case(1), u64::MAX), None);
}

proptest! {
    /// Whichever tokens a policy keeps after the first `shared` blocks, their blocks are no more than planned; and
    /// for a window the plan is reached at some length.
    #[test]
    fn a_policy_holds_no_more_than_planned(
        block_len in 1_u64..20, sinks in 0_usize..40, recent in 1_usize..60, len in 1_u64..300,
        shared_blocks in 0_u64..4, picks in prop::collection::vec(0_u64..300, 40),
    ) {
        let shared = shared_blocks.min((len - 1) / block_len);
        let held = |len: u64, kept: &dyn Fn(u64) -> bool| {
            let stays = |t: &u64| t + recent as u64 >= len || kept(*t);
            let blocks: BTreeSet<u64> = (0..len).filter(stays).map(|t| t / block_len).collect();
            blocks.into_iter().filter(|&block| block >= shared).count() as u64
        };
        let window = paged(block_len, Retention::Window { sinks, recent });
        let by_window = |len| held(len, &|t| t < sinks as u64);
        prop_assert!(by_window(len) <= window.blocks_at_rest(len, shared));
        let long = 400..400 + block_len;
        let most = long.clone().map(by_window).max();
        prop_assert_eq!(most, long.map(|len| window.blocks_at_rest(len, shared)).max());
        let heavy = paged(block_len, Retention::H2o { heavy: sinks, recent });
        let by_weight = held(len, &|t| picks[..sinks].contains(&t));
        prop_assert!(by_weight <= heavy.blocks_at_rest(len, shared));
    }

    /// The search finds the last number of users that fits.
    #[test]
    fn one_user_more_does_not_fit(
        block_len in 1_u64..40, from in 1_u64..50, more in 0_u64..200, prefix in 0_u64..40,
        memory in 1_u64..3_000_000, sequence_bytes in 0_u64..5000,
    ) {
        let lane = LaneBytes { sequence_bytes, ..paged(block_len, Retention::All) };
        let lengths = Lengths::Uniform { from: prefix + from, to: prefix + from + more };
        let shared = lane.shared_prefix(&lengths, prefix, 300);
        for demand in [lane.worst_case(300), lane.live_length(&lengths, 300), shared] {
            let users = lane.users(&demand, memory);
            prop_assert!(users == 0 || lane.bytes(&demand, users) <= Some(memory));
            prop_assert!(lane.bytes(&demand, users + 1) > Some(memory));
        }
    }
}
