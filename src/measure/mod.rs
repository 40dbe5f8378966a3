//! What it ran on and what that can do at best: the machine, the floors under a measured time, who else works on it, its memory, statistics; and
//! how far a prediction lies from the exact one.

pub mod device;
pub mod floor;
pub mod load;
pub mod machine;
pub mod memory;
pub mod quality;
pub mod stats;
pub mod threads;
