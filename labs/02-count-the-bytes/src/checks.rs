// Compiled once for each variant, see lib.rs: `subject` is the exercise, the solution, or a mistake.

use anyhow::{Result, ensure};
use labkit::compare::equal;

use crate::given::{GIB, GPT2, KIB, LLAMA_7B, LLAMA_70B, STORY};

/// In the order of the tasks.
pub const CHECKS: &[Check] = &[
    Check { task: 1, name: "a_token_of_gpt2", run: a_token_of_gpt2 },
    Check { task: 1, name: "grouped_queries_store_less", run: grouped_queries_store_less },
    Check { task: 2, name: "every_group_has_a_scale", run: every_group_has_a_scale },
    Check { task: 3, name: "a_block_that_is_begun_counts", run: a_block_that_is_begun_counts },
    Check { task: 3, name: "users_share_no_block", run: users_share_no_block },
    Check { task: 4, name: "the_weights_come_first", run: the_weights_come_first },
    Check { task: 4, name: "no_room_is_no_user", run: no_room_is_no_user },
    Check { task: 5, name: "room_in_the_last_block_is_used", run: room_in_the_last_block_is_used },
    Check { task: 5, name: "every_refusal_is_found", run: every_refusal_is_found },
];

fn a_token_of_gpt2() -> Result<()> {
    let got = subject::token_bytes(&GPT2, 32);
    ensure!(
        got != 36 * KIB,
        "a token of GPT-2 in f32: expected 72 KiB, got {got} bytes, the half: one of keys and values is not counted"
    );
    equal("a token of GPT-2 in f32, in bytes (12 layers, 12 heads of 64)", &(72 * KIB), &got)?;
    equal("a token of the story model in f32, in bytes (5 layers, 6 heads of 32)", &7_680, &subject::token_bytes(&STORY, 32))?;
    equal("a token of GPT-2 in f16, in bytes", &(36 * KIB), &subject::token_bytes(&GPT2, 16))
}

fn grouped_queries_store_less() -> Result<()> {
    equal("a token of the 7B model in f16, in bytes", &(512 * KIB), &subject::token_bytes(&LLAMA_7B, 16))?;
    let got = subject::token_bytes(&LLAMA_70B, 16);
    ensure!(
        got != 2_560 * KIB,
        "a token of the 70B model in f16: expected 320 KiB, got {got} bytes, eight times as much: 64 heads ask, and 8 of them store"
    );
    equal("a token of the 70B model in f16, in bytes", &(320 * KIB), &got)
}

fn every_group_has_a_scale() -> Result<()> {
    let of = |bits, group, scale_bits| subject::quantized_token_bytes(&GPT2, bits, group, scale_bits);
    equal("GPT-2 in 8 bits with a scale of 32 bits for a head of 64, bytes of a token", &19_584, &of(8, 64, 32))?;
    equal("GPT-2 in 4 bits with a scale of 16 bits for 32 numbers, bytes of a token", &10_368, &of(4, 32, 16))?;
    equal("GPT-2 in 4 bits with a scale of 16 bits for 16 numbers, bytes of a token", &11_520, &of(4, 16, 16))
}

fn a_block_that_is_begun_counts() -> Result<()> {
    for (tokens, blocks) in [(1, 1), (15, 1), (16, 1), (17, 2), (33, 3), (0, 0)] {
        equal(&format!("blocks(tokens: {tokens}, block_len: 16)"), &blocks, &subject::blocks(tokens, 16))?;
    }
    Ok(())
}

fn users_share_no_block() -> Result<()> {
    let got = subject::held_bytes(&[1, 17, 16], 16, 10);
    ensure!(
        got != 480,
        "users with 1, 17 and 16 tokens, blocks of 16 tokens of 10 bytes: expected 640, got 480: as if all 34 tokens stood in the same \
         blocks. Each user begins one of its own"
    );
    equal("users with 1, 17 and 16 tokens, blocks of 16 tokens of 10 bytes: held bytes", &640, &got)?;
    equal("nobody's held bytes", &0, &subject::held_bytes(&[], 16, 10))
}

fn the_weights_come_first() -> Result<()> {
    let user = 4096 * 512 * KIB;
    equal("users of the 7B model with 4,096 tokens in f16, 24 GiB of memory, 13 GiB of weights", &5, &subject::users_that_fit(24 * GIB, 13 * GIB, user))
}

fn no_room_is_no_user() -> Result<()> {
    equal("users where the weights are larger than the memory", &0, &subject::users_that_fit(8 * GIB, 13 * GIB, 1))?;
    equal("users where one needs a byte more than there is", &0, &subject::users_that_fit(10, 4, 7))?;
    equal("users where one fits exactly", &1, &subject::users_that_fit(10, 4, 6))
}

fn room_in_the_last_block_is_used() -> Result<()> {
    let got = subject::first_refusal(4, 4, &[2, 5], 100);
    equal(
        "4 blocks of 4 tokens, prompts of 2 and 5 tokens (1 and 2 blocks): the first refusal as (round, user)",
        &Some((3, 1)),
        &got,
    )
}

fn every_refusal_is_found() -> Result<()> {
    // Against the definition: a user's next token fits where the blocks of all, this token included, are no more than there are.
    let needs = |lengths: &[u64], block_len: u64| lengths.iter().map(|n| n.div_ceil(block_len)).sum::<u64>();
    for (n_blocks, block_len, prompts) in
        [(7, 3, vec![1, 4, 6]), (3, 16, vec![16, 16]), (9, 1, vec![2, 3]), (5, 8, vec![40]), (6, 5, vec![3, 3, 3, 3])]
    {
        let (mut lengths, mut expected) = (prompts.clone(), None);
        'rounds: for round in 0..30 {
            for user in 0..lengths.len() {
                lengths[user] += 1;
                if needs(&lengths, block_len) > n_blocks {
                    expected = Some((round, user));
                    break 'rounds;
                }
            }
        }
        let got = subject::first_refusal(n_blocks, block_len, &prompts, 30);
        equal(&format!("{n_blocks} blocks of {block_len}, prompts {prompts:?}: the first refusal"), &expected, &got)?;
    }
    equal("100 blocks of 4 and 10 rounds: the first refusal", &None, &subject::first_refusal(100, 4, &[3, 3], 10))
}
