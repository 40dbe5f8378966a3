//! What it ran on and what that can do at best: the machine, its memory bandwidth, its statistics; and how far a prediction
//! lies from the exact one.

pub mod machine;
pub mod quality;
pub mod stats;
