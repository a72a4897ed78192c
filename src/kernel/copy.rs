//! Copies between strided views: concatenation pieces, slices, transposes, broadcasts and repetitions (zero strides in
//! the source), reversals (negative strides). Words of any type, bit for bit.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::stack::Stacked;
use super::walk::{LaneShape, Walk, over_leading_axes};
use super::{Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, merge_axes, tiles_of};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{HostTensor, View};

pub(super) const FILE: KernelFile = KernelFile {
    name: "copy",
    source: include_str!("../../shaders/copy.wgsl"),
    functions: &[],
    fields: CopyOp::FIELDS,
};

params! {
    struct CopyOp {
        runs: u32,
        x: u32,
        y: u32,
        run_axis: u32,
        run_extent: u32,
        run_block: u32,
        run_step: u32,
        x_step: u32,
        y_step: u32,
        dims: [u32; RANK_MAX],
        x_strides: [u32; RANK_MAX],
        y_strides: [u32; RANK_MAX],
    }
}

/// `y = x`; the input broadcasts to the output's shape. The two must not overlap.
///
/// Repetition along an axis (`Tile`, `Expand`, nearest upsampling by whole factors), reversal, transposition and
/// space-to-depth are views of the input or of the output (split an axis, give it stride zero), so all of them are this
/// copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Extents of the output.
    pub shape: Vec<usize>,
}

impl Operator for Copy {
    fn kind(&self) -> String {
        "copy".into()
    }

    fn flops(&self) -> u64 {
        0
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (input, output) = (&io.inputs[0], &io.outputs[0]);
        if output.view.volume() == 0 {
            return Ok(Vec::new());
        }
        let x = input
            .view
            .broadcast_to(&output.view.shape)
            .ok_or_else(|| NoKernel(format!("{:?} does not broadcast to {:?}", input.view.shape, output.view.shape)))?;
        copy_launches(caps, input.space, &x, &output.view)
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let operator = Copy { shape: [&[n], self.shape.as_slice()].concat() };
        Some(Stacked::leading(operator, [self.shape.clone()], [self.shape.clone()]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let view = View::contiguous(0, inputs[0].shape()).broadcast_to(&self.shape).expect("the input broadcasts");
        vec![inputs[0].gathered(&view)]
    }
}

/// Launches that copy `x` to the view `y` of the arena; both have one shape, without an empty axis.
pub(super) fn copy_launches(
    caps: &DeviceCaps,
    space: Space,
    x: &View,
    y: &View,
) -> Result<Vec<KernelLaunch>, NoKernel> {
    // Any order of axes is right. In the order of the output's strides, neighbouring lanes write neighbouring words,
    // and the most axes merge.
    let mut order: Vec<usize> = (0..y.shape.len()).collect();
    order.sort_by_key(|&axis| std::cmp::Reverse(y.strides[axis].unsigned_abs()));
    let views = merge_axes(&[y.permuted(&order), x.permuted(&order)]);
    over_leading_axes(&views, RANK_MAX, |views| Ok(vec![copy_launch(caps, space, &views[1], &views[0])?]))
}

fn copy_launch(caps: &DeviceCaps, space: Space, x: &View, y: &View) -> Result<KernelLaunch, NoKernel> {
    let mut lane = LaneShape::of(caps);
    let run = run_axis(x);
    if run + 1 != x.shape.len() {
        // A transposing copy: lanes write side by side, and each lane reads words that lie together.
        lane.spread = false;
    }
    let walk = Walk::new(&y.shape, run, lane)?;
    let op = CopyOp {
        runs: walk.runs,
        x: x.offset as u32,
        y: y.offset as u32,
        run_axis: walk.run_axis,
        run_extent: walk.run_extent,
        run_block: walk.run_block,
        run_step: walk.run_step,
        x_step: walk.step(x),
        y_step: walk.step(y),
        dims: walk.dims,
        x_strides: walk.strides(x),
        y_strides: walk.strides(y),
    };
    let kernel = KernelSpec {
        name: FILE.name,
        source: FILE.source,
        functions: FILE.functions,
        consts: vec![("PER", lane.per), ("RANK", walk.rank), ("IN_WEIGHTS", u32::from(space == Space::Weights))],
        lanes: lane.lanes,
        chain: None,
    };
    Ok(KernelLaunch {
        kernel: Arc::new(kernel),
        params: op.words(),
        tiles: tiles_of(walk.runs as usize, lane.lanes)?,
        tile_iterations: walk.iterations(lane, 0),
    })
}

/// The axis that a lane walks: the last one (the output's smallest stride) if the input lies together there too, else
/// the one with the input's smallest stride.
fn run_axis(x: &View) -> usize {
    let last = x.shape.len() - 1;
    if x.strides[last].unsigned_abs() <= 1 {
        return last;
    }
    (0..=last).filter(|&axis| x.strides[axis] != 0).min_by_key(|&axis| x.strides[axis].unsigned_abs()).unwrap_or(last)
}
