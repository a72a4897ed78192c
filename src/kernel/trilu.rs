//! Triangles of matrices: causal masks are made of them.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::walk::{LaneShape, Walk, coordinates, with_last_axis};
use super::{Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, merge_axes, tiles_of};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{HostTensor, View, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "trilu",
    source: include_str!("../../shaders/trilu.wgsl"),
    functions: &[],
    fields: TriluOp::FIELDS,
};

params! {
    struct TriluOp {
        runs: u32,
        x: u32,
        y: u32,
        run_extent: u32,
        run_block: u32,
        run_step: u32,
        x_step: u32,
        y_step: u32,
        k: i32,
        dims: [u32; RANK_MAX],
        x_strides: [u32; RANK_MAX],
        y_strides: [u32; RANK_MAX],
    }
}

/// One triangle of each matrix in the last two axes, zero words elsewhere: `Trilu` of ONNX. Words of any type; the
/// output may be the input itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trilu {
    /// Keep the upper triangle, else the lower one.
    pub upper: bool,
    /// The triangle's border: the diagonal on which column − row is `k`; it is kept.
    pub k: i64,
    /// Extents of input and output.
    pub shape: Vec<usize>,
}

impl Operator for Trilu {
    fn kind(&self) -> String {
        if self.upper { "triu".into() } else { "tril".into() }
    }

    fn flops(&self) -> u64 {
        0
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (x, y) = (&io.inputs[0].view, &io.outputs[0].view);
        if y.volume() == 0 {
            return Ok(Vec::new());
        }
        let rank = y.shape.len();
        if rank < 2 {
            return Err(NoKernel(format!("triangles of {:?}, which has no matrices", y.shape)));
        }
        let leading = |view: &View| View {
            offset: view.offset,
            shape: view.shape[..rank - 2].to_vec(),
            strides: view.strides[..rank - 2].to_vec(),
        };
        // Only the leading axes merge: the kernel needs row and column.
        let batch = merge_axes(&[y, x].map(leading));
        let views: Vec<View> = [y, x]
            .into_iter()
            .zip(&batch)
            .map(|(view, batch)| {
                (rank - 2..rank).fold(batch.clone(), |v, a| with_last_axis(&v, view.shape[a], view.strides[a]))
            })
            .collect();
        let lane = LaneShape::of(caps);
        let walk = Walk::new(&views[0].shape, views[0].shape.len() - 1, lane)?;
        let op = TriluOp {
            runs: walk.runs,
            x: views[1].offset as u32,
            y: views[0].offset as u32,
            run_extent: walk.run_extent,
            run_block: walk.run_block,
            run_step: walk.run_step,
            x_step: walk.step(&views[1]),
            y_step: walk.step(&views[0]),
            k: self.k.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
            dims: walk.dims,
            x_strides: walk.strides(&views[1]),
            y_strides: walk.strides(&views[0]),
        };
        let in_weights = u32::from(io.inputs[0].space == Space::Weights);
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("PER", lane.per),
                ("RANK", walk.rank),
                ("UPPER", u32::from(self.upper)),
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
        let mut words = inputs[0].to_device_words().expect("a device type");
        let rank = self.shape.len();
        for (i, word) in words.iter_mut().enumerate().take(volume(&self.shape)) {
            let at = coordinates(i, &self.shape);
            let diagonal = at[rank - 1] as i64 - at[rank - 2] as i64;
            if if self.upper { diagonal < self.k } else { diagonal > self.k } {
                *word = 0;
            }
        }
        vec![HostTensor::from_device_words(inputs[0].dtype(), &self.shape, &words).expect("a device type")]
    }
}
