//! What it ran on and what that can do at best: the machine, its memory bandwidth, its statistics.

pub mod machine;
pub mod stats;
