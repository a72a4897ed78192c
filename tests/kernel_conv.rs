//! Convolutions of all kinds on every device, against plain loops in `f64`.

mod common;

use common::{assert_close, random, rng};
use cotenant::hal::{Chain, ChainArg, ChainStep, Device};
use cotenant::kernel::harness::{Placement, run_views};
use cotenant::kernel::{CONV_PACKED_ORDER, Conv, Epilogue, Operator, fragments};
use cotenant::tensor::{DType, HostTensor};

type Devices = Vec<Box<dyn Device>>;

/// Stride one, no padding, no dilation.
fn conv(batch: usize, [groups, ic, oc]: [usize; 3], input: [usize; 2], kernel: [usize; 2]) -> Conv {
    Conv {
        batch,
        groups,
        ic,
        oc,
        input,
        kernel,
        stride: [1, 1],
        dilation: [1, 1],
        pad_before: [0, 0],
        pad_after: [0, 0],
        epilogue: Epilogue::default(),
    }
}

fn padded(conv: Conv, before: [usize; 2], after: [usize; 2]) -> Conv {
    Conv { pad_before: before, pad_after: after, ..conv }
}

fn strided(conv: Conv, stride: [usize; 2], dilation: [usize; 2]) -> Conv {
    Conv { stride, dilation, ..conv }
}

fn placed(weights: u32, slices: u32, workers: Option<u32>) -> Placement {
    Placement { weights, slices, workers }
}

/// Runs with dense and with packed weights, in weights and in the arena, on all devices.
fn check(devices: &mut Devices, conv: &Conv, extra: &[Vec<usize>]) {
    let mut rng = rng(5);
    let x = vec![conv.batch, conv.groups * conv.ic, conv.input[0], conv.input[1]];
    let w = vec![conv.groups, conv.oc, conv.ic, conv.kernel[0], conv.kernel[1]];
    let inputs: Vec<HostTensor> = [x, w].iter().chain(extra).map(|s| random(DType::F32, s, &mut rng)).collect();
    let expected = &conv.reference(&inputs)[0];
    let row: &[usize] = &[0, 1, 2, 3];
    let channels_last: &[usize] = &[0, 2, 3, 1];
    for device in devices.iter_mut() {
        let mut first: Option<HostTensor> = None;
        for (weights, slices, workers, packed, order) in [
            (2, 1, None, true, row),
            (0, 3, Some(1), false, row),
            (6, 2, Some(2), false, channels_last),
            (1, 1, Some(3), true, &[3, 0, 2, 1]),
        ] {
            let placement = placed(weights, slices, workers);
            let what = format!("{conv:?} on {} {placement:?} {packed} {order:?}", device.caps().name);
            let w_order: &[usize] = if packed { &CONV_PACKED_ORDER } else { &[0, 1, 2, 3, 4] };
            let ranks: Vec<Vec<usize>> = extra.iter().map(|s| (0..s.len()).collect()).collect();
            let mut orders = vec![order, w_order];
            orders.extend(ranks.iter().map(std::vec::Vec::as_slice));
            orders.push(order);
            let outputs = [(DType::F32, conv.output_shape())];
            let got = run_views(device.as_mut(), conv, &inputs, &outputs, &orders, placement)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_close(&got[0], expected, 1e-5, &what);
            let first = first.get_or_insert_with(|| got[0].clone());
            assert_eq!(first.bytes(), got[0].bytes(), "{what}: the same bits in every placement");
        }
    }
}

fn bias_residual_relu() -> Epilogue {
    use ChainArg::{Input, Step};
    let step = |fragment, args: &[ChainArg]| ChainStep { fragment, args: args.to_vec() };
    Epilogue {
        chain: Chain {
            steps: vec![
                step(fragments::ADD, &[Input(0), Input(1)]),
                step(fragments::ADD, &[Step(0), Input(2)]),
                step(fragments::RELU, &[Step(1)]),
            ],
        },
        scalars: vec![],
        n_operands: 2,
    }
}

#[test]
fn plain_convolutions() {
    let devices = &mut common::devices();
    check(devices, &padded(conv(1, [1, 5, 18], [9, 7], [3, 3]), [1, 1], [1, 1]), &[]);
    check(devices, &conv(3, [1, 4, 33], [5, 6], [1, 1]), &[]);
    check(devices, &padded(conv(1, [1, 3, 8], [12, 11], [7, 7]), [3, 3], [3, 3]), &[]);
    check(devices, &conv(1, [1, 2, 3], [1, 1], [1, 1]), &[]);
}

/// Pairs of packed weights are loaded where their number is even.
#[test]
fn channels_around_tile_edges() {
    let devices = &mut common::devices();
    for (ic, oc) in [(4, 32), (6, 30), (3, 34), (5, 47), (2, 31)] {
        check(devices, &padded(conv(1, [1, ic, oc], [6, 9], [3, 3]), [1, 1], [1, 1]), &[]);
    }
    check(devices, &conv(1, [2, 4, 33], [5, 9], [2, 2]), &[]);
}

#[test]
fn strides_dilations_and_uneven_pads() {
    let devices = &mut common::devices();
    check(devices, &strided(padded(conv(1, [1, 3, 17], [13, 12], [3, 3]), [1, 0], [0, 1]), [2, 2], [1, 1]), &[]);
    check(devices, &strided(padded(conv(2, [1, 3, 5], [13, 12], [4, 2]), [2, 1], [1, 3]), [3, 2], [1, 1]), &[]);
    check(devices, &strided(padded(conv(1, [1, 4, 6], [11, 14], [3, 3]), [2, 2], [2, 2]), [1, 1], [2, 2]), &[]);
    check(devices, &strided(padded(conv(1, [1, 4, 6], [9, 14], [2, 5]), [0, 4], [3, 4]), [2, 3], [3, 2]), &[]);
}

#[test]
fn groups() {
    let devices = &mut common::devices();
    check(devices, &padded(conv(1, [4, 3, 5], [7, 8], [3, 3]), [1, 1], [1, 1]), &[]);
    check(devices, &conv(2, [3, 2, 20], [6, 5], [2, 2]), &[]);
    // One channel in, several out.
    check(devices, &padded(conv(1, [5, 1, 3], [7, 8], [3, 3]), [1, 1], [1, 1]), &[]);
}

#[test]
fn one_axis() {
    let devices = &mut common::devices();
    check(devices, &padded(conv(1, [1, 6, 9], [1, 50], [1, 5]), [0, 2], [0, 2]), &[]);
    check(devices, &strided(conv(2, [1, 2, 20], [1, 1200], [1, 512]), [1, 128], [1, 1]), &[]);
}

#[test]
fn depthwise() {
    let devices = &mut common::devices();
    for (kernel, stride, pad) in [
        ([3, 3], [1, 1], [1, 1]),
        ([3, 3], [2, 2], [1, 1]),
        ([5, 5], [1, 1], [2, 2]),
        ([5, 5], [2, 2], [2, 2]),
        ([2, 2], [2, 1], [0, 0]),
        ([7, 7], [1, 1], [3, 3]),
        ([3, 1], [3, 1], [1, 0]),
    ] {
        check(devices, &strided(padded(conv(2, [7, 1, 1], [9, 11], kernel), pad, pad), stride, [1, 1]), &[]);
    }
    check(devices, &strided(padded(conv(1, [3, 1, 1], [10, 9], [3, 3]), [2, 2], [2, 2]), [1, 1], [2, 2]), &[]);
    check(devices, &padded(conv(3, [4, 1, 1], [1, 40], [1, 9]), [0, 4], [0, 4]), &[]);
    check(devices, &padded(conv(1, [2, 1, 1], [60, 56], [3, 3]), [0, 1], [1, 0]), &[]);
    check(devices, &padded(conv(1, [2, 1, 1], [3, 2], [3, 3]), [1, 1], [1, 1]), &[]);
}

#[test]
fn epilogues() {
    let devices = &mut common::devices();
    let with = |conv: Conv| Conv { epilogue: bias_residual_relu(), ..conv };
    check(
        devices,
        &with(padded(conv(2, [1, 4, 18], [6, 7], [3, 3]), [1, 1], [1, 1])),
        &[vec![18, 1, 1], vec![2, 18, 6, 7]],
    );
    check(
        devices,
        &with(padded(conv(2, [6, 1, 1], [6, 7], [3, 3]), [1, 1], [1, 1])),
        &[vec![6, 1, 1], vec![2, 6, 6, 7]],
    );
    check(devices, &with(conv(1, [2, 3, 4], [5, 5], [2, 2])), &[vec![1], vec![1, 8, 1, 4]]);
}

#[test]
fn long_sums_with_several_tiles_a_worker() {
    let devices = &mut common::devices();
    check(devices, &conv(1, [1, 900, 20], [7, 12], [5, 5]), &[]);
}

#[test]
fn a_sum_that_is_too_long_is_refused() {
    let conv = conv(1, [1, 8009, 1], [3, 3], [3, 3]);
    let tensors = [vec![1, 8009, 3, 3], vec![1, 1, 8009, 3, 3]].map(|s| HostTensor::zeros(DType::F32, &s));
    for device in &mut common::devices() {
        let outputs = [(DType::F32, conv.output_shape())];
        let error = run_views(device.as_mut(), &conv, &tensors, &outputs, &[], Placement::default()).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}

#[test]
fn packed_weights_are_seen_in_their_own_order() {
    let conv = conv(1, [2, 3, 4], [9, 9], [2, 5]);
    let weights = random(DType::F32, &[2, 4, 3, 2, 5], &mut rng(1));
    assert_eq!(conv.pack(&weights).gathered(&conv.packed_view(0)), weights);
}
