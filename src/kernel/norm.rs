//! Normalisation: layer, RMS, instance and group norm are rows over different axes, with scale and shift that broadcast
//! differently.

use super::params::{KernelFile, params};
use super::rows::{Rows, dense_rows};
use super::stack::{InRows, SameLanes, Stacked, behind, with_instances};
use super::{Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, dims_words, fragments, stride_words};
use crate::hal::DeviceCaps;
use crate::tensor::{HostTensor, View, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "norm",
    source: include_str!("../../shaders/norm.wgsl"),
    functions: &[fragments::STRIDED_PLACE],
    fields: NormOp::FIELDS,
};

params! {
    struct NormOp {
        rows: u32,
        n: u32,
        x: u32,
        scale: u32,
        shift: u32,
        y: u32,
        eps: f32,
        outer: [u32; RANK_MAX],
        x_outer: [u32; RANK_MAX],
        scale_outer: [u32; RANK_MAX],
        shift_outer: [u32; RANK_MAX],
        y_outer: [u32; RANK_MAX],
        inner: [u32; RANK_MAX],
        x_inner: [u32; RANK_MAX],
        scale_inner: [u32; RANK_MAX],
        shift_inner: [u32; RANK_MAX],
        y_inner: [u32; RANK_MAX],
    }
}

/// `(x - mean) / sqrt(mean((x - mean)²) + eps) * scale + shift` over rows along `axes`. Inputs: `x`, then `scale` and
/// `shift` where there are any; these broadcast to `shape`. The output may be the memory of `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Extents of `x` and of the output.
    pub shape: Vec<usize>,
    /// The axes of a row.
    pub axes: Vec<usize>,
    /// The mean is subtracted (layer norm); without it this is RMS norm.
    pub centered: bool,
    /// Added to the mean square.
    pub eps: f32,
    /// There is a `scale` input.
    pub scale: bool,
    /// There is a `shift` input.
    pub shift: bool,
}

impl Norm {
    /// Where the inputs stand: `scale`, `shift`.
    fn optional(&self) -> [Option<usize>; 2] {
        [self.scale.then_some(1), self.shift.then_some(1 + usize::from(self.scale))]
    }
}

impl Operator for Norm {
    fn kind(&self) -> String {
        format!("{} over {:?}", if self.centered { "layer norm" } else { "rms norm" }, self.axes)
    }

    fn flops(&self) -> u64 {
        let per = 4 + 2 * u64::from(self.centered) + u64::from(self.scale) + u64::from(self.shift);
        per * volume(&self.shape) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        self.lower_for(caps, io, 1)
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let shape = with_instances(n, &self.shape, RANK_MAX)?;
        let operator = Norm { shape, axes: behind(&self.axes), ..self.clone() };
        let inputs = 1 + self.optional().iter().flatten().count();
        let inputs = std::iter::repeat_n(self.shape.clone(), inputs);
        Some(Stacked::leading(SameLanes { operator, instances: n }, inputs, [self.shape.clone()]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0].to_f64();
        let spread = |at: Option<usize>, absent: f64| match at {
            None => vec![absent; x.len()],
            Some(at) => {
                let values = inputs[at].to_f64();
                let view = View::contiguous(0, inputs[at].shape()).broadcast_to(&self.shape).expect("it broadcasts");
                view.positions().map(|p| values[p]).collect()
            }
        };
        let [scale, shift] = self.optional();
        let (scale, shift) = (spread(scale, 1.0), spread(shift, 0.0));
        let mut y = vec![0f32; x.len()];
        for row in dense_rows(&self.shape, &self.axes) {
            let n = row.len() as f64;
            let mean = if self.centered { row.iter().map(|&at| x[at]).sum::<f64>() / n } else { 0.0 };
            let square = row.iter().map(|&at| (x[at] - mean).powi(2)).sum::<f64>() / n;
            for &at in &row {
                y[at] = ((x[at] - mean) / (square + f64::from(self.eps)).sqrt() * scale[at] + shift[at]) as f32;
            }
        }
        vec![HostTensor::from_f32(&self.shape, &y)]
    }
}

impl InRows for Norm {
    fn lower_for(&self, caps: &DeviceCaps, io: Io, instances: usize) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (x, y) = (&io.inputs[0], &io.outputs[0]);
        if y.view.volume() == 0 {
            return Ok(Vec::new());
        }
        let mut in_weights = u32::from(x.space == Space::Weights);
        let mut views = vec![x.view.clone(), y.view.clone()];
        for (bit, at) in (1..).zip(self.optional()) {
            let view = match at {
                // An absent operand walks with the output and is not read.
                None => y.view.clone(),
                Some(at) => {
                    let operand = &io.inputs[at];
                    in_weights |= u32::from(operand.space == Space::Weights) << bit;
                    let view = operand.view.broadcast_to(&self.shape);
                    let (from, to) = (&operand.view.shape, &self.shape);
                    view.ok_or_else(|| NoKernel(format!("{from:?} does not broadcast to {to:?}")))?
                }
            };
            views.push(view);
        }
        let rows = Rows::split(&views, &self.axes)?;
        // One or two passes in steps of four and the last in single steps count as six of four.
        let lanes = rows.lanes(caps, 6, 4, instances)?;
        let offset = |k: usize| rows.outer[k].offset as u32;
        let op = NormOp {
            rows: rows.count() as u32,
            n: rows.len() as u32,
            x: offset(0),
            scale: offset(2),
            shift: offset(3),
            y: offset(1),
            eps: self.eps,
            outer: dims_words(&rows.outer[0]),
            x_outer: stride_words(&rows.outer[0]),
            scale_outer: stride_words(&rows.outer[2]),
            shift_outer: stride_words(&rows.outer[3]),
            y_outer: stride_words(&rows.outer[1]),
            inner: dims_words(&rows.inner[0]),
            x_inner: stride_words(&rows.inner[0]),
            scale_inner: stride_words(&rows.inner[2]),
            shift_inner: stride_words(&rows.inner[3]),
            y_inner: stride_words(&rows.inner[1]),
        };
        let consts = vec![
            ("IN_WEIGHTS", in_weights),
            ("CENTERED", u32::from(self.centered)),
            ("SCALE", u32::from(self.scale)),
            ("SHIFT", u32::from(self.shift)),
        ];
        Ok(vec![rows.launch(&FILE, lanes, consts, op.words())?])
    }
}
