//! Kernels that move words (copy, pad, gather, scatter, triangles, one-hot) on every device against their references:
//! equal bits, however operands lie and however launches are cut.

mod common;

use common::arranged::{Arrangement, run_arranged};
use cotenant::hal::Device;
use cotenant::kernel::harness::Placement;
use cotenant::kernel::{
    Copy, Gather, GatherElements, GatherNd, Onehot, Operator, Pad, PadMode, Reduction, ScatterElements, ScatterNd,
    TableWindow, TopK, Trilu,
};
use cotenant::tensor::{DType, HostTensor, volume};
use rand::Rng;
use rand::rngs::StdRng;

/// Compares bits with the reference in several placements; sums and products of floats within 1e-6 of the largest.
fn check(
    devices: &mut [Box<dyn Device>],
    operator: &dyn Operator,
    inputs: &[HostTensor],
    rounds: bool,
    rng: &mut StdRng,
) {
    let expected = operator.reference(inputs);
    for device in devices {
        let placements = [
            (Placement { weights: 0, slices: 1, workers: None }, false),
            (Placement { weights: u32::MAX, slices: 3, workers: Some(1) }, false),
            (Placement { weights: 0b10, slices: 1, workers: Some(3) }, true),
            (Placement { weights: 0b101, slices: 3, workers: None }, true),
        ];
        for (placement, arranged) in placements {
            let mut arrangement =
                |rank: usize| if arranged { Arrangement::random(rank, rng) } else { Arrangement::dense(rank) };
            let placed: Vec<_> = inputs.iter().map(|t| (t, arrangement(t.shape().len()))).collect();
            let outputs: Vec<_> =
                expected.iter().map(|t| (t.dtype(), t.shape().to_vec(), arrangement(t.shape().len()))).collect();
            let what = || format!("{operator:?} on {}, {placement:?}, {outputs:?}", device.caps().name);
            let what = what();
            let got = run_arranged(device.as_mut(), operator, &placed, &outputs, placement)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            for (got, expected) in got.iter().zip(&expected) {
                if rounds {
                    common::assert_close(got, expected, 1e-6, &what);
                    continue;
                }
                let (g, e) = (got.to_device_words().unwrap(), expected.to_device_words().unwrap());
                if let Some(at) = (0..e.len()).find(|&at| g[at] != e[at]) {
                    panic!("{what}: word {at} is {:#x}, expected {:#x}", g[at], e[at]);
                }
            }
        }
    }
}

/// Words that a kernel may only move: NaNs with payloads, signed zeros, infinities, small integers, any bits.
fn words(shape: &[usize], rng: &mut StdRng) -> HostTensor {
    let odd = [0x7fc0_1234, 0xff80_0001, 0x7f80_0001, 0x8000_0000, 0x7f80_0000, 1, 0xffff_ffff, 0];
    let words: Vec<u32> = (0..volume(shape))
        .map(|_| if rng.random_range(0..3) == 0 { odd[rng.random_range(0..odd.len())] } else { rng.random() })
        .collect();
    HostTensor::from_device_words(DType::F32, shape, &words).unwrap()
}

/// Indices into an axis: mostly inside (some negative), some at and beyond the edges.
fn indices(dtype: DType, shape: &[usize], extent: usize, rng: &mut StdRng) -> HostTensor {
    let extent = extent as i32;
    let edges = [0, -1, extent - 1, -extent, extent, -extent - 1, i32::MAX, i32::MIN];
    let values: Vec<i32> = (0..volume(shape))
        .map(|_| match rng.random_range(0..4) {
            0 => edges[rng.random_range(0..edges.len())],
            _ => rng.random_range(-extent..extent),
        })
        .collect();
    match dtype {
        DType::F32 => HostTensor::from_f32(shape, &values.iter().map(|&v| v as f32).collect::<Vec<_>>()),
        DType::I32 => HostTensor::from_i32(shape, &values),
        _ => HostTensor::from_i64(shape, &values.iter().map(|&v| v.into()).collect::<Vec<_>>()),
    }
}

const INDEX_TYPES: [DType; 3] = [DType::I64, DType::I32, DType::F32];

#[test]
fn copies_keep_every_bit() {
    let (mut devices, mut rng) = (common::devices(), common::rng(1));
    for shape in [
        vec![],
        vec![1],
        vec![1000],
        vec![0, 3],
        vec![5, 1, 7],
        vec![33, 65],
        vec![3, 17, 2],
        vec![2, 3, 4, 5],
        vec![2, 3, 2, 3, 2, 3],
        vec![2, 2, 3, 2, 2, 2, 3],
    ] {
        let x = words(&shape, &mut rng);
        check(&mut devices, &Copy { shape }, &[x], false, &mut rng);
    }
    for (from, to) in
        [(vec![4, 1, 3], vec![4, 50, 3]), (vec![7], vec![3, 2, 7]), (vec![1], vec![2, 40]), (vec![9, 1], vec![9, 21])]
    {
        let x = words(&from, &mut rng);
        check(&mut devices, &Copy { shape: to }, &[x], false, &mut rng);
    }
    for dtype in [DType::I32, DType::I64, DType::Bool] {
        let x = common::random(dtype, &[3, 9, 4], &mut rng);
        check(&mut devices, &Copy { shape: vec![3, 9, 4] }, &[x], false, &mut rng);
    }
}

#[test]
fn pads_of_every_mode() {
    let (mut devices, mut rng) = (common::devices(), common::rng(2));
    for (shape, pads) in [
        (vec![5], vec![(2, 3)]),
        (vec![1], vec![(2, 2)]),
        (vec![4, 6], vec![(0, 0), (9, 14)]),
        (vec![2, 3, 9, 10], vec![(0, 0), (0, 0), (1, 2), (3, 0)]),
        (vec![2, 3, 9, 10], vec![(0, 0), (0, 0), (1, 0), (0, 0)]),
        (vec![3, 4, 5], vec![(-1, 2), (2, -1), (-2, -1)]),
        (vec![2, 2, 3, 2, 2, 3], vec![(1, 0), (0, 1), (1, 1), (0, 2), (2, 0), (1, 1)]),
        (vec![2, 1, 3, 4, 1, 2, 1, 5], vec![(0, 0), (0, 0), (0, 0), (1, 1), (0, 0), (0, 0), (0, 2), (1, 0)]),
        (vec![3, 40], vec![(0, 0), (-30, -10)]),
        (vec![6, 5], vec![(0, 0), (0, 0)]),
    ] {
        for mode in [PadMode::Constant(0x7fc0_4321), PadMode::Reflect, PadMode::Edge, PadMode::Wrap] {
            let pad = Pad { shape: shape.clone(), pads: pads.clone(), mode };
            let x = words(&shape, &mut rng);
            check(&mut devices, &pad, &[x], false, &mut rng);
        }
    }
    let empty = Pad { shape: vec![0, 3], pads: vec![(2, 1), (1, 0)], mode: PadMode::Constant(7) };
    check(&mut devices, &empty, &[HostTensor::zeros(DType::I32, &[0, 3])], false, &mut rng);
    let beyond = Pad { shape: vec![5], pads: vec![(-7, 4)], mode: PadMode::Constant(9) };
    check(&mut devices, &beyond, &[words(&[5], &mut rng)], false, &mut rng);
}

#[test]
fn gathers_along_an_axis() {
    let (mut devices, mut rng) = (common::devices(), common::rng(3));
    for (shape, axis, index_shape) in [
        (vec![10, 37], 0, vec![3, 4]),
        (vec![10, 16], 0, vec![]),
        (vec![4, 9], 1, vec![50]),
        (vec![2, 7, 3], 1, vec![2, 2]),
        (vec![1], 0, vec![3, 1, 5]),
        (vec![2, 5, 3], 2, vec![0]),
        (vec![2, 3, 4, 5], 2, vec![3]),
    ] {
        for dtype in INDEX_TYPES {
            let index = indices(dtype, &index_shape, shape[axis], &mut rng);
            let gather = Gather { axis, shape: shape.clone(), index_shape: index_shape.clone(), window: None };
            let x = words(&shape, &mut rng);
            check(&mut devices, &gather, &[x, index], false, &mut rng);
        }
    }
    let odd = HostTensor::from_f32(&[6], &[f32::INFINITY, f32::NEG_INFINITY, 1.9, -0.9, 1e30, -1e30]);
    let gather = Gather { axis: 0, shape: vec![5, 3], index_shape: vec![6], window: None };
    check(&mut devices, &gather, &[words(&[5, 3], &mut rng), odd], false, &mut rng);
}

#[test]
fn pieces_of_a_table_write_only_their_rows() {
    let (mut devices, mut rng) = (common::devices(), common::rng(4));
    let index = indices(DType::I64, &[40], 10, &mut rng);
    let table = words(&[10, 5], &mut rng);
    let mut all = vec![0u32; 40 * 5];
    for (first, rows) in [(0, 4), (4, 1), (5, 5)] {
        let window = Some(TableWindow { first, total: 10 });
        let gather = Gather { axis: 0, shape: vec![rows, 5], index_shape: vec![40], window };
        let bits = &table.to_device_words().unwrap()[first * 5..(first + rows) * 5];
        let piece = HostTensor::from_device_words(DType::F32, &[rows, 5], bits).unwrap();
        check(&mut devices, &gather, &[piece.clone(), index.clone()], false, &mut rng);
        for (word, part) in all.iter_mut().zip(gather.reference(&[piece, index.clone()])[0].to_device_words().unwrap())
        {
            *word |= part;
        }
    }
    let whole = Gather { axis: 0, shape: vec![10, 5], index_shape: vec![40], window: None };
    assert_eq!(whole.reference(&[table, index])[0].to_device_words().unwrap(), all);
}

#[test]
fn gathers_element_by_element() {
    let (mut devices, mut rng) = (common::devices(), common::rng(5));
    for (shape, axis, index_shape) in [
        (vec![7], 0, vec![20]),
        (vec![3, 4, 5], 0, vec![6, 4, 5]),
        (vec![3, 4, 5], 1, vec![2, 9, 3]),
        (vec![3, 4, 35], 2, vec![3, 2, 33]),
        (vec![3, 4], 1, vec![3, 0]),
    ] {
        for dtype in INDEX_TYPES {
            let index = indices(dtype, &index_shape, shape[axis], &mut rng);
            let gather = GatherElements { axis, shape: shape.clone(), index_shape: index_shape.clone() };
            let x = words(&shape, &mut rng);
            check(&mut devices, &gather, &[x, index], false, &mut rng);
        }
    }
}

#[test]
fn gathers_by_tuples() {
    let (mut devices, mut rng) = (common::devices(), common::rng(6));
    for (shape, batch, index_shape) in [
        (vec![5], 0, vec![1]),
        (vec![5, 6], 0, vec![7, 2]),
        (vec![5, 6, 18], 0, vec![3, 2, 2]),
        (vec![5, 6, 4], 0, vec![9, 1]),
        (vec![2, 5, 6, 4], 1, vec![2, 3, 2]),
        (vec![2, 3, 5, 4], 2, vec![2, 3, 4, 1]),
        (vec![3, 2, 2, 4, 2, 3], 0, vec![11, 6]),
    ] {
        let smallest = *shape.iter().min().unwrap();
        for dtype in INDEX_TYPES {
            let index = indices(dtype, &index_shape, smallest, &mut rng);
            let gather = GatherNd { batch, shape: shape.clone(), index_shape: index_shape.clone() };
            let x = words(&shape, &mut rng);
            check(&mut devices, &gather, &[x, index], false, &mut rng);
        }
    }
}

const REDUCTIONS: [Reduction; 5] = [Reduction::Replace, Reduction::Add, Reduction::Mul, Reduction::Max, Reduction::Min];

#[test]
fn scatters_element_by_element() {
    let (mut devices, mut rng) = (common::devices(), common::rng(7));
    for (shape, axis, index_shape) in [
        (vec![7], 0, vec![40]),
        (vec![300], 0, vec![5]),
        (vec![3, 4, 5], 0, vec![6, 4, 5]),
        (vec![3, 4, 5], 1, vec![2, 9, 3]),
        (vec![9, 40], 1, vec![9, 13]),
        (vec![3, 4], 1, vec![3, 0]),
        (vec![2, 1, 3, 2, 1, 4], 2, vec![2, 1, 7, 2, 1, 4]),
    ] {
        for reduction in REDUCTIONS {
            for (dtype, index_type) in [(DType::F32, DType::I64), (DType::I32, DType::F32), (DType::I64, DType::I32)] {
                let index = indices(index_type, &index_shape, shape[axis], &mut rng);
                let inputs =
                    [common::random(dtype, &shape, &mut rng), index, common::random(dtype, &index_shape, &mut rng)];
                let scatter =
                    ScatterElements { axis, reduction, shape: shape.clone(), index_shape: index_shape.clone() };
                check(&mut devices, &scatter, &inputs, dtype == DType::F32, &mut rng);
            }
        }
    }
}

#[test]
fn scatters_by_tuples() {
    let (mut devices, mut rng) = (common::devices(), common::rng(8));
    for (shape, index_shape) in [
        (vec![9], vec![30, 1]),
        (vec![9, 7], vec![12, 2]),
        (vec![9, 70], vec![2, 6, 1]),
        (vec![4, 5, 6], vec![2, 3, 2]),
        (vec![4, 5], vec![0, 1]),
        (vec![4, 5], vec![1]),
        (vec![3, 3, 4], vec![20, 3]),
    ] {
        let smallest = *shape.iter().min().unwrap();
        for reduction in REDUCTIONS {
            for (dtype, index_type) in [(DType::F32, DType::I64), (DType::I32, DType::F32), (DType::I64, DType::I32)] {
                let scatter = ScatterNd { reduction, shape: shape.clone(), index_shape: index_shape.clone() };
                let updates = common::random(dtype, &scatter.update_shape(), &mut rng);
                let index = indices(index_type, &index_shape, smallest, &mut rng);
                let inputs = [common::random(dtype, &shape, &mut rng), index, updates];
                check(&mut devices, &scatter, &inputs, dtype == DType::F32, &mut rng);
            }
        }
    }
}

#[test]
fn scattering_moves_any_word_and_nan_wins_over_numbers() {
    let (mut devices, mut rng) = (common::devices(), common::rng(9));
    let index = indices(DType::I64, &[6, 5], 8, &mut rng);
    let scatter = |reduction| ScatterElements { axis: 0, reduction, shape: vec![8, 5], index_shape: vec![6, 5] };
    let inputs = [words(&[8, 5], &mut rng), index.clone(), words(&[6, 5], &mut rng)];
    check(&mut devices, &scatter(Reduction::Replace), &inputs, false, &mut rng);
    for reduction in [Reduction::Max, Reduction::Min] {
        let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.5, -3.0];
        let mut some = |shape: &[usize]| {
            let n = volume(shape);
            HostTensor::from_f32(shape, &(0..n).map(|_| values[rng.random_range(0..5)]).collect::<Vec<_>>())
        };
        let inputs = [some(&[8, 5]), index.clone(), some(&[6, 5])];
        check(&mut devices, &scatter(reduction), &inputs, true, &mut rng);
    }
}

#[test]
fn long_lists_of_updates_take_several_launches_in_order() {
    let (mut devices, mut rng) = (common::devices(), common::rng(10));
    let n = 20_011;
    let index = HostTensor::from_i64(&[n, 1], &(0..n).map(|_| rng.random_range(0..50)).collect::<Vec<_>>());
    let scatter = ScatterNd { reduction: Reduction::Replace, shape: vec![50, 3], index_shape: vec![n, 1] };
    let inputs = [words(&[50, 3], &mut rng), index, words(&[n, 3], &mut rng)];
    check(&mut devices, &scatter, &inputs, false, &mut rng);
}

#[test]
fn triangles_of_matrices() {
    let (mut devices, mut rng) = (common::devices(), common::rng(11));
    for shape in
        [vec![1, 1], vec![6, 6], vec![3, 50], vec![40, 3], vec![2, 3, 4, 5], vec![2, 1, 3, 2, 4, 3], vec![0, 4]]
    {
        for k in [0, 1, -1, 3, -100, 100, i64::MAX, i64::MIN] {
            for upper in [false, true] {
                let x = words(&shape, &mut rng);
                check(&mut devices, &Trilu { upper, k, shape: shape.clone() }, &[x], false, &mut rng);
            }
        }
    }
}

#[test]
fn one_hot_lines() {
    let (mut devices, mut rng) = (common::devices(), common::rng(12));
    for (index_shape, axis, depth) in
        [(vec![], 0, 5), (vec![7], 1, 33), (vec![7], 0, 3), (vec![2, 3, 4], 2, 6), (vec![3], 0, 0), (vec![0], 1, 4)]
    {
        for dtype in INDEX_TYPES {
            for (word, on, off) in
                [(DType::F32, 0x7fc0_0011, 2.5f32.to_bits()), (DType::I64, 7, -3i32 as u32), (DType::Bool, 1, 0)]
            {
                let index = indices(dtype, &index_shape, depth.max(1), &mut rng);
                let onehot = Onehot { axis, depth, index_shape: index_shape.clone(), on, off, dtype: word };
                check(&mut devices, &onehot, &[index], false, &mut rng);
            }
        }
    }
}

#[test]
fn the_first_k_of_lines() {
    let (mut devices, mut rng) = (common::devices(), common::rng(13));
    for (shape, axis, k) in [
        (vec![1], 0, 1),
        (vec![37], 0, 37),
        (vec![3, 600], 1, 7),
        // One worker of three slices walks 16 tiles of 3000 steps: below the 65,535 of lavapipe.
        (vec![3000], 0, 5),
        (vec![20, 3], 0, 4),
        (vec![2, 3, 9, 2], 2, 9),
        (vec![2, 9], 1, 0),
        (vec![0, 9], 1, 2),
    ] {
        for largest in [false, true] {
            let top = TopK { axis, k, largest, shape: shape.clone() };
            check(&mut devices, &top, &[words(&shape, &mut rng)], false, &mut rng);
            let ties: Vec<f32> =
                (0..volume(&shape)).map(|_| [0.0, -0.0, 1.5, -1.5, f32::NAN, 1e-40][rng.random_range(0..6)]).collect();
            check(&mut devices, &top, &[HostTensor::from_f32(&shape, &ties)], false, &mut rng);
            let mut integers = common::random(DType::I32, &shape, &mut rng).to_device_words().unwrap();
            if let Some(first) = integers.first_mut() {
                *first = 0x8000_0000;
            }
            let integers = HostTensor::from_device_words(DType::I64, &shape, &integers).unwrap();
            check(&mut devices, &top, &[integers], false, &mut rng);
        }
    }
}
