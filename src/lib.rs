//! Cotenant runs several deep-learning models at once on one GPU and keeps each one's latency promise.
//!
//! `docs/ARCHITECTURE.md` is the map; each module below is a layer of it, and lower ones never name higher ones.

// The library neither prints nor panics on a result; tests may.
#![warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod engine;
pub mod graph;
pub mod hal;
pub mod kernel;
pub mod service;
pub mod tensor;
pub mod timeline;
