//! Sampling at given places: every mode and border, and places that are no places.

use cotenant::hal::Device;
use cotenant::kernel::{GridSample, SampleMode, SamplePadding};
use cotenant::tensor::{DType, HostTensor, volume};
use rand::Rng;
use rand::rngs::StdRng;

const MODES: [SampleMode; 3] = [SampleMode::Nearest, SampleMode::Linear, SampleMode::Cubic];
const PADDINGS: [SamplePadding; 3] = [SamplePadding::Zeros, SamplePadding::Border, SamplePadding::Reflection];

/// Samples a random image at random places up to `reach` away from its middle; every seventh is one of `special`.
fn check(devices: &mut [Box<dyn Device>], sample: &GridSample, reach: f32, special: &[f32], rng: &mut StdRng) {
    let image = crate::common::random(DType::F32, &sample.input, rng);
    let n = volume(&sample.grid_shape());
    let mut places: Vec<f32> = (0..n).map(|_| rng.random_range(-reach..reach)).collect();
    if !special.is_empty() {
        places.iter_mut().step_by(7).for_each(|p| *p = special[rng.random_range(0..special.len())]);
    }
    let grid = HostTensor::from_f32(&sample.grid_shape(), &places);
    crate::common::check_operator(devices, sample, &[image, grid], 1e-4, rng);
}

fn every(input: &[usize], output: &[usize], mut run: impl FnMut(&GridSample)) {
    for mode in MODES {
        for padding in PADDINGS {
            for align_corners in [false, true] {
                run(&GridSample { mode, padding, align_corners, input: input.to_vec(), output: output.to_vec() });
            }
        }
    }
}

#[test]
fn every_mode_and_border() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let special = [-1.0, 1.0, 0.0, 0.5, -0.5, 2.0, -3.0];
    every(&[2, 5, 6, 7], &[4, 3], |s| check(&mut devices, s, 1.9, &special, rng));
    every(&[1, 2, 4, 3, 5], &[2, 3, 2], |s| check(&mut devices, s, 1.5, &[], rng));
    every(&[1, 3, 9], &[8], |s| check(&mut devices, s, 1.5, &[], rng));
    every(&[1, 1, 1, 2], &[3, 3], |s| check(&mut devices, s, 0.9, &[], rng));
}

#[test]
fn a_place_that_is_no_number_gives_none_and_reads_nothing_else() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    every(&[1, 3, 5, 6], &[4, 6], |s| check(&mut devices, s, 1.2, &[f32::NAN], rng));
}

#[test]
fn far_places_lie_beside_the_image() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let special = [f32::INFINITY, f32::NEG_INFINITY, 3e38, -3e38, 1e9, -1e9];
    every(&[1, 3, 5, 6], &[4, 6], |s| {
        if s.padding != SamplePadding::Reflection {
            check(&mut devices, s, 1.2, &special, rng);
        }
    });
}

#[test]
fn empty_outputs_need_no_launch() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    every(&[1, 3, 5, 6], &[0, 6], |s| check(&mut devices, s, 1.0, &[], rng));
}
