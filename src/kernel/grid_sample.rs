//! Sampling an image at places that a second tensor names, by nearest, linear or cubic interpolation (ONNX's
//! `GridSample`). Places are data: the kernel brings every index into range before it reads.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::tiling::lanes;
use super::window::{SPATIAL_MAX, image_strides, spatial_words};
use super::{Io, KernelLaunch, NoKernel, Operator, Space, stride_word, tiles_of};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{DType, HostTensor, volume};

/// Channels that one lane samples at most: they share the place.
const PER: usize = 4;
/// Places are brought this close before they are reflected, so that infinities stay numbers.
const FARTHEST: f32 = 16_777_216.0;

pub(super) const FILE: KernelFile = KernelFile {
    name: "grid_sample",
    source: include_str!("../../shaders/grid_sample.wgsl"),
    functions: &[],
    fields: GridSampleOp::FIELDS,
};

params! {
    struct GridSampleOp {
        items: u32,
        blocks: u32,
        channels: u32,
        input: [u32; SPATIAL_MAX],
        output: [u32; SPATIAL_MAX],
        x: u32,
        x_strides: [u32; SPATIAL_MAX + 2],
        grid: u32,
        grid_strides: [u32; SPATIAL_MAX + 2],
        y: u32,
        y_strides: [u32; SPATIAL_MAX + 2],
        nan: f32,
    }
}

/// How values between elements come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleMode {
    /// The nearest element; halves go to the even one.
    Nearest,
    /// From two neighbours along each axis.
    Linear,
    /// From four, by cubic convolution with coefficient -0.75.
    Cubic,
}

/// What lies beside the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplePadding {
    /// Zeros.
    Zeros,
    /// The nearest element of the border.
    Border,
    /// The input, mirrored.
    Reflection,
}

/// Samples `x [n, c, spatial…]` at `grid [n, out…, spatial axes]`, whose last axis holds places from -1 to 1, the
/// innermost spatial axis first; gives `[n, c, out…]`. A place that is NaN gives NaN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridSample {
    /// Interpolation.
    pub mode: SampleMode,
    /// What lies beside the input.
    pub padding: SamplePadding,
    /// -1 and 1 are the middles of the outermost elements, not their outer edges.
    pub align_corners: bool,
    /// Extents of `x`.
    pub input: Vec<usize>,
    /// Spatial extents of the output.
    pub output: Vec<usize>,
}

impl GridSample {
    /// Extents of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        [&self.input[..2], self.output.as_slice()].concat()
    }

    /// Extents of the grid.
    pub fn grid_shape(&self) -> Vec<usize> {
        [&self.input[..1], self.output.as_slice(), &[self.output.len()]].concat()
    }

    fn taps(&self) -> usize {
        match self.mode {
            SampleMode::Nearest => 1,
            SampleMode::Linear => 2,
            SampleMode::Cubic => 4,
        }
    }

    fn check(&self, io: Io) -> Result<(), NoKernel> {
        let spatial = self.output.len();
        if !(1..=SPATIAL_MAX).contains(&spatial) {
            return Err(NoKernel(format!("{spatial} spatial axes, the kernel walks 1 to {SPATIAL_MAX}")));
        }
        if io.inputs.iter().chain(io.outputs).any(|o| o.dtype != DType::F32) {
            return Err(NoKernel("sampling of other types than f32".into()));
        }
        let found = [&io.inputs[0], &io.inputs[1], &io.outputs[0]].map(|o| o.view.shape.clone());
        let expected = [self.input.clone(), self.grid_shape(), self.output_shape()];
        if found != expected {
            return Err(NoKernel(format!("operands of shapes {found:?}, a sampling of {expected:?}")));
        }
        Ok(())
    }

    /// Where a coordinate of the grid lies along an axis of extent `n`, padding applied; in single precision like the
    /// kernel, so that halves are the same halves.
    fn place(&self, coordinate: f32, n: usize) -> f32 {
        let length = n as f32;
        let mut at = if self.align_corners {
            (coordinate + 1.0) / 2.0 * (length - 1.0)
        } else {
            ((coordinate + 1.0) * length - 1.0) / 2.0
        };
        if self.mode == SampleMode::Nearest {
            at = at.round_ties_even();
        }
        let (low, high) = if self.align_corners { (0.0, length - 1.0) } else { (-0.5, length - 0.5) };
        match self.padding {
            SamplePadding::Border if at < low || at > high => at.clamp(0.0, length - 1.0),
            SamplePadding::Reflection if at < low || at > high => reflect(at, low, high),
            _ => at,
        }
    }

    /// The element that stands at index `i` of an axis of extent `n`; `None` for a zero.
    fn element(&self, i: i64, n: usize) -> Option<usize> {
        let last = n as i64 - 1;
        match self.padding {
            SamplePadding::Zeros => (0..=last).contains(&i).then_some(i as usize),
            SamplePadding::Border => Some(i.clamp(0, last) as usize),
            SamplePadding::Reflection => {
                let (low, high) = if self.align_corners { (0.0, n as f32 - 1.0) } else { (-0.5, n as f32 - 0.5) };
                Some((reflect(i as f32, low, high) as i64).clamp(0, last) as usize)
            }
        }
    }

    /// Index and weight of each tap along an axis.
    fn axis_taps(&self, at: f32) -> Vec<(i64, f64)> {
        let first = at.floor();
        let r = f64::from(at) - f64::from(first);
        let first = first.clamp(-FARTHEST, FARTHEST) as i64;
        match self.mode {
            SampleMode::Nearest => vec![(first, 1.0)],
            SampleMode::Linear => vec![(first, 1.0 - r), (first + 1, r)],
            SampleMode::Cubic => (-1..3).map(|k| (first + k, cubic((k as f64 - r).abs()))).collect(),
        }
    }
}

/// Mirrors a place into `[low, high]`; any number of times.
fn reflect(at: f32, low: f32, high: f32) -> f32 {
    let range = high - low;
    if range <= 0.0 {
        return low;
    }
    let at = at.clamp(-FARTHEST, FARTHEST);
    let (beyond, from_low) = if at < low { (low - at, true) } else { (at - high, false) };
    if beyond <= 0.0 {
        return at;
    }
    let times = (beyond / range).trunc();
    let rest = beyond - times * range;
    if (times % 2.0 == 0.0) == from_low { low + rest } else { high - rest }
}

/// The cubic convolution kernel at distance `x`.
fn cubic(x: f64) -> f64 {
    let a = -0.75;
    if x <= 1.0 { ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0 } else { ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a }
}

impl Operator for GridSample {
    fn kind(&self) -> String {
        let mode = match self.mode {
            SampleMode::Nearest => "nearest",
            SampleMode::Linear => "linear",
            SampleMode::Cubic => "cubic",
        };
        format!("grid-sample {mode}")
    }

    fn flops(&self) -> u64 {
        (volume(&self.output_shape()) * self.taps().pow(self.output.len() as u32) * 2) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        self.check(io)?;
        let (input, grid, output) = (&io.inputs[0], &io.inputs[1], &io.outputs[0]);
        if output.view.volume() == 0 {
            return Ok(Vec::new());
        }
        if input.view.volume() == 0 {
            return Err(NoKernel("sampling of an empty tensor".into()));
        }
        let channels = self.input[1];
        let per = channels.min(PER);
        let blocks = channels.div_ceil(per);
        let items = self.input[0] * blocks * volume(&self.output);
        // The grid as an image of one channel more at the end: [n, coordinates, out…].
        let last = self.output.len() + 1;
        let order: Vec<usize> = [0, last].into_iter().chain(1..last).collect();
        let op = GridSampleOp {
            items: tiles_of(items, 1)?,
            blocks: blocks as u32,
            channels: channels as u32,
            input: spatial_words(&self.input[2..], 1),
            output: spatial_words(&self.output, 1),
            x: input.view.offset as u32,
            x_strides: image_strides(&input.view),
            grid: grid.view.offset as u32,
            grid_strides: image_strides(&grid.view.permuted(&order)),
            y: output.view.offset as u32,
            y_strides: image_strides(&output.view),
            nan: f32::NAN,
        };
        debug_assert_eq!(op.grid_strides[1], stride_word(grid.view.strides[last]));
        let lanes = lanes(caps);
        let (taps, axes) = (self.taps() as u32, self.output.len() as u32);
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("PER", per as u32),
                ("AXES", axes),
                ("TAPS", taps),
                ("DEEP", if axes > 2 { taps } else { 1 }),
                ("HIGH", if axes > 1 { taps } else { 1 }),
                ("PADDING", self.padding as u32),
                ("ALIGN_CORNERS", u32::from(self.align_corners)),
                ("X_IN_WEIGHTS", u32::from(input.space == Space::Weights)),
                ("GRID_IN_WEIGHTS", u32::from(grid.space == Space::Weights)),
            ],
            lanes,
            chain: None,
        };
        let inner = taps * (per as u32 + 2) + 2;
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: tiles_of(items, lanes)?,
            tile_iterations: (taps * (taps * inner + 2) + 2) + 4 * (taps + 2) + 4 * per as u32,
        }])
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let (x, grid) = (inputs[0].to_f64(), inputs[1].to_f32());
        let (axes, dims) = (self.output.len(), &self.input[2..]);
        let (plane, places) = (volume(dims), volume(&self.output));
        let mut y = Vec::new();
        for image in 0..self.input[0] * self.input[1] {
            for place in 0..places {
                let at = ((image / self.input[1]) * places + place) * axes;
                // The grid names the innermost axis first.
                let coordinates: Vec<f32> = grid[at..at + axes].iter().rev().copied().collect();
                if coordinates.iter().any(|c| c.is_nan()) {
                    y.push(f32::NAN);
                    continue;
                }
                // Offset and weight of the taps so far, axis by axis.
                let mut terms = vec![(0, 1.0)];
                for (&coordinate, &n) in coordinates.iter().zip(dims) {
                    let taps = self.axis_taps(self.place(coordinate, n));
                    let known = taps.iter().filter_map(|&(i, w)| Some((self.element(i, n)?, w)));
                    let known: Vec<(usize, f64)> = known.collect();
                    terms = terms
                        .iter()
                        .flat_map(|&(offset, weight)| known.iter().map(move |&(i, w)| (offset * n + i, weight * w)))
                        .collect();
                }
                let terms = terms.iter().filter(|t| t.1 != 0.0);
                y.push(terms.map(|&(offset, weight)| x[image * plane + offset] * weight).sum::<f64>() as f32);
            }
        }
        vec![HostTensor::from_f32(&self.output_shape(), &y)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflections_stay_inside() {
        assert_eq!(reflect(-1.0, -0.5, 3.5), 0.0);
        assert_eq!(reflect(4.0, -0.5, 3.5), 3.0);
        assert_eq!(reflect(4.0, 0.0, 3.0), 2.0);
        assert_eq!(reflect(-7.0, 0.0, 3.0), 1.0);
        assert_eq!(reflect(5.0, 0.0, 0.0), 0.0);
        for at in [f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30] {
            assert!((-0.5..=3.5).contains(&reflect(at, -0.5, 3.5)));
        }
    }
}
