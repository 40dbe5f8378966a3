// Compiled once for each variant, see lib.rs: `subject` is the exercise, the solution, or a mistake.

use anyhow::{Result, bail, ensure};
use labkit::{
    compare::{close, equal},
    story::{PROMPT, Story},
};

use crate::{
    given::{Channels, Format, GROUP, HEAD_DIM, Int8, Nibbles, Noise, Residual},
    mine::{Guest, Scheme},
    stored::{Stored, codec},
};

/// In the order of the tasks.
pub const CHECKS: &[Check] = &[
    Check { task: 1, name: "codes_are_the_nearest", run: codes_are_the_nearest },
    Check { task: 1, name: "the_scale_is_of_the_largest_absolute", run: the_scale_is_of_the_largest_absolute },
    Check { task: 1, name: "small_rows_keep_their_digits", run: small_rows_keep_their_digits },
    Check { task: 2, name: "a_code_is_so_many_scales", run: a_code_is_so_many_scales },
    Check { task: 2, name: "the_bound_is_half_a_step", run: the_bound_is_half_a_step },
    Check { task: 2, name: "no_error_exceeds_the_bound", run: no_error_exceeds_the_bound },
    Check { task: 2, name: "the_model_tells_the_same_over_8_bits", run: the_model_tells_the_same_over_8_bits },
    Check { task: 3, name: "each_channel_has_its_scale", run: each_channel_has_its_scale },
    Check { task: 3, name: "an_outlier_hurts_its_own_channel_only", run: an_outlier_hurts_its_own_channel_only },
    Check { task: 4, name: "the_even_number_is_the_low_nibble", run: the_even_number_is_the_low_nibble },
    Check { task: 4, name: "codes_reach_from_min_to_max", run: codes_reach_from_min_to_max },
    Check { task: 4, name: "a_nibble_is_so_many_scales_above_min", run: a_nibble_is_so_many_scales_above_min },
    Check { task: 4, name: "four_bits_are_within_half_a_step", run: four_bits_are_within_half_a_step },
    Check { task: 5, name: "the_newest_stay_out", run: the_newest_stay_out },
    Check { task: 5, name: "groups_are_sealed_once_and_in_order", run: groups_are_sealed_once_and_in_order },
    Check { task: 5, name: "the_model_tells_the_same_by_channel", run: the_model_tells_the_same_by_channel },
    Check { task: 6, name: "scales_are_bytes_too", run: scales_are_bytes_too },
    Check { task: 6, name: "bytes_are_those_of_the_buffers", run: bytes_are_those_of_the_buffers },
];

include!("checks/rows.rs");
include!("checks/errors.rs");
include!("checks/channels.rs");
include!("checks/nibbles.rs");
include!("checks/residual.rs");
include!("checks/bytes.rs");

/// Rounding of f32 itself, as a share of the numbers: a hundred times less than half a step of 8 bits.
const ROUNDING: f32 = 1e-5;

fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

/// Mean distance of what was read back.
fn mean_error(numbers: &[f32], read: &[f32]) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "some hundred numbers")]
    let n = numbers.len() as f32;
    numbers.iter().zip(read).map(|(x, read)| (x - read).abs()).sum::<f32>() / n
}

/// 12 tokens of the story model over these formats are those over kvlab's exact cache.
fn tells_the_same(what: &str, scheme: Scheme) -> Result<()> {
    let story = Story::load()?;
    let expected = story.run("contiguous", PROMPT, 12)?;
    let mut cache = Guest::new(codec!(subject), scheme);
    equal(
        &format!("12 tokens of the story model over {what}"),
        &story.text(expected.generated())?,
        &story.text(&story.generate(&mut cache, PROMPT, 7, 12)?)?,
    )
}
