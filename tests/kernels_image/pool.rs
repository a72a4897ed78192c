//! Pooling on every device against its reference: all kinds, one to three axes, every border rule.

use cotenant::hal::Device;
use cotenant::kernel::{Padding, Pool, Pooling, Window};
use cotenant::tensor::{DType, HostTensor, volume};
use rand::Rng;
use rand::rngs::StdRng;

const ALL: [Pooling; 7] = [
    Pooling::Max,
    Pooling::MaxWithIndices { column_major: false },
    Pooling::MaxWithIndices { column_major: true },
    Pooling::Sum,
    Pooling::Average,
    Pooling::AverageWithPadding,
    Pooling::AverageOfWindow,
];

struct Case {
    input: Vec<usize>,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    padding: Padding,
}

fn check(devices: &mut [Box<dyn Device>], pooling: Pooling, case: &Case, special: bool, rng: &mut StdRng) {
    let window =
        Window::new(&case.input[2..], &case.kernel, &case.strides, &case.dilations, &case.padding).expect("a window");
    let pool = Pool { pooling, batch: case.input[0], channels: case.input[1], window };
    let mut input = crate::common::random(DType::F32, &case.input, rng);
    if special {
        let mut values = input.to_f32();
        for _ in 0..volume(&case.input) / 5 {
            let at = rng.random_range(0..values.len());
            values[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0][rng.random_range(0..4)];
        }
        input = HostTensor::from_f32(&case.input, &values);
    }
    crate::common::check_operator(devices, &pool, &[input], 1e-5, rng);
}

fn explicit(before: &[usize], after: &[usize], ceil: bool) -> Padding {
    Padding::Explicit { before: before.to_vec(), after: after.to_vec(), ceil }
}

fn case(input: &[usize], kernel: &[usize], strides: &[usize], dilations: &[usize], padding: Padding) -> Case {
    Case {
        input: input.to_vec(),
        kernel: kernel.to_vec(),
        strides: strides.to_vec(),
        dilations: dilations.to_vec(),
        padding,
    }
}

#[test]
fn every_kind_of_pooling_on_one_to_three_axes() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let cases = [
        case(&[2, 3, 17], &[3], &[2], &[1], explicit(&[1], &[1], false)),
        case(&[1, 5, 9, 11], &[3, 3], &[2, 2], &[1, 1], explicit(&[1, 0], &[0, 1], true)),
        case(&[2, 2, 7, 5], &[2, 3], &[1, 3], &[2, 1], Padding::SameUpper),
        case(&[1, 3, 8, 6], &[3, 2], &[3, 1], &[1, 2], Padding::SameLower),
        case(&[1, 2, 5, 6, 7], &[2, 3, 2], &[2, 1, 3], &[1, 2, 1], explicit(&[0, 1, 1], &[1, 1, 0], true)),
        case(&[1, 1, 1, 1], &[1, 1], &[1, 1], &[1, 1], Padding::Valid),
    ];
    for pooling in ALL {
        for case in &cases {
            check(&mut devices, pooling, case, false, rng);
        }
    }
}

#[test]
fn nan_and_infinity_come_through() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let case = case(&[2, 3, 9, 10], &[3, 3], &[2, 1], &[1, 1], explicit(&[1, 1], &[1, 1], false));
    for pooling in ALL {
        check(&mut devices, pooling, &case, true, rng);
    }
}

#[test]
fn windows_without_a_tap_on_the_input() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    // Taps at -2 and 1 of one element.
    let case = case(&[1, 2, 3, 1], &[1, 2], &[1, 1], &[1, 3], explicit(&[0, 2], &[0, 2], false));
    for pooling in ALL {
        check(&mut devices, pooling, &case, false, rng);
    }
}

#[test]
fn empty_outputs_need_no_launch() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    for input in [[0, 3, 4, 4], [2, 0, 4, 4], [2, 3, 1, 4]] {
        let case = case(&input, &[2, 2], &[1, 1], &[1, 1], Padding::Valid);
        check(&mut devices, Pooling::Max, &case, false, rng);
    }
}

#[test]
fn large_windows_and_whole_images() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let cases = [
        case(&[1, 3, 40, 33], &[40, 33], &[1, 1], &[1, 1], Padding::Valid),
        case(&[1, 9, 30, 30], &[13, 13], &[1, 1], &[1, 1], explicit(&[6, 6], &[6, 6], false)),
        case(&[1, 16, 28, 28], &[3, 3], &[2, 2], &[1, 1], explicit(&[1, 1], &[1, 1], false)),
    ];
    for pooling in [Pooling::Max, Pooling::Average] {
        for case in &cases {
            check(&mut devices, pooling, case, false, rng);
        }
    }
}
