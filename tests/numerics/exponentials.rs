//! Logarithms of softmax and of sums of exponentials where values lie far apart.

use cotenant::tensor::HostTensor;
use rand::Rng;

use crate::common;
use crate::model::{check, int, ints, node};

/// Logits of a row of 9 in [-spread, spread].
fn logits(rows: usize, spread: f32, seed: u64) -> Vec<f32> {
    let mut rng = common::rng(seed);
    (0..rows * 9).map(|_| rng.random_range(-spread..spread)).collect()
}

fn log_sum_exp(row: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = row.clone().fold(f64::NEG_INFINITY, f64::max);
    top + row.map(|v| (v - top).exp()).sum::<f64>().ln()
}

/// The rows' log-softmax, rows being blocks of `n` elements.
fn log_softmax(values: &[f32], n: usize) -> Vec<f32> {
    values
        .chunks(n)
        .flat_map(|row| {
            let whole = log_sum_exp(row.iter().map(|&v| f64::from(v)));
            row.iter().map(move |&v| (f64::from(v) - whole) as f32).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn log_softmax_is_finite_however_far_values_lie_apart() {
    for (seed, spread) in [(1, 1.0), (2, 45.0), (3, 100.0), (4, 3000.0)] {
        let values = logits(6, spread, seed);
        let x = HostTensor::from_f32(&[6, 9], &values);
        let expected = HostTensor::from_f32(&[6, 9], &log_softmax(&values, 9));
        assert!(expected.to_f32().iter().all(|v| v.is_finite()));
        check(17, &x, &[], vec![node("LogSoftmax", "x", "y", vec![int("axis", -1)])], &expected, 1e-6);
        let steps = vec![node("Softmax", "x", "s", vec![int("axis", 1)]), node("Log", "s", "y", vec![])];
        check(17, &x, &[], steps, &expected, 1e-6);
        // Up to opset 12 the axis is where the rows begin.
        let x = HostTensor::from_f32(&[2, 3, 9], &values);
        let expected = HostTensor::from_f32(&[2, 3, 9], &log_softmax(&values, 27));
        check(11, &x, &[], vec![node("LogSoftmax", "x", "y", vec![int("axis", 1)])], &expected, 1e-6);
    }
}

#[test]
fn a_softmax_that_others_read_stays_beside_its_logarithm() {
    let values = logits(6, 60.0, 5);
    let x = HostTensor::from_f32(&[6, 9], &values);
    let logs = log_softmax(&values, 9);
    let expected: Vec<f32> = logs.iter().map(|&v| v + v.exp()).collect();
    let nodes = vec![
        node("Softmax", "x", "s", vec![int("axis", 1)]),
        node("Log", "s", "l", vec![]),
        node("Add", "s l", "y", vec![]),
    ];
    check(17, &x, &[], nodes, &HostTensor::from_f32(&[6, 9], &expected), 1e-5);
}

#[test]
fn sums_of_exponentials_have_logarithms() {
    for (seed, spread) in [(6, 2.0), (7, 95.0), (8, 900.0)] {
        let values = logits(6, spread, seed);
        let x = HostTensor::from_f32(&[2, 3, 9], &values);
        let sums: Vec<f32> =
            values.chunks(9).map(|row| log_sum_exp(row.iter().map(|&v| f64::from(v))) as f32).collect();
        for (keep, shape) in [(0, &[2, 3][..]), (1, &[2, 3, 1])] {
            let attributes = vec![ints("axes", &[2]), int("keepdims", keep)];
            let expected = HostTensor::from_f32(shape, &sums);
            check(17, &x, &[], vec![node("ReduceLogSumExp", "x", "y", attributes)], &expected, 1e-6);
        }
        let axes = [("axes", HostTensor::from_i64(&[1], &[-1]))];
        let expected = HostTensor::from_f32(&[2, 3, 1], &sums);
        let steps = vec![
            node("Exp", "x", "e", vec![]),
            node("ReduceSum", "e axes", "s", vec![]),
            node("Log", "s", "y", vec![]),
        ];
        check(17, &x, &axes, steps, &expected, 1e-6);
        // Over other axes than the last, and several.
        let whole = log_sum_exp(values.iter().map(|&v| f64::from(v))) as f32;
        let attributes = vec![ints("axes", &[0, 1, 2])];
        let expected = HostTensor::from_f32(&[1, 1, 1], &[whole]);
        check(17, &x, &[], vec![node("ReduceLogSumExp", "x", "y", attributes)], &expected, 1e-6);
    }
}

#[test]
fn rows_with_infinities_are_what_mathematics_says() {
    let inf = f32::INFINITY;
    let x = HostTensor::from_f32(&[4, 3], &[inf, 1.0, 2.0, -inf, -inf, -inf, f32::NAN, 0.0, 1.0, -inf, 4.0, -inf]);
    let expected = HostTensor::from_f32(&[4, 1], &[inf, -inf, f32::NAN, 4.0]);
    check(17, &x, &[], vec![node("ReduceLogSumExp", "x", "y", vec![ints("axes", &[1])])], &expected, 1e-6);
}
