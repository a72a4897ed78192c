//! Operators that pick elements by index, and padding.

use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array as t;

use super::{Form, Lowered, Lowering, Site};
use crate::graph::ir::{Access, NodeKind};
use crate::kernel as k;

pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    let op = &site.node.op;
    let shape = |at: usize| cx.shape(site.inputs[at]);
    let kernel: Result<Arc<dyn k::Operator>, String> = if let Some(op) = op.downcast_ref::<t::Gather>() {
        Ok(Arc::new(k::Gather { axis: op.axis, shape: shape(0), index_shape: shape(1), window: None }))
    } else if let Some(op) = op.downcast_ref::<t::GatherElements>() {
        Ok(Arc::new(k::GatherElements { axis: op.axis, shape: shape(0), index_shape: shape(1) }))
    } else if let Some(op) = op.downcast_ref::<t::GatherNd>() {
        Ok(Arc::new(k::GatherNd { batch: op.batch_dims, shape: shape(0), index_shape: shape(1) }))
    } else if let Some(op) = op.downcast_ref::<t::ScatterElements>() {
        Ok(Arc::new(k::ScatterElements {
            axis: op.axis,
            reduction: reduction(op.reduction),
            shape: shape(0),
            index_shape: shape(1),
        }))
    } else if let Some(op) = op.downcast_ref::<t::ScatterNd>() {
        Ok(Arc::new(k::ScatterNd { reduction: reduction(op.reduction), shape: shape(0), index_shape: shape(1) }))
    } else if let Some(op) = op.downcast_ref::<t::OneHot>() {
        onehot(cx, site, op)
    } else if let Some(op) = op.downcast_ref::<t::Trilu>() {
        trilu(cx, site, op)
    } else if let Some(op) = op.downcast_ref::<t::Pad>() {
        pad(cx, site, op)
    } else if let Some(op) = op.downcast_ref::<t::Topk>() {
        let k = cx.shape(site.outputs[0])[op.axis];
        Ok(Arc::new(k::TopK { axis: op.axis, k, largest: op.largest, shape: shape(0) }))
    } else {
        return None;
    };
    // Trilu and the like take their parameters as constants, which the kernel has in its fields.
    let n = if op.is::<t::Trilu>() || op.is::<t::Topk>() { 1 } else { site.inputs.len() };
    Some(kernel.map(|kernel| {
        let inputs = site.inputs[..n].iter().copied().map(Access::plain).collect();
        let outputs = site.outputs.iter().copied().map(Access::plain).collect();
        Form::new(NodeKind::Kernel(kernel), inputs, outputs)
    }))
}

fn reduction(reduction: t::ScatterReduction) -> k::Reduction {
    match reduction {
        t::ScatterReduction::None => k::Reduction::Replace,
        t::ScatterReduction::Add => k::Reduction::Add,
        t::ScatterReduction::Mul => k::Reduction::Mul,
        t::ScatterReduction::Min => k::Reduction::Min,
        t::ScatterReduction::Max => k::Reduction::Max,
    }
}

/// The device word of a scalar of tract's.
fn word(value: &Tensor) -> Result<u32, String> {
    let host = super::tensor::from_tract(value).map_err(|e| e.to_string())?;
    let words = host.to_device_words().map_err(|e| e.to_string())?;
    words.first().copied().ok_or_else(|| "its value is empty".into())
}

fn onehot(cx: &Lowering, site: &Site, op: &t::OneHot) -> Result<Arc<dyn k::Operator>, String> {
    Ok(Arc::new(k::Onehot {
        axis: op.axis,
        depth: op.dim,
        index_shape: cx.shape(site.inputs[0]),
        on: word(&op.on)?,
        off: word(&op.off)?,
        dtype: cx.dtype(site.outputs[0]),
    }))
}

fn trilu(cx: &Lowering, site: &Site, op: &t::Trilu) -> Result<Arc<dyn k::Operator>, String> {
    let diagonal = site.inputs.get(1).map(|&id| cx.known(id).map(|c| c.to_i64()));
    let k = match diagonal {
        None => 0,
        Some(Some(values)) => values.first().copied().unwrap_or(0),
        Some(None) => return Err("its diagonal is only known at run time".into()),
    };
    Ok(Arc::new(k::Trilu { upper: op.upper, k, shape: cx.shape(site.inputs[0]) }))
}

fn pad(cx: &Lowering, site: &Site, op: &t::Pad) -> Result<Arc<dyn k::Operator>, String> {
    let mode = match &op.mode {
        t::PadMode::Constant(value) => {
            let dtype = cx.dtype(site.inputs[0]);
            let value = value.cast_to_dt(super::tensor::datum_type(dtype)).map_err(|e| e.to_string())?;
            k::PadMode::Constant(word(&value)?)
        }
        t::PadMode::Reflect => k::PadMode::Reflect,
        t::PadMode::Edge => k::PadMode::Edge,
    };
    let pads = op.pads.iter().map(|&(before, after)| (before as i64, after as i64)).collect();
    Ok(Arc::new(k::Pad { shape: cx.shape(site.inputs[0]), pads, mode }))
}
