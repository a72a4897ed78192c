//! Reductions: sums, means, products, extrema and truth over any set of axes.

use super::params::{KernelFile, params};
use super::rows::{Rows, dense_rows, outer_shape};
use super::stack::{InRows, SameLanes, Stacked, behind, with_instances};
use super::{Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, dims_words, fragments, stride_words};
use crate::hal::DeviceCaps;
use crate::tensor::{DType, HostTensor, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "reduce",
    source: include_str!("../../shaders/reduce.wgsl"),
    functions: &[fragments::STRIDED_PLACE],
    fields: ReduceOp::FIELDS,
};

params! {
    struct ReduceOp {
        rows: u32,
        n: u32,
        x: u32,
        y: u32,
        divisor: f32,
        outer: [u32; RANK_MAX],
        x_outer: [u32; RANK_MAX],
        y_outer: [u32; RANK_MAX],
        inner: [u32; RANK_MAX],
        x_inner: [u32; RANK_MAX],
    }
}

/// What a reduction computes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reducer {
    /// The sum; of integers only where the caller vouches for the range ([`Reduce::in_range`]).
    Sum,
    /// The mean (floats).
    Mean,
    /// The sum of squares (floats).
    SumOfSquares,
    /// The mean of squares (floats).
    MeanOfSquares,
    /// The sum of magnitudes (floats).
    SumOfMagnitudes,
    /// The product; of integers as the sum.
    Prod,
    /// The largest element; NaN wins. Of nothing: minus infinity, or the least integer.
    Max,
    /// The smallest element; NaN wins. Of nothing: infinity, or the largest integer.
    Min,
    /// Whether any holds (bool).
    Any,
    /// Whether all hold (bool).
    All,
}

/// One element for every row of the axes that are not in `axes`. The output has those axes in order; axes of extent one
/// may stand between them. The type stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// What to compute.
    pub reducer: Reducer,
    /// Extents of the input.
    pub shape: Vec<usize>,
    /// The axes that vanish.
    pub axes: Vec<usize>,
    /// Type of input and output.
    pub dtype: DType,
    /// The caller has proven that integer sums and products stay within 32 bits, or wants them to wrap.
    pub in_range: bool,
}

impl Reduce {
    /// The kernel's `KIND` for the reducer and type.
    fn kind_const(&self) -> Result<u32, NoKernel> {
        use Reducer::*;
        let word = self.dtype.device_word();
        let no = |why: &str| Err(NoKernel(format!("{:?} of {}: {why}", self.reducer, self.dtype)));
        Ok(match (self.reducer, word) {
            (Sum | Mean, Some(DType::F32)) => 0,
            (SumOfSquares | MeanOfSquares, Some(DType::F32)) => 1,
            (SumOfMagnitudes, Some(DType::F32)) => 2,
            (Prod, Some(DType::F32)) => 3,
            (Max, Some(DType::F32)) => 4,
            (Min, Some(DType::F32)) => 5,
            (Sum | Prod, Some(DType::I32)) if !self.in_range => return no("the result may leave 32 bits"),
            (Sum, Some(DType::I32)) => 8,
            (Prod, Some(DType::I32)) => 9,
            (Max, Some(DType::I32)) => 10,
            (Min, Some(DType::I32)) => 11,
            // Truth values are 0 and 1: the largest is whether any holds.
            (Any | Max, Some(DType::U32)) => 12,
            (All | Min, Some(DType::U32)) => 13,
            _ => return no("the kernel does not know this type"),
        })
    }

    fn is_mean(&self) -> bool {
        matches!(self.reducer, Reducer::Mean | Reducer::MeanOfSquares)
    }

    fn of_floats(&self, row: &[f64]) -> f64 {
        let n = row.len() as f64;
        let squares = || row.iter().map(|v| v * v).sum::<f64>();
        let extremum = |start: f64, better: fn(f64, f64) -> bool| {
            row.iter().fold(start, |a, &v| if v.is_nan() || better(v, a) { v } else { a })
        };
        match self.reducer {
            Reducer::Sum => row.iter().sum(),
            Reducer::Mean => row.iter().sum::<f64>() / n,
            Reducer::SumOfSquares => squares(),
            Reducer::MeanOfSquares => squares() / n,
            Reducer::SumOfMagnitudes => row.iter().map(|v| v.abs()).sum(),
            Reducer::Prod => row.iter().product(),
            Reducer::Max | Reducer::Any => extremum(f64::NEG_INFINITY, |v, a| v > a),
            Reducer::Min | Reducer::All => extremum(f64::INFINITY, |v, a| v < a),
        }
    }

    fn of_integers(&self, row: &[i32]) -> i32 {
        let each = row.iter().copied();
        match self.reducer {
            Reducer::Prod => each.fold(1, i32::wrapping_mul),
            Reducer::Max => each.max().unwrap_or(i32::MIN),
            Reducer::Min => each.min().unwrap_or(i32::MAX),
            _ => each.fold(0, i32::wrapping_add),
        }
    }

    fn of_words(&self, row: &[u32]) -> u32 {
        match self.dtype {
            DType::F32 => {
                let row: Vec<f64> = row.iter().map(|&w| f64::from(f32::from_bits(w))).collect();
                (self.of_floats(&row) as f32).to_bits()
            }
            DType::Bool => match self.reducer {
                Reducer::All | Reducer::Min => u32::from(row.iter().all(|&w| w != 0)),
                _ => u32::from(row.iter().any(|&w| w != 0)),
            },
            _ => self.of_integers(bytemuck::cast_slice(row)) as u32,
        }
    }
}

impl Operator for Reduce {
    fn kind(&self) -> String {
        format!("{:?} over {:?}", self.reducer, self.axes).to_lowercase()
    }

    fn flops(&self) -> u64 {
        volume(&self.shape) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        self.lower_for(caps, io, 1)
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let shape = with_instances(n, &self.shape, RANK_MAX)?;
        let operator = Reduce { shape, axes: behind(&self.axes), ..self.clone() };
        let output = outer_shape(&self.shape, &self.axes);
        Some(Stacked::leading(SameLanes { operator, instances: n }, [self.shape.clone()], [output]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let words = inputs[0].to_device_words().expect("a device type");
        let out: Vec<u32> = dense_rows(&self.shape, &self.axes)
            .iter()
            .map(|row| self.of_words(&row.iter().map(|&at| words[at]).collect::<Vec<_>>()))
            .collect();
        let shape = outer_shape(&self.shape, &self.axes);
        vec![HostTensor::from_device_words(self.dtype, &shape, &out).expect("a device type")]
    }
}

impl InRows for Reduce {
    fn lower_for(&self, caps: &DeviceCaps, io: Io, instances: usize) -> Result<Vec<KernelLaunch>, NoKernel> {
        let kind = self.kind_const()?;
        let (x, y) = (&io.inputs[0], &io.outputs[0]);
        if y.view.volume() == 0 {
            return Ok(Vec::new());
        }
        let rows = Rows::reducing(&x.view, &self.axes, &y.view)?;
        let lanes = rows.lanes(caps, 1, 4, instances)?;
        let op = ReduceOp {
            rows: rows.count() as u32,
            n: rows.len() as u32,
            x: rows.outer[0].offset as u32,
            y: rows.outer[1].offset as u32,
            divisor: if self.is_mean() { rows.len() as f32 } else { 1.0 },
            outer: dims_words(&rows.outer[0]),
            x_outer: stride_words(&rows.outer[0]),
            y_outer: stride_words(&rows.outer[1]),
            inner: dims_words(&rows.inner[0]),
            x_inner: stride_words(&rows.inner[0]),
        };
        let consts = vec![("IN_WEIGHTS", u32::from(x.space == Space::Weights)), ("KIND", kind)];
        Ok(vec![rows.launch(&FILE, lanes, consts, op.words())?])
    }
}
