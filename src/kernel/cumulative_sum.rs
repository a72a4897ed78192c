//! Running sums along an axis, one lane per line.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::rows::{Rows, dense_rows};
use super::stack::{Stacked, with_instances};
use super::{
    Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, dims_words, fragments, stride_word, stride_words, tiles_of,
};
use crate::hal::{DeviceCaps, DeviceKind, KernelSpec};
use crate::tensor::{DType, HostTensor, volume};

/// Elements of a line at most: drivers bound the iterations of a lane.
const LINE_MAX: usize = 50_000;

pub(super) const FILE: KernelFile = KernelFile {
    name: "cumulative_sum",
    source: include_str!("../../shaders/cumulative_sum.wgsl"),
    functions: &[fragments::STRIDED_PLACE],
    fields: CumulativeSumOp::FIELDS,
};

params! {
    struct CumulativeSumOp {
        lines: u32,
        n: u32,
        x: u32,
        x_step: u32,
        y: u32,
        y_step: u32,
        outer: [u32; RANK_MAX],
        x_outer: [u32; RANK_MAX],
        y_outer: [u32; RANK_MAX],
    }
}

/// `y[i] = Σ x[j]` for `j <= i` along `axis`; integer sums wrap. The output may be the input's memory.
#[derive(Clone, Debug, PartialEq)]
pub struct CumulativeSum {
    /// Extents of input and output.
    pub shape: Vec<usize>,
    /// The axis along which sums run.
    pub axis: usize,
    /// `j < i` instead: the first sum is zero.
    pub exclusive: bool,
    /// From the end of the axis.
    pub reverse: bool,
    /// Type of input and output.
    pub dtype: DType,
    /// The caller has proven that integer sums stay within 32 bits, or wants them to wrap.
    pub in_range: bool,
}

impl Operator for CumulativeSum {
    fn kind(&self) -> String {
        format!("cumulative sum over {}", self.axis)
    }

    fn flops(&self) -> u64 {
        volume(&self.shape) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let integer = match self.dtype.device_word() {
            Some(DType::F32) => 0,
            Some(DType::I32) if self.in_range => 1,
            Some(DType::I32) => return Err(NoKernel(format!("sums of {} may leave 32 bits", self.dtype))),
            _ => return Err(NoKernel(format!("cumulative sums of {}", self.dtype))),
        };
        let (x, y) = (&io.inputs[0], &io.outputs[0]);
        if y.view.volume() == 0 {
            return Ok(Vec::new());
        }
        let n = self.shape[self.axis];
        if n > LINE_MAX {
            return Err(NoKernel(format!("lines of {n} elements, the kernel takes {LINE_MAX}")));
        }
        // A reversed sum walks both views backwards.
        let turned = |view: &crate::tensor::View| {
            if self.reverse { view.sliced(self.axis, n - 1, n, -1) } else { view.clone() }
        };
        let rows = Rows::split(&[turned(&x.view), turned(&y.view)], &[self.axis])?;
        let op = CumulativeSumOp {
            lines: rows.count() as u32,
            n: n as u32,
            x: rows.outer[0].offset as u32,
            x_step: stride_word(rows.inner[0].strides[0]),
            y: rows.outer[1].offset as u32,
            y_step: stride_word(rows.inner[1].strides[0]),
            outer: dims_words(&rows.outer[0]),
            x_outer: stride_words(&rows.outer[0]),
            y_outer: stride_words(&rows.outer[1]),
        };
        let lanes = if caps.kind == DeviceKind::SoftwareGpu { 8 } else { 64 };
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("OUTER", rows.outer_rank()),
                ("IN_WEIGHTS", u32::from(x.space == Space::Weights)),
                ("EXCLUSIVE", u32::from(self.exclusive)),
                ("INTEGER", integer),
            ],
            lanes,
            chain: None,
        };
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: tiles_of(rows.count(), lanes)?,
            tile_iterations: n as u32 + 1,
        }])
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let shape = with_instances(n, &self.shape, RANK_MAX)?;
        let operator = CumulativeSum { shape, axis: self.axis + 1, ..self.clone() };
        Some(Stacked::leading(operator, [self.shape.clone()], [self.shape.clone()]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let mut y = vec![0u32; volume(&self.shape)];
        let words = inputs[0].to_device_words().expect("a device type");
        for mut row in dense_rows(&self.shape, &[self.axis]) {
            if self.reverse {
                row.reverse();
            }
            let (mut sum, mut whole) = (0f64, 0u32);
            for at in row {
                let before = if self.dtype == DType::F32 { (sum as f32).to_bits() } else { whole };
                sum += f64::from(f32::from_bits(words[at]));
                whole = whole.wrapping_add(words[at]);
                let after = if self.dtype == DType::F32 { (sum as f32).to_bits() } else { whole };
                y[at] = if self.exclusive { before } else { after };
            }
        }
        vec![HostTensor::from_device_words(self.dtype, &self.shape, &y).expect("a device type")]
    }
}
