//! Operators that only move elements: views, concatenation, padding.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{MultiBroadcastTo, Slice, Tile, TypedConcat};
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::identity::Identity;

use super::{Form, Lowered, Lowering, Site};
use crate::graph::ir::{Access, NodeKind};
use crate::graph::view::ViewOp;

pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    let op = &site.node.op;
    let input = site.inputs.first().copied();
    let shape = input.map(|i| cx.shape(i)).unwrap_or_default();
    let out = cx.shape(site.outputs[0]);
    let views = if let Some(axis_op) = op.downcast_ref::<AxisOp>() {
        match axis_op {
            AxisOp::Add(axis) => vec![ViewOp::AddAxis(*axis)],
            AxisOp::Rm(axis) => vec![ViewOp::RemoveAxis(*axis)],
            AxisOp::Move(from, to) => vec![ViewOp::Permute(moved(shape.len(), *from, *to))],
            AxisOp::Reshape(..) => vec![ViewOp::Reshape(out)],
        }
    } else if let Some(slice) = op.downcast_ref::<Slice>() {
        let (Ok(start), Ok(end)) = (slice.start.to_usize(), slice.end.to_usize()) else {
            return Some(Err("its bounds are only known at run time".into()));
        };
        vec![ViewOp::Slice { axis: slice.axis, start, len: end - start, step: 1 }]
    } else if let Some(down) = op.downcast_ref::<Downsample>() {
        let len = out[down.axis];
        let start = if down.stride > 0 { down.modulo } else { (shape[down.axis] - 1).saturating_sub(down.modulo) };
        vec![ViewOp::Slice { axis: down.axis, start, len, step: down.stride }]
    } else if op.is::<MultiBroadcastTo>() {
        vec![ViewOp::Broadcast(out)]
    } else if op.is::<Identity>() {
        Vec::new()
    } else if op.is::<Tile>() {
        tile(&shape, &out)
    } else if let Some(concat) = op.downcast_ref::<TypedConcat>() {
        let inputs = site.inputs.iter().copied().map(Access::plain).collect();
        let kind = NodeKind::Concat(concat.axis);
        return Some(Ok(Form::new(kind, inputs, vec![Access::plain(site.outputs[0])])));
    } else {
        return None;
    };
    let access = Access { value: input?, views };
    Some(Ok(Form::new(NodeKind::View, vec![access], vec![Access::plain(site.outputs[0])])))
}

/// The order of axes after moving one.
fn moved(rank: usize, from: usize, to: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rank).collect();
    let axis = order.remove(from);
    order.insert(to, axis);
    order
}

/// Repetition as a broadcast of an axis of extent one before each repeated axis.
fn tile(shape: &[usize], out: &[usize]) -> Vec<ViewOp> {
    let mut spread = Vec::new();
    let mut repeated = Vec::new();
    for (&dim, &wanted) in shape.iter().zip(out) {
        let times = wanted.checked_div(dim).unwrap_or(1);
        spread.extend([1, dim]);
        repeated.extend([times, dim]);
    }
    vec![ViewOp::Reshape(spread), ViewOp::Broadcast(repeated), ViewOp::Reshape(out.to_vec())]
}
