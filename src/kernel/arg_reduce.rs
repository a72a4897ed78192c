//! Where the largest or smallest element of a row lies.

use super::params::{KernelFile, params};
use super::rows::{Rows, dense_rows, outer_shape};
use super::{Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, dims_words, fragments, stride_words};
use crate::hal::DeviceCaps;
use crate::tensor::{DType, HostTensor, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "arg_reduce",
    source: include_str!("../../shaders/arg_reduce.wgsl"),
    functions: &[fragments::STRIDED_PLACE],
    fields: ArgReduceOp::FIELDS,
};

params! {
    struct ArgReduceOp {
        rows: u32,
        n: u32,
        x: u32,
        y: u32,
        outer: [u32; RANK_MAX],
        x_outer: [u32; RANK_MAX],
        y_outer: [u32; RANK_MAX],
        inner: [u32; RANK_MAX],
        x_inner: [u32; RANK_MAX],
    }
}

/// Which extremum is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extremum {
    /// The largest element.
    Max,
    /// The smallest element.
    Min,
}

/// The row-major index over `axes` of each row's extremum, as `i64` (an `i32` word). NaN is never an extremum; a row of
/// nothing else gives 0. The output has the axes that are not in `axes`; axes of extent one may stand between them.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgReduce {
    /// Which extremum.
    pub extremum: Extremum,
    /// Among equals the last one, not the first.
    pub last: bool,
    /// Extents of the input.
    pub shape: Vec<usize>,
    /// The axes that vanish.
    pub axes: Vec<usize>,
}

impl Operator for ArgReduce {
    fn kind(&self) -> String {
        format!("arg{:?} over {:?}", self.extremum, self.axes).to_lowercase()
    }

    fn flops(&self) -> u64 {
        volume(&self.shape) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (x, y) = (&io.inputs[0], &io.outputs[0]);
        let integer = match x.dtype.device_word() {
            Some(DType::F32) => 0,
            // A truth value is the integer 0 or 1.
            Some(DType::I32 | DType::U32) => 1,
            _ => return Err(NoKernel(format!("an index of the extremum of {}", x.dtype))),
        };
        if y.view.volume() == 0 {
            return Ok(Vec::new());
        }
        let rows = Rows::reducing(&x.view, &self.axes, &y.view)?;
        if rows.len() == 0 {
            return Err(NoKernel("there is no extremum of nothing".into()));
        }
        let lanes = rows.lanes(caps, 1, 1, 1)?;
        let op = ArgReduceOp {
            rows: rows.count() as u32,
            n: rows.len() as u32,
            x: rows.outer[0].offset as u32,
            y: rows.outer[1].offset as u32,
            outer: dims_words(&rows.outer[0]),
            x_outer: stride_words(&rows.outer[0]),
            y_outer: stride_words(&rows.outer[1]),
            inner: dims_words(&rows.inner[0]),
            x_inner: stride_words(&rows.inner[0]),
        };
        let consts = vec![
            ("IN_WEIGHTS", u32::from(x.space == Space::Weights)),
            ("LEAST", u32::from(self.extremum == Extremum::Min)),
            ("LAST", u32::from(self.last)),
            ("INTEGER", integer),
        ];
        Ok(vec![rows.launch(&FILE, lanes, consts, op.words())?])
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let values = inputs[0].to_f64();
        let index = |row: &Vec<usize>| {
            let (mut best, mut at) = (f64::NAN, 0);
            for (i, &position) in row.iter().enumerate() {
                let v = values[position];
                let better = match self.extremum {
                    Extremum::Max => v > best,
                    Extremum::Min => v < best,
                };
                if better || (best.is_nan() && !v.is_nan()) || (self.last && v == best) {
                    (best, at) = (v, i);
                }
            }
            at as i64
        };
        let out: Vec<i64> = dense_rows(&self.shape, &self.axes).iter().map(index).collect();
        vec![HostTensor::from_i64(&outer_shape(&self.shape, &self.axes), &out)]
    }
}
