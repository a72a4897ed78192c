//! What follows a sum of products element by element (bias, batch-norm arithmetic, residual, activation) moves into the
//! kernel that computes the sum. Views in between are undone: the kernel writes through their inverse.

use super::chains::appended;
use super::{Readers, is_view, joined, remove};
use crate::graph::ir::{Access, Graph, Node, NodeKind};
use crate::graph::view::{ViewOp, shape_after};
use crate::kernel::{ELEMENTWISE_SCALARS_MAX, EPILOGUE_OPERANDS_MAX};

/// Steps of one epilogue at most.
const STEPS_MAX: usize = 24;

/// Fuses as long as something fits.
pub(super) fn fuse(graph: &mut Graph) {
    let mut gone = vec![false; graph.nodes.len()];
    let mut readers = Readers::of(graph);
    for at in 0..graph.nodes.len() {
        let mut here = at;
        while let Some(path) = follower(graph, here, &readers) {
            let last = *path.last().expect("a path has a node");
            if !absorb(graph, here, &path) {
                break;
            }
            // The joint node stands where the elementwise one stood: all that it reads is computed before.
            for &k in std::iter::once(&here).chain(&path[..path.len() - 1]) {
                gone[k] = true;
            }
            for nodes in readers.nodes.values_mut() {
                for n in nodes.iter_mut() {
                    if *n == here {
                        *n = last;
                    }
                }
                nodes.dedup();
            }
            here = last;
        }
    }
    remove(graph, &gone);
}

/// The elementwise node that alone reads the sum at `at`, and the views on the way to it.
fn follower(graph: &Graph, at: usize, readers: &Readers) -> Option<Vec<usize>> {
    let NodeKind::Contraction(_) = graph.nodes[at].kind else {
        return None;
    };
    let mut path = Vec::new();
    let mut value = graph.nodes[at].outputs[0].value;
    loop {
        let next = readers.only(value)?;
        let node = &graph.nodes[next];
        path.push(next);
        match &node.kind {
            NodeKind::Elementwise(e) => {
                let direct = node.inputs.iter().filter(|i| i.value == value).all(|i| i.views.is_empty());
                return (direct && e.shape == graph.value(value).shape).then_some(path);
            }
            _ if is_view(node) => value = node.outputs[0].value,
            _ => return None,
        }
    }
}

/// Puts the sum at `at` and the nodes on `path` into the last of them. False if something does not fit.
fn absorb(graph: &mut Graph, at: usize, path: &[usize]) -> bool {
    let sum = graph.nodes[at].clone();
    let (&last, between) = path.split_last().expect("a path has a node");
    // From the elementwise node's layout back to the sum's, then on to the kernel's operand.
    let mut back = Vec::new();
    for &k in between.iter().rev() {
        let view = &graph.nodes[k].inputs[0];
        match inverse(&view.views, &graph.value(view.value).shape) {
            Some(views) => back.extend(views),
            None => return false,
        }
    }
    back.extend(sum.outputs[0].views.iter().cloned());
    let node = graph.nodes[last].clone();
    let (NodeKind::Contraction(contraction), NodeKind::Elementwise(e)) = (&sum.kind, &node.kind) else {
        return false;
    };
    let through = between.last().map_or(sum.outputs[0].value, |&k| graph.nodes[k].outputs[0].value);
    let n_sum = contraction.n_operands();
    // The chain's input 0 is the sum itself; the epilogue's operands follow.
    let mut operands = vec![Access::plain(through)];
    operands.extend(sum.inputs[n_sum..].iter().cloned());
    let reshaped = |input: &Access| {
        if input.value == through {
            return input.clone();
        }
        let mut views = input.views.clone();
        views.push(ViewOp::Broadcast(e.shape.clone()));
        views.extend(back.iter().cloned());
        Access { value: input.value, views }
    };
    let inputs: Vec<Access> = node.inputs.iter().map(reshaped).collect();
    let mut contraction = contraction.clone();
    let epilogue = contraction.epilogue_mut();
    let chain = appended(&epilogue.chain, &mut operands, &e.chain, &inputs, through, epilogue.scalars.len());
    let fits = operands.len() - 1 <= EPILOGUE_OPERANDS_MAX
        && epilogue.scalars.len() + e.scalars.len() <= ELEMENTWISE_SCALARS_MAX
        && chain.steps.len() <= STEPS_MAX;
    if !fits {
        return false;
    }
    epilogue.chain = chain;
    epilogue.scalars.extend(&e.scalars);
    epilogue.n_operands = operands.len() - 1;
    let (host, host_inputs) = joint_host(graph, &sum, path);
    let node = &mut graph.nodes[last];
    node.name = sum.name.clone();
    node.kind = NodeKind::Contraction(contraction);
    node.inputs = sum.inputs[..n_sum].iter().cloned().chain(operands.into_iter().skip(1)).collect();
    node.outputs = vec![Access { value: node.outputs[0].value, views: back }];
    node.host = host;
    node.host_inputs = host_inputs;
    true
}

fn joint_host(
    graph: &Graph,
    sum: &Node,
    path: &[usize],
) -> (crate::graph::host::HostProgram, Vec<crate::graph::ir::ValueId>) {
    let mut joint = sum.clone();
    for &k in path {
        let next = &graph.nodes[k];
        let (host, host_inputs) = joined(&joint, next);
        joint.host = host;
        joint.host_inputs = host_inputs;
        joint.outputs.clone_from(&next.outputs);
    }
    (joint.host, joint.host_inputs)
}

/// The views that lead back, or `None` where elements were lost or repeated.
fn inverse(views: &[ViewOp], shape: &[usize]) -> Option<Vec<ViewOp>> {
    let mut back = Vec::new();
    let mut at = shape.to_vec();
    for view in views {
        back.push(match view {
            ViewOp::Permute(order) => {
                let mut inverse = vec![0; order.len()];
                for (to, &from) in order.iter().enumerate() {
                    inverse[from] = to;
                }
                ViewOp::Permute(inverse)
            }
            ViewOp::Reshape(_) => ViewOp::Reshape(at.clone()),
            ViewOp::AddAxis(axis) => ViewOp::RemoveAxis(*axis),
            ViewOp::RemoveAxis(axis) => ViewOp::AddAxis(*axis),
            ViewOp::Broadcast(_) | ViewOp::Slice { .. } | ViewOp::Diagonal(..) => return None,
        });
        at = shape_after(std::slice::from_ref(view), &at);
    }
    back.reverse();
    Some(back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_undone_in_reverse() {
        let views = [ViewOp::RemoveAxis(0), ViewOp::Permute(vec![1, 0]), ViewOp::Reshape(vec![6])];
        let back = inverse(&views, &[1, 2, 3]).unwrap();
        assert_eq!(back, [ViewOp::Reshape(vec![3, 2]), ViewOp::Permute(vec![1, 0]), ViewOp::AddAxis(0)]);
        assert_eq!(inverse(&[ViewOp::Broadcast(vec![2, 2])], &[1, 2]), None);
    }
}
