//! Which 64-bit integers keep their 64 bits. Devices hold 32 of them, checked where a value enters; a value that the CPU
//! computes and nothing but the CPU reads never enters one, and neither does a constant that is an answer.

use super::ir::{Graph, NodeKind, ValueId, ValueKind};
use crate::tensor::DType;

/// Marks the values, when the graph is as it will be compiled.
pub(super) fn mark(graph: &mut Graph) {
    let mut wide: Vec<bool> = graph.values.iter().map(|v| v.dtype == DType::I64).collect();
    for (value, wide) in graph.values.iter().zip(&mut wide) {
        // Inputs are words of the device already; constants lie beside the weights, unless no word holds them.
        *wide &= match &value.kind {
            ValueKind::Input(_) => false,
            ValueKind::Constant(constant) => constant.to_device_words().is_err(),
            ValueKind::Computed => true,
        };
    }
    for node in &graph.nodes {
        let cpu = matches!(node.kind, NodeKind::Cpu(_));
        for access in node.inputs.iter().chain(&node.outputs).filter(|_| !cpu) {
            wide[access.value.0] = false;
        }
    }
    for (id, wide) in (0..).map(ValueId).zip(wide) {
        graph.values[id.0].wide = wide;
    }
}
