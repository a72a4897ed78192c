//! Sums of products: `EinSum`, into which tract folds matrix products, 1×1 convolutions and their transposes.
//!
//! Every axis has one role: batch (in both inputs and the output), rows (first input and output), columns (second input
//! and output), depth (both inputs, summed). Axes that are in one input only have extent one or are summed before.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::{Form, Lowered, Lowering, Site};
use crate::graph::ir::{Access, NodeKind, ValueId};
use crate::graph::view::ViewOp;
use crate::kernel::{Contraction, Epilogue, Gemm};
use crate::tensor::DType;

pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    let op = site.node.op_as::<EinSum>()?;
    if op.q_params.is_some() || site.inputs.len() != 2 {
        return Some(Err("sums of products over other than two plain tensors have no kernel".into()));
    }
    if site.inputs.iter().chain(&site.outputs).any(|&i| cx.dtype(i) != DType::F32) {
        return Some(Err("sums of products of other types than f32 have no kernel".into()));
    }
    Some(gemm(cx, site, op))
}

/// An axis that is summed has the same extent in every operand: simplification saw to that. If it had not, every part of
/// this program would compute something else, and the graph is refused.
pub(super) fn consistent(cx: &Lowering, site: &Site) -> TractResult<()> {
    let Some(op) = site.node.op_as::<EinSum>() else { return Ok(()) };
    for axis in op.axes.iter_all_axes().filter(|axis| axis.outputs[0].is_empty()) {
        let places = axis.inputs.iter().zip(&site.inputs);
        let extents: Vec<usize> =
            places.flat_map(|(at, &id)| at.iter().map(move |&k| cx.graph.value(id).shape[k])).collect();
        if extents.windows(2).any(|pair| pair[0] != pair[1]) {
            let name = &site.node.name;
            return Err(TractError::msg(format!("{name:?}: a summed axis has the extents {extents:?}")));
        }
    }
    Ok(())
}

/// An axis and where it lies.
struct Axis {
    extent: usize,
    a: Vec<usize>,
    b: Vec<usize>,
    out: Option<usize>,
}

fn axes(cx: &Lowering, site: &Site, op: &EinSum) -> Result<Vec<Axis>, String> {
    let (shape_a, shape_b) = (cx.shape(site.inputs[0]), cx.shape(site.inputs[1]));
    let shape_out = cx.shape(site.outputs[0]);
    op.axes
        .iter_all_axes()
        .map(|axis| {
            let a = axis.inputs[0].to_vec();
            let b = axis.inputs[1].to_vec();
            if axis.outputs[0].len() > 1 {
                return Err("an axis that the result repeats has no kernel".to_string());
            }
            let out = axis.outputs[0].first().copied();
            // An operand may broadcast an axis of extent one.
            let extents = a.iter().map(|&k| shape_a[k]).chain(b.iter().map(|&k| shape_b[k]));
            let extent = extents.chain(out.map(|k| shape_out[k])).max().unwrap_or(1);
            Ok(Axis { extent, a, b, out })
        })
        .collect()
}

fn gemm(cx: &Lowering, site: &Site, op: &EinSum) -> Lowered {
    let axes = axes(cx, site, op)?;
    let (shape_a, shape_b) = (cx.shape(site.inputs[0]), cx.shape(site.inputs[1]));
    let mut roles = Roles::default();
    for (at, axis) in axes.iter().enumerate() {
        // Extent one in an input is as good as absent there; where it is absent everywhere else it is dropped.
        let in_a = axis.a.iter().any(|&k| shape_a[k] > 1) || (axis.extent == 1 && !axis.a.is_empty());
        let in_b = axis.b.iter().any(|&k| shape_b[k] > 1) || (axis.extent == 1 && !axis.b.is_empty());
        match (in_a, in_b, axis.out.is_some()) {
            _ if axis.extent == 1 => roles.unit.push(at),
            (true, true, true) => roles.batch.push(at),
            (true, false, true) => roles.rows.push(at),
            (false, true, true) => roles.columns.push(at),
            (true, true, false) => roles.depth.push(at),
            _ => return Err("an axis of one input that is summed alone has no kernel".into()),
        }
    }
    for group in [&mut roles.batch, &mut roles.rows, &mut roles.columns] {
        group.sort_by_key(|&at| axes[at].out);
    }
    roles.depth.sort_by_key(|&at| axes[at].a[0]);
    // Rows that do not lie next to each other in both the input and the output are batches with an input that repeats.
    let (more, rows) = split(&roles.rows, |at| (axes[at].a[0], axes[at].out));
    roles.batch.extend(more);
    let (more, columns) = split(&roles.columns, |at| (axes[at].b[0], axes[at].out));
    roles.batch.extend(more);
    let extent = |group: &[usize]| group.iter().map(|&at| axes[at].extent).product::<usize>();
    let batch: Vec<usize> = roles.batch.iter().map(|&at| axes[at].extent).collect();
    let (m, n, k) = (extent(&rows), extent(&columns), extent(&roles.depth));
    let a_views = operand(&axes, |x| &x.a, &shape_a, &roles.batch, &[(&rows, m), (&roles.depth, k)]);
    let b_views = operand(&axes, |x| &x.b, &shape_b, &roles.batch, &[(&roles.depth, k), (&columns, n)]);
    let out_views = result(&axes, &cx.shape(site.outputs[0]), &roles.batch, &[(&rows, m), (&columns, n)]);
    let access = |value: ValueId, views: Vec<ViewOp>| Access { value, views };
    let kind =
        NodeKind::Contraction(Contraction::Gemm(Gemm { batch, m, n, k: vec![k], epilogue: Epilogue::default() }));
    Ok(Form::new(
        kind,
        vec![access(site.inputs[0], a_views), access(site.inputs[1], b_views)],
        vec![access(site.outputs[0], out_views)],
    ))
}

#[derive(Default)]
struct Roles {
    batch: Vec<usize>,
    rows: Vec<usize>,
    columns: Vec<usize>,
    depth: Vec<usize>,
    unit: Vec<usize>,
}

/// The longest tail of `group` whose axes are neighbours in both places; the axes before it.
fn split(group: &[usize], places: impl Fn(usize) -> (usize, Option<usize>)) -> (Vec<usize>, Vec<usize>) {
    let mut from = group.len().saturating_sub(1);
    while from > 0 {
        let (a0, o0) = places(group[from - 1]);
        let (a1, o1) = places(group[from]);
        if a0 + 1 != a1 || o0.map(|o| o + 1) != o1 {
            break;
        }
        from -= 1;
    }
    (group[..from].to_vec(), group[from..].to_vec())
}

/// Views from an input's layout to `[batch…, group 0, group 1]`.
fn operand(
    axes: &[Axis],
    place: impl Fn(&Axis) -> &Vec<usize>,
    shape: &[usize],
    batch: &[usize],
    groups: &[(&Vec<usize>, usize); 2],
) -> Vec<ViewOp> {
    let mut views = Vec::new();
    // A repeated axis is a diagonal: its later places go, from the back so that earlier positions stay valid.
    let mut gone: Vec<(usize, usize)> =
        axes.iter().flat_map(|x| place(x).iter().skip(1).map(|&k| (place(x)[0], k))).collect();
    gone.sort_by_key(|&(_, k)| std::cmp::Reverse(k));
    for &(keep, k) in &gone {
        views.push(ViewOp::Diagonal(keep, k));
    }
    let position = |k: usize| k - gone.iter().filter(|&&(_, g)| g < k).count();
    let wanted: Vec<usize> = batch.iter().chain(groups[0].0).chain(groups[1].0).copied().collect();
    let present: Vec<usize> = wanted.iter().filter_map(|&at| place(&axes[at]).first()).map(|&k| position(k)).collect();
    let rank = shape.len() - gone.len();
    let rest: Vec<usize> = (0..rank).filter(|k| !present.contains(k)).collect();
    let order: Vec<usize> = rest.iter().chain(&present).copied().collect();
    if order.iter().enumerate().any(|(a, &b)| a != b) {
        views.push(ViewOp::Permute(order));
    }
    // What is left in front has extent one.
    views.extend(rest.iter().map(|_| ViewOp::RemoveAxis(0)));
    for (at, &axis) in wanted.iter().enumerate() {
        if place(&axes[axis]).is_empty() {
            views.push(ViewOp::AddAxis(at));
        }
    }
    let spread: Vec<usize> = wanted.iter().map(|&at| axes[at].extent).collect();
    views.push(ViewOp::Broadcast(spread));
    views.push(merged(axes, batch, groups));
    views
}

/// Views from the output's layout to `[batch…, group 0, group 1]`.
fn result(axes: &[Axis], shape: &[usize], batch: &[usize], groups: &[(&Vec<usize>, usize); 2]) -> Vec<ViewOp> {
    let wanted = batch.iter().chain(groups[0].0).chain(groups[1].0);
    let present: Vec<usize> = wanted.filter_map(|&at| axes[at].out).collect();
    let rest: Vec<usize> = (0..shape.len()).filter(|k| !present.contains(k)).collect();
    let order: Vec<usize> = rest.iter().chain(&present).copied().collect();
    let mut views = Vec::new();
    if order.iter().enumerate().any(|(a, &b)| a != b) {
        views.push(ViewOp::Permute(order));
    }
    views.extend(rest.iter().map(|_| ViewOp::RemoveAxis(0)));
    views.push(merged(axes, batch, groups));
    views
}

fn merged(axes: &[Axis], batch: &[usize], groups: &[(&Vec<usize>, usize); 2]) -> ViewOp {
    let mut shape: Vec<usize> = batch.iter().map(|&at| axes[at].extent).collect();
    shape.extend(groups.iter().map(|g| g.1));
    ViewOp::Reshape(shape)
}
