//! LSTM: long short-term memory. The elementwise end of a cell's step, both outputs in one launch.

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
    name: "lstm_cell",
    source: include_str!("../../shaders/lstm_cell.wgsl"),
    functions: &[fragments::SIGMOID, fragments::TANH_F32],
    fields: LstmCellOp::FIELDS,
};

params! {
    struct LstmCellOp {
        n: u32,
        gates: u32,
        gate_step: u32,
        c0: u32,
        h: u32,
        c: u32,
        dims: [u32; RANK_MAX],
        gate_strides: [u32; RANK_MAX],
        c0_strides: [u32; RANK_MAX],
        h_strides: [u32; RANK_MAX],
        c_strides: [u32; RANK_MAX],
    }
}

/// From the sums of the gates (input 0, `[…, 4 · hidden]` in the order i, o, f, c of ONNX) and the cell's state (input
/// 1, `[…, hidden]`), both f32: the output `h` (output 0) and the new state `c` (output 1).
///
/// `c = sigmoid(f) · c0 + sigmoid(i) · tanh(g)`, `h = sigmoid(o) · tanh(c)`; no peepholes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LstmCell {
    /// Extents of the state and of both outputs; the last one is `hidden`.
    pub shape: Vec<usize>,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Operator for LstmCell {
    fn kind(&self) -> String {
        "lstm cell".into()
    }

    fn flops(&self) -> u64 {
        9 * volume(&self.shape) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let n = volume(&self.shape);
        if n == 0 {
            return Ok(Vec::new());
        }
        let last = self.shape.len() - 1;
        let hidden = self.shape[last];
        let gates = &io.inputs[0].view;
        let gate_step = gates.strides[last] * hidden as isize;
        let first = gates.sliced(last, 0, hidden, 1);
        let views = [&first, &io.inputs[1].view, &io.outputs[0].view, &io.outputs[1].view];
        let [gate, c0, h, c] = merge_axes(&views.map(Clone::clone)).try_into().expect("four views");
        let rank = c.shape.len();
        if rank > RANK_MAX {
            return Err(NoKernel(format!("{rank} axes that cannot be merged, the kernel walks {RANK_MAX}")));
        }
        let op = LstmCellOp {
            n: u32::try_from(n).map_err(|_| NoKernel(format!("{n} elements are too many")))?,
            gates: gate.offset as u32,
            gate_step: stride_word(gate_step),
            c0: c0.offset as u32,
            h: h.offset as u32,
            c: c.offset as u32,
            dims: dims_words(&c),
            gate_strides: stride_words(&gate),
            c0_strides: stride_words(&c0),
            h_strides: stride_words(&h),
            c_strides: stride_words(&c),
        };
        let bit = |k: usize| u32::from(io.inputs[k].space == Space::Weights) << k;
        let lanes = LaneShape::of(caps).lanes;
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![("RANK", rank as u32), ("IN_WEIGHTS", bit(0) | bit(1))],
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
        let operator = LstmCell { shape: with_instances(n, &self.shape, RANK_MAX)? };
        let mut gates = self.shape.clone();
        *gates.last_mut()? *= 4;
        Some(Stacked::leading(operator, [gates, self.shape.clone()], [self.shape.clone(), self.shape.clone()]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let (gates, c0) = (inputs[0].to_f64(), inputs[1].to_f64());
        let hidden = *self.shape.last().expect("an axis of the hidden size");
        let (mut h, mut c) = (Vec::new(), Vec::new());
        for (at, &state) in c0.iter().enumerate() {
            let gate = |k: usize| gates[(at / hidden * 4 + k) * hidden + at % hidden];
            let state = sigmoid(gate(2)) * state + sigmoid(gate(0)) * gate(3).tanh();
            c.push(state as f32);
            h.push((sigmoid(gate(1)) * state.tanh()) as f32);
        }
        vec![HostTensor::from_f32(&self.shape, &h), HostTensor::from_f32(&self.shape, &c)]
    }
}
