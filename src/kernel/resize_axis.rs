//! One axis of a resizing: from an output's place to elements of the input and their weights, by ONNX's rules. Follows
//! ONNX's reference implementation where the text leaves something open: scaled extents are not rounded, and places are
//! computed in 64 bits from the scale that the model gives in 32 (or from the extents). Runtimes compute them in 32 bits
//! and take the other neighbour where a place lies within that rounding of a tie: scale 1.7, say, at every tenth place.

/// How values between elements come about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ResizeMode {
    /// The nearest element.
    Nearest(Nearest),
    /// From two neighbours.
    Linear {
        /// Shrinking averages over all that falls into an output.
        antialias: bool,
        /// Neighbours outside of the input do not count, instead of being the border's element.
        exclude_outside: bool,
    },
    /// From four neighbours, by cubic convolution.
    Cubic {
        /// The coefficient: -0.75 or -0.5 as a rule.
        a: f64,
        /// As for `Linear`.
        antialias: bool,
        /// As for `Linear`.
        exclude_outside: bool,
    },
}

/// Which of two neighbours is nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// Halves go down.
    RoundPreferFloor,
    /// Halves go up.
    RoundPreferCeil,
    /// The lower one.
    Floor,
    /// The upper one.
    Ceil,
}

/// From an output's place `p` to a place in the input, `s` being the scale, `n` and `m` the extents of input and output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coordinates {
    /// `(p + ½) / s − ½`
    HalfPixel,
    /// As `HalfPixel`, but 0 for an output of one element.
    PytorchHalfPixel,
    /// `p (n − 1) / (s n − 1)`
    AlignCorners,
    /// `p / s`
    Asymmetric,
    /// `(p + ½) / s`
    TfHalfPixelForNn,
    /// As `HalfPixel`, with the middles of the scaled and the rounded output on each other.
    HalfPixelSymmetric,
    /// A part of the input, in fractions of its last index; outputs beyond the input have a value of their own.
    TfCropAndResize {
        /// Where the part begins.
        start: f32,
        /// Where it ends.
        end: f32,
    },
}

/// What happens to one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct ResizeAxis {
    /// Its number.
    pub axis: usize,
    /// Its extent afterwards.
    pub output: usize,
    /// Output over input, as the model gives it; not quite the ratio of the extents where that was rounded.
    pub scale: f64,
    /// How places correspond.
    pub coordinates: Coordinates,
}

impl ResizeAxis {
    /// To the given extent, stretching.
    pub fn to_extent(axis: usize, input: usize, output: usize, coordinates: Coordinates) -> ResizeAxis {
        ResizeAxis { axis, output, scale: output as f64 / input as f64, coordinates }
    }

    /// By the given factor; the extent is rounded down, in single precision as ONNX's shape inference does.
    pub fn by_scale(axis: usize, input: usize, scale: f32, coordinates: Coordinates) -> ResizeAxis {
        ResizeAxis { axis, output: (input as f32 * scale) as usize, scale: f64::from(scale), coordinates }
    }

    /// Elements that each output takes.
    pub fn n_taps(&self, mode: ResizeMode) -> usize {
        let (support, antialias) = match mode {
            ResizeMode::Nearest(_) => return 1,
            ResizeMode::Linear { antialias, .. } => (1.0, antialias),
            ResizeMode::Cubic { antialias, .. } => (2.0, antialias),
        };
        let scale = if antialias { self.scale.min(1.0) } else { 1.0 };
        let first = (-support / scale).floor() as i64 + 1;
        (2 - 2 * first) as usize
    }

    /// Index and weight of the elements of an axis of extent `input` that output `place` takes; `None` for outside.
    pub fn taps(&self, mode: ResizeMode, input: usize, place: usize) -> Option<Vec<(usize, f64)>> {
        let at = self.place_in_input(input, place)?;
        let inside = |index: f64| index.clamp(0.0, input as f64 - 1.0) as usize;
        let (antialias, exclude_outside) = match mode {
            ResizeMode::Nearest(nearest) => return Some(vec![(inside(nearest.pick(at)), 1.0)]),
            ResizeMode::Linear { antialias, exclude_outside } => (antialias, exclude_outside),
            ResizeMode::Cubic { antialias, exclude_outside, .. } => (antialias, exclude_outside),
        };
        let stretch = if antialias { self.scale.min(1.0) } else { 1.0 };
        let n = self.n_taps(mode);
        // The element before `at`, which is at most one away: of an even number of taps half lie at or before it.
        let first = at.ceil() - n as f64 / 2.0;
        let mut taps = Vec::with_capacity(n);
        for k in 0..n {
            let index = first + k as f64;
            let distance = ((index - at) * stretch).abs();
            let weight = match mode {
                ResizeMode::Cubic { a, .. } => cubic(distance, a),
                _ => (1.0 - distance).max(0.0),
            };
            let excluded = exclude_outside && !(0.0..input as f64).contains(&index);
            taps.push((inside(index), if excluded { 0.0 } else { weight }));
        }
        if exclude_outside || stretch != 1.0 {
            let sum: f64 = taps.iter().map(|t| t.1).sum();
            taps.iter_mut().for_each(|t| t.1 /= sum);
        }
        Some(taps)
    }

    fn place_in_input(&self, input: usize, place: usize) -> Option<f64> {
        let (p, n, scale) = (place as f64, input as f64, self.scale);
        let scaled = self.scaled_extent(input);
        let half_pixel = (p + 0.5) / scale - 0.5;
        Some(match self.coordinates {
            Coordinates::HalfPixel => half_pixel,
            Coordinates::PytorchHalfPixel => {
                if self.output > 1 {
                    half_pixel
                } else {
                    0.0
                }
            }
            Coordinates::AlignCorners => {
                if scaled == 1.0 || self.output == 1 {
                    0.0
                } else {
                    p * (n - 1.0) / (scaled - 1.0)
                }
            }
            Coordinates::Asymmetric => p / scale,
            Coordinates::TfHalfPixelForNn => (p + 0.5) / scale,
            Coordinates::HalfPixelSymmetric => n / 2.0 * (1.0 - self.output as f64 / scaled) + half_pixel,
            Coordinates::TfCropAndResize { start, end } => {
                // The part's length and beginning are 32-bit numbers, so that its last place lies on its end exactly.
                let part = f64::from(end - start);
                let first = f64::from(start * (input as f32 - 1.0));
                let along =
                    if self.output == 1 { part * (n - 1.0) / 2.0 } else { p * part * (n - 1.0) / (scaled - 1.0) };
                let at = along + first;
                if !(0.0..=n - 1.0).contains(&at) {
                    return None;
                }
                at
            }
        })
    }

    /// The input's extent times the scale; a scale of 32 bits gives a product of 32 bits.
    fn scaled_extent(&self, input: usize) -> f64 {
        let single = self.scale as f32;
        if f64::from(single) == self.scale { f64::from(single * input as f32) } else { self.scale * input as f64 }
    }
}

impl Nearest {
    fn pick(self, at: f64) -> f64 {
        let below = at.floor();
        // Exact: a place that is just short of a half stays so.
        let above = at - below;
        match self {
            Nearest::RoundPreferFloor => below + f64::from(above > 0.5),
            Nearest::RoundPreferCeil => below + f64::from(above >= 0.5),
            Nearest::Floor => below,
            Nearest::Ceil => at.ceil(),
        }
    }
}

/// The cubic convolution kernel at distance `x`, with coefficient `a`.
fn cubic(x: f64, a: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(mode: ResizeMode, coordinates: Coordinates, input: usize, output: usize) -> Vec<usize> {
        let axis = ResizeAxis::to_extent(0, input, output, coordinates);
        (0..output).flat_map(|p| axis.taps(mode, input, p).unwrap()).map(|t| t.0).collect()
    }

    #[test]
    fn halves_go_as_the_mode_says() {
        let pick = |nearest, coordinates| indices(ResizeMode::Nearest(nearest), coordinates, 4, 8);
        assert_eq!(pick(Nearest::RoundPreferFloor, Coordinates::Asymmetric), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(pick(Nearest::RoundPreferCeil, Coordinates::Asymmetric), [0, 1, 1, 2, 2, 3, 3, 3]);
        assert_eq!(pick(Nearest::Floor, Coordinates::HalfPixel), [0, 0, 0, 1, 1, 2, 2, 3]);
        assert_eq!(pick(Nearest::Ceil, Coordinates::HalfPixel), [0, 1, 1, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn weights_add_up_to_one() {
        for antialias in [false, true] {
            for exclude_outside in [false, true] {
                let linear = ResizeMode::Linear { antialias, exclude_outside };
                let cubic = ResizeMode::Cubic { a: -0.75, antialias, exclude_outside };
                for (mode, output) in [(linear, 3), (linear, 11), (cubic, 3), (cubic, 11)] {
                    let axis = ResizeAxis::to_extent(0, 7, output, Coordinates::HalfPixel);
                    for place in 0..output {
                        let taps = axis.taps(mode, 7, place).unwrap();
                        assert_eq!(taps.len(), axis.n_taps(mode));
                        let sum: f64 = taps.iter().map(|t| t.1).sum();
                        assert!((sum - 1.0).abs() < 1e-12, "{mode:?} to {output}: {taps:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_crop_marks_what_lies_outside() {
        let crop = Coordinates::TfCropAndResize { start: -0.5, end: 1.0 };
        let axis = ResizeAxis::to_extent(0, 5, 4, crop);
        let mode = ResizeMode::Nearest(Nearest::Floor);
        let found: Vec<_> = (0..4).map(|p| axis.taps(mode, 5, p).map(|t| t[0].0)).collect();
        assert_eq!(found, [None, Some(0), Some(2), Some(4)]);
    }

    #[test]
    fn the_edge_of_a_crop_is_inside() {
        // 0.2, 0.8 and 1.2 have no exact form: in 64 bits the fifth place would be 10.000000149, outside.
        for (start, end, outside) in [(0.2, 1.2, vec![5]), (-0.2, 0.8, vec![0]), (0.0, 1.0, vec![]), (0.1, 0.8, vec![])]
        {
            let axis = ResizeAxis::to_extent(0, 11, 6, Coordinates::TfCropAndResize { start, end });
            let linear = ResizeMode::Linear { antialias: false, exclude_outside: false };
            let found: Vec<usize> = (0..6).filter(|&p| axis.taps(linear, 11, p).is_none()).collect();
            assert_eq!(found, outside, "{start} to {end}");
        }
    }

    #[test]
    fn scales_without_an_exact_form_round_as_the_reference_implementation_does() {
        // Each row: 10 p / scale as ONNX's reference evaluator computes it, for scales a little above or below a decimal.
        let floors = |scale: f32, coordinates| -> Vec<usize> {
            let axis = ResizeAxis::by_scale(0, 40, scale, coordinates);
            let mode = ResizeMode::Nearest(Nearest::Floor);
            (0..axis.output).map(|p| axis.taps(mode, 40, p).unwrap()[0].0).collect()
        };
        // 1.7 in 32 bits is above 1.7, so that place 17 lies just below 10; 0.6 is above, 1.3 below.
        assert_eq!(floors(1.7, Coordinates::Asymmetric)[16..19], [9, 9, 10]);
        assert_eq!(floors(0.6, Coordinates::Asymmetric)[2..5], [3, 4, 6]);
        assert_eq!(floors(1.3, Coordinates::Asymmetric)[12..15], [9, 10, 10]);
        let corners = floors(0.3, Coordinates::AlignCorners);
        assert_eq!((corners.len(), corners[0], corners[11]), (12, 0, 39));
    }

    #[test]
    fn a_place_just_short_of_a_half_is_not_a_tie() {
        let short = 0.5f64.next_down();
        assert_eq!([Nearest::RoundPreferCeil.pick(short), Nearest::RoundPreferCeil.pick(0.5)], [0.0, 1.0]);
        assert_eq!([Nearest::RoundPreferFloor.pick(0.5), Nearest::RoundPreferFloor.pick(0.5f64.next_up())], [0.0, 1.0]);
        assert_eq!([Nearest::RoundPreferFloor.pick(-1.5), Nearest::RoundPreferCeil.pick(-1.5)], [-2.0, -1.0]);
    }
}
