//! The sliding window of a pooling operator: how far it reaches, where it begins, and how many places it has. Spatial
//! axes only; kernels see three of them, the missing ones in front having one place.

use super::{NoKernel, stride_word};
use crate::hal::{DeviceCaps, DeviceKind};
use crate::tensor::View;

/// Spatial axes that the windowed kernels walk.
pub(super) const SPATIAL_MAX: usize = 3;
/// Loop iterations of one tile that a kernel may need: what lavapipe allows, with room for the walk itself.
pub(super) const TILE_ITERATIONS_MAX: u64 = 60_000;

/// How the borders of the input are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Given places before and after each axis.
    Explicit {
        /// Places before the first element.
        before: Vec<usize>,
        /// Places after the last element.
        after: Vec<usize>,
        /// A last window that reaches beyond the padding counts too, if it begins inside the input or its front padding.
        ceil: bool,
    },
    /// None.
    Valid,
    /// As much as gives ⌈input / stride⌉ places; an odd one lies behind.
    SameUpper,
    /// As much as gives ⌈input / stride⌉ places; an odd one lies in front.
    SameLower,
}

/// A window over spatial axes. All fields have one entry per axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Extents of the input.
    pub input: Vec<usize>,
    /// Places of the window.
    pub output: Vec<usize>,
    /// Taps.
    pub kernel: Vec<usize>,
    /// Steps between places.
    pub strides: Vec<usize>,
    /// Steps between taps.
    pub dilations: Vec<usize>,
    /// Padding in front.
    pub before: Vec<usize>,
    /// Padding behind; an overhang of the last window is beyond it.
    pub after: Vec<usize>,
}

impl Window {
    /// The window with its places counted by ONNX's rules. Kernels, strides and dilations must not be zero.
    ///
    /// # Errors
    /// A sentence that names the axis and the attribute that does not fit.
    pub fn new(
        input: &[usize],
        kernel: &[usize],
        strides: &[usize],
        dilations: &[usize],
        padding: &Padding,
    ) -> Result<Window, String> {
        let rank = input.len();
        let lengths = [kernel.len(), strides.len(), dilations.len()];
        if lengths.iter().any(|&l| l != rank) {
            return Err(format!("{rank} spatial axes, but kernel, strides and dilations have {lengths:?} entries"));
        }
        if let Padding::Explicit { before, after, .. } = padding
            && (before.len() != rank || after.len() != rank)
        {
            return Err(format!("{rank} spatial axes, but pads for {} and {}", before.len(), after.len()));
        }
        let mut window = Window {
            input: input.to_vec(),
            output: Vec::new(),
            kernel: kernel.to_vec(),
            strides: strides.to_vec(),
            dilations: dilations.to_vec(),
            before: Vec::new(),
            after: Vec::new(),
        };
        for axis in 0..rank {
            if kernel[axis] == 0 || strides[axis] == 0 || dilations[axis] == 0 {
                return Err(format!("spatial axis {axis}: kernel, stride and dilation must be at least 1"));
            }
            let (places, before, after) = window.places(axis, padding);
            window.output.push(places);
            window.before.push(before);
            window.after.push(after);
        }
        Ok(window)
    }

    /// Places and padding of one axis.
    fn places(&self, axis: usize, padding: &Padding) -> (usize, usize, usize) {
        let (input, stride) = (self.input[axis] as i64, self.strides[axis] as i64);
        let field = ((self.kernel[axis] - 1) * self.dilations[axis] + 1) as i64;
        let same = |odd_behind: bool| {
            let places = input.div_euclid(stride) + i64::from(input % stride != 0);
            let total = ((places - 1) * stride + field - input).max(0);
            let (less, more) = (total / 2, total - total / 2);
            if odd_behind { (places, less, more) } else { (places, more, less) }
        };
        let (places, before, after) = match padding {
            Padding::SameUpper => same(true),
            Padding::SameLower => same(false),
            Padding::Valid => ((input - field).div_euclid(stride) + 1, 0, 0),
            Padding::Explicit { before, after, ceil } => {
                let (before, after) = (before[axis] as i64, after[axis] as i64);
                let room = input + before + after - field;
                let mut places = if *ceil { -((-room).div_euclid(stride)) } else { room.div_euclid(stride) } + 1;
                if *ceil && (places - 1) * stride >= input + before {
                    places -= 1;
                }
                (places, before, after)
            }
        };
        (places.max(0) as usize, before as usize, after as usize)
    }

    /// Taps of one place.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
}

/// One entry per spatial axis as words, filled up at the front.
pub(super) fn spatial_words(values: &[usize], missing: u32) -> [u32; SPATIAL_MAX] {
    let mut words = [missing; SPATIAL_MAX];
    for (word, &value) in words[SPATIAL_MAX - values.len()..].iter_mut().zip(values) {
        *word = value as u32;
    }
    words
}

/// Strides of a view `[n, c, spatial…]` as words, the missing spatial axes with zero.
pub(super) fn image_strides(view: &View) -> [u32; SPATIAL_MAX + 2] {
    let mut words = [0; SPATIAL_MAX + 2];
    let spatial = view.shape.len() - 2;
    for (axis, &stride) in view.strides.iter().enumerate() {
        words[if axis < 2 { axis } else { axis + SPATIAL_MAX - spatial }] = stride_word(stride);
    }
    words
}

/// Lanes of a workgroup for kernels whose lanes do not work together: few where lanes are loop iterations of a CPU.
pub(super) fn independent_lanes(caps: &DeviceCaps) -> u32 {
    let wanted = if caps.kind == DeviceKind::SoftwareGpu { 8 } else { 64 };
    wanted.min(caps.limits.invocations_max)
}

/// The iterations of a tile as launches carry them.
///
/// # Errors
/// [`NoKernel`] where one output needs more than a tile may loop.
pub(super) fn tile_iterations(iterations: u64) -> Result<u32, NoKernel> {
    if iterations > TILE_ITERATIONS_MAX {
        return Err(NoKernel(format!("{iterations} iterations for one output, the limit is {TILE_ITERATIONS_MAX}")));
    }
    Ok(iterations as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(input: usize, kernel: usize, stride: usize, dilation: usize, padding: Padding) -> (usize, usize, usize) {
        let w = Window::new(&[input], &[kernel], &[stride], &[dilation], &padding).unwrap();
        (w.output[0], w.before[0], w.after[0])
    }

    fn explicit(before: usize, after: usize, ceil: bool) -> Padding {
        Padding::Explicit { before: vec![before], after: vec![after], ceil }
    }

    #[test]
    fn places_follow_onnx() {
        assert_eq!(places(28, 3, 1, 1, explicit(2, 2, true)), (30, 2, 2));
        assert_eq!(places(2, 1, 2, 1, explicit(0, 0, true)), (1, 0, 0));
        assert_eq!(places(12, 3, 3, 1, explicit(0, 0, false)), (4, 0, 0));
        assert_eq!(places(4, 3, 2, 1, explicit(0, 0, true)), (2, 0, 0));
        assert_eq!(places(32, 5, 3, 2, explicit(0, 0, true)), (9, 0, 0));
        assert_eq!(places(10, 2, 3, 1, Padding::Valid), (3, 0, 0));
        assert_eq!(places(1, 2, 3, 1, Padding::Valid), (0, 0, 0));
        assert_eq!(places(4, 3, 2, 1, Padding::SameUpper), (2, 0, 1));
        assert_eq!(places(10, 2, 3, 1, Padding::SameLower), (4, 1, 0));
        assert_eq!(places(1, 2, 1, 1, Padding::SameUpper), (1, 0, 1));
    }

    #[test]
    fn attributes_that_do_not_fit_are_named() {
        let wrong = Window::new(&[4, 4], &[2], &[1, 1], &[1, 1], &Padding::Valid);
        assert!(wrong.unwrap_err().contains("2 spatial axes"));
        let zero = Window::new(&[4], &[2], &[0], &[1], &Padding::Valid);
        assert!(zero.unwrap_err().contains("spatial axis 0"));
    }
}
