//! Models as graphs: ONNX in, a [`crate::hal::Recording`] out.
//!
//! A model is parsed and typed by tract ([`import`]), lowered to our operators, rewritten ([`fuse`]: epilogues,
//! elementwise chains, views instead of copies), and compiled for a device ([`compile`]: memory plan, weights, launches).

mod compile;
mod error;
mod fuse;
pub mod host;
pub mod import;
mod integers;
mod ir;
mod load;
pub mod merge;
mod plain;
mod quiet;
pub mod union;
pub mod view;
mod wide;
pub mod zoo;

pub use compile::{Compiled, MemoryUse, compile};
pub use error::GraphError;
pub use ir::{Access, Graph, Node, NodeKind, Port, Value, ValueId, ValueKind};
pub use load::{LoadOptions, ModelSource, load, load_for};
