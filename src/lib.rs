//! Cotenant runs several deep-learning models at once on one GPU and keeps each one's latency promise.
//!
//! An [`engine::Engine`] owns a device. Each model is loaded as a tenant, with a class, a priority and a promised latency;
//! requests of all tenants are cut into operators, and a policy decides whose come next.
//!
//! ```
//! use cotenant::engine::{Engine, TenantSpec};
//! use cotenant::tensor::HostTensor;
//!
//! // The best device of this machine: a GPU, a software GPU, or at least the CPU.
//! let engine = Engine::open("auto")?;
//! let words = engine.load(TenantSpec::new("words", "zoo:keyword_spotting"))?;
//! let product = engine.load(TenantSpec::new("product", "zoo:matmul_64"))?;
//!
//! // Both are computed at once; a model file's path serves as well as a name of the zoo.
//! let heard = words.infer(vec![HostTensor::from_f32(&[1, 1, 49, 10], &[0.5; 490])])?;
//! let multiplied = product.infer(vec![HostTensor::from_f32(&[1, 64, 64], &[1.0; 64 * 64])])?;
//! assert_eq!(heard.wait()?.outputs[0].shape(), [1, 12]);
//! assert_eq!(multiplied.wait()?.outputs[0].shape(), [1, 64, 64]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where to go on: [`engine`] for loading and asking, [`engine::run`] for whole scenarios with arrival processes and
//! metrics, [`service::policy`] for who is served next, [`graph`] and [`kernel`] for how a model becomes GPU work, and
//! [`hal`] for what a device is. `docs/ARCHITECTURE.md` is the map: each module below is a layer of it, and lower
//! ones never name higher ones.

// The library neither prints nor panics on a result; tests may.
#![warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod engine;
pub mod graph;
pub mod hal;
pub mod interleave;
pub mod kernel;
pub mod predict;
pub mod repro;
pub mod service;
pub mod tensor;
pub mod timeline;
