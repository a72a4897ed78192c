//! Layer normalisation written out: mean, difference, root mean square, scale, shift. tract folds the middle into
//! `RmsNorm`; here the rest joins it.

use std::collections::HashMap;

use super::{Readers, joined, remove};
use crate::graph::ir::{Access, Graph, NodeKind, ValueId, ValueKind};
use crate::hal::ChainArg;
use crate::kernel::{Elementwise, Reducer, fragments};

/// Replaces `rms_norm(x - mean(x))` by one operator, and takes a scale and a shift that follow into it.
pub(super) fn layer_norms(graph: &mut Graph) {
    center(graph);
    affine(graph);
}

fn makers(graph: &Graph) -> HashMap<ValueId, usize> {
    let outputs = graph.nodes.iter().enumerate();
    outputs.flat_map(|(at, n)| n.outputs.iter().map(move |o| (o.value, at))).collect()
}

/// The only step of a chain, if it is `fragment` of tensors and scalars.
fn single(e: &Elementwise, fragment: crate::hal::Fragment) -> Option<&[ChainArg]> {
    match e.chain.steps.as_slice() {
        [step] if step.fragment == fragment => Some(&step.args),
        _ => None,
    }
}

fn center(graph: &mut Graph) {
    let made = makers(graph);
    for at in 0..graph.nodes.len() {
        if let Some((x, path)) = centered(graph, at, &made) {
            let mut joint = graph.nodes[path[0]].clone();
            for &k in path[1..].iter().chain([&at]) {
                let (host, host_inputs) = joined(&joint, &graph.nodes[k]);
                joint.host = host;
                joint.host_inputs = host_inputs;
                joint.outputs.clone_from(&graph.nodes[k].outputs);
            }
            let node = &mut graph.nodes[at];
            if let NodeKind::Norm(norm) = &mut node.kind {
                norm.centered = true;
            }
            node.inputs[0] = Access::plain(x);
            node.host = joint.host;
            node.host_inputs = joint.host_inputs;
        }
    }
}

/// The value whose mean is subtracted before the norm at `at`, and the nodes that do it: sum, scaling, difference.
fn centered(graph: &Graph, at: usize, made: &HashMap<ValueId, usize>) -> Option<(ValueId, [usize; 3])> {
    let NodeKind::Norm(norm) = &graph.nodes[at].kind else {
        return None;
    };
    let plain = |access: &Access| access.views.is_empty().then_some(access.value);
    let difference = *made.get(&plain(&graph.nodes[at].inputs[0])?)?;
    let NodeKind::Elementwise(e) = &graph.nodes[difference].kind else {
        return None;
    };
    let [ChainArg::Input(0), ChainArg::Input(1)] = single(e, fragments::SUB)? else {
        return None;
    };
    let x = plain(&graph.nodes[difference].inputs[0])?;
    let scaling = *made.get(&plain(&graph.nodes[difference].inputs[1])?)?;
    let NodeKind::Elementwise(e) = &graph.nodes[scaling].kind else {
        return None;
    };
    let n: usize = norm.axes.iter().map(|&a| norm.shape[a]).product();
    let factor = match single(e, fragments::MUL)? {
        [ChainArg::Input(0), ChainArg::Scalar(0)] | [ChainArg::Scalar(0), ChainArg::Input(0)] => e.scalars[0],
        _ => return None,
    };
    let sum = *made.get(&plain(&graph.nodes[scaling].inputs[0])?)?;
    let NodeKind::Reduce(reduce) = &graph.nodes[sum].kind else {
        return None;
    };
    let mean = (factor * n as f32 - 1.0).abs() < 1e-5;
    let same = reduce.reducer == Reducer::Sum && reduce.axes == norm.axes && plain(&graph.nodes[sum].inputs[0])? == x;
    (mean && same && norm.axes.len() == 1 && !norm.centered).then_some((x, [sum, scaling, difference]))
}

/// A product with, and then a sum with, a constant of the row's shape.
fn affine(graph: &mut Graph) {
    let mut gone = vec![false; graph.nodes.len()];
    for (fragment, is_scale) in [(fragments::MUL, true), (fragments::ADD, false)] {
        let readers = Readers::of(graph);
        for at in 0..graph.nodes.len() {
            if gone[at] {
                continue;
            }
            let Some((next, constant)) = follower(graph, at, fragment, &readers) else {
                continue;
            };
            let NodeKind::Norm(norm) = &mut graph.nodes[at].kind else {
                continue;
            };
            if is_scale {
                norm.scale = true;
            } else {
                norm.shift = true;
            }
            let (host, host_inputs) = joined(&graph.nodes[at], &graph.nodes[next]);
            let outputs = graph.nodes[next].outputs.clone();
            let node = &mut graph.nodes[at];
            node.inputs.push(constant);
            node.outputs = outputs;
            node.host = host;
            node.host_inputs = host_inputs;
            gone[next] = true;
        }
    }
    remove(graph, &gone);
}

/// The elementwise node that alone reads the norm at `at`, if it is `fragment` with a constant.
fn follower(graph: &Graph, at: usize, fragment: crate::hal::Fragment, readers: &Readers) -> Option<(usize, Access)> {
    let NodeKind::Norm(norm) = &graph.nodes[at].kind else {
        return None;
    };
    if norm.shift || (norm.scale && fragment == fragments::MUL) {
        return None;
    }
    let value = graph.nodes[at].outputs[0].value;
    let next = readers.only(value)?;
    let node = &graph.nodes[next];
    let NodeKind::Elementwise(e) = &node.kind else {
        return None;
    };
    if e.shape != norm.shape || node.inputs.len() != 2 {
        return None;
    }
    let [ChainArg::Input(_), ChainArg::Input(_)] = single(e, fragment)? else {
        return None;
    };
    let other = node.inputs.iter().find(|i| i.value != value)?;
    let constant = matches!(graph.value(other.value).kind, ValueKind::Constant(_)) && other.views.is_empty();
    constant.then(|| (next, other.clone()))
}
