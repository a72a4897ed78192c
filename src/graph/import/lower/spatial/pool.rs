//! Pooling.

use std::sync::Arc;

use tract_onnx::tract_core::ops::cnn::{MaxPool, PoolSpec, SumPool};

use super::super::{Form, Lowered, Lowering, Site};
use super::format::to_ncs;
use crate::graph::ir::{Access, NodeKind};
use crate::graph::view::shape_after;
use crate::kernel::{Pool, Pooling, Window};
use crate::tensor::DType;

pub(super) fn lower(cx: &Lowering, site: &Site) -> Option<Lowered> {
    if let Some(op) = site.node.op_as::<MaxPool>() {
        return Some(match op.with_index_outputs {
            None => pool(cx, site, &op.pool_spec, Pooling::Max),
            Some(_) => Err("pooling with indices has no kernel in this form".into()),
        });
    }
    let op = site.node.op_as::<SumPool>()?;
    let pooling = match (op.normalize, op.count_include_pad) {
        (false, _) => Pooling::Sum,
        (true, false) => Pooling::Average,
        (true, true) => Pooling::AverageWithPadding,
    };
    Some(pool(cx, site, &op.pool_spec, pooling))
}

fn pool(cx: &Lowering, site: &Site, spec: &PoolSpec, pooling: Pooling) -> Lowered {
    let (input, output) = (site.inputs[0], site.outputs[0]);
    if cx.dtype(input) != DType::F32 {
        return Err(format!("pooling of {} has no kernel", cx.dtype(input)));
    }
    let shape = cx.shape(input);
    let views = to_ncs(spec.data_format, shape.len());
    let shape = shape_after(&views, &shape);
    let padding = spec.computed_padding(&shape[2..]);
    let window = Window {
        input: shape[2..].to_vec(),
        output: padding.iter().map(|p| p.convoluted).collect(),
        kernel: spec.kernel_shape.to_vec(),
        strides: spec.strides().to_vec(),
        dilations: spec.dilations().to_vec(),
        before: padding.iter().map(|p| p.pad_before).collect(),
        after: padding.iter().map(|p| p.pad_after).collect(),
    };
    let kernel = Pool { pooling, batch: shape[0], channels: shape[1], window };
    Ok(Form::new(
        NodeKind::Kernel(Arc::new(kernel)),
        vec![Access { value: input, views: views.clone() }],
        vec![Access { value: output, views }],
    ))
}
