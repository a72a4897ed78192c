//! Transposed convolutions: groups, strides, dilations, cut borders, adjustments, one to three axes.

use cotenant::hal::Device;
use cotenant::kernel::Deconv;
use cotenant::tensor::{DType, HostTensor};
use rand::rngs::StdRng;

/// One spatial axis: kernel, stride, dilation, pads before and after, adjustment.
type Axis = (usize, usize, usize, usize, usize, usize);

fn deconv(input: &[usize], channels_out: usize, groups: usize, axes: &[Axis], bias: bool) -> Deconv {
    let extents = input[2..].iter().zip(axes);
    Deconv {
        input: input.to_vec(),
        channels_out,
        groups,
        kernel: axes.iter().map(|a| a.0).collect(),
        strides: axes.iter().map(|a| a.1).collect(),
        dilations: axes.iter().map(|a| a.2).collect(),
        before: axes.iter().map(|a| a.3).collect(),
        output: extents.map(|(&n, a)| Deconv::natural_extent(n, a.0, a.1, a.2, (a.3, a.4), a.5)).collect(),
        bias,
    }
}

fn check(devices: &mut [Box<dyn Device>], deconv: &Deconv, rng: &mut StdRng) {
    let mut random = |shape: &[usize]| crate::common::random(DType::F32, shape, rng);
    let mut inputs = vec![random(&deconv.input), random(&deconv.weights_shape())];
    inputs.extend(deconv.bias.then(|| random(&[deconv.channels_out])));
    crate::common::check_operator(devices, deconv, &inputs, 1e-5, rng);
}

#[test]
fn groups_strides_dilations_and_borders() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let cases = [
        deconv(&[2, 3, 5], 4, 1, &[(3, 2, 1, 1, 1, 1)], true),
        deconv(&[1, 4, 9], 4, 4, &[(16, 8, 1, 4, 4, 0)], true),
        deconv(&[1, 3, 4, 5], 10, 1, &[(3, 2, 1, 1, 0, 0), (4, 3, 1, 0, 2, 0)], false),
        deconv(&[2, 6, 3, 4], 9, 3, &[(2, 2, 1, 0, 0, 0), (2, 2, 1, 0, 0, 0)], true),
        deconv(&[1, 2, 5, 7], 3, 1, &[(3, 2, 2, 1, 1, 0), (2, 3, 2, 0, 1, 2)], false),
        deconv(&[1, 2, 5, 7], 3, 1, &[(3, 4, 6, 1, 1, 0), (2, 6, 4, 0, 1, 2)], true),
        deconv(&[1, 8, 6, 6], 8, 8, &[(4, 2, 1, 1, 1, 0), (4, 2, 1, 1, 1, 0)], false),
        deconv(&[2, 2, 3, 4, 3], 3, 1, &[(2, 2, 1, 0, 0, 0), (3, 1, 2, 1, 1, 0), (3, 2, 1, 1, 1, 1)], true),
        deconv(&[1, 1, 1, 1], 1, 1, &[(1, 1, 1, 0, 0, 0), (1, 1, 1, 0, 0, 0)], false),
        // Kernels smaller than the stride leave outputs that nothing hits.
        deconv(&[1, 2, 3, 3], 2, 1, &[(1, 3, 1, 0, 0, 2), (2, 4, 1, 0, 0, 1)], true),
    ];
    for case in &cases {
        check(&mut devices, case, rng);
    }
}

#[test]
fn empty_tensors_and_long_sums() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let plain = [(3, 2, 1, 1, 1, 1), (3, 2, 1, 1, 1, 1)];
    for input in [[0, 3, 4, 4], [1, 3, 0, 4]] {
        check(&mut devices, &deconv(&input, 2, 1, &plain, true), rng);
    }
    check(&mut devices, &deconv(&[1, 0, 2, 2], 2, 1, &plain, true), rng);
    check(&mut devices, &deconv(&[1, 96, 8, 8], 48, 1, &[(4, 2, 1, 1, 1, 0), (4, 2, 1, 1, 1, 0)], true), rng);
}

#[test]
fn nan_and_infinity_come_through() {
    let mut devices = crate::common::devices();
    let rng = &mut crate::common::rng(rand::random());
    let case = deconv(&[1, 2, 5, 6], 3, 1, &[(3, 2, 1, 1, 1, 0), (3, 2, 1, 1, 1, 0)], false);
    let mut values = crate::common::random(DType::F32, &case.input, rng).to_f32();
    (values[7], values[40]) = (f32::NAN, f32::INFINITY);
    let inputs =
        [HostTensor::from_f32(&case.input, &values), crate::common::random(DType::F32, &case.weights_shape(), rng)];
    crate::common::check_operator(&mut devices, &case, &inputs, 1e-5, rng);
}
