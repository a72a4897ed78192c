//! Pooling: the largest element, the sum or the average under a sliding window, with ONNX's rules for the border.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::stack::{Joint, Stacked};
use super::tiling::lanes;
use super::window::{SPATIAL_MAX, image_strides, spatial_words, tile_iterations};
use super::{Io, KernelLaunch, NoKernel, Operator, Space, Window, tiles_of};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{DType, HostTensor, volume};

/// Outputs of a row that one lane computes at most.
const PER: usize = 4;

pub(super) const FILE: KernelFile = KernelFile {
    name: "pool",
    source: include_str!("../../shaders/pool.wgsl"),
    functions: &[],
    fields: PoolOp::FIELDS,
};

params! {
    struct PoolOp {
        items: u32,
        groups: u32,
        channels: u32,
        input: [u32; SPATIAL_MAX],
        output: [u32; SPATIAL_MAX],
        kernel: [u32; SPATIAL_MAX],
        stride: [u32; SPATIAL_MAX],
        dilation: [u32; SPATIAL_MAX],
        before: [u32; SPATIAL_MAX],
        counted_from: [u32; SPATIAL_MAX],
        counted_to: [u32; SPATIAL_MAX],
        x: u32,
        x_strides: [u32; SPATIAL_MAX + 2],
        y: u32,
        y_strides: [u32; SPATIAL_MAX + 2],
        at: u32,
        at_strides: [u32; SPATIAL_MAX + 2],
        plane: u32,
        flat: [u32; SPATIAL_MAX],
    }
}

/// What a window yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest element; NaN wins; the lowest finite number where no tap lies on the input.
    Max,
    /// As `Max`, with a second output of type i64: where the (first) largest element lies in the dense input, -1 for
    /// nowhere. `column_major` counts the spatial axes in reverse order.
    MaxWithIndices {
        /// ONNX's `storage_order = 1`.
        column_major: bool,
    },
    /// The sum.
    Sum,
    /// The mean of the taps that lie on the input; NaN where there is none.
    Average,
    /// The sum divided by the taps that lie on the input or its padding; an overhang beyond that does not count.
    AverageWithPadding,
    /// The sum divided by all taps of the window.
    AverageOfWindow,
}

/// Pools `[n, c, spatial…]` with one to three spatial axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What to compute.
    pub pooling: Pooling,
    /// First axis.
    pub batch: usize,
    /// Second axis.
    pub channels: usize,
    /// The spatial axes.
    pub window: Window,
}

impl Pool {
    /// Extents of the input.
    pub fn input_shape(&self) -> Vec<usize> {
        [&[self.batch, self.channels], self.window.input.as_slice()].concat()
    }

    /// Extents of the outputs.
    pub fn output_shape(&self) -> Vec<usize> {
        [&[self.batch, self.channels], self.window.output.as_slice()].concat()
    }

    fn is_max(&self) -> bool {
        matches!(self.pooling, Pooling::Max | Pooling::MaxWithIndices { .. })
    }

    fn with_indices(&self) -> bool {
        matches!(self.pooling, Pooling::MaxWithIndices { .. })
    }

    /// In padded coordinates, the taps that the divisor counts along each axis.
    fn counted(&self) -> [[u32; SPATIAL_MAX]; 2] {
        let w = &self.window;
        let [before, after] = [&w.before, &w.after].map(|v| spatial_words(v, 0));
        let input = spatial_words(&w.input, 1);
        let on_input: [u32; SPATIAL_MAX] = std::array::from_fn(|k| before[k] + input[k]);
        match self.pooling {
            Pooling::AverageWithPadding => [[0; SPATIAL_MAX], std::array::from_fn(|k| on_input[k] + after[k])],
            Pooling::AverageOfWindow => [[0; SPATIAL_MAX], [u32::MAX >> 1; SPATIAL_MAX]],
            _ => [before, on_input],
        }
    }

    /// Distances between neighbours in the dense input, as indices count them.
    fn flat(&self) -> [u32; SPATIAL_MAX] {
        let input = spatial_words(&self.window.input, 1);
        match self.pooling {
            Pooling::MaxWithIndices { column_major: true } => [1, input[0], input[0] * input[1]],
            _ => [input[1] * input[2], input[2], 1],
        }
    }
}

impl Operator for Pool {
    fn kind(&self) -> String {
        let name = match self.pooling {
            Pooling::Max | Pooling::MaxWithIndices { .. } => "max",
            Pooling::Sum => "sum",
            _ => "average",
        };
        let kernel: Vec<String> = self.window.kernel.iter().map(usize::to_string).collect();
        format!("{name}-pool {}", kernel.join("x"))
    }

    fn flops(&self) -> u64 {
        (volume(&self.output_shape()) * self.window.taps()) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (input, output) = (&io.inputs[0], &io.outputs[0]);
        let spatial = self.window.kernel.len();
        if !(1..=SPATIAL_MAX).contains(&spatial) {
            return Err(NoKernel(format!("{spatial} spatial axes, the kernel walks 1 to {SPATIAL_MAX}")));
        }
        if input.dtype != DType::F32 || output.dtype != DType::F32 {
            return Err(NoKernel(format!("pooling of {}, the kernel computes in f32", input.dtype)));
        }
        if input.view.shape != self.input_shape() || io.outputs.iter().any(|o| o.view.shape != self.output_shape()) {
            return Err(NoKernel(format!(
                "pooling of {:?} to {:?}, by its window {:?} to {:?}",
                input.view.shape,
                output.view.shape,
                self.input_shape(),
                self.output_shape()
            )));
        }
        if output.view.volume() == 0 {
            return Ok(Vec::new());
        }
        let w = &self.window;
        let width = *w.output.last().expect("a spatial axis");
        let per = width.min(PER);
        let groups = width.div_ceil(per);
        let items = output.view.volume() / width * groups;
        let [counted_from, counted_to] = self.counted();
        let indices = io.outputs.get(1);
        let op = PoolOp {
            items: tiles_of(items, 1)?,
            groups: groups as u32,
            channels: self.channels as u32,
            input: spatial_words(&w.input, 1),
            output: spatial_words(&w.output, 1),
            kernel: spatial_words(&w.kernel, 1),
            stride: spatial_words(&w.strides, 1),
            dilation: spatial_words(&w.dilations, 1),
            before: spatial_words(&w.before, 0),
            counted_from,
            counted_to,
            x: input.view.offset as u32,
            x_strides: image_strides(&input.view),
            y: output.view.offset as u32,
            y_strides: image_strides(&output.view),
            at: indices.map_or(0, |o| o.view.offset as u32),
            at_strides: indices.map_or([0; SPATIAL_MAX + 2], |o| image_strides(&o.view)),
            plane: volume(&w.input) as u32,
            flat: self.flat(),
        };
        let lanes = lanes(caps);
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("PER", per as u32),
                ("MAX", u32::from(self.is_max())),
                ("AVERAGE", u32::from(!self.is_max() && self.pooling != Pooling::Sum)),
                ("INDICES", u32::from(self.with_indices())),
                ("IN_WEIGHTS", u32::from(input.space == Space::Weights)),
            ],
            lanes,
            chain: None,
        };
        let [kd, kh, kw] = op.kernel.map(u64::from);
        let per = per as u64;
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: tiles_of(items, lanes)?,
            tile_iterations: tile_iterations(4 * per + 4 + kd * (2 + kh * (2 + kw)))?,
        }])
    }

    /// Not with indices: they count from the beginning of the batch.
    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let operator = Pool { batch: n * self.batch, ..self.clone() };
        (!self.with_indices()).then(|| Stacked {
            operator: Arc::new(operator),
            inputs: vec![Joint::First(self.input_shape())],
            outputs: vec![Joint::First(self.output_shape())],
        })
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0].to_f64();
        let w = &self.window;
        let [input, output, kernel] = [&w.input, &w.output, &w.kernel].map(|v| spatial_words(v, 1).map(i64::from));
        let [stride, dilation] = [&w.strides, &w.dilations].map(|v| spatial_words(v, 1).map(i64::from));
        let before = spatial_words(&w.before, 0).map(i64::from);
        let counted = self.counted().map(|c| c.map(i64::from));
        let flat = self.flat().map(i64::from);
        let [od, oh, ow] = output;
        let plane: i64 = input.iter().product();
        let (mut values, mut indices) = (Vec::new(), Vec::new());
        for image in 0..(self.batch * self.channels) as i64 {
            for place in 0..od * oh * ow {
                let place = [place / (oh * ow), place / ow % oh, place % ow];
                let (mut best, mut best_at, mut sum, mut count) = (f64::from(f32::MIN), -1, 0.0, 0);
                for tap in 0..kernel.iter().product() {
                    let tap = [tap / (kernel[1] * kernel[2]), tap / kernel[2] % kernel[1], tap % kernel[2]];
                    let padded: [i64; 3] = std::array::from_fn(|k| place[k] * stride[k] + tap[k] * dilation[k]);
                    count += i64::from((0..3).all(|k| (counted[0][k]..counted[1][k]).contains(&padded[k])));
                    let at: [i64; 3] = std::array::from_fn(|k| padded[k] - before[k]);
                    if (0..3).any(|k| !(0..input[k]).contains(&at[k])) {
                        continue;
                    }
                    let value = x[(image * plane + (at[0] * input[1] + at[1]) * input[2] + at[2]) as usize];
                    sum += value;
                    if best_at < 0 || value > best || (value.is_nan() && !best.is_nan()) {
                        best = value;
                        best_at = image * plane + (0..3).map(|k| at[k] * flat[k]).sum::<i64>();
                    }
                }
                indices.push(best_at);
                values.push(match self.pooling {
                    Pooling::Max | Pooling::MaxWithIndices { .. } => best as f32,
                    Pooling::Sum => sum as f32,
                    _ => (sum / count as f64) as f32,
                });
            }
        }
        let mut outputs = vec![HostTensor::from_f32(&self.output_shape(), &values)];
        if self.with_indices() {
            outputs.push(HostTensor::from_i64(&self.output_shape(), &indices));
        }
        outputs
    }
}
