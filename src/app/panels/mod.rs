//! One panel a file. Each draws a run or the form, and hands back what was pressed.

pub mod attention;
pub mod axes;
pub mod blocks;
pub mod controls;
pub mod glossary;
pub mod help;
pub mod lanes;
pub mod latency;
pub mod memory;
pub mod notes;
pub mod quality;
pub mod replay;
pub mod status;
pub mod summary;
pub mod text;
