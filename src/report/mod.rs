//! Records -> what a person reads: a table with its definitions, CSV, JSON, plots; and plans of capacity.

pub mod bench;
mod canvas;
mod chart;
pub mod colours;
pub mod files;
pub mod gpu_model;
pub mod plan;
pub mod plots;
pub mod quality;
mod results;
pub mod summary;
pub mod table;
pub mod units;

pub use results::Results;
pub use summary::{LaneResult, LaneSummary, Latency, summarise};
