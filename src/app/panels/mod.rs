//! One panel a file. Each draws a run or the form, and hands back what was pressed.

pub mod attention;
pub mod axes;
pub mod blocks;
pub mod controls;
pub mod lanes;
pub mod latency;
pub mod learn;
pub mod memory;
pub mod planner;
pub mod quality;
pub mod replay;
pub mod status;
pub mod summary;
pub mod text;
