//! Models that ONNX does not allow are refused, with the node and the attribute: the importer takes many of them, and
//! invents an answer, runs for ever or asks for all memory.
//!
//! The graph itself is checked in [`graph`]; attributes and parameters node by node: as far as the file alone says, before
//! the importer sees them, and again with all shapes once they are inferred.

mod equation;
mod graph;
mod known;
mod parameters;
mod windows;

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use crate::graph::GraphError;

pub(super) use known::Known;

/// Elements of one value at most: devices index with 32 bits.
pub(super) const VOLUME_MAX: usize = 1 << 31;

/// What is wrong with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    operator: String,
    node: String,
    reason: String,
}

impl Complaint {
    pub(super) fn new(node: &NodeProto, reason: String) -> Complaint {
        Complaint { operator: node.op_type.clone(), node: label(node), reason }
    }

    /// The error of a model.
    pub(super) fn of(self, model: &str) -> GraphError {
        let Complaint { operator, node, reason } = self;
        GraphError::Operator { model: model.into(), operator, node, reason }
    }
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "operator {} (node {:?}): {}", self.operator, self.node, self.reason)
    }
}

impl std::error::Error for Complaint {}

/// A node's name, or its outputs where it has none.
pub(super) fn label(node: &NodeProto) -> String {
    if node.name.is_empty() { node.output.join(",") } else { node.name.clone() }
}

/// Checks what can be checked before shapes are inferred.
pub(super) fn check(model: &ModelProto, name: &str) -> Result<(), GraphError> {
    let main = model.graph.as_ref().expect("checked before");
    graph::check(main).map_err(|found| match found {
        graph::Broken::Node(complaint) => complaint.of(name),
        graph::Broken::Graph(reason) => GraphError::Model { model: name.into(), reason },
    })?;
    each(main).map_err(|complaint| complaint.of(name))
}

fn each(graph: &GraphProto) -> Result<(), Complaint> {
    let known = Known::declared(graph);
    nodes(graph, &known)?;
    graph.node.iter().flat_map(|n| &n.attribute).filter_map(|a| a.g.as_ref()).try_for_each(each)
}

/// Checks the attributes and parameters of a graph's nodes against what is known of their inputs and outputs.
pub(super) fn nodes(graph: &GraphProto, known: &Known) -> Result<(), Complaint> {
    for node in &graph.node {
        let found = parameters::check(node, known).and_then(|()| windows::check(node, known));
        let found = found.and_then(|()| equation::check(node, known)).and_then(|()| volumes(node, known));
        found.map_err(|reason| Complaint::new(node, reason))?;
    }
    Ok(())
}

fn volumes(node: &NodeProto, known: &Known) -> Result<(), String> {
    for name in &node.output {
        let Some(shape) = known.shape(name) else { continue };
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if elements.is_none_or(|n| n > VOLUME_MAX) {
            return Err(format!("output {name:?} of shape {shape:?} has more than {VOLUME_MAX} elements"));
        }
    }
    Ok(())
}
