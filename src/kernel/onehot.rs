//! One-hot encoding of indices.

use std::sync::Arc;

use super::gather::float_index;
use super::params::{KernelFile, params};
use super::walk::{LaneShape, Walk, at_origin_of, coordinates, row_major, with_last_axis};
use super::{Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, merge_axes, tiles_of};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{DType, HostTensor, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "onehot",
    source: include_str!("../../shaders/onehot.wgsl"),
    functions: &[],
    fields: OnehotOp::FIELDS,
};

params! {
    struct OnehotOp {
        runs: u32,
        index: u32,
        y: u32,
        run_extent: u32,
        run_block: u32,
        run_step: u32,
        y_step: u32,
        on: u32,
        off: u32,
        dims: [u32; RANK_MAX],
        index_strides: [u32; RANK_MAX],
        y_strides: [u32; RANK_MAX],
    }
}

/// A new axis of which the element that the index names is `on` and all others `off`: `OneHot` of ONNX.
///
/// A negative index counts from the end; one that is still outside sets nothing. Indices are i32 words, or f32
/// (towards zero).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onehot {
    /// Where the new axis is in the output.
    pub axis: usize,
    /// Its extent.
    pub depth: usize,
    /// Extents of the indices.
    pub index_shape: Vec<usize>,
    /// The device word of the element that is set.
    pub on: u32,
    /// The device word of the others.
    pub off: u32,
    /// Type of the output.
    pub dtype: DType,
}

impl Onehot {
    /// Extents of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        let mut shape = self.index_shape.clone();
        shape.insert(self.axis, self.depth);
        shape
    }
}

impl Operator for Onehot {
    fn kind(&self) -> String {
        "one-hot".into()
    }

    fn flops(&self) -> u64 {
        0
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let y = &io.outputs[0].view;
        if y.volume() == 0 {
            return Ok(Vec::new());
        }
        let float = float_index(&io.inputs[0])?;
        let merged = merge_axes(&[at_origin_of(y, self.axis), io.inputs[0].view.clone()]);
        // The new axis is walked last, so that a run needs one index.
        let y = with_last_axis(&merged[0], self.depth, y.strides[self.axis]);
        let index = with_last_axis(&merged[1], self.depth, 0);
        let lane = LaneShape::of(caps);
        let walk = Walk::new(&y.shape, y.shape.len() - 1, lane)?;
        let op = OnehotOp {
            runs: walk.runs,
            index: index.offset as u32,
            y: y.offset as u32,
            run_extent: walk.run_extent,
            run_block: walk.run_block,
            run_step: walk.run_step,
            y_step: walk.step(&y),
            on: self.on,
            off: self.off,
            dims: walk.dims,
            index_strides: walk.strides(&index),
            y_strides: walk.strides(&y),
        };
        let in_weights = u32::from(io.inputs[0].space == Space::Weights);
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("PER", lane.per),
                ("RANK", walk.rank),
                ("FLOAT_INDEX", u32::from(float)),
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

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let index = inputs[0].to_i64();
        let shape = self.output_shape();
        let words: Vec<u32> = (0..volume(&shape))
            .map(|i| {
                let mut at = coordinates(i, &shape);
                let c = at.remove(self.axis) as i64;
                let k = index[row_major(&at, &self.index_shape)];
                if c == k || c == k + self.depth as i64 { self.on } else { self.off }
            })
            .collect();
        vec![HostTensor::from_device_words(self.dtype, &shape, &words).expect("a device type")]
    }
}
