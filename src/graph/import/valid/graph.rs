//! The graph as such: every value is written once, and every output is computed.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

use super::{Complaint, label};

/// What is wrong: with a node, or with the graph.
#[derive(Debug)]
pub(super) enum Broken {
    /// A node.
    Node(Complaint),
    /// The graph's own lists.
    Graph(String),
}

/// Checks a graph and those inside its nodes.
pub(super) fn check(graph: &GraphProto) -> Result<(), Broken> {
    within(graph, true)
}

fn within(graph: &GraphProto, main: bool) -> Result<(), Broken> {
    let mut writers: HashMap<&str, Option<&NodeProto>> = HashMap::new();
    let given = graph.input.iter().map(|i| &i.name).chain(graph.initializer.iter().map(|t| &t.name));
    writers.extend(given.map(|name| (name.as_str(), None)));
    for node in &graph.node {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            let first = match writers.insert(output, Some(node)) {
                None => continue,
                Some(None) => "an input or initialiser has that name".to_string(),
                Some(Some(first)) => format!("node {:?} ({}) does so before", label(first), first.op_type),
            };
            return Err(Broken::Node(Complaint::new(node, format!("it writes value {output:?}; {first}"))));
        }
        for body in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            within(body, false)?;
        }
    }
    // A branch may answer a value of the graph around it.
    if main && let Some(output) = graph.output.iter().find(|o| !writers.contains_key(o.name.as_str())) {
        return Err(Broken::Graph(format!("output {:?} is not computed by any node", output.name)));
    }
    Ok(())
}
