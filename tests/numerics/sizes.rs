//! Sizes that no machine has: an error that names the operator, on every device, and never a panic.

use cotenant::tensor::HostTensor;

use crate::model::{everywhere, ints, model, node};

#[test]
fn a_padding_of_a_thousand_million_is_refused_by_the_operators_name() {
    let x = HostTensor::from_f32(&[1, 1, 4, 4], &[1.0; 16]);
    let weights = [("w", HostTensor::from_f32(&[1, 1, 3, 3], &[1.0; 9]))];
    for pad in [100_000, 1_000_000_000, i64::MAX / 4] {
        let convolution = vec![node("Conv", "x w", "y", vec![ints("pads", &[pad; 4])])];
        let model = model(17, &[("x", &x)], &weights, convolution, &["y"]);
        for (device, answer) in everywhere(&model, std::slice::from_ref(&x)) {
            let error = answer.expect_err(&device);
            assert!(error.contains("Conv") || error.contains("conv"), "{device}, {pad}: {error}");
        }
    }
}

#[test]
fn a_broadcast_beyond_memory_is_refused() {
    let x = HostTensor::from_f32(&[1, 1], &[1.0]);
    let shape = [("shape", HostTensor::from_i64(&[2], &[1 << 20, 1 << 19]))];
    let nodes = vec![node("Expand", "x shape", "e", vec![]), node("Exp", "e", "y", vec![])];
    let model = model(17, &[("x", &x)], &shape, nodes, &["y"]);
    for (device, answer) in everywhere(&model, std::slice::from_ref(&x)) {
        let error = answer.expect_err(&device);
        assert!(error.contains("binds at most") || error.contains("elements"), "{device}: {error}");
    }
}
