//! From a graph to a recording on a device: memory plan, weights, launches.

use std::sync::Arc;

use super::{Graph, GraphError};
use crate::hal::{BufferId, Device, Recording};
use crate::tensor::TenantId;

/// How much device memory a compiled model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Weights in bytes.
    pub weight_bytes: u64,
    /// The arena in bytes, reused by liveness.
    pub arena_bytes: u64,
    /// What the activations would take without reuse.
    pub arena_bytes_without_reuse: u64,
}

/// A model on a device: the recording, not installed yet, and the buffers that hold it.
#[derive(Debug)]
pub struct Compiled {
    /// The work.
    pub recording: Arc<Recording>,
    /// All buffers of the model, to be freed when it goes.
    pub buffers: Vec<BufferId>,
    /// What it takes.
    pub memory: MemoryUse,
}

/// Plans memory, uploads weights and lowers every node for `device`.
///
/// # Errors
/// [`GraphError::Device`] when memory does not suffice; everything is freed then.
pub fn compile(graph: &Graph, device: &mut dyn Device, tenant: TenantId) -> Result<Compiled, GraphError> {
    let _ = (graph, device, tenant);
    unimplemented!("written next")
}
