//! kvlab, the laboratory for the KV cache.
//!
//! In reading order, which is also the order in which rooms may know each other (see `ARCHITECTURE.md`):
//!
//! - [`kernels`]: how rows are stored and attended over; slices and numbers only
//! - [`gpu`]: memory and launches on an NVIDIA GPU
//! - [`cache`]: where keys and values live: specification, block tables, stores
//! - [`measure`]: the machine, statistics, and how far two predictions lie apart
//! - [`model`]: GPT-2, its weights and its tokenizer
//! - [`engine`]: prefill, decode, sampling, and the record of each step
//! - [`experiment`]: lanes x workload -> records, and traces of them on disk; lanes x texts -> quality
//! - [`report`]: records -> table, CSV, JSON, plots
//! - [`course`]: the labs in `labs/`: what there is, how far somebody is, what the checks say
//! - `app`: the window (feature `app`)
//! - [`cli`]: one file per subcommand

pub mod kernels;

pub mod gpu;

pub mod cache;

pub mod measure;

pub mod model;

pub mod engine;

pub mod experiment;

pub mod report;

pub mod course;

#[cfg(feature = "app")]
pub mod app;

pub mod cli;
