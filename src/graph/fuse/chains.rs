//! Elementwise operators that feed each other become one kernel: intermediate values never touch memory.

use std::collections::HashMap;

use super::{Readers, joined, remove};
use crate::graph::ir::{Access, Graph, NodeKind, ValueId};
use crate::hal::{Chain, ChainArg, ChainStep};
use crate::kernel::{ELEMENTWISE_INPUTS_MAX, ELEMENTWISE_SCALARS_MAX, Elementwise};

/// Steps of one chain at most: longer ones compile slowly and gain little.
const STEPS_MAX: usize = 32;

/// Merges each elementwise node into the only node that reads it, where that is elementwise of the same shape.
pub(super) fn fuse(graph: &mut Graph) {
    let mut gone = vec![false; graph.nodes.len()];
    let mut readers = Readers::of(graph);
    let mut made: HashMap<ValueId, usize> = HashMap::new();
    for at in 0..graph.nodes.len() {
        if let NodeKind::Elementwise(_) = graph.nodes[at].kind {
            while let Some(producer) = mergeable(graph, at, &readers, &made) {
                merge(graph, producer, at);
                gone[producer] = true;
                made.retain(|_, &mut node| node != producer);
                for input in graph.nodes[at].inputs.clone() {
                    // What the producer read is read here now.
                    let nodes = readers.nodes.entry(input.value).or_default();
                    nodes.retain(|&n| n != producer && n != at);
                    nodes.push(at);
                }
            }
            made.insert(graph.nodes[at].outputs[0].value, at);
        }
    }
    remove(graph, &gone);
}

/// A producer of the node at `at` that can be merged into it.
fn mergeable(graph: &Graph, at: usize, readers: &Readers, made: &HashMap<ValueId, usize>) -> Option<usize> {
    let node = &graph.nodes[at];
    let NodeKind::Elementwise(consumer) = &node.kind else {
        return None;
    };
    node.inputs.iter().find_map(|input| {
        let &producer_at = made.get(&input.value)?;
        let producer = &graph.nodes[producer_at];
        let NodeKind::Elementwise(first) = &producer.kind else {
            return None;
        };
        let plain = node.inputs.iter().filter(|i| i.value == input.value).all(|i| i.views.is_empty());
        let fits = plain
            && readers.only(input.value) == Some(at)
            && producer.outputs[0].views.is_empty()
            && first.shape == consumer.shape
            && first.chain.steps.len() + consumer.chain.steps.len() <= STEPS_MAX
            && first.scalars.len() + consumer.scalars.len() <= ELEMENTWISE_SCALARS_MAX
            && distinct(&producer.inputs, &node.inputs) <= ELEMENTWISE_INPUTS_MAX;
        fits.then_some(producer_at)
    })
}

fn distinct(a: &[Access], b: &[Access]) -> usize {
    a.len() + b.iter().filter(|i| !a.contains(i)).count()
}

fn merge(graph: &mut Graph, producer: usize, at: usize) {
    let first_node = graph.nodes[producer].clone();
    let (host, host_inputs) = joined(&first_node, &graph.nodes[at]);
    let node = &mut graph.nodes[at];
    let (NodeKind::Elementwise(first), NodeKind::Elementwise(second)) = (&first_node.kind, &node.kind) else {
        return;
    };
    let value = first_node.outputs[0].value;
    let (kind, inputs) = composed(first, &first_node.inputs, second, &node.inputs, value);
    node.kind = NodeKind::Elementwise(kind);
    node.inputs = inputs;
    node.host = host;
    node.host_inputs = host_inputs;
}

/// `second` after `first`, whose result `second` reads as `value`.
fn composed(
    first: &Elementwise,
    first_inputs: &[Access],
    second: &Elementwise,
    second_inputs: &[Access],
    value: ValueId,
) -> (Elementwise, Vec<Access>) {
    let mut inputs = first_inputs.to_vec();
    let result = appended(&first.chain, &mut inputs, &second.chain, second_inputs, value, first.scalars.len());
    let kind = Elementwise {
        chain: result,
        scalars: first.scalars.iter().chain(&second.scalars).copied().collect(),
        shape: second.shape.clone(),
        dtype: second.dtype,
    };
    (kind, inputs)
}

/// The steps of `second` behind those of `first`; new inputs are added to `inputs`. Where `first` has no steps its value
/// is its input 0.
pub(super) fn appended(
    first: &Chain,
    inputs: &mut Vec<Access>,
    second: &Chain,
    second_inputs: &[Access],
    value: ValueId,
    scalars_before: usize,
) -> Chain {
    let n_first = first.steps.len() as u8;
    let result = if n_first == 0 { ChainArg::Input(0) } else { ChainArg::Step(n_first - 1) };
    let places: Vec<ChainArg> = second_inputs
        .iter()
        .map(|input| {
            if input.value == value {
                return result;
            }
            let at = inputs.iter().position(|i| i == input).unwrap_or_else(|| {
                inputs.push(input.clone());
                inputs.len() - 1
            });
            ChainArg::Input(at as u8)
        })
        .collect();
    let mut steps = first.steps.clone();
    for step in &second.steps {
        let args = step
            .args
            .iter()
            .map(|arg| match *arg {
                ChainArg::Input(k) => places[usize::from(k)],
                ChainArg::Scalar(k) => ChainArg::Scalar(k + scalars_before as u8),
                ChainArg::Step(k) => ChainArg::Step(k + n_first),
            })
            .collect();
        steps.push(ChainStep { fragment: step.fragment, args });
    }
    Chain { steps }
}
