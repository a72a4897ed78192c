//! `ConvTranspose`, read by ourselves: with `output_shape` or `auto_pad` the paddings follow from the output's extents,
//! which tract leaves out.
//!
//! By ONNX the output has `stride · (input - 1) + output_padding + (kernel - 1) · dilation + 1 - pads` elements; where
//! its extent is given, what is too many is cut off at both ends, the odd element where `auto_pad` says.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::{Deconv, KernelFormat, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_hir::infer::check_output_arity;
use tract_onnx::tract_hir::infer::{InferenceOp, InferenceResult, Solver, TensorProxy, check_input_arity};
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

/// How the output's extents are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AutoPad {
    /// By `pads`, or by `output_shape`.
    NotSet,
    /// Without padding.
    Valid,
    /// `input · stride`; the odd element is cut off at the end.
    SameUpper,
    /// `input · stride`; the odd element is cut off at the beginning.
    SameLower,
}

/// The node's attributes; empty lists were left out.
#[derive(Clone, Debug)]
struct ConvTranspose {
    auto_pad: AutoPad,
    pads: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    output_padding: Vec<usize>,
    output_shape: Vec<usize>,
    group: usize,
    bias: bool,
}

/// One spatial axis of the operator.
#[derive(Clone, Copy, Debug)]
struct AxisOf {
    input: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    extra: usize,
}

/// What is cut off before and after, and what is added at the end.
type Ends = (usize, usize, usize);

/// Makes the operator of an ONNX node, for tract's table of operators.
pub(super) fn conv_transpose(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let list = |name: &str| {
        let values = attribute(name).map(|a| a.ints.as_slice()).unwrap_or_default();
        let sizes = values.iter().map(|&v| usize::try_from(v));
        sizes.collect::<Result<Vec<_>, _>>().with_context(|| format!("attribute {name} is {values:?}: below zero"))
    };
    let auto_pad = match attribute("auto_pad").map_or(b"NOTSET".as_slice(), |a| a.s.as_slice()) {
        b"NOTSET" | b"" => AutoPad::NotSet,
        b"VALID" => AutoPad::Valid,
        b"SAME_UPPER" => AutoPad::SameUpper,
        b"SAME_LOWER" => AutoPad::SameLower,
        other => bail!("attribute auto_pad is {:?}", String::from_utf8_lossy(other)),
    };
    let group = attribute("group").map_or(1, |a| a.i);
    let op = ConvTranspose {
        auto_pad,
        pads: list("pads")?,
        strides: list("strides")?,
        dilations: list("dilations")?,
        output_padding: list("output_padding")?,
        output_shape: list("output_shape")?,
        group: usize::try_from(group).ok().filter(|&g| g > 0).with_context(|| format!("attribute group is {group}"))?,
        bias: node.input.get(2).is_some_and(|name| !name.is_empty()),
    };
    Ok((expand(op), Vec::new()))
}

impl ConvTranspose {
    /// What happens at the ends of each spatial axis, and the output's extents.
    fn plan(&self, input: &[usize], kernel: &[usize]) -> TractResult<(Vec<Ends>, Vec<usize>)> {
        let rank = kernel.len();
        ensure!(input.len() == rank, "weights with {rank} spatial axes for an input with {}", input.len());
        let lists = [
            ("pads", self.pads.len(), 2 * rank),
            ("strides", self.strides.len(), rank),
            ("dilations", self.dilations.len(), rank),
            ("output_padding", self.output_padding.len(), rank),
        ];
        for (name, length, wanted) in lists {
            ensure!(length == 0 || length == wanted, "attribute {name} has {length} values, allowed is {wanted}");
        }
        // Some exporters write the whole shape, with batch and channels.
        let wanted = self.output_shape.len();
        ensure!(wanted == 0 || wanted == rank || wanted == rank + 2, "attribute output_shape has {wanted} values");
        let wanted = &self.output_shape[wanted.saturating_sub(rank)..];
        let or = |list: &[usize], at: usize, default: usize| list.get(at).copied().unwrap_or(default);
        let mut ends = Vec::new();
        let mut output = Vec::new();
        for at in 0..rank {
            let axis = AxisOf {
                input: input[at],
                kernel: kernel[at],
                stride: or(&self.strides, at, 1),
                dilation: or(&self.dilations, at, 1),
                extra: or(&self.output_padding, at, 0),
            };
            let pads = (or(&self.pads, at, 0), or(&self.pads, at + rank, 0));
            let (end, extent) = self.axis(axis, pads, wanted.get(at).copied())?;
            ends.push(end);
            output.push(extent);
        }
        Ok((ends, output))
    }

    fn axis(&self, axis: AxisOf, pads: (usize, usize), wanted: Option<usize>) -> TractResult<(Ends, usize)> {
        ensure!(
            axis.kernel > 0 && axis.stride > 0 && axis.dilation > 0,
            "kernel_shape, strides and dilations are above 0"
        );
        let full = axis
            .input
            .checked_sub(1)
            .and_then(|steps| steps.checked_mul(axis.stride))
            .zip((axis.kernel - 1).checked_mul(axis.dilation))
            .and_then(|(a, b)| a.checked_add(b)?.checked_add(1)?.checked_add(axis.extra))
            .with_context(|| format!("an input of {} elements, stride {}", axis.input, axis.stride))?;
        let same = matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
        let wanted = wanted.or(same.then_some(axis.input * axis.stride));
        let Some(wanted) = wanted else {
            let (before, after) = if self.auto_pad == AutoPad::Valid { (0, 0) } else { pads };
            let extent = full.checked_sub(before + after);
            let extent = extent.with_context(|| format!("pads {pads:?} cut off all of {full} elements"))?;
            return Ok(((before, after, axis.extra), extent));
        };
        let total = full.saturating_sub(wanted);
        let half = total / 2;
        let (before, after) =
            if self.auto_pad == AutoPad::SameUpper { (half, total - half) } else { (total - half, half) };
        Ok(((before, after, axis.extra + wanted.saturating_sub(full)), wanted))
    }
}

impl Expansion for ConvTranspose {
    fn name(&self) -> StaticName {
        "ConvTranspose".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.bias))?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].datum_type, &inputs[1].datum_type)?;
        s.equals(&inputs[0].rank, &inputs[1].rank)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        s.equals(&inputs[0].shape[1], &inputs[1].shape[0])?;
        if self.bias {
            s.equals(&inputs[2].datum_type, &inputs[0].datum_type)?;
            s.equals(&inputs[2].rank, 1)?;
            s.equals(&inputs[2].shape[0], &outputs[0].shape[1])?;
        }
        s.given_2(&inputs[0].shape, &inputs[1].shape, move |s, x, w| {
            let sizes = |dims: &[TDim]| dims.iter().map(|d| d.to_usize().ok()).collect::<Option<Vec<usize>>>();
            let (Some(x), Some(w)) = (sizes(&x), sizes(&w)) else { return Ok(()) };
            ensure!(x.len() > 2, "an input of {} axes", x.len());
            let (_, extents) = self.plan(&x[2..], &w[2..])?;
            let shape: TVec<TDim> = [x[0], w[1] * self.group].into_iter().chain(extents).map(|d| d.to_dim()).collect();
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, target: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        // ONNX has the weights as [group · in, out, taps…], tract as [group · out, in, taps…].
        let name = |part: &str| format!("{prefix}.{part}");
        let split = AxisOp::wire_split_axis(target, name("groups"), inputs[1], 0, self.group)?;
        let turned = target.wire_node(name("order"), AxisOp::Move(1, 2), &split)?;
        let kernel = AxisOp::wire_collapse_axis(target, name("weights"), turned[0], 0)?[0];
        let concrete = |target: &TypedModel, outlet: OutletId| {
            let shape = target.outlet_fact(outlet)?.shape.as_concrete().map(<[usize]>::to_vec);
            shape.context("an extent that is only known at run time")
        };
        let (x, w) = (concrete(target, inputs[0])?, concrete(target, kernel)?);
        let (ends, _) = self.plan(&x[2..], &w[2..])?;
        let bias = match inputs.get(2) {
            Some(&bias) => bias,
            None => {
                let zero = Tensor::zero_scalar_dt(target.outlet_fact(inputs[0])?.datum_type)?;
                target.add_const(name("bias"), zero)?
            }
        };
        let list = |values: &[usize]| (!values.is_empty()).then(|| values.into());
        let spec = PoolSpec::new(
            DataFormat::NCHW,
            w[2..].into(),
            PaddingSpec::Explicit(ends.iter().map(|e| e.0).collect(), ends.iter().map(|e| e.1).collect()),
            list(&self.dilations),
            list(&self.strides),
            KernelFormat::OIHW.input_channels(&w, self.group).into_owned(),
            KernelFormat::OIHW.output_channels(&w, self.group).into_owned(),
        );
        let extra = ends.iter().map(|e| e.2).collect();
        target.wire_node(prefix, Deconv::new(spec, KernelFormat::OIHW, extra, self.group), &[inputs[0], kernel, bias])
    }
}
