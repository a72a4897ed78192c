//! Integers of 64 bits: results outside 32 bits are right, or an error.

use cotenant::tensor::HostTensor;
use rand::Rng;

use crate::common;
use crate::model::{check, everywhere, int, ints, model, node};

/// Integers all over 32 bits, with both ends.
fn wide(n: usize, seed: u64) -> Vec<i64> {
    let mut rng = common::rng(seed);
    let ends = [i64::from(i32::MIN), i64::from(i32::MAX), i64::from(i32::MIN), 0];
    ends.into_iter().chain(std::iter::repeat_with(|| i64::from(rng.random::<i32>()))).take(n).collect()
}

#[test]
fn sums_and_means_leave_32_bits() {
    let values = wide(24, 1);
    let x = HostTensor::from_i64(&[4, 6], &values);
    let row = |r: usize| values[r * 6..r * 6 + 6].iter();
    let rows = |of: &dyn Fn(usize) -> i64| HostTensor::from_i64(&[4, 1], &[0, 1, 2, 3].map(of));
    let axes = || vec![ints("axes", &[1])];
    let sums = rows(&|r| row(r).sum());
    assert!(sums.to_device_words().is_err(), "the test reaches beyond 32 bits");
    let listed = [("axes", HostTensor::from_i64(&[1], &[1]))];
    check(17, &x, &listed, vec![node("ReduceSum", "x axes", "y", vec![])], &sums, 0.0);
    check(17, &x, &[], vec![node("ReduceL1", "x", "y", axes())], &rows(&|r| row(r).map(|v| v.abs()).sum()), 0.0);
    // A quotient of integers goes towards zero.
    let means = rows(&|r| row(r).sum::<i64>() / 6);
    check(17, &x, &[], vec![node("ReduceMean", "x", "y", axes())], &means, 0.0);
    let small = HostTensor::from_i64(&[2, 2], &[1 << 20, -(1 << 21), 3, 5]);
    let squares = HostTensor::from_i64(&[2, 1], &[(1 << 40) + (1 << 42), 34]);
    check(17, &small, &[], vec![node("ReduceSumSquare", "x", "y", axes())], &squares, 0.0);
}

#[test]
fn elements_leave_32_bits() {
    let values = wide(40, 2);
    let x = HostTensor::from_i64(&[40], &values);
    let each = |of: fn(i64) -> i64| HostTensor::from_i64(&[40], &values.iter().map(|&v| of(v)).collect::<Vec<_>>());
    check(17, &x, &[], vec![node("Abs", "x", "y", vec![])], &each(i64::abs), 0.0);
    check(17, &x, &[], vec![node("Neg", "x", "y", vec![])], &each(|v| -v), 0.0);
    check(17, &x, &[], vec![node("Mul", "x x", "y", vec![])], &each(|v| v * v), 0.0);
    // There and back again: what lies between is 64 bits wide.
    let million = [("k", HostTensor::from_i64(&[], &[1_000_000]))];
    let back = vec![node("Mul", "x k", "a", vec![]), node("Div", "a k", "y", vec![])];
    check(17, &x, &million, back, &each(|v| v), 0.0);
    let axis = [("axis", HostTensor::from_i64(&[], &[0]))];
    let mut sum = 0;
    let sums: Vec<i64> = values
        .iter()
        .map(|v| {
            sum += v;
            sum
        })
        .collect();
    check(17, &x, &axis, vec![node("CumSum", "x axis", "y", vec![])], &HostTensor::from_i64(&[40], &sums), 0.0);
}

#[test]
fn matrix_products_leave_32_bits() {
    let (a, b) = (wide(6, 3), wide(12, 4));
    let product = |r: usize, c: usize| (0..3).map(|k| (a[r * 3 + k] >> 3) * (b[k * 4 + c] >> 3)).sum::<i64>();
    let expected: Vec<i64> = (0..8).map(|i| product(i / 4, i % 4)).collect();
    let thirds = |values: &[i64], shape: &[usize]| {
        HostTensor::from_i64(shape, &values.iter().map(|v| v >> 3).collect::<Vec<_>>())
    };
    let inputs = [thirds(&a, &[2, 3]), thirds(&b, &[3, 4])];
    let model =
        model(17, &[("a", &inputs[0]), ("b", &inputs[1])], &[], vec![node("MatMul", "a b", "y", vec![])], &["y"]);
    for (device, answer) in everywhere(&model, &inputs) {
        let answer = answer.unwrap_or_else(|e| panic!("{device}: {e}"));
        common::assert_close(&answer[0], &HostTensor::from_i64(&[2, 4], &expected), 0.0, &device);
    }
}

#[test]
fn casts_of_floats_use_64_bits() {
    let x = HostTensor::from_f32(&[6], &[1e12, -3e9, 2.75, -0.5, 2_147_483_648.0, -1.5]);
    let expected = HostTensor::from_i64(&[6], &[999_999_995_904, -3_000_000_000, 2, 0, 1 << 31, -1]);
    check(17, &x, &[], vec![node("Cast", "x", "y", vec![int("to", 7)])], &expected, 0.0);
    let scaled = vec![
        node("Cast", "x", "f", vec![int("to", 1)]),
        node("Mul", "f k", "g", vec![]),
        node("Cast", "g", "y", vec![int("to", 7)]),
    ];
    let million = [("k", HostTensor::from_f32(&[], &[1_048_576.0]))];
    let x = HostTensor::from_i64(&[2], &[70_000, -3]);
    check(17, &x, &million, scaled, &HostTensor::from_i64(&[2], &[70_000 << 20, -3 << 20]), 0.0);
}

#[test]
fn an_integer_that_a_device_must_hold_and_cannot_is_an_error() {
    let x = HostTensor::from_f32(&[2], &[1.0, 5e9]);
    let data = [("data", HostTensor::from_f32(&[3], &[1.0, 2.0, 3.0]))];
    let nodes = vec![node("Cast", "x", "i", vec![int("to", 7)]), node("Gather", "data i", "y", vec![])];
    let model = model(17, &[("x", &x)], &data, nodes, &["y"]);
    for (device, answer) in everywhere(&model, &[x]) {
        let error = answer.expect_err(&device);
        assert!(error.contains("5000000000") && error.contains("32-bit range"), "{device}: {error}");
    }
}
