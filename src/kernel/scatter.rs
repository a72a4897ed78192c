//! What the scattering operators share: reductions, and the launches that apply a list of updates in order.
//!
//! No atomics: an owner (one lane) holds a part of the output and walks the whole list, so the order in which updates
//! of one element apply, and with it every bit, is that of the list.

use std::sync::Arc;

use super::copy::copy_launches;
use super::gather::float_index;
use super::params::{KernelFile, params};
use super::walk::{LAUNCHES_MAX, LaneShape, over_leading_axes};
use super::{Io, KernelLaunch, NoKernel, RANK_MAX, Space, dims_words, merge_axes, stride_word, stride_words, tiles_of};
use crate::hal::{DeviceCaps, DeviceKind, KernelSpec};
use crate::tensor::{DType, View, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "scatter",
    source: include_str!("../../shaders/scatter.wgsl"),
    functions: &[],
    fields: ScatterOp::FIELDS,
};

/// Updates that one launch applies at most: longer lists take several launches, in order.
const LIST_MAX: usize = 8192;

params! {
    struct ScatterOp {
        owners: u32,
        index: u32,
        update: u32,
        y: u32,
        list: u32,
        chunk: u32,
        component_step: u32,
        index_step: u32,
        update_step: u32,
        dims: [u32; RANK_MAX],
        index_strides: [u32; RANK_MAX],
        update_strides: [u32; RANK_MAX],
        y_strides: [u32; RANK_MAX],
        extents: [i32; RANK_MAX],
        component_strides: [u32; RANK_MAX],
        component_weights: [u32; RANK_MAX],
    }
}

/// How an update changes the element that its index names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// It replaces it; of several the last wins.
    Replace,
    /// Sum, one update after another.
    Add,
    /// Product, one update after another.
    Mul,
    /// The larger; NaN wins.
    Max,
    /// The smaller; NaN wins.
    Min,
}

impl Reduction {
    /// The element after `update`, as device words of `dtype`; floats go through `f64`.
    pub(super) fn apply(self, dtype: DType, element: u32, update: u32) -> u32 {
        if self == Reduction::Replace {
            return update;
        }
        if dtype.device_word() == Some(DType::F32) {
            let (a, b) = (f64::from(f32::from_bits(element)), f64::from(f32::from_bits(update)));
            let value = match self {
                Reduction::Replace => b,
                Reduction::Add => a + b,
                Reduction::Mul => a * b,
                Reduction::Max if a.is_nan() || b.is_nan() => f64::NAN,
                Reduction::Min if a.is_nan() || b.is_nan() => f64::NAN,
                Reduction::Max => a.max(b),
                Reduction::Min => a.min(b),
            };
            return (value as f32).to_bits();
        }
        let (a, b) = (element as i32, update as i32);
        let value = match self {
            Reduction::Replace => b,
            Reduction::Add => a.wrapping_add(b),
            Reduction::Mul => a.wrapping_mul(b),
            Reduction::Max => a.max(b),
            Reduction::Min => a.min(b),
        };
        value as u32
    }

    fn word(self) -> u32 {
        match self {
            Reduction::Replace => 0,
            Reduction::Add => 1,
            Reduction::Mul => 2,
            Reduction::Max => 3,
            Reduction::Min => 4,
        }
    }
}

/// The element that an index names; `None` where it is outside and its update is dropped.
pub(super) fn target(index: i64, extent: usize) -> Option<usize> {
    let index = if index < 0 { index + extent as i64 } else { index };
    usize::try_from(index).ok().filter(|&k| k < extent)
}

/// What a scattering kernel does. The views of `lines` have one shape, those of `list` another.
pub(super) struct Scattering {
    /// Axes along which data, indices and updates go together: output (at component 0), first index, first update.
    pub(super) lines: [View; 3],
    /// Axes along which updates follow each other: index, update (offsets do not matter).
    pub(super) list: [View; 2],
    /// From a component of an index to the next, in words.
    pub(super) component_step: isize,
    /// What each component selects: extent and stride in the output.
    pub(super) components: Vec<(usize, isize)>,
    /// How updates apply.
    pub(super) reduction: Reduction,
}

/// Launches that copy input 0 to the output (unless it is the output) and apply the updates (input 2) at the indices
/// (input 1).
pub(super) fn scatter_launches(
    caps: &DeviceCaps,
    io: Io,
    scattering: &Scattering,
) -> Result<Vec<KernelLaunch>, NoKernel> {
    let (data, y) = (&io.inputs[0], &io.outputs[0]);
    if y.view.volume() == 0 {
        return Ok(Vec::new());
    }
    let depth = scattering.components.len();
    if depth == 0 || depth > RANK_MAX {
        return Err(NoKernel(format!("indices of {depth} components, the kernel takes 1 to {RANK_MAX}")));
    }
    let mut launches = Vec::new();
    if data.space != y.space || data.view != y.view {
        launches.extend(copy_launches(caps, data.space, &data.view, &y.view)?);
    }
    if io.inputs[2].view.volume() == 0 {
        return Ok(launches);
    }
    let list = merge_axes(&scattering.list);
    let entries = volume(&list[0].shape);
    let last = *list[0].shape.last().expect("merged axes are never empty");
    if entries / last * last.div_ceil(LIST_MAX) > LAUNCHES_MAX {
        return Err(NoKernel(format!("{entries} updates in a layout that takes too many launches")));
    }
    launches.extend(over_leading_axes(&list, 1, |piece| {
        let mut pieces = Vec::new();
        for first in (0..last).step_by(LIST_MAX) {
            let length = LIST_MAX.min(last - first);
            let cut: Vec<View> = piece.iter().map(|view| view.sliced(0, first, length, 1)).collect();
            pieces.push(scatter_launch(caps, io, scattering, &cut)?);
        }
        Ok(pieces)
    })?);
    Ok(launches)
}

/// One launch for one stretch of the list: views of index and update along it, offsets relative to
/// the tensors' (below zero, wrapping, where a view runs backwards).
fn scatter_launch(caps: &DeviceCaps, io: Io, scattering: &Scattering, list: &[View]) -> Result<KernelLaunch, NoKernel> {
    let lines = merge_axes(&scattering.lines);
    let rank = lines[0].shape.len();
    if rank > RANK_MAX {
        return Err(NoKernel(format!("{rank} axes that cannot be merged, the kernel walks {RANK_MAX}")));
    }
    let mut extents = [1; RANK_MAX];
    let mut component_strides = [0; RANK_MAX];
    // Elements are numbered in row-major order of the components.
    let mut component_weights = [0; RANK_MAX];
    let mut elements = 1usize;
    for (at, &(extent, stride)) in scattering.components.iter().enumerate().rev() {
        extents[at] = i32::try_from(extent).map_err(|_| NoKernel(format!("an axis of {extent}")))?;
        component_strides[at] = stride_word(stride);
        component_weights[at] = elements as u32;
        elements *= extent;
    }
    let n_lines = volume(&lines[0].shape);
    let chunk = elements.div_ceil(owners_wanted(caps).div_ceil(n_lines)).max(1);
    let owners = elements.div_ceil(chunk) * n_lines;
    let op = ScatterOp {
        owners: u32::try_from(owners).map_err(|_| NoKernel(format!("{owners} elements are too many")))?,
        index: lines[1].offset.wrapping_add(list[0].offset) as u32,
        update: lines[2].offset.wrapping_add(list[1].offset) as u32,
        y: lines[0].offset as u32,
        list: list[0].shape[0] as u32,
        chunk: chunk as u32,
        component_step: stride_word(scattering.component_step),
        index_step: stride_word(list[0].strides[0]),
        update_step: stride_word(list[1].strides[0]),
        dims: dims_words(&lines[0]),
        index_strides: stride_words(&lines[1]),
        update_strides: stride_words(&lines[2]),
        y_strides: stride_words(&lines[0]),
        extents,
        component_strides,
        component_weights,
    };
    let depth = scattering.components.len() as u32;
    let bit = |k: usize| u32::from(io.inputs[k].space == Space::Weights) << (k - 1);
    let lanes = LaneShape::of(caps).lanes;
    let kernel = KernelSpec {
        name: FILE.name,
        source: FILE.source,
        functions: FILE.functions,
        consts: vec![
            ("RANK", rank as u32),
            ("DEPTH", depth),
            ("FLOAT_INDEX", u32::from(float_index(&io.inputs[1])?)),
            ("REDUCE", scattering.reduction.word()),
            ("INTEGER", u32::from(io.outputs[0].dtype.device_word() != Some(DType::F32))),
            ("IN_WEIGHTS", bit(1) | bit(2)),
        ],
        lanes,
        chain: None,
    };
    Ok(KernelLaunch {
        kernel: Arc::new(kernel),
        params: op.words(),
        tiles: tiles_of(owners, lanes)?,
        tile_iterations: rank as u32 + 1 + op.list * (2 + depth) + 1,
    })
}

/// Owners that keep the device busy: each walks the whole list, so no more than that.
fn owners_wanted(caps: &DeviceCaps) -> usize {
    if caps.kind == DeviceKind::SoftwareGpu { 64 } else { 16_384 }
}
