//! Transposed convolution and grid sampling.

use std::sync::Arc;

use tract_onnx::tract_core::ops::cnn::{Deconv as TractDeconv, KernelFormat};
use tract_onnx::tract_core::ops::nn::grid_sample as t;

use super::super::{Form, Lowered, Lowering, Site};
use super::format::to_ncs;
use crate::graph::ir::{Access, NodeKind};
use crate::graph::view::{ViewOp, shape_after};
use crate::kernel::{Deconv, GridSample, SampleMode, SamplePadding};
use crate::tensor::DType;

pub(super) fn lower(cx: &Lowering, site: &Site) -> Option<Lowered> {
    if let Some(op) = site.node.op_as::<t::GridSample>() {
        return Some(Ok(sample(cx, site, op)));
    }
    Some(deconv(cx, site, site.node.op_as::<TractDeconv>()?))
}

fn deconv(cx: &Lowering, site: &Site, op: &TractDeconv) -> Lowered {
    let spec = &op.pool_spec;
    if cx.dtype(site.inputs[0]) != DType::F32 {
        return Err("transposed convolution of other types than f32 has no kernel".into());
    }
    let shape = cx.shape(site.inputs[0]);
    let views = to_ncs(spec.data_format, shape.len());
    let out_views = to_ncs(spec.data_format, cx.shape(site.outputs[0]).len());
    let input = shape_after(&views, &shape);
    let output = shape_after(&out_views, &cx.shape(site.outputs[0]));
    let padding = spec.padding.compute_for_deconv(
        &input[2..],
        &spec.kernel_shape,
        &spec.dilations(),
        &spec.strides(),
        &op.adjustments,
    );
    let padding = padding.map_err(|e| e.to_string())?;
    let (cin, cout, groups) = (input[1], output[1], op.group);
    let mut weight_views = match op.kernel_format {
        // [out / groups, in, taps…] to [in, out / groups, taps…]
        KernelFormat::OIHW => {
            let rank = spec.kernel_shape.len() + 2;
            vec![ViewOp::Permute([1, 0].into_iter().chain(2..rank).collect())]
        }
        other => return Err(format!("transposed convolution with weights as {other:?} has no kernel")),
    };
    let declared = shape_after(&weight_views, &cx.shape(site.inputs[1]));
    let wanted: Vec<usize> = [cin, cout / groups].into_iter().chain(spec.kernel_shape.iter().copied()).collect();
    if declared != wanted {
        // tract keeps all output channels in front: [out, in / groups, taps…].
        weight_views = regrouped(cin, cout, groups, &spec.kernel_shape);
        if shape_after(&weight_views, &cx.shape(site.inputs[1])) != wanted {
            return Err(format!("weights of shape {:?} have no kernel", cx.shape(site.inputs[1])));
        }
    }
    let kernel = Deconv {
        input,
        channels_out: cout,
        groups,
        kernel: spec.kernel_shape.to_vec(),
        strides: spec.strides().to_vec(),
        dilations: spec.dilations().to_vec(),
        before: padding.iter().map(|p| p.pad_before).collect(),
        output: output[2..].to_vec(),
        bias: true,
    };
    let mut inputs =
        vec![Access { value: site.inputs[0], views }, Access { value: site.inputs[1], views: weight_views }];
    let bias = site.inputs[2];
    let bias_views = match cx.shape(bias).len() {
        0 => vec![ViewOp::Broadcast(vec![cout])],
        _ => Vec::new(),
    };
    inputs.push(Access { value: bias, views: bias_views });
    let outputs = vec![Access { value: site.outputs[0], views: out_views }];
    Ok(Form::new(NodeKind::Kernel(Arc::new(kernel)), inputs, outputs))
}

/// `[groups · out/groups, in/groups, taps…]` as `[groups · in/groups, out/groups, taps…]`.
fn regrouped(cin: usize, cout: usize, groups: usize, taps: &[usize]) -> Vec<ViewOp> {
    let mut spread = vec![groups, cout / groups, cin / groups];
    spread.extend(taps);
    let mut order = vec![0, 2, 1];
    order.extend(3..3 + taps.len());
    let mut joined = vec![cin, cout / groups];
    joined.extend(taps);
    vec![ViewOp::Reshape(spread), ViewOp::Permute(order), ViewOp::Reshape(joined)]
}

fn sample(cx: &Lowering, site: &Site, op: &t::GridSample) -> Form {
    let kernel = GridSample {
        mode: match op.mode {
            t::InterpolationMode::Bilinear => SampleMode::Linear,
            t::InterpolationMode::Nearest => SampleMode::Nearest,
            t::InterpolationMode::Bicubic => SampleMode::Cubic,
        },
        padding: match op.padding_mode {
            t::PaddingMode::Zeros => SamplePadding::Zeros,
            t::PaddingMode::Border => SamplePadding::Border,
            t::PaddingMode::Reflection => SamplePadding::Reflection,
        },
        align_corners: op.align_corners,
        input: cx.shape(site.inputs[0]),
        output: cx.shape(site.outputs[0])[2..].to_vec(),
    };
    let inputs = site.inputs.iter().copied().map(Access::plain).collect();
    Form::new(NodeKind::Kernel(Arc::new(kernel)), inputs, vec![Access::plain(site.outputs[0])])
}
