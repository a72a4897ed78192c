//! Constants behind views that need a copy are copied once, when the model is loaded, not with every request.

use std::sync::Arc;

use crate::graph::ir::{Access, Graph, Value, ValueId, ValueKind};
use crate::graph::view::{ViewOp, apply_all};
use crate::tensor::{HostTensor, View};

/// Makes a constant of its own of each view of a constant that cannot be read in place.
pub(super) fn settle(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        for k in 0..graph.nodes[at].inputs.len() {
            let access = graph.nodes[at].inputs[k].clone();
            let ValueKind::Constant(constant) = &graph.value(access.value).kind else {
                continue;
            };
            let whole = View::contiguous(0, constant.shape());
            if apply_all(&access.views, &whole).is_err() {
                let settled = copied(constant, &access.views);
                graph.nodes[at].inputs[k] = Access::plain(added(graph, access.value, settled));
            }
        }
    }
}

/// The tensor behind views, dense.
pub(in crate::graph) fn copied(constant: &HostTensor, views: &[ViewOp]) -> HostTensor {
    let mut tensor = constant.clone();
    let mut from = 0;
    loop {
        match apply_all(&views[from..], &View::contiguous(0, tensor.shape())) {
            Ok(view) => return tensor.gathered(&view),
            Err((at, view)) => {
                tensor = tensor.gathered(&view);
                from += at;
            }
        }
    }
}

fn added(graph: &mut Graph, like: ValueId, tensor: HostTensor) -> ValueId {
    let value = Value {
        name: graph.value(like).name.clone(),
        dtype: tensor.dtype(),
        shape: tensor.shape().to_vec(),
        kind: ValueKind::Constant(Arc::new(tensor)),
        wide: false,
    };
    graph.values.push(value);
    ValueId(graph.values.len() - 1)
}
