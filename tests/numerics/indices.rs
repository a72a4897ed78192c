//! Operators that pick and put by index: negative ones, negative padding, depths given at load.

use cotenant::tensor::HostTensor;
use rand::Rng;

use crate::common;
use crate::model::{check, everywhere, model, node, text};

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = common::rng(seed);
    (0..n).map(|_| rng.random_range(-9.0..9.0)).collect()
}

#[test]
fn tuples_pick_and_put_with_negative_indices() {
    let values = numbers(20, 1);
    let x = HostTensor::from_f32(&[4, 5], &values);
    let tuples = [("at", HostTensor::from_i64(&[3, 2], &[0, 4, -1, -5, 2, -2]))];
    let expected = HostTensor::from_f32(&[3], &[values[4], values[15], values[13]]);
    check(17, &x, &tuples, vec![node("GatherND", "x at", "y", vec![])], &expected, 0.0);
    let updates = numbers(10, 2);
    let rows = [("at", HostTensor::from_i64(&[2, 1], &[-1, -4])), ("rows", HostTensor::from_f32(&[2, 5], &updates))];
    let mut put = values.clone();
    put[15..].copy_from_slice(&updates[..5]);
    put[..5].copy_from_slice(&updates[5..]);
    let expected = HostTensor::from_f32(&[4, 5], &put);
    check(17, &x, &rows, vec![node("ScatterND", "x at rows", "y", vec![])], &expected, 0.0);
}

#[test]
fn indices_that_come_with_the_request_count_from_the_end_too() {
    let values = numbers(20, 3);
    let data = HostTensor::from_f32(&[4, 5], &values);
    let at = HostTensor::from_i64(&[2, 1], &[-2, 1]);
    let model = model(17, &[("x", &data), ("at", &at)], &[], vec![node("GatherND", "x at", "y", vec![])], &["y"]);
    let expected = HostTensor::from_f32(&[2, 5], &[&values[10..15], &values[5..10]].concat());
    for (device, answer) in everywhere(&model, &[data, at]) {
        common::assert_close(&answer.unwrap_or_else(|e| panic!("{device}: {e}"))[0], &expected, 0.0, &device);
    }
}

#[test]
fn indices_out_of_range_take_the_nearest_element_or_are_refused() {
    let values = numbers(20, 4);
    let data = HostTensor::from_f32(&[4, 5], &values);
    let rows = |at: usize| values[5 * at..5 * (at + 1)].to_vec();
    // What comes with the request is data: it is clamped, on every device alike, and nobody ends over it.
    let tuples = HostTensor::from_i64(&[4, 1], &[4, -5, i64::from(i32::MAX), i64::from(i32::MIN)]);
    for (op, nearest) in [("GatherND", [3, 0, 3, 0]), ("Gather", [3, 0, 3, 0])] {
        let at = if op == "Gather" { tuples.clone().reshaped(&[4]) } else { tuples.clone() };
        let model = model(17, &[("x", &data), ("at", &at)], &[], vec![node(op, "x at", "y", vec![])], &["y"]);
        let expected = HostTensor::from_f32(&[4, 5], &nearest.map(rows).concat());
        for (device, answer) in everywhere(&model, &[data.clone(), at]) {
            let answer = answer.unwrap_or_else(|e| panic!("{op} on {device}: {e}"));
            common::assert_close(&answer[0], &expected, 0.0, &format!("{op} on {device}"));
        }
    }
    // What stands in the file, and a place in nothing, may be refused; no function panics.
    let nothing = HostTensor::from_f32(&[0, 5], &[]);
    for (data, index) in [(&data, 4), (&data, -5), (&data, i64::MIN), (&nothing, 0), (&nothing, -1)] {
        let at = [("at", HostTensor::from_i64(&[1, 1], &[index]))];
        let model = model(17, &[("x", data)], &at, vec![node("GatherND", "x at", "y", vec![])], &["y"]);
        for (device, answer) in everywhere(&model, std::slice::from_ref(data)) {
            if let Err(message) = answer {
                assert!(!message.contains("panic"), "{index} of {:?} on {device}: {message}", data.shape());
            }
        }
    }
}

#[test]
fn wide_integers_are_picked_with_negative_indices_too() {
    // Values that no 32-bit word holds stay on the CPU.
    let values: Vec<i64> = (0..6).map(|v| (v - 3) << 40).collect();
    let x = HostTensor::from_f32(&[1], &[0.5]);
    let constants =
        [("data", HostTensor::from_i64(&[3, 2], &values)), ("at", HostTensor::from_i64(&[2, 2], &[-1, 0, -3, -1]))];
    let nodes = vec![node("GatherND", "data at", "y", vec![]), node("Relu", "x", "z", vec![])];
    let model = model(17, &[("x", &x)], &constants, nodes, &["y", "z"]);
    for (device, answer) in everywhere(&model, std::slice::from_ref(&x)) {
        let answer = answer.unwrap_or_else(|e| panic!("{device}: {e}"));
        assert_eq!(answer[0].to_i64(), [values[4], values[1]], "{device}");
    }
}

#[test]
fn onehot_takes_negative_indices_and_ignores_others() {
    let x = HostTensor::from_i64(&[5], &[0, -1, 2, 7, -4]);
    let parts = [("depth", HostTensor::from_i64(&[], &[3])), ("values", HostTensor::from_f32(&[2], &[-0.5, 2.0]))];
    let mut hot = vec![-0.5f32; 15];
    for at in [0, 3 + 2, 6 + 2] {
        hot[at] = 2.0;
    }
    check(
        17,
        &x,
        &parts,
        vec![node("OneHot", "x depth values", "y", vec![])],
        &HostTensor::from_f32(&[5, 3], &hot),
        0.0,
    );
}

#[test]
fn negative_padding_crops() {
    let values = numbers(20, 4);
    let x = HostTensor::from_f32(&[4, 5], &values);
    let pads = [("pads", HostTensor::from_i64(&[4], &[-1, 2, 0, -2])), ("fill", HostTensor::from_f32(&[], &[7.5]))];
    let mut padded = Vec::new();
    for row in 1..4 {
        padded.extend([7.5, 7.5]);
        padded.extend(&values[row * 5..row * 5 + 3]);
    }
    let expected = HostTensor::from_f32(&[3, 5], &padded);
    check(17, &x, &pads, vec![node("Pad", "x pads fill", "y", vec![])], &expected, 0.0);
}

#[test]
fn a_crop_that_ends_on_the_border_has_no_outside() {
    // Values are their own indices, so a linear crop gives the places.
    let values: Vec<f32> = (0..11).map(|v| v as f32).collect();
    let x = HostTensor::from_f32(&[1, 11], &values);
    let parts =
        [("region", HostTensor::from_f32(&[4], &[0.0, 0.2, 1.0, 1.2])), ("sizes", HostTensor::from_i64(&[2], &[1, 6]))];
    let mut attributes = vec![text("mode", "linear"), text("coordinate_transformation_mode", "tf_crop_and_resize")];
    let outside =
        tract_onnx::pb::AttributeProto { name: "extrapolation_value".into(), r#type: 1, f: -1.0, ..Default::default() };
    attributes.push(outside);
    let expected = HostTensor::from_f32(&[1, 6], &[2.0, 4.0, 6.0, 8.0, 10.0, -1.0]);
    check(13, &x, &parts, vec![node("Resize", "x region - sizes", "y", attributes)], &expected, 1e-6);
}
