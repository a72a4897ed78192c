//! NaN goes through every operator that IEEE arithmetic lets it through, on the reference device too.

use cotenant::tensor::HostTensor;

use crate::model::{check, ints, node};

const NAN: f32 = f32::NAN;

#[test]
fn functions_of_one_value_keep_it() {
    let values = [NAN, -2.0, 0.5, NAN, f32::INFINITY, f32::NEG_INFINITY, 3.0];
    let x = HostTensor::from_f32(&[7], &values);
    type Exact = fn(f64) -> f64;
    let functions: [(&str, Exact); 8] = [
        ("Tanh", f64::tanh),
        ("Sigmoid", |v| 1.0 / (1.0 + (-v).exp())),
        ("Relu", |v| if v < 0.0 { 0.0 } else { v }),
        ("Log", f64::ln),
        ("Exp", f64::exp),
        ("Sqrt", f64::sqrt),
        ("Softplus", |v| if v.is_nan() { v } else { v.max(0.0) + (-v.abs()).exp().ln_1p() }),
        ("Abs", f64::abs),
    ];
    for (op, exact) in functions {
        let expected: Vec<f32> = values.iter().map(|&v| exact(f64::from(v)) as f32).collect();
        check(17, &x, &[], vec![node(op, "x", "y", vec![])], &HostTensor::from_f32(&[7], &expected), 1e-6);
    }
    let bounds = [("low", HostTensor::from_f32(&[], &[-1.0])), ("high", HostTensor::from_f32(&[], &[1.0]))];
    let expected = HostTensor::from_f32(&[7], &[NAN, -1.0, 0.5, NAN, 1.0, -1.0, 1.0]);
    check(17, &x, &bounds, vec![node("Clip", "x low high", "y", vec![])], &expected, 0.0);
}

#[test]
fn the_larger_and_the_smaller_of_two_keep_it() {
    let x = HostTensor::from_f32(&[6], &[NAN, 1.0, 2.0, NAN, -3.0, 4.0]);
    let other = [("other", HostTensor::from_f32(&[6], &[0.0, NAN, 5.0, NAN, -7.0, f32::INFINITY]))];
    let larger = HostTensor::from_f32(&[6], &[NAN, NAN, 5.0, NAN, -3.0, f32::INFINITY]);
    let smaller = HostTensor::from_f32(&[6], &[NAN, NAN, 2.0, NAN, -7.0, 4.0]);
    for inputs in ["x other", "other x"] {
        check(17, &x, &other, vec![node("Max", inputs, "y", vec![])], &larger, 0.0);
        check(17, &x, &other, vec![node("Min", inputs, "y", vec![])], &smaller, 0.0);
    }
}

#[test]
fn extremes_of_rows_and_windows_keep_it() {
    let x = HostTensor::from_f32(&[3, 3], &[1.0, NAN, 3.0, -1.0, -2.0, -3.0, NAN, NAN, NAN]);
    let axes = || vec![ints("axes", &[1])];
    let largest = HostTensor::from_f32(&[3, 1], &[NAN, -1.0, NAN]);
    check(17, &x, &[], vec![node("ReduceMax", "x", "y", axes())], &largest, 0.0);
    let smallest = HostTensor::from_f32(&[3, 1], &[NAN, -3.0, NAN]);
    check(17, &x, &[], vec![node("ReduceMin", "x", "y", axes())], &smallest, 0.0);
    let image = HostTensor::from_f32(&[1, 1, 2, 4], &[1.0, 2.0, NAN, 4.0, 5.0, 0.0, 7.0, 8.0]);
    let pooled = HostTensor::from_f32(&[1, 1, 1, 2], &[5.0, NAN]);
    let window = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    check(17, &image, &[], vec![node("MaxPool", "x", "y", window)], &pooled, 0.0);
}
