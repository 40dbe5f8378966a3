//! One panel a file. Each draws a run or the form, and hands back what was pressed.

pub mod attention;
pub mod axes;
mod bars;
pub mod blocks;
pub mod controls;
pub mod files;
pub mod glossary;
pub mod help;
pub mod inside;
pub mod labs;
pub mod lanes;
pub mod latency;
pub mod layers;
pub mod learn;
pub mod memory;
pub mod notes;
pub mod planner;
pub mod quality;
mod scale;
pub mod status;
pub mod summary;
pub mod text;
pub mod timeline;
mod token_plot;
pub mod welcome;
