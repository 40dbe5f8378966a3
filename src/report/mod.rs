//! Records -> what a person reads: a table with its definitions, CSV, JSON, plots.

mod canvas;
pub mod colours;
pub mod files;
pub mod plots;
pub mod quality;
pub mod summary;
pub mod table;
pub mod units;

pub use summary::{LaneResult, LaneSummary, Latency, summarise};
