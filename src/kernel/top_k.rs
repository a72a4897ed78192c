//! The largest or smallest elements along an axis, by counting: an element's place is the number of elements before it.
//! No sorting network and no shared state, so any cut of the work gives the same bits.

use std::cmp::Ordering;
use std::sync::Arc;

use super::params::{KernelFile, params};
use super::walk::{LaneShape, at_origin_of, coordinates, row_major};
use super::{
    Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, dims_words, merge_axes, stride_word, stride_words, tiles_of,
};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{DType, HostTensor, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "top_k",
    source: include_str!("../../shaders/top_k.wgsl"),
    functions: &[],
    fields: TopKOp::FIELDS,
};

/// Elements of a line at most: the work grows with their square.
pub const TOP_K_LINE_MAX: usize = 32_768;

/// Elements that a lane ranks at once, so that one load of the line serves them all.
const PER: u32 = 8;

params! {
    struct TopKOp {
        lanes: u32,
        blocks: u32,
        n: u32,
        k: u32,
        x: u32,
        value: u32,
        place: u32,
        x_step: u32,
        value_step: u32,
        place_step: u32,
        dims: [u32; RANK_MAX],
        x_strides: [u32; RANK_MAX],
        value_strides: [u32; RANK_MAX],
        place_strides: [u32; RANK_MAX],
    }
}

/// The first `k` elements along `axis` in descending (or ascending) order (output 0) and their positions (output 1,
/// i64): `TopK` of ONNX, sorted. Of equal elements the earlier comes first; NaN is larger than every number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopK {
    /// The axis.
    pub axis: usize,
    /// How many, at most the axis's extent.
    pub k: usize,
    /// The largest first, else the smallest.
    pub largest: bool,
    /// Extents of the input.
    pub shape: Vec<usize>,
}

impl TopK {
    /// Extents of both outputs.
    pub fn output_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape[self.axis] = self.k;
        shape
    }

    /// The order of two elements given as device words of `dtype`.
    fn compare(&self, dtype: DType, a: u32, b: u32) -> Ordering {
        let ascending = if dtype.device_word() == Some(DType::F32) {
            let (a, b) = (f32::from_bits(a), f32::from_bits(b));
            a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        } else {
            (a as i32).cmp(&(b as i32))
        };
        if self.largest { ascending.reverse() } else { ascending }
    }
}

impl Operator for TopK {
    fn kind(&self) -> String {
        format!("top {}", self.k)
    }

    fn flops(&self) -> u64 {
        let n = self.shape[self.axis] as u64;
        volume(&self.shape) as u64 * n
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let x = &io.inputs[0].view;
        let (value, place) = (&io.outputs[0].view, &io.outputs[1].view);
        if value.volume() == 0 {
            return Ok(Vec::new());
        }
        let (axis, n) = (self.axis, x.shape[self.axis]);
        if self.k > n || n > TOP_K_LINE_MAX {
            return Err(NoKernel(format!("the first {} of {n} elements, lines have {TOP_K_LINE_MAX} at most", self.k)));
        }
        let lines = merge_axes(&[at_origin_of(x, axis), at_origin_of(value, axis), at_origin_of(place, axis)]);
        let rank = lines[0].shape.len();
        if rank > RANK_MAX {
            return Err(NoKernel(format!("{rank} axes that cannot be merged, the kernel walks {RANK_MAX}")));
        }
        let blocks = (n as u32).div_ceil(PER);
        let lanes = blocks as usize * volume(&lines[0].shape);
        let op = TopKOp {
            lanes: u32::try_from(lanes).map_err(|_| NoKernel(format!("{:?} has too many elements", x.shape)))?,
            blocks,
            n: n as u32,
            k: self.k as u32,
            x: lines[0].offset as u32,
            value: lines[1].offset as u32,
            place: lines[2].offset as u32,
            x_step: stride_word(x.strides[axis]),
            value_step: stride_word(value.strides[axis]),
            place_step: stride_word(place.strides[axis]),
            dims: dims_words(&lines[0]),
            x_strides: stride_words(&lines[0]),
            value_strides: stride_words(&lines[1]),
            place_strides: stride_words(&lines[2]),
        };
        let workgroup = LaneShape::of(caps).lanes;
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("PER", PER),
                ("RANK", rank as u32),
                ("SMALLEST", u32::from(!self.largest)),
                ("INTEGER", u32::from(io.inputs[0].dtype.device_word() != Some(DType::F32))),
                ("IN_WEIGHTS", u32::from(io.inputs[0].space == Space::Weights)),
            ],
            lanes: workgroup,
            chain: None,
        };
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: tiles_of(lanes, workgroup)?,
            // The loop over a lane's own elements has constant length and is unrolled.
            tile_iterations: rank as u32 + n as u32 + 2 * PER + 4,
        }])
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let dtype = inputs[0].dtype();
        let x = inputs[0].to_device_words().expect("a device type");
        let shape = self.output_shape();
        let (mut values, mut places) = (vec![0; volume(&shape)], vec![0; volume(&shape)]);
        let mut line_shape = shape.clone();
        line_shape[self.axis] = 1;
        for line in 0..volume(&line_shape) {
            let mut at = coordinates(line, &line_shape);
            let mut elements: Vec<(usize, u32)> = (0..self.shape[self.axis])
                .map(|i| {
                    at[self.axis] = i;
                    (i, x[row_major(&at, &self.shape)])
                })
                .collect();
            elements.sort_by(|a, b| self.compare(dtype, a.1, b.1));
            for (i, &(place, value)) in elements.iter().take(self.k).enumerate() {
                at[self.axis] = i;
                let to = row_major(&at, &shape);
                values[to] = value;
                places[to] = place as i64;
            }
        }
        let values = HostTensor::from_device_words(dtype, &shape, &values).expect("a device type");
        vec![values, HostTensor::from_i64(&shape, &places)]
    }
}
