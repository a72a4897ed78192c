//! Resizing: every mode and coordinate rule, one to four axes of tensors of rank up to six.

use cotenant::hal::Device;
use cotenant::kernel::{Coordinates, Nearest, Resize, ResizeAxis, ResizeMode};
use cotenant::tensor::{DType, HostTensor};
use rand::rngs::StdRng;

const NEAREST: [ResizeMode; 4] = [
    ResizeMode::Nearest(Nearest::RoundPreferFloor),
    ResizeMode::Nearest(Nearest::RoundPreferCeil),
    ResizeMode::Nearest(Nearest::Floor),
    ResizeMode::Nearest(Nearest::Ceil),
];

fn linear(antialias: bool, exclude_outside: bool) -> ResizeMode {
    ResizeMode::Linear { antialias, exclude_outside }
}

fn cubic(antialias: bool, exclude_outside: bool) -> ResizeMode {
    ResizeMode::Cubic { a: -0.75, antialias, exclude_outside }
}

const COORDINATES: [Coordinates; 7] = [
    Coordinates::HalfPixel,
    Coordinates::PytorchHalfPixel,
    Coordinates::AlignCorners,
    Coordinates::Asymmetric,
    Coordinates::TfHalfPixelForNn,
    Coordinates::HalfPixelSymmetric,
    Coordinates::TfCropAndResize { start: -0.2, end: 0.9 },
];

fn check_tensor(devices: &mut [Box<dyn Device>], resize: &Resize, input: HostTensor, rng: &mut StdRng) {
    let mut inputs = vec![input];
    inputs.extend(resize.tables());
    crate::common::check_operator(devices, resize, &inputs, 1e-5, rng);
}

/// Resizes `axes` (number, extent afterwards) of a random tensor.
fn check(
    devices: &mut [Box<dyn Device>],
    mode: ResizeMode,
    coordinates: Coordinates,
    input: &[usize],
    axes: &[(usize, usize)],
    dtype: DType,
    rng: &mut StdRng,
) {
    let axes = axes.iter().map(|&(a, to)| ResizeAxis::to_extent(a, input[a], to, coordinates)).collect();
    let resize = Resize { mode, input: input.to_vec(), axes, outside: 7.5 };
    let tensor = crate::common::random(dtype, input, rng);
    check_tensor(devices, &resize, tensor, rng);
}

#[test]
fn every_mode_and_coordinate_rule() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let modes = [linear(false, false), linear(true, true), cubic(false, true), cubic(true, false)];
    for mode in NEAREST.into_iter().chain(modes) {
        for coordinates in COORDINATES {
            check(&mut devices, mode, coordinates, &[1, 3, 5, 4], &[(2, 7), (3, 9)], DType::F32, rng);
            check(&mut devices, mode, coordinates, &[1, 2, 9, 7], &[(2, 4), (3, 1)], DType::F32, rng);
        }
    }
}

#[test]
fn one_to_four_axes_of_any_tensor() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let half = Coordinates::HalfPixel;
    for mode in [NEAREST[0], linear(false, false)] {
        check(&mut devices, mode, half, &[9], &[(0, 13)], DType::F32, rng);
        check(&mut devices, mode, half, &[2, 3, 6], &[(1, 7)], DType::F32, rng);
        check(&mut devices, mode, half, &[5, 6, 3], &[(1, 4), (0, 9)], DType::F32, rng);
        check(&mut devices, mode, half, &[2, 2, 3, 4, 5], &[(2, 5), (3, 3), (4, 6)], DType::F32, rng);
        check(&mut devices, mode, half, &[2, 3, 3, 2], &[(0, 3), (1, 2), (2, 4), (3, 3)], DType::F32, rng);
        check(&mut devices, mode, half, &[2, 3, 2, 3, 1, 4], &[(1, 2), (5, 7)], DType::F32, rng);
        check(&mut devices, mode, half, &[0, 3, 4, 4], &[(2, 8), (3, 8)], DType::F32, rng);
        check(&mut devices, mode, half, &[1, 3, 1, 1], &[(2, 8), (3, 8)], DType::F32, rng);
    }
}

#[test]
fn nearest_copies_any_word() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    for dtype in [DType::I32, DType::I64, DType::Bool] {
        let axes = [(2, 10), (3, 8)];
        check(&mut devices, NEAREST[2], Coordinates::Asymmetric, &[2, 3, 5, 4], &axes, dtype, rng);
    }
}

#[test]
fn an_infinite_neighbour_of_weight_zero_does_no_harm() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let axes = vec![ResizeAxis::to_extent(1, 4, 8, Coordinates::Asymmetric)];
    let resize = Resize { mode: linear(false, false), input: vec![2, 4], axes, outside: 0.0 };
    let values = [1.0, f32::INFINITY, 3.0, 4.0, 5.0, f32::NAN, 7.0, 8.0];
    check_tensor(&mut devices, &resize, HostTensor::from_f32(&[2, 4], &values), rng);
}

#[test]
fn scales_need_not_divide() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    for mode in [NEAREST[0], linear(false, false), linear(true, false), cubic(false, false)] {
        for coordinates in COORDINATES {
            let axes =
                vec![ResizeAxis::by_scale(2, 10, 0.61, coordinates), ResizeAxis::by_scale(3, 9, 1.37, coordinates)];
            let resize = Resize { mode, input: vec![1, 5, 10, 9], axes, outside: -1.0 };
            let input = crate::common::random(DType::F32, &resize.input, rng);
            check_tensor(&mut devices, &resize, input, rng);
        }
    }
}
