//! The logarithm of a sum of exponentials over any set of axes, without the overflow and the loss of the formula as it
//! is written. A variant of the softmax kernel, which has the same two sums.

use super::rows::{Rows, dense_rows, outer_shape};
use super::softmax::{Kind, launch};
use super::stack::{InRows, SameLanes, Stacked, behind, with_instances};
use super::{Io, KernelLaunch, NoKernel, Operator, RANK_MAX};
use crate::hal::DeviceCaps;
use crate::tensor::{HostTensor, volume};

/// `m + ln Σ exp(x - m)` with the row's maximum `m`; rows lie along `axes`. The output has the other axes in order; axes
/// of extent one may stand between them. NaN gives NaN; an infinite `m` is the result.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSumExp {
    /// Extents of the input.
    pub shape: Vec<usize>,
    /// The axes that vanish.
    pub axes: Vec<usize>,
}

impl Operator for LogSumExp {
    fn kind(&self) -> String {
        format!("log-sum-exp over {:?}", self.axes)
    }

    fn flops(&self) -> u64 {
        // Maximum, difference, exponential, sum.
        4 * volume(&self.shape) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        self.lower_for(caps, io, 1)
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let shape = with_instances(n, &self.shape, RANK_MAX)?;
        let operator = LogSumExp { shape, axes: behind(&self.axes) };
        let output = outer_shape(&self.shape, &self.axes);
        Some(Stacked::leading(SameLanes { operator, instances: n }, [self.shape.clone()], [output]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0].to_f64();
        let of_row = |row: &Vec<usize>| {
            let top = row.iter().fold(f64::NEG_INFINITY, |a, &at| if x[at].is_nan() || x[at] > a { x[at] } else { a });
            if top.is_infinite() {
                return top as f32;
            }
            (top + row.iter().map(|&at| (x[at] - top).exp()).sum::<f64>().ln()) as f32
        };
        let y: Vec<f32> = dense_rows(&self.shape, &self.axes).iter().map(of_row).collect();
        vec![HostTensor::from_f32(&outer_shape(&self.shape, &self.axes), &y)]
    }
}

impl InRows for LogSumExp {
    fn lower_for(&self, caps: &DeviceCaps, io: Io, instances: usize) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (x, y) = (&io.inputs[0], &io.outputs[0]);
        if y.view.volume() == 0 {
            return Ok(Vec::new());
        }
        if x.view.volume() == 0 {
            return Err(NoKernel("the sum of an empty row".into()));
        }
        let rows = Rows::reducing(&x.view, &self.axes, &y.view)?;
        Ok(vec![launch(caps, &rows, instances, x.space, Kind::LogOfSum)?])
    }
}
