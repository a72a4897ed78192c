//! Logarithms of sums of exponentials: the importer writes `LogSoftmax` as the logarithm of a softmax and
//! `ReduceLogSumExp` as three operators, and so do exporters. Computed step by step these are infinite where values lie
//! some 90 apart; here the logarithm becomes one operator that reads what stands before the exponentials.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax as TractSoftmax, SoftmaxKind};

use super::{Form, Lowered, Lowering, Site};
use crate::graph::ir::{Access, NodeKind};
use crate::graph::view::ViewOp;
use crate::kernel::{LogSumExp, Operator, Softmax};
use crate::tensor::DType;

/// The form of a logarithm of a softmax or of a sum of exponentials; `None` for other operators.
pub(super) fn lower(cx: &Lowering, site: &Site) -> Option<Lowered> {
    if !is(site.node, "Ln") || cx.dtype(site.outputs[0]) != DType::F32 {
        return None;
    }
    let inner = behind_reshapes(site.model, site.model.node(site.node.inputs[0].node));
    if let Some(softmax) = inner.op_as::<TractSoftmax>() {
        let plain = matches!(softmax.kind, SoftmaxKind::Softmax) && softmax.quant_output_dt.is_none();
        let x = *cx.outlets.get(&inner.inputs[0])?;
        let shape = cx.shape(x);
        let operator = Softmax { shape: shape.clone(), axes: softmax.axes.to_vec(), log: true };
        let views = if cx.shape(site.outputs[0]) == shape { Vec::new() } else { vec![ViewOp::Reshape(shape)] };
        return plain.then(|| Ok(form(Arc::new(operator), Access::plain(x), site, views)));
    }
    let reduce = inner.op_as::<Reduce>().filter(|r| matches!(r.reducer, Reducer::Sum))?;
    let exponential = site.model.node(inner.inputs[0].node);
    if !is(exponential, "Exp") {
        return None;
    }
    let x = *cx.outlets.get(&exponential.inputs[0])?;
    let operator = LogSumExp { shape: cx.shape(x), axes: reduce.axes.to_vec() };
    Some(Ok(form(Arc::new(operator), Access::plain(x), site, Vec::new())))
}

fn form(operator: Arc<dyn Operator>, input: Access, site: &Site, views: Vec<ViewOp>) -> Form {
    Form::new(NodeKind::Kernel(operator), vec![input], vec![Access { value: site.outputs[0], views }])
}

fn is(node: &TypedNode, name: &str) -> bool {
    node.op_as::<ElementWiseOp>().is_some_and(|op| op.0.name() == name)
}

/// The node whose elements `node` gives under another shape, in the same order.
fn behind_reshapes<'m>(model: &'m TypedModel, mut node: &'m TypedNode) -> &'m TypedNode {
    while node.op_as::<AxisOp>().is_some_and(|op| !matches!(op, AxisOp::Move(..))) {
        node = model.node(node.inputs[0].node);
    }
    node
}
