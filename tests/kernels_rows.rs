//! The kernels that walk rows (reductions, arg-reductions, softmax, norms, cumulative sums) on every device against their
//! references: odd shapes, permuted, strided, reversed and broadcast operands, both buffers, slices and few workers.

mod common;

use cotenant::hal::{Device, DeviceCaps, DeviceKind};
use cotenant::kernel::harness::{Placement, run};
use cotenant::kernel::{
    ArgReduce, CumulativeSum, Extremum, Io, KernelLaunch, LogSumExp, NoKernel, Norm, Operand, Operator, Reduce,
    Reducer, Softmax,
};
use cotenant::tensor::{DType, HostTensor, View};

type Devices = Vec<Box<dyn Device>>;

/// How a dense tensor is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    /// As it lies.
    Plain,
    /// It lies with its axes in reverse order.
    Permuted,
    /// It lies with two elements for one along the last axis, and backwards.
    Strided,
}

impl Look {
    /// The shape in which a tensor seen as `shape` lies.
    fn stored(self, shape: &[usize]) -> Vec<usize> {
        let mut stored = shape.to_vec();
        match self {
            Look::Plain => {}
            Look::Permuted => stored.reverse(),
            Look::Strided => stored.iter_mut().last().into_iter().for_each(|n| *n *= 2),
        }
        stored
    }

    fn view(self, stored: &View) -> View {
        let rank = stored.shape.len();
        match self {
            Look::Permuted => stored.permuted(&(0..rank).rev().collect::<Vec<_>>()),
            Look::Strided if rank > 0 && stored.shape[rank - 1] > 0 => {
                let n = stored.shape[rank - 1];
                stored.sliced(rank - 1, n - 1, n / 2, -2)
            }
            _ => stored.clone(),
        }
    }
}

/// An operator whose first input and output are looked at in other ways; `wide` lowers it as for a GPU of its own, with
/// many lanes to a row.
#[derive(Debug)]
struct Looked<'a> {
    operator: &'a dyn Operator,
    looks: (Look, Look),
    wide: bool,
}

impl Operator for Looked<'_> {
    fn kind(&self) -> String {
        self.operator.kind()
    }

    fn flops(&self) -> u64 {
        self.operator.flops()
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let kind = if self.wide { DeviceKind::DiscreteGpu } else { caps.kind };
        let caps = DeviceCaps { kind, ..caps.clone() };
        let mut inputs: Vec<Operand> = io.inputs.to_vec();
        inputs[0].view = self.looks.0.view(&inputs[0].view);
        let mut outputs = io.outputs.to_vec();
        outputs[0].view = self.looks.1.view(&outputs[0].view);
        self.operator.lower(&caps, Io { inputs: &inputs, outputs: &outputs })
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        self.operator.reference(inputs)
    }
}

/// Runs `operator` on inputs of these shapes as `looks` says and compares with its reference.
fn check_as(
    device: &mut dyn Device,
    operator: &dyn Operator,
    inputs: &[HostTensor],
    looks: (Look, Look),
    placement: Placement,
    relative: f64,
) {
    let what =
        format!("{} of {:?} as {looks:?} {placement:?} on {}", operator.kind(), inputs[0].shape(), device.caps().name);
    let mut seen = inputs.to_vec();
    let base = View::contiguous(0, inputs[0].shape());
    seen[0] = inputs[0].gathered(&looks.0.view(&base));
    let expected = operator.reference(&seen).remove(0);
    let stored = looks.1.stored(expected.shape());
    // The wide forms differ in the lanes' share only, so two looks suffice.
    for wide in [false, true].into_iter().filter(|wide| !wide || looks.1 == Look::Plain) {
        let what = format!("{what}{}", if wide { ", wide" } else { "" });
        let looked = Looked { operator, looks, wide };
        let got = run(device, &looked, inputs, &[(expected.dtype(), stored.clone())], placement)
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        let got = got[0].gathered(&looks.1.view(&View::contiguous(0, &stored)));
        common::assert_close(&got, &expected, relative, &what);
    }
}

const LOOKS: [(Look, Look); 4] = [
    (Look::Plain, Look::Plain),
    (Look::Permuted, Look::Plain),
    (Look::Strided, Look::Permuted),
    (Look::Plain, Look::Strided),
];

/// Random inputs, every look, both buffers, whole and cut into slices.
fn check(devices: &mut Devices, operator: &dyn Operator, shapes: &[&[usize]], dtype: DType, relative: f64) {
    let mut rng = common::rng(shapes[0].iter().sum::<usize>() as u64);
    for device in devices {
        for (at, looks) in LOOKS.into_iter().enumerate() {
            let mut inputs: Vec<HostTensor> = shapes.iter().map(|s| common::random(dtype, s, &mut rng)).collect();
            inputs[0] = common::random(dtype, &looks.0.stored(shapes[0]), &mut rng);
            let placement = match at % 2 {
                0 => Placement { weights: at as u32 / 2 * 7, slices: 1, workers: None },
                _ => Placement { weights: 6, slices: 3, workers: Some(1) },
            };
            check_as(device.as_mut(), operator, &inputs, looks, placement, relative);
        }
    }
}

/// One run on values as they are.
fn check_values(devices: &mut Devices, operator: &dyn Operator, values: &HostTensor, relative: f64) {
    for device in devices {
        let looks = (Look::Plain, Look::Plain);
        check_as(device.as_mut(), operator, std::slice::from_ref(values), looks, Placement::default(), relative);
    }
}

fn reduce(reducer: Reducer, shape: &[usize], axes: &[usize], dtype: DType) -> Reduce {
    Reduce { reducer, shape: shape.to_vec(), axes: axes.to_vec(), dtype, in_range: true }
}

const SHAPES: &[(&[usize], &[usize])] = &[
    (&[8, 128], &[1]),
    (&[3, 5, 7], &[0, 2]),
    (&[3, 5, 7], &[1]),
    (&[2, 3, 4, 5], &[]),
    (&[2, 3, 4, 5], &[0, 1, 2, 3]),
    (&[1, 300], &[1]),
    (&[37, 1], &[1]),
    (&[2, 2, 3, 2, 2, 3], &[1, 3, 5]),
];

#[test]
fn reductions_of_floats() {
    let mut devices = common::devices();
    use Reducer::*;
    for reducer in [Sum, Mean, SumOfSquares, MeanOfSquares, SumOfMagnitudes, Prod, Max, Min] {
        for (shape, axes) in SHAPES {
            check(&mut devices, &reduce(reducer, shape, axes, DType::F32), &[shape], DType::F32, 1e-5);
        }
    }
}

#[test]
fn reductions_of_integers_and_truth_are_exact() {
    let mut devices = common::devices();
    use Reducer::*;
    for (shape, axes) in SHAPES {
        for reducer in [Sum, Prod, Max, Min] {
            check(&mut devices, &reduce(reducer, shape, axes, DType::I32), &[shape], DType::I32, 0.0);
        }
        check(&mut devices, &reduce(Max, shape, axes, DType::I64), &[shape], DType::I64, 0.0);
        for reducer in [Any, All, Max, Min] {
            check(&mut devices, &reduce(reducer, shape, axes, DType::Bool), &[shape], DType::Bool, 0.0);
        }
    }
}

#[test]
fn reductions_of_nothing_give_the_neutral_element() {
    let mut devices = common::devices();
    for reducer in [Reducer::Sum, Reducer::Prod, Reducer::Max, Reducer::Min] {
        check(&mut devices, &reduce(reducer, &[3, 0], &[1], DType::F32), &[&[3, 0]], DType::F32, 0.0);
        check(&mut devices, &reduce(reducer, &[3, 0], &[1], DType::I32), &[&[3, 0]], DType::I32, 0.0);
        check(&mut devices, &reduce(reducer, &[0, 3], &[1], DType::F32), &[&[0, 3]], DType::F32, 0.0);
    }
    check(&mut devices, &reduce(Reducer::Mean, &[3, 0], &[1], DType::F32), &[&[3, 0]], DType::F32, 0.0);
}

#[test]
fn nan_and_infinity_go_through_reductions() {
    let mut devices = common::devices();
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let rows: [[f32; 5]; 6] = [
        [1.0, nan, 3.0, -inf, 2.0],
        [nan, 1.0, 2.0, 3.0, 4.0],
        [1.0, 2.0, 3.0, inf, nan],
        [inf, 1.0, -2.0, 3.0, 0.0],
        [-inf, -inf, -inf, -inf, -inf],
        [inf, -inf, 0.0, -0.0, 1.0],
    ];
    for n in [5, 5 * 60] {
        let values: Vec<f32> = rows.iter().flat_map(|r| r.iter().cycle().take(n)).copied().collect();
        let values = HostTensor::from_f32(&[6, n], &values);
        for reducer in [Reducer::Max, Reducer::Min, Reducer::Sum, Reducer::Mean, Reducer::SumOfSquares] {
            check_values(&mut devices, &reduce(reducer, &[6, n], &[1], DType::F32), &values, 1e-6);
        }
        for log in [false, true] {
            check_values(&mut devices, &Softmax { shape: vec![6, n], axes: vec![1], log }, &values, 1e-6);
        }
        let axes = vec![1];
        let norm =
            Norm { shape: vec![6, n], axes: axes.clone(), centered: true, eps: 1e-5, scale: false, shift: false };
        check_values(&mut devices, &norm, &values, 1e-6);
        for (extremum, last) in [(Extremum::Max, false), (Extremum::Max, true), (Extremum::Min, false)] {
            check_values(
                &mut devices,
                &ArgReduce { extremum, last, shape: vec![6, n], axes: axes.clone() },
                &values,
                0.0,
            );
        }
    }
}

#[test]
fn a_million_elements_keep_five_digits() {
    let mut devices = common::devices();
    let n = 1_000_003;
    let mut rng = common::rng(3);
    let positive: Vec<f32> =
        common::random(DType::F32, &[n], &mut rng).to_f32().iter().map(|v| v.abs() + 0.1).collect();
    for values in [positive, vec![0.1; n]] {
        let values = HostTensor::from_f32(&[n], &values);
        check_values(&mut devices, &reduce(Reducer::Sum, &[n], &[0], DType::F32), &values, 1e-5);
        check_values(&mut devices, &reduce(Reducer::Mean, &[n], &[0], DType::F32), &values, 1e-5);
    }
}

#[test]
fn tile_ranges_and_workers_change_no_bit() {
    let shape = vec![41, 203];
    let axes = vec![1];
    let operators: [&dyn Operator; 4] = [
        &reduce(Reducer::Sum, &shape, &axes, DType::F32),
        &Softmax { shape: shape.clone(), axes: axes.clone(), log: false },
        &Norm { shape: shape.clone(), axes, centered: true, eps: 1e-5, scale: false, shift: false },
        &CumulativeSum {
            shape: shape.clone(),
            axis: 1,
            exclusive: false,
            reverse: false,
            dtype: DType::F32,
            in_range: false,
        },
    ];
    let input = common::random(DType::F32, &shape, &mut common::rng(9));
    for mut device in common::devices() {
        for operator in operators {
            for wide in [false, true] {
                let looked = Looked { operator, looks: (Look::Plain, Look::Plain), wide };
                let output = operator.reference(std::slice::from_ref(&input)).remove(0).shape().to_vec();
                let mut run = |slices, workers| {
                    let placement = Placement { weights: 0, slices, workers };
                    run(
                        device.as_mut(),
                        &looked,
                        std::slice::from_ref(&input),
                        &[(DType::F32, output.clone())],
                        placement,
                    )
                    .unwrap_or_else(|e| panic!("{}: {e}", operator.kind()))
                };
                let whole = run(1, None);
                for (slices, workers) in [(1, Some(1)), (3, Some(2)), (40, None)] {
                    assert_eq!(whole, run(slices, workers), "{} in {slices} slices", operator.kind());
                }
            }
        }
    }
}

#[test]
fn rows_near_the_loop_bound_of_a_driver_are_right() {
    let n = 150_000;
    let values = common::random(DType::F32, &[1, n], &mut common::rng(1));
    let mut devices = common::devices();
    let (shape, axes) = (vec![1, n], vec![1]);
    check_values(&mut devices, &Softmax { shape: shape.clone(), axes: axes.clone(), log: true }, &values, 1e-5);
    let arg = ArgReduce { extremum: Extremum::Max, last: true, shape: shape.clone(), axes: axes.clone() };
    check_values(&mut devices, &arg, &values, 0.0);
    let norm = Norm { shape, axes, centered: true, eps: 1e-5, scale: false, shift: false };
    check_values(&mut devices, &norm, &values, 1e-5);
}

#[test]
fn integer_sums_need_a_proof() {
    let device = common::devices().into_iter().next();
    let sum = Reduce { in_range: false, ..reduce(Reducer::Sum, &[4], &[0], DType::I64) };
    let operand = |shape: &[usize]| Operand {
        space: cotenant::kernel::Space::Arena,
        view: View::contiguous(0, shape),
        dtype: DType::I64,
    };
    if let Some(device) = device {
        let io = (operand(&[4]), operand(&[]));
        let refused = sum.lower(device.caps(), Io { inputs: &[io.0], outputs: &[io.1] });
        assert!(refused.unwrap_err().0.contains("32 bits"));
    }
}

#[test]
fn places_of_extrema() {
    let mut devices = common::devices();
    for (shape, axes) in SHAPES {
        for (extremum, last) in
            [(Extremum::Max, false), (Extremum::Max, true), (Extremum::Min, false), (Extremum::Min, true)]
        {
            let operator = ArgReduce { extremum, last, shape: shape.to_vec(), axes: axes.to_vec() };
            check(&mut devices, &operator, &[shape], DType::F32, 0.0);
            // Integers have equals.
            check(&mut devices, &operator, &[shape], DType::I32, 0.0);
            check(&mut devices, &operator, &[shape], DType::Bool, 0.0);
        }
    }
}

#[test]
fn softmax_over_one_and_several_axes() {
    let mut devices = common::devices();
    for (shape, axes) in SHAPES {
        for log in [false, true] {
            check(
                &mut devices,
                &Softmax { shape: shape.to_vec(), axes: axes.to_vec(), log },
                &[shape],
                DType::F32,
                1e-5,
            );
        }
    }
    check(&mut devices, &Softmax { shape: vec![3, 0], axes: vec![1], log: false }, &[&[3, 0]], DType::F32, 0.0);
}

#[test]
fn softmax_of_large_values_does_not_overflow() {
    let mut devices = common::devices();
    let values: Vec<f32> = (0..600).map(|i| (i % 40) as f32 * 50.0 - 1000.0).collect();
    for n in [20, 600] {
        let values = HostTensor::from_f32(&[600 / n, n], &values);
        check_values(&mut devices, &Softmax { shape: vec![600 / n, n], axes: vec![1], log: false }, &values, 1e-5);
        check_values(&mut devices, &Softmax { shape: vec![600 / n, n], axes: vec![1], log: true }, &values, 1e-6);
    }
}

#[test]
fn sums_of_exponentials_have_logarithms_whatever_the_values() {
    let mut devices = common::devices();
    for (shape, axes) in SHAPES {
        check(&mut devices, &LogSumExp { shape: shape.to_vec(), axes: axes.to_vec() }, &[shape], DType::F32, 1e-5);
    }
    let values: Vec<f32> = (0..600).map(|i| (i * 7 % 40) as f32 * 50.0 - 1000.0).collect();
    for n in [20, 600] {
        let operator = LogSumExp { shape: vec![600 / n, n], axes: vec![1] };
        check_values(&mut devices, &operator, &HostTensor::from_f32(&[600 / n, n], &values), 1e-6);
    }
    // Infinite maxima, a NaN among numbers, nothing but minus infinity.
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let rows = [[inf, 0.0, -inf, 1.0], [nan, 3.0, inf, 1.0], [-inf, -inf, -inf, -inf], [-inf, 5.0, -inf, 5.0]];
    let operator = LogSumExp { shape: vec![4, 4], axes: vec![1] };
    check_values(&mut devices, &operator, &HostTensor::from_f32(&[4, 4], rows.as_flattened()), 1e-6);
    let found = operator.reference(&[HostTensor::from_f32(&[4, 4], rows.as_flattened())])[0].to_f32();
    assert!(found[0] == inf && found[1].is_nan() && found[2] == -inf && (found[3] - 5.693_147).abs() < 1e-6);
}

#[test]
fn layer_rms_and_instance_norms() {
    let mut devices = common::devices();
    let mut all = |shape: &[usize], axes: &[usize], scale: &[usize]| {
        for (centered, shift) in [(true, true), (false, false), (true, false)] {
            let norm = Norm { shape: shape.to_vec(), axes: axes.to_vec(), centered, eps: 1e-5, scale: true, shift };
            let operands: &[&[usize]] = if shift { &[shape, scale, scale] } else { &[shape, scale] };
            check(&mut devices, &norm, operands, DType::F32, 1e-5);
        }
        let bare =
            Norm { shape: shape.to_vec(), axes: axes.to_vec(), centered: true, eps: 1e-3, scale: false, shift: false };
        check(&mut devices, &bare, &[shape], DType::F32, 1e-5);
        let shifted = Norm { shift: true, ..bare };
        check(&mut devices, &shifted, &[shape, scale], DType::F32, 1e-5);
    };
    all(&[8, 128], &[1], &[128]);
    all(&[2, 5, 33], &[1, 2], &[5, 33]);
    // Instance norm: one scale per channel.
    all(&[2, 3, 4, 5], &[2, 3], &[3, 1, 1]);
    // Group norm: rows of several channels.
    all(&[2, 2, 3, 4, 5], &[2, 3, 4], &[2, 3, 1, 1]);
    all(&[1, 700], &[1], &[1]);
    all(&[9, 1], &[1], &[1]);
}

#[test]
fn a_large_mean_costs_no_digits_of_the_variance() {
    let mut devices = common::devices();
    let values: Vec<f32> = (0..512).map(|i| 4096.0 + (i * 37 % 64) as f32 / 16.0).collect();
    for n in [16, 512] {
        let norm =
            Norm { shape: vec![512 / n, n], axes: vec![1], centered: true, eps: 1e-5, scale: false, shift: false };
        check_values(&mut devices, &norm, &HostTensor::from_f32(&[512 / n, n], &values), 2e-4);
    }
}

#[test]
fn cumulative_sums_run_both_ways() {
    let mut devices = common::devices();
    for (exclusive, reverse) in [(false, false), (false, true), (true, false), (true, true)] {
        for (shape, axis) in [(vec![5, 7, 3], 1), (vec![5, 7, 3], 2), (vec![70, 9], 0), (vec![1], 0), (vec![3, 0], 0)] {
            for dtype in [DType::F32, DType::I32] {
                let operator = CumulativeSum { shape: shape.clone(), axis, exclusive, reverse, dtype, in_range: true };
                check(&mut devices, &operator, &[&shape], dtype, if dtype == DType::F32 { 1e-6 } else { 0.0 });
            }
        }
    }
    let n = 40_000;
    let operator =
        CumulativeSum { shape: vec![n], axis: 0, exclusive: false, reverse: false, dtype: DType::F32, in_range: true };
    check_values(&mut devices, &operator, &HostTensor::from_f32(&[n], &vec![0.1; n]), 2e-6);
    let mut odd = vec![1.0; 12];
    odd[5] = f32::INFINITY;
    odd[9] = f32::NAN;
    check_values(
        &mut devices,
        &CumulativeSum { shape: vec![12], ..operator },
        &HostTensor::from_f32(&[12], &odd),
        1e-6,
    );
}
