//! WRONG: seals a group as soon as it is full, the newest tokens too, which are looked at most. Caught by `the_newest_stay_out`.

pub use crate::solution::{
    append, bytes, dequantize, dequantize_channels, error_bound, pack, quantize, quantize_channels, unpack,
};

use crate::given::GROUP;

#[must_use]
pub fn sealed(n_tokens: usize, _residual: usize) -> usize {
    n_tokens / GROUP * GROUP
}
