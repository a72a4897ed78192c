//! Cotenant runs several deep-learning models at once on one GPU and keeps each one's latency promise.

pub mod engine;
pub mod graph;
pub mod hal;
pub mod kernel;
pub mod service;
pub mod tensor;
pub mod timeline;
