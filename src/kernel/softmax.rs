//! Softmax and log-softmax over any set of axes.

use super::params::{KernelFile, params};
use super::rows::{Rows, dense_rows};
use super::stack::{InRows, SameLanes, Stacked, behind, with_instances};
use super::{Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, dims_words, fragments, stride_words};
use crate::hal::DeviceCaps;
use crate::tensor::{HostTensor, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "softmax",
    source: include_str!("../../shaders/softmax.wgsl"),
    functions: &[fragments::STRIDED_PLACE],
    fields: SoftmaxOp::FIELDS,
};

params! {
    struct SoftmaxOp {
        rows: u32,
        n: u32,
        x: u32,
        y: u32,
        outer: [u32; RANK_MAX],
        x_outer: [u32; RANK_MAX],
        y_outer: [u32; RANK_MAX],
        inner: [u32; RANK_MAX],
        x_inner: [u32; RANK_MAX],
        y_inner: [u32; RANK_MAX],
    }
}

/// What the kernel computes of a row: its constant `KIND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain = 0,
    Log = 1,
    /// One element a row: the logarithm of the sum alone.
    LogOfSum = 2,
}

/// The launch for `rows` of `instances` equal ones, of the input (the first operand) and the output, which has no elements within a row where the
/// kind gives one element for all of it.
pub(super) fn launch(
    caps: &DeviceCaps,
    rows: &Rows,
    instances: usize,
    x: Space,
    kind: Kind,
) -> Result<KernelLaunch, NoKernel> {
    // Two passes in steps of four and the last in single steps count as six of four.
    let lanes = rows.lanes(caps, 6, 4, instances)?;
    let op = SoftmaxOp {
        rows: rows.count() as u32,
        n: rows.len() as u32,
        x: rows.outer[0].offset as u32,
        y: rows.outer[1].offset as u32,
        outer: dims_words(&rows.outer[0]),
        x_outer: stride_words(&rows.outer[0]),
        y_outer: stride_words(&rows.outer[1]),
        inner: dims_words(&rows.inner[0]),
        x_inner: stride_words(&rows.inner[0]),
        y_inner: rows.inner.get(1).map_or([0; RANK_MAX], stride_words),
    };
    let consts = vec![("IN_WEIGHTS", u32::from(x == Space::Weights)), ("KIND", kind as u32)];
    rows.launch(&FILE, lanes, consts, op.words())
}

/// `exp(x - m) / Σ exp(x - m)` with the row's maximum `m`, or its logarithm; rows lie along `axes`. The output may be
/// the input's memory. NaN, +inf and rows of -inf give NaN, as the formula does.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// Extents of input and output.
    pub shape: Vec<usize>,
    /// The axes over which the results sum to one.
    pub axes: Vec<usize>,
    /// The logarithm of it instead.
    pub log: bool,
}

impl Operator for Softmax {
    fn kind(&self) -> String {
        format!("{} over {:?}", if self.log { "log-softmax" } else { "softmax" }, self.axes)
    }

    fn flops(&self) -> u64 {
        // Maximum, difference, exponential, sum, scale.
        5 * volume(&self.shape) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        self.lower_for(caps, io, 1)
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let shape = with_instances(n, &self.shape, RANK_MAX)?;
        let operator = Softmax { shape, axes: behind(&self.axes), log: self.log };
        Some(Stacked::leading(SameLanes { operator, instances: n }, [self.shape.clone()], [self.shape.clone()]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0].to_f64();
        let mut y = vec![0f32; x.len()];
        for row in dense_rows(&self.shape, &self.axes) {
            let top = row.iter().fold(f64::NEG_INFINITY, |a, &at| if x[at].is_nan() || x[at] > a { x[at] } else { a });
            let sum: f64 = row.iter().map(|&at| (x[at] - top).exp()).sum();
            for &at in &row {
                let v = x[at] - top;
                y[at] = if self.log { v - sum.ln() } else { v.exp() / sum } as f32;
            }
        }
        vec![HostTensor::from_f32(&self.shape, &y)]
    }
}

impl InRows for Softmax {
    fn lower_for(&self, caps: &DeviceCaps, io: Io, instances: usize) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (x, y) = (&io.inputs[0], &io.outputs[0]);
        if y.view.volume() == 0 {
            return Ok(Vec::new());
        }
        let rows = Rows::split(&[x.view.clone(), y.view.clone()], &self.axes)?;
        Ok(vec![launch(caps, &rows, instances, x.space, if self.log { Kind::Log } else { Kind::Plain })?])
    }
}
