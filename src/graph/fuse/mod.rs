//! Graph rewriting inside one model: what follows a sum of products becomes its epilogue, chains of elementwise
//! operators become one kernel, normalisations that exporters write out become one operator. Each rewrite is a file; all
//! keep the graph's meaning, node by node, in the host programs too.

mod chains;
mod constants;
mod epilogue;
mod normalize;

use std::collections::HashMap;

use super::host::{HostProgram, Wire};
use super::ir::{Graph, Node, NodeKind, ValueId};

/// All rewrites, in the order that finds most.
pub(super) fn all(graph: &mut Graph) {
    remove_unused(graph);
    normalize::layer_norms(graph);
    epilogue::fuse(graph);
    chains::fuse(graph);
    // Chains that read a sum twice (x · sigmoid x) have become one consumer now.
    epilogue::fuse(graph);
    remove_unused(graph);
    constants::settle(graph);
}

/// Who reads which value: node positions, each once; outputs of the graph count as a reader of their own.
struct Readers {
    nodes: HashMap<ValueId, Vec<usize>>,
    outputs: Vec<ValueId>,
}

impl Readers {
    fn of(graph: &Graph) -> Readers {
        let mut nodes: HashMap<ValueId, Vec<usize>> = HashMap::new();
        for (at, node) in graph.nodes.iter().enumerate() {
            let read = node.inputs.iter().map(|a| a.value).chain(node.host_inputs.iter().copied());
            for value in read {
                let readers = nodes.entry(value).or_default();
                if readers.last() != Some(&at) {
                    readers.push(at);
                }
            }
        }
        Readers { nodes, outputs: graph.outputs.clone() }
    }

    /// The only node that reads `value`, if it is no output of the graph.
    fn only(&self, value: ValueId) -> Option<usize> {
        match self.nodes.get(&value).map(Vec::as_slice) {
            Some(&[at]) if !self.outputs.contains(&value) => Some(at),
            _ => None,
        }
    }
}

/// Drops nodes whose results nobody reads.
fn remove_unused(graph: &mut Graph) {
    let mut needed = vec![false; graph.values.len()];
    for output in &graph.outputs {
        needed[output.0] = true;
    }
    let mut keep = vec![false; graph.nodes.len()];
    for (at, node) in graph.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|o| needed[o.value.0]) {
            keep[at] = true;
            for value in node.inputs.iter().map(|a| a.value).chain(node.host_inputs.iter().copied()) {
                needed[value.0] = true;
            }
        }
    }
    let mut kept = keep.into_iter();
    graph.nodes.retain(|_| kept.next().unwrap_or(true));
}

/// The host program of `producer` followed by `consumer`, and its inputs. The consumer reads outputs of the producer.
fn joined(producer: &Node, consumer: &Node) -> (HostProgram, Vec<ValueId>) {
    let mut inputs = producer.host_inputs.clone();
    let wiring: Vec<Wire> = consumer
        .host_inputs
        .iter()
        .map(|value| match producer.outputs.iter().position(|o| o.value == *value) {
            Some(k) => Wire::Output(k),
            None => Wire::Input(inputs.iter().position(|i| i == value).unwrap_or_else(|| {
                inputs.push(*value);
                inputs.len() - 1
            })),
        })
        .collect();
    (producer.host.then(&consumer.host, &wiring), inputs)
}

/// Removes the nodes at these positions.
fn remove(graph: &mut Graph, gone: &[bool]) {
    let mut at = 0;
    graph.nodes.retain(|_| {
        at += 1;
        !gone[at - 1]
    });
}

fn is_view(node: &Node) -> bool {
    matches!(node.kind, NodeKind::View)
}
