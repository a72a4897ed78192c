//! Convolution.

use tract_onnx::tract_core::ops::cnn::{Conv as TractConv, KernelFormat};

use super::super::{Form, Lowered, Lowering, Site};
use super::format::to_ncs;
use crate::graph::fuse::copied;
use crate::graph::ir::{Access, NodeKind, ValueId};
use crate::graph::view::{ViewOp, shape_after};
use crate::hal::{Chain, ChainArg, ChainStep};
use crate::kernel::{CONV_PACKED_ORDER, Contraction, Conv, Epilogue, fragments};
use crate::tensor::DType;

pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    Some(conv(cx, site, site.node.op_as::<TractConv>()?))
}

fn conv(cx: &mut Lowering, site: &Site, op: &TractConv) -> Lowered {
    let spec = &op.pool_spec;
    if op.q_params.is_some() || site.inputs.iter().any(|&i| cx.dtype(i) != DType::F32) {
        return Err("convolution of other types than f32 has no kernel".into());
    }
    let spatial = spec.kernel_shape.len();
    if spatial > 2 {
        return Err(format!("convolution over {spatial} axes has no kernel"));
    }
    let (views, shape) = two_axes(cx, site.inputs[0], spec.data_format, spatial);
    let (out_views, out_shape) = two_axes(cx, site.outputs[0], spec.data_format, spatial);
    let plane = |values: &[usize], missing: usize| match values {
        [w] => [missing, *w],
        [h, w] => [*h, *w],
        _ => [missing, missing],
    };
    let padding = spec.computed_padding(&shape[4 - spatial..]);
    let before: Vec<usize> = padding.iter().map(|p| p.pad_before).collect();
    let after: Vec<usize> = padding.iter().map(|p| p.pad_after).collect();
    let kernel = Conv {
        batch: shape[0],
        groups: op.group,
        ic: shape[1] / op.group,
        oc: out_shape[1] / op.group,
        input: [shape[2], shape[3]],
        kernel: plane(&spec.kernel_shape, 1),
        stride: plane(&spec.strides(), 1),
        dilation: plane(&spec.dilations(), 1),
        pad_before: plane(&before, 0),
        pad_after: plane(&after, 0),
        epilogue: Epilogue::default(),
    };
    if kernel.output_shape() != out_shape {
        return Err(format!("its output is {out_shape:?}, the kernel gives {:?}", kernel.output_shape()));
    }
    let weights = weights(cx, site, op, &kernel)?;
    let mut inputs = vec![Access { value: site.inputs[0], views }, weights];
    let kernel = with_bias(cx, site, kernel, &mut inputs);
    let outputs = vec![Access { value: site.outputs[0], views: out_views }];
    Ok(Form::new(NodeKind::Contraction(Contraction::Conv(kernel)), inputs, outputs))
}

/// The views of a tensor to `[n, c, h, w]` and the shape behind them.
fn two_axes(
    cx: &Lowering,
    id: ValueId,
    format: tract_onnx::tract_core::ops::nn::DataFormat,
    spatial: usize,
) -> (Vec<ViewOp>, Vec<usize>) {
    let shape = cx.shape(id);
    let mut views = to_ncs(format, shape.len());
    if spatial == 1 {
        views.push(ViewOp::AddAxis(2));
    }
    let shape = shape_after(&views, &shape);
    (views, shape)
}

/// The weights as `[groups, oc, ic, kh, kw]`; constants in the order that the kernel reads fastest.
fn weights(cx: &mut Lowering, site: &Site, op: &TractConv, kernel: &Conv) -> Result<Access, String> {
    let id = site.inputs[1];
    let spatial = op.pool_spec.kernel_shape.len();
    let mut views = match op.kernel_fmt {
        KernelFormat::OIHW => Vec::new(),
        KernelFormat::OHWI => vec![ViewOp::Permute([0, spatial + 1].into_iter().chain(1..=spatial).collect())],
        KernelFormat::HWIO => vec![ViewOp::Permute([spatial + 1, spatial].into_iter().chain(0..spatial).collect())],
    };
    let [kh, kw] = kernel.kernel;
    views.push(ViewOp::Reshape(vec![kernel.groups, kernel.oc, kernel.ic, kh, kw]));
    let Some(constant) = cx.known(id) else {
        return Ok(Access { value: id, views });
    };
    let packed = kernel.pack(&copied(&constant, &views));
    let id = cx.own_constant(&format!("{} (weights)", site.node.name), packed).map_err(|e| e.to_string())?;
    let back = (0..5).map(|axis| CONV_PACKED_ORDER.iter().position(|&o| o == axis).expect("an order of five axes"));
    Ok(Access { value: id, views: vec![ViewOp::Permute(back.collect())] })
}

/// A bias that is not zero is the first step of the epilogue.
fn with_bias(cx: &Lowering, site: &Site, mut kernel: Conv, inputs: &mut Vec<Access>) -> Conv {
    let Some(&bias) = site.inputs.get(2) else {
        return kernel;
    };
    let zero = cx.known(bias).is_some_and(|b| b.to_f32().iter().all(|&v| v == 0.0));
    if zero {
        return kernel;
    }
    let channels = kernel.groups * kernel.oc;
    let views = match cx.shape(bias).len() {
        0 => vec![ViewOp::Broadcast(vec![channels, 1, 1])],
        _ => vec![ViewOp::Reshape(vec![channels, 1, 1])],
    };
    inputs.push(Access { value: bias, views });
    let args = vec![ChainArg::Input(0), ChainArg::Input(1)];
    kernel.epilogue = Epilogue {
        chain: Chain { steps: vec![ChainStep { fragment: fragments::ADD, args }] },
        scalars: Vec::new(),
        n_operands: 1,
    };
    kernel
}
