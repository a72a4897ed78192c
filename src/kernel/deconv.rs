//! Transposed convolution in gather form: each output sums over the kernel taps that hit it, so nothing is added
//! atomically and the order of a sum is fixed. Outputs whose places leave the same remainder by the stride are hit by
//! the same taps; they form a *class*, within which the operator is an ordinary convolution without idle lanes.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::tiling::{lanes, shared_rows};
use super::window::{SPATIAL_MAX, image_strides, spatial_words, tile_iterations};
use super::{CutAxis, Division, Io, KernelLaunch, NoKernel, Operator, Space, stride_word, tiles_of};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{DType, HostTensor, volume};

/// Output channels that one lane computes: as many as waste the least, rather more than fewer.
const ROWS: [usize; 3] = [16, 8, 4];
/// Outputs of a class's row that one lane computes at most.
const COLUMNS: u32 = 4;

pub(super) const FILE: KernelFile = KernelFile {
    name: "deconv",
    source: include_str!("../../shaders/deconv.wgsl"),
    functions: &[],
    fields: DeconvOp::FIELDS,
};

params! {
    struct DeconvOp {
        items: u32,
        chunks: u32,
        groups: u32,
        group_in: u32,
        group_out: u32,
        blocks: u32,
        input: [u32; SPATIAL_MAX],
        output: [u32; SPATIAL_MAX],
        kernel: [u32; SPATIAL_MAX],
        stride: [u32; SPATIAL_MAX],
        dilation: [u32; SPATIAL_MAX],
        before: [u32; SPATIAL_MAX],
        places: [u32; SPATIAL_MAX],
        divisor: [u32; SPATIAL_MAX],
        inverse: [u32; SPATIAL_MAX],
        columns: u32,
        x: u32,
        x_strides: [u32; SPATIAL_MAX + 2],
        w: u32,
        w_strides: [u32; SPATIAL_MAX + 2],
        b: u32,
        b_stride: u32,
        y: u32,
        y_strides: [u32; SPATIAL_MAX + 2],
    }
}

/// A transposed convolution of `[n, c, spatial…]` by weights `[c, m / groups, kernel…]` to `[n, m, spatial…]`, with one
/// to three spatial axes. Inputs: tensor, weights, and perhaps a bias `[m]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deconv {
    /// Extents of the input.
    pub input: Vec<usize>,
    /// Channels of the output.
    pub channels_out: usize,
    /// Groups of channels that do not mix; they divide both numbers of channels.
    pub groups: usize,
    /// Taps along each spatial axis.
    pub kernel: Vec<usize>,
    /// Steps in the output for one in the input.
    pub strides: Vec<usize>,
    /// Steps between taps.
    pub dilations: Vec<usize>,
    /// Outputs cut off in front of each axis.
    pub before: Vec<usize>,
    /// Spatial extents of the output; [`Deconv::natural_extent`] is usual.
    pub output: Vec<usize>,
    /// There is a third input.
    pub bias: bool,
}

impl Deconv {
    /// The extent of an axis by ONNX's rule, `adjustment` being its `output_padding`: zero where the padding eats all.
    pub fn natural_extent(
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        pads: (usize, usize),
        adjustment: usize,
    ) -> usize {
        if input == 0 {
            return 0;
        }
        (stride * (input - 1) + adjustment + (kernel - 1) * dilation + 1).saturating_sub(pads.0 + pads.1)
    }

    /// Extents of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        [&[self.input[0], self.channels_out], self.output.as_slice()].concat()
    }

    /// Extents of the weights.
    pub fn weights_shape(&self) -> Vec<usize> {
        [&[self.input[1], self.channels_out / self.groups], self.kernel.as_slice()].concat()
    }

    fn check(&self, io: Io) -> Result<(), NoKernel> {
        let spatial = self.kernel.len();
        if !(1..=SPATIAL_MAX).contains(&spatial) {
            return Err(NoKernel(format!("{spatial} spatial axes, the kernel walks 1 to {SPATIAL_MAX}")));
        }
        if self.strides.iter().chain(&self.dilations).chain(&self.kernel).any(|&v| v == 0) || self.groups == 0 {
            return Err(NoKernel("a stride, dilation, kernel or group count of zero".into()));
        }
        if !self.input[1].is_multiple_of(self.groups) || !self.channels_out.is_multiple_of(self.groups) {
            let channels = (self.input[1], self.channels_out);
            return Err(NoKernel(format!("{} groups of {channels:?} channels", self.groups)));
        }
        if io.inputs.iter().chain(io.outputs).any(|o| o.dtype != DType::F32) {
            return Err(NoKernel("a transposed convolution of other types than f32".into()));
        }
        let mut expected = vec![self.input.clone(), self.weights_shape()];
        expected.extend(self.bias.then(|| vec![self.channels_out]));
        let found: Vec<_> = io.inputs.iter().map(|o| o.view.shape.clone()).collect();
        if found != expected || io.outputs[0].view.shape != self.output_shape() {
            return Err(NoKernel(format!("operands of shapes {found:?}, a transposed convolution of {expected:?}")));
        }
        Ok(())
    }
}

impl Operator for Deconv {
    fn kind(&self) -> String {
        let kernel: Vec<String> = self.kernel.iter().map(usize::to_string).collect();
        format!("deconv {}", kernel.join("x"))
    }

    fn flops(&self) -> u64 {
        2 * (volume(&self.input) * volume(&self.weights_shape()[1..])) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        self.check(io)?;
        let (input, weights, output) = (&io.inputs[0], &io.inputs[1], &io.outputs[0]);
        if output.view.volume() == 0 {
            return Ok(Vec::new());
        }
        let [stride, dilation] = [&self.strides, &self.dilations].map(|v| spatial_words(v, 1));
        let extent = spatial_words(&self.output, 1);
        // Places of the largest class along each axis; a class that has fewer leaves some items without work.
        let places: [u32; SPATIAL_MAX] = std::array::from_fn(|k| extent[k].div_ceil(stride[k]));
        let per_row = places[2].div_ceil(COLUMNS);
        let columns = places[2].div_ceil(per_row);
        let group_out = self.channels_out / self.groups;
        let rows = rows(group_out);
        let blocks = group_out.div_ceil(rows);
        let lanes = lanes(caps);
        let items = [places[0], places[1], per_row].iter().map(|&p| p as usize).product::<usize>() * self.input[0];
        let chunks = tiles_of(items, lanes)?;
        let classes: usize = stride.iter().map(|&s| s as usize).product();
        let divisor: [u32; SPATIAL_MAX] = std::array::from_fn(|k| gcd(stride[k], dilation[k]));
        let op = DeconvOp {
            items: tiles_of(items, 1)?,
            chunks,
            groups: self.groups as u32,
            group_in: (self.input[1] / self.groups) as u32,
            group_out: group_out as u32,
            blocks: blocks as u32,
            input: spatial_words(&self.input[2..], 1),
            output: extent,
            kernel: spatial_words(&self.kernel, 1),
            stride,
            dilation,
            before: spatial_words(&self.before, 0),
            places,
            divisor,
            inverse: std::array::from_fn(|k| inverse(dilation[k] / divisor[k], stride[k] / divisor[k])),
            columns: per_row,
            x: input.view.offset as u32,
            x_strides: image_strides(&input.view),
            w: weights.view.offset as u32,
            w_strides: image_strides(&weights.view),
            b: io.inputs.get(2).map_or(0, |b| b.view.offset as u32),
            b_stride: io.inputs.get(2).map_or(0, |b| stride_word(b.view.strides[0])),
            y: output.view.offset as u32,
            y_strides: image_strides(&output.view),
        };
        let in_weights = |k: usize| u32::from(io.inputs.get(k).is_some_and(|o| o.space == Space::Weights));
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("ROWS", rows as u32),
                ("COLUMNS", columns),
                ("SG", shared_rows(caps, lanes, rows as u32)),
                ("BIAS", u32::from(self.bias)),
                ("X_IN_WEIGHTS", in_weights(0)),
                ("W_IN_WEIGHTS", in_weights(1)),
                ("B_IN_WEIGHTS", in_weights(2)),
            ],
            lanes,
            chain: None,
        };
        let taps: [u64; 3] = std::array::from_fn(|k| u64::from(op.kernel[k].div_ceil(stride[k] / divisor[k])));
        let sums = u64::from(op.group_in) * (2 + taps[0] * (2 + taps[1] * (2 + taps[2])));
        let stores = rows as u64 * (u64::from(columns) + 2);
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: tiles_of(chunks as usize * classes * blocks * self.groups, 1)?,
            tile_iterations: tile_iterations(sums + stores)?,
        }])
    }

    /// Output channels, or whole groups where there are several.
    fn divisions(&self) -> Vec<Division<'_>> {
        let spatial = self.kernel.len();
        let (group_in, group_out) = (self.input[1] / self.groups.max(1), self.channels_out / self.groups.max(1));
        let channels = |per_unit| Some(CutAxis { from_last: spatial, per_unit });
        let bias = |per_unit| Some(CutAxis { from_last: 0, per_unit });
        vec![match self.groups {
            0 => return Vec::new(),
            1 => Division {
                units: self.channels_out,
                inputs: vec![None, channels(1)],
                further: bias(1),
                outputs: channels(1),
                part: Box::new(|units| Box::new(Deconv { channels_out: units.len(), ..self.clone() })),
            },
            groups => Division {
                units: groups,
                inputs: vec![channels(group_in), Some(CutAxis { from_last: spatial + 1, per_unit: group_in })],
                further: bias(group_out),
                outputs: channels(group_out),
                part: Box::new(move |units| {
                    let mut part = self.clone();
                    part.input[1] = group_in * units.len();
                    part.channels_out = group_out * units.len();
                    part.groups = units.len();
                    Box::new(part)
                }),
            },
        }]
    }

    fn sums_products(&self) -> bool {
        true
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let (x, w) = (inputs[0].to_f64(), inputs[1].to_f64());
        let [input, output] = [&self.input[2..], &self.output].map(|v| spatial_words(v, 1).map(|d| d as usize));
        let [kernel, stride, dilation] =
            [&self.kernel, &self.strides, &self.dilations].map(|v| spatial_words(v, 1).map(|d| d as usize));
        let before = spatial_words(&self.before, 0).map(|d| d as usize);
        let (group_in, group_out) = (self.input[1] / self.groups, self.channels_out / self.groups);
        let [x_plane, y_plane, w_plane] = [input, output, kernel].map(|v| v.iter().product::<usize>());
        let unravel = |at: usize, dims: [usize; 3]| [at / (dims[1] * dims[2]), at / dims[2] % dims[1], at % dims[2]];
        let mut y = vec![0.0; self.input[0] * self.channels_out * y_plane];
        if self.bias {
            let bias = inputs[2].to_f64();
            y.iter_mut().enumerate().for_each(|(at, y)| *y = bias[at / y_plane % self.channels_out]);
        }
        // Scatter, as the definition says.
        for image in 0..self.input[0] * self.input[1] {
            let (n, c) = (image / self.input[1], image % self.input[1]);
            for from in 0..x_plane {
                let value = x[image * x_plane + from];
                let from = unravel(from, input);
                for m in 0..group_out {
                    for tap in 0..w_plane {
                        let weight = w[(c * group_out + m) * w_plane + tap];
                        let tap = unravel(tap, kernel);
                        let to: [usize; 3] = std::array::from_fn(|k| {
                            (from[k] * stride[k] + tap[k] * dilation[k]).wrapping_sub(before[k])
                        });
                        if (0..3).all(|k| to[k] < output[k]) {
                            let channel = n * self.channels_out + c / group_in * group_out + m;
                            y[channel * y_plane + (to[0] * output[1] + to[1]) * output[2] + to[2]] += value * weight;
                        }
                    }
                }
            }
        }
        vec![HostTensor::from_f32(&self.output_shape(), &y.iter().map(|&v| v as f32).collect::<Vec<_>>())]
    }
}

fn rows(channels: usize) -> usize {
    if channels < ROWS[2] {
        return channels;
    }
    let padded = |rows: &usize| channels.div_ceil(*rows) * rows;
    ROWS.into_iter().min_by_key(padded).expect("there are some")
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The number below `modulus` whose product with `a` leaves 1; they have no divisor divisor. 0 for modulus 1.
fn inverse(a: u32, modulus: u32) -> u32 {
    (0..modulus).find(|&i| u64::from(i) * u64::from(a) % u64::from(modulus) == 1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tap_of_a_class_by_inverse_is_the_one_by_search() {
        for stride in 1..9 {
            for dilation in 1..9 {
                let divisor = gcd(stride, dilation);
                let inverse = inverse(dilation / divisor, stride / divisor);
                for phase in 0..stride {
                    let searched = (0..stride).find(|k| k * dilation % stride == phase);
                    let computed = (phase % divisor == 0).then(|| phase / divisor * inverse % (stride / divisor));
                    assert_eq!(computed, searched, "stride {stride}, dilation {dilation}, phase {phase}");
                }
            }
        }
    }

    #[test]
    fn extents_follow_onnx() {
        assert_eq!(Deconv::natural_extent(3, 3, 3, 1, (0, 0), 1), 10);
        assert_eq!(Deconv::natural_extent(3, 3, 3, 1, (1, 2), 0), 6);
        assert_eq!(Deconv::natural_extent(3, 2, 1, 2, (0, 0), 0), 5);
        assert_eq!(Deconv::natural_extent(0, 2, 1, 2, (0, 0), 0), 0);
    }
}
