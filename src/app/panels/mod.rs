//! One panel a file. Each draws a run or the form, and hands back what was pressed.

pub mod attention;
pub mod axes;
mod bars;
pub mod blocks;
pub mod controls;
pub mod lanes;
pub mod latency;
pub mod memory;
pub mod quality;
pub mod replay;
mod scale;
pub mod status;
pub mod summary;
pub mod text;
mod token_plot;
