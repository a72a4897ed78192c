//! Matrix products of all layouts on every device, against plain loops in `f64`.

mod common;

use common::{assert_close, random, rng};
use cotenant::hal::{Chain, ChainArg, ChainStep, Device};
use cotenant::kernel::harness::{Placement, run, run_views};
use cotenant::kernel::{Epilogue, Gemm, Operator, fragments};
use cotenant::tensor::{DType, HostTensor};
use rand::Rng;

fn gemm(batch: &[usize], m: usize, n: usize, k: &[usize]) -> Gemm {
    Gemm { batch: batch.to_vec(), m, n, k: k.to_vec(), epilogue: Epilogue::default() }
}

type Devices = Vec<Box<dyn Device>>;

fn shape(batch: &[usize], tail: &[usize]) -> Vec<usize> {
    batch.iter().chain(tail).copied().collect()
}

fn inputs(gemm: &Gemm, extra: &[Vec<usize>], seed: u64) -> Vec<HostTensor> {
    let mut rng = rng(seed);
    let a = shape(&gemm.batch, &[&[gemm.m], gemm.k.as_slice()].concat());
    let b = shape(&gemm.batch, &[gemm.k.as_slice(), &[gemm.n]].concat());
    [a, b].iter().chain(extra).map(|shape| random(DType::F32, shape, &mut rng)).collect()
}

const PLACEMENTS: [Placement; 4] = [
    Placement { weights: 0, slices: 1, workers: None },
    Placement { weights: 2, slices: 3, workers: Some(1) },
    Placement { weights: 1, slices: 1, workers: Some(2) },
    Placement { weights: 0b111, slices: 2, workers: None },
];

/// Runs in all placements on all devices: near the reference, and the same bits for every number of workers.
fn check(devices: &mut Devices, gemm: &Gemm, extra: &[Vec<usize>]) {
    let inputs = inputs(gemm, extra, 7);
    let expected = &gemm.reference(&inputs)[0];
    for device in devices.iter_mut() {
        let mut first: Option<HostTensor> = None;
        for placement in PLACEMENTS {
            let what = format!("{} on {} {placement:?}", gemm.kind(), device.caps().name);
            let outputs = [(DType::F32, shape(&gemm.batch, &[gemm.m, gemm.n]))];
            let got =
                run(device.as_mut(), gemm, &inputs, &outputs, placement).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_close(&got[0], expected, 1e-5, &what);
            let first = first.get_or_insert_with(|| got[0].clone());
            assert_eq!(first.bytes(), got[0].bytes(), "{what}: the same bits in every placement");
        }
    }
}

fn step(fragment: cotenant::hal::Fragment, args: &[ChainArg]) -> ChainStep {
    ChainStep { fragment, args: args.to_vec() }
}

#[test]
fn products_of_all_sizes() {
    let devices = &mut common::devices();
    for (m, n, k) in [
        (1, 1, 1),
        (1, 1000, 33),
        (1000, 1, 33),
        (2, 3, 4),
        (16, 32, 8),
        (17, 33, 9),
        (15, 31, 100),
        (37, 70, 65),
        (5, 129, 2),
        (1, 300, 19),
        (3, 131, 21),
        (270, 4, 6),
        (70, 3, 12),
        (64, 64, 64),
    ] {
        check(devices, &gemm(&[], m, n, &[k]), &[]);
    }
}

#[test]
fn large_products_take_large_tiles() {
    let devices = &mut common::devices();
    check(devices, &gemm(&[], 401, 413, &[407]), &[]);
}

/// Pairs of words are loaded where extents, offsets and strides are even: extents around tile edges, even and odd, both
/// operands row-major, and each with its axes swapped in memory.
#[test]
fn pairs_of_words() {
    let devices = &mut common::devices();
    let mut rng = rng(5);
    for _ in 0..6 {
        let mut near = |edge: usize| edge * rng.random_range(1..4) + rng.random_range(0..5) - 2;
        let (m, n, k) = (near(16) + 4, near(32), near(8));
        let plain: &[usize] = &[0, 1];
        let swapped: &[usize] = &[1, 0];
        for gemm in [gemm(&[], m, n, &[k]), gemm(&[], m & !1, n & !1, &[k & !1])] {
            check_permuted(devices, &gemm, [plain, plain, plain]);
            check_permuted(devices, &gemm, [swapped, plain, plain]);
            check_permuted(devices, &gemm, [plain, swapped, swapped]);
        }
    }
    // Batches at odd distances, and at even ones.
    check(devices, &gemm(&[3], 18, 34, &[3]), &[]);
    check(devices, &gemm(&[2, 3], 18, 34, &[6]), &[]);
}

#[test]
fn nothing_to_compute() {
    for device in &mut common::devices() {
        let gemm = gemm(&[], 0, 5, &[4]);
        let got =
            run(device.as_mut(), &gemm, &inputs(&gemm, &[], 1), &[(DType::F32, vec![0, 5])], Placement::default());
        assert_eq!(got.unwrap()[0].shape(), [0, 5]);
    }
}

#[test]
fn an_empty_sum_is_zero() {
    let devices = &mut common::devices();
    check(devices, &gemm(&[], 3, 5, &[0]), &[]);
}

#[test]
fn batches_and_two_summed_axes() {
    let devices = &mut common::devices();
    check(devices, &gemm(&[2, 3], 9, 10, &[11]), &[]);
    check(devices, &gemm(&[2, 1, 3, 2], 3, 20, &[5]), &[]);
    check(devices, &gemm(&[3], 18, 5, &[4, 6]), &[]);
}

#[test]
fn epilogues() {
    let devices = &mut common::devices();
    use ChainArg::{Input, Scalar, Step};
    let mut odd = gemm(&[2], 19, 35, &[24]);
    odd.epilogue = Epilogue {
        chain: Chain {
            steps: vec![
                step(fragments::ADD, &[Input(0), Input(1)]),
                step(fragments::MUL, &[Step(0), Scalar(0)]),
                step(fragments::ADD, &[Step(1), Input(2)]),
                step(fragments::RELU, &[Step(2)]),
            ],
        },
        scalars: vec![0.5],
        n_operands: 2,
    };
    let even = Gemm { m: 20, n: 36, ..odd.clone() };
    for with in [odd, even] {
        let (m, n) = (with.m, with.n);
        // Bias of each column and a residual; bias of each row and one value.
        check(devices, &with, &[vec![n], vec![2, m, n]]);
        check(devices, &with, &[vec![m, 1], vec![1]]);
    }
    let mut gelu = gemm(&[], 20, 40, &[12]);
    gelu.epilogue =
        Epilogue { chain: Chain { steps: vec![step(fragments::GELU, &[Input(0)])] }, scalars: vec![], n_operands: 0 };
    check(devices, &gelu, &[]);
}

#[test]
fn long_sums_with_several_tiles_a_worker() {
    let devices = &mut common::devices();
    check(devices, &gemm(&[], 3, 100, &[20_000]), &[]);
    check(devices, &gemm(&[], 1, 9, &[50_000]), &[]);
    check(devices, &gemm(&[], 2, 9, &[70_001]), &[]);
    check(devices, &gemm(&[], 17, 3, &[64_007]), &[]);
}

#[test]
fn not_a_number_stays_in_its_row() {
    let gemm = gemm(&[], 4, 40, &[6]);
    let mut tensors = inputs(&gemm, &[], 3);
    let mut a = tensors[0].to_f32();
    a[7] = f32::NAN;
    a[20] = f32::INFINITY;
    tensors[0] = HostTensor::from_f32(&[4, 6], &a);
    let expected = &gemm.reference(&tensors)[0];
    for device in &mut common::devices() {
        let got = run(device.as_mut(), &gemm, &tensors, &[(DType::F32, vec![4, 40])], Placement::default()).unwrap();
        let nan = |t: &HostTensor| t.to_f32().iter().map(|v| v.is_finite()).collect::<Vec<_>>();
        assert_eq!(nan(&got[0]), nan(expected));
    }
}

/// Operands whose axes lie in memory in the orders given; the operator sees them permuted back.
fn check_permuted(devices: &mut Devices, gemm: &Gemm, orders: [&[usize]; 3]) {
    let dense = inputs(gemm, &[], 11);
    let expected = &gemm.reference(&dense)[0];
    for device in devices.iter_mut() {
        let what = format!("{} on {} {orders:?}", gemm.kind(), device.caps().name);
        let outputs = [(DType::F32, shape(&gemm.batch, &[gemm.m, gemm.n]))];
        let got = run_views(device.as_mut(), gemm, &dense, &outputs, &orders, Placement::default())
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_close(&got[0], expected, 1e-5, &what);
    }
}

#[test]
fn strided_operands() {
    let devices = &mut common::devices();
    check_permuted(devices, &gemm(&[], 33, 18, &[20]), [&[1, 0], &[0, 1], &[0, 1]]);
    check_permuted(devices, &gemm(&[], 33, 18, &[20]), [&[0, 1], &[1, 0], &[1, 0]]);
    check_permuted(devices, &gemm(&[3], 10, 18, &[7]), [&[1, 0, 2], &[2, 0, 1], &[1, 2, 0]]);
    check_permuted(devices, &gemm(&[2, 3], 10, 9, &[7]), [&[0, 2, 1, 3], &[0, 3, 1, 2], &[0, 2, 1, 3]]);
    check_permuted(devices, &gemm(&[2], 10, 9, &[4, 5]), [&[2, 1, 0, 3], &[3, 0, 2, 1], &[0, 1, 2]]);
}
