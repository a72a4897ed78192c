//! GRU: gated recurrent unit. The elementwise end of a cell's step.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::stack::{Stacked, with_instances};
use super::walk::LaneShape;
use super::{
    Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, dims_words, fragments, merge_axes, stride_word,
    stride_words, tiles_of,
};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{HostTensor, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "gru_cell",
    source: include_str!("../../shaders/gru_cell.wgsl"),
    functions: &[fragments::SIGMOID, fragments::TANH_F32],
    fields: GruCellOp::FIELDS,
};

params! {
    struct GruCellOp {
        n: u32,
        x: u32,
        x_step: u32,
        r: u32,
        r_step: u32,
        h0: u32,
        h: u32,
        dims: [u32; RANK_MAX],
        x_strides: [u32; RANK_MAX],
        r_strides: [u32; RANK_MAX],
        h0_strides: [u32; RANK_MAX],
        h_strides: [u32; RANK_MAX],
    }
}

/// From the gates' sums over the input (input 0) and over the state (input 1), both `[…, 3 · hidden]` with their biases
/// in the order z, r, h of ONNX, and the state (input 2, `[…, hidden]`), all f32: the new state.
///
/// `z = sigmoid(xz + rz)`, `r = sigmoid(xr + rr)`, `g = tanh(xg + r · rg)`, `h = g + z · (h0 − g)`: the form with
/// `linear_before_reset`. The other form resets the state before its product and has no such end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GruCell {
    /// Extents of the state; the last one is `hidden`.
    pub shape: Vec<usize>,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Operator for GruCell {
    fn kind(&self) -> String {
        "gru cell".into()
    }

    fn flops(&self) -> u64 {
        10 * volume(&self.shape) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let n = volume(&self.shape);
        if n == 0 {
            return Ok(Vec::new());
        }
        let last = self.shape.len() - 1;
        let hidden = self.shape[last];
        let gate = |k: usize| io.inputs[k].view.sliced(last, 0, hidden, 1);
        let step = |k: usize| stride_word(io.inputs[k].view.strides[last] * hidden as isize);
        let views = [gate(0), gate(1), io.inputs[2].view.clone(), io.outputs[0].view.clone()];
        let [x, r, h0, h] = merge_axes(&views).try_into().expect("four views");
        let rank = h.shape.len();
        if rank > RANK_MAX {
            return Err(NoKernel(format!("{rank} axes that cannot be merged, the kernel walks {RANK_MAX}")));
        }
        let op = GruCellOp {
            n: u32::try_from(n).map_err(|_| NoKernel(format!("{n} elements are too many")))?,
            x: x.offset as u32,
            x_step: step(0),
            r: r.offset as u32,
            r_step: step(1),
            h0: h0.offset as u32,
            h: h.offset as u32,
            dims: dims_words(&h),
            x_strides: stride_words(&x),
            r_strides: stride_words(&r),
            h0_strides: stride_words(&h0),
            h_strides: stride_words(&h),
        };
        let bit = |k: usize| u32::from(io.inputs[k].space == Space::Weights) << k;
        let lanes = LaneShape::of(caps).lanes;
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![("RANK", rank as u32), ("IN_WEIGHTS", bit(0) | bit(1) | bit(2))],
            lanes,
            chain: None,
        };
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: tiles_of(n, lanes)?,
            tile_iterations: rank as u32 + 1,
        }])
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let operator = GruCell { shape: with_instances(n, &self.shape, RANK_MAX)? };
        let mut gates = self.shape.clone();
        *gates.last_mut()? *= 3;
        Some(Stacked::leading(operator, [gates.clone(), gates, self.shape.clone()], [self.shape.clone()]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let (x, r, h0) = (inputs[0].to_f64(), inputs[1].to_f64(), inputs[2].to_f64());
        let hidden = *self.shape.last().expect("an axis of the hidden size");
        let new_state = |(at, &old): (usize, &f64)| {
            let gate = |k: usize| (at / hidden * 3 + k) * hidden + at % hidden;
            let update = sigmoid(x[gate(0)] + r[gate(0)]);
            let reset = sigmoid(x[gate(1)] + r[gate(1)]);
            let candidate = (x[gate(2)] + reset * r[gate(2)]).tanh();
            (candidate + update * (old - candidate)) as f32
        };
        let h: Vec<f32> = h0.iter().enumerate().map(new_state).collect();
        vec![HostTensor::from_f32(&self.shape, &h)]
    }
}
