//! Figures of benchmarks.
