//! Padding and cropping: every axis gains or loses elements at both ends, and what is new is a constant or repeats the
//! input.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::stack::{Stacked, with_instances};
use super::walk::{LaneShape, Walk, coordinates, row_major};
use super::{Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, tiles_of};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{HostTensor, View, volume};

pub(super) const FILE: KernelFile =
    KernelFile { name: "pad", source: include_str!("../../shaders/pad.wgsl"), functions: &[], fields: PadOp::FIELDS };

params! {
    struct PadOp {
        runs: u32,
        x: u32,
        y: u32,
        run_extent: u32,
        run_block: u32,
        run_step: u32,
        y_step: u32,
        fill: u32,
        dims: [u32; RANK_MAX],
        y_strides: [u32; RANK_MAX],
        x_strides: [u32; RANK_MAX],
        extents: [i32; RANK_MAX],
        before: [i32; RANK_MAX],
    }
}

/// What the new elements hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// This device word, whatever its type.
    Constant(u32),
    /// The input mirrored at its ends, which are not repeated: `c b | a b c | b a`.
    Reflect,
    /// The input's ends: `a a | a b c | c c`.
    Edge,
    /// The input again: `b c | a b c | a b`.
    Wrap,
}

impl PadMode {
    fn word(self) -> u32 {
        match self {
            PadMode::Constant(_) => 0,
            PadMode::Reflect => 1,
            PadMode::Edge => 2,
            PadMode::Wrap => 3,
        }
    }

    /// Which element of an axis of `extent` lies at coordinate `c`; `None` where it is the constant.
    fn source(self, c: i64, extent: i64) -> Option<i64> {
        if (0..extent).contains(&c) {
            return Some(c);
        }
        match self {
            PadMode::Constant(_) => None,
            PadMode::Edge => Some(c.clamp(0, extent - 1)),
            PadMode::Wrap => Some(c.rem_euclid(extent)),
            PadMode::Reflect => {
                let period = (2 * (extent - 1)).max(1);
                let m = c.rem_euclid(period);
                Some(if m >= extent { period - m } else { m })
            }
        }
    }
}

/// `y` is `x` with elements added (or, where negative, taken away) before and after each axis. Where an axis loses
/// elements, the other modes than the constant one repeat what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pad {
    /// Extents of the input.
    pub shape: Vec<usize>,
    /// Elements before and after each axis; negative ones crop.
    pub pads: Vec<(i64, i64)>,
    /// What the new elements hold.
    pub mode: PadMode,
}

impl Pad {
    /// Extents of the output; axes that lose more than they have are empty.
    pub fn output_shape(&self) -> Vec<usize> {
        let padded = |(&dim, &(before, after)): (&usize, &(i64, i64))| (dim as i64 + before + after).max(0) as usize;
        self.shape.iter().zip(&self.pads).map(padded).collect()
    }

    /// Per axis: first element kept, elements kept, new elements before. The constant mode keeps all and lets the
    /// kernel look outside.
    fn kept(&self) -> Vec<(i64, i64, i64)> {
        let kept = |(&dim, &(before, after)): (&usize, &(i64, i64))| match self.mode {
            PadMode::Constant(_) => (0, dim as i64, before),
            _ => {
                let first = (-before).max(0);
                (first, dim as i64 - first - (-after).max(0), before.max(0))
            }
        };
        self.shape.iter().zip(&self.pads).map(kept).collect()
    }
}

/// One axis as the kernel sees it.
#[derive(Clone, Copy, Debug)]
struct Axis {
    dim: usize,
    extent: i64,
    before: i64,
    x_stride: isize,
    y_stride: isize,
}

impl Axis {
    fn is_padded(&self) -> bool {
        self.before != 0 || self.extent != self.dim as i64
    }
}

/// Drops axes of extent one and merges neighbours that gain nothing and lie together.
fn merged(axes: impl Iterator<Item = Axis>) -> Vec<Axis> {
    let mut merged: Vec<Axis> = Vec::new();
    for axis in axes.filter(|a| a.dim != 1 || a.is_padded()) {
        match merged.last_mut() {
            Some(outer)
                if !outer.is_padded()
                    && !axis.is_padded()
                    && outer.x_stride == axis.x_stride * axis.dim as isize
                    && outer.y_stride == axis.y_stride * axis.dim as isize =>
            {
                let dim = outer.dim * axis.dim;
                *outer = Axis { dim, extent: dim as i64, ..axis };
            }
            _ => merged.push(axis),
        }
    }
    if merged.is_empty() {
        merged.push(Axis { dim: 1, extent: 1, before: 0, x_stride: 0, y_stride: 0 });
    }
    merged
}

impl Operator for Pad {
    fn kind(&self) -> String {
        match self.mode {
            PadMode::Constant(_) => "pad".into(),
            mode => format!("pad {mode:?}").to_lowercase(),
        }
    }

    fn flops(&self) -> u64 {
        0
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (x, y) = (&io.inputs[0].view, &io.outputs[0].view);
        if y.volume() == 0 {
            return Ok(Vec::new());
        }
        let mut offset = x.offset as isize;
        let mut axes = Vec::new();
        for (axis, (first, extent, before)) in self.kept().into_iter().enumerate() {
            if extent <= 0 && !matches!(self.mode, PadMode::Constant(_)) {
                return Err(NoKernel(format!("{} of axis {axis}, of which nothing is left to repeat", self.kind())));
            }
            offset += first as isize * x.strides[axis];
            let (x_stride, y_stride) = (x.strides[axis], y.strides[axis]);
            axes.push(Axis { dim: y.shape[axis], extent, before, x_stride, y_stride });
        }
        let axes = merged(axes.into_iter());
        let rank = axes.len();
        let lane = LaneShape::of(caps);
        let shape: Vec<usize> = axes.iter().map(|a| a.dim).collect();
        let walk = Walk::new(&shape, rank - 1, lane)?;
        let strides =
            |of: fn(&Axis) -> isize| View { offset: 0, shape: shape.clone(), strides: axes.iter().map(of).collect() };
        let y_view = strides(|a| a.y_stride);
        let mut op = PadOp {
            runs: walk.runs,
            x: offset as i32 as u32,
            y: y.offset as u32,
            run_extent: walk.run_extent,
            run_block: walk.run_block,
            run_step: walk.run_step,
            y_step: walk.step(&y_view),
            fill: if let PadMode::Constant(word) = self.mode { word } else { 0 },
            dims: walk.dims,
            y_strides: walk.strides(&y_view),
            x_strides: super::stride_words(&strides(|a| a.x_stride)),
            extents: [1; RANK_MAX],
            before: [0; RANK_MAX],
        };
        let narrow = |v: i64| i32::try_from(v).map_err(|_| NoKernel(format!("padding by {v}")));
        for (at, axis) in (RANK_MAX - rank..).zip(&axes) {
            op.extents[at] = narrow(axis.extent)?;
            op.before[at] = narrow(axis.before)?;
        }
        let in_weights = u32::from(io.inputs[0].space == Space::Weights);
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("PER", lane.per),
                ("RANK", walk.rank),
                ("MODE", self.mode.word()),
                ("IN_WEIGHTS", in_weights),
            ],
            lanes: lane.lanes,
            chain: None,
        };
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: tiles_of(walk.runs as usize, lane.lanes)?,
            tile_iterations: walk.iterations(lane, 0),
        }])
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        with_instances(n, &self.output_shape(), RANK_MAX)?;
        let (shape, pads) = ([&[n], self.shape.as_slice()].concat(), [&[(0, 0)], self.pads.as_slice()].concat());
        let operator = Pad { shape, pads, mode: self.mode };
        Some(Stacked::leading(operator, [self.shape.clone()], [self.output_shape()]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0].to_device_words().expect("a device type");
        let shape = self.output_shape();
        let kept = self.kept();
        let words: Vec<u32> = (0..volume(&shape))
            .map(|i| {
                let at: Option<Vec<usize>> = coordinates(i, &shape)
                    .into_iter()
                    .zip(&kept)
                    .map(|(c, &(first, extent, before))| {
                        self.mode.source(c as i64 - before, extent).map(|source| (source + first) as usize)
                    })
                    .collect();
                match (at, self.mode) {
                    (Some(at), _) => x[row_major(&at, &self.shape)],
                    (None, PadMode::Constant(word)) => word,
                    (None, mode) => unreachable!("{mode:?} has no constant"),
                }
            })
            .collect();
        vec![HostTensor::from_device_words(inputs[0].dtype(), &shape, &words).expect("a device type")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modes_are_those_of_numpy() {
        let line = |mode: PadMode, pads| {
            let pad = Pad { shape: vec![3], pads: vec![pads], mode };
            pad.reference(&[HostTensor::from_i32(&[3], &[1, 2, 3])])[0].to_i64()
        };
        assert_eq!(line(PadMode::Constant(7), (2, 1)), [7, 7, 1, 2, 3, 7]);
        assert_eq!(line(PadMode::Reflect, (4, 3)), [1, 2, 3, 2, 1, 2, 3, 2, 1, 2]);
        assert_eq!(line(PadMode::Edge, (2, 1)), [1, 1, 1, 2, 3, 3]);
        assert_eq!(line(PadMode::Wrap, (4, 2)), [3, 1, 2, 3, 1, 2, 3, 1, 2]);
        assert_eq!(line(PadMode::Constant(7), (-1, 2)), [2, 3, 7, 7]);
        assert_eq!(line(PadMode::Edge, (-1, 2)), [2, 3, 3, 3]);
    }
}
