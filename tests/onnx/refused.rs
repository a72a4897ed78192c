//! Models that ONNX does not allow: a message of one line that names the node and what is wrong, soon.

use cotenant::graph::{LoadOptions, import};
use cotenant::tensor::HostTensor;
use tract_onnx::pb::AttributeProto;

use super::net::{Net, int, ints, text};

/// Why a model is refused.
fn refusal(net: &Net) -> String {
    match import::proto(net.clone().finish(), None, "net", &LoadOptions::default()) {
        Ok(graph) => panic!("it is taken: {:?}", graph.nodes.iter().map(|n| &n.name).collect::<Vec<_>>()),
        Err(e) => e.to_string(),
    }
}

fn complains(net: &Net, words: &[&str]) {
    let message = refusal(net);
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.len() < 700, "{message}");
}

/// A model of one node over an input of this shape and constants.
fn single(op: &str, shape: &[usize], constants: &[HostTensor], attributes: Vec<AttributeProto>) -> Net {
    let mut net = Net::new(17);
    let mut inputs = vec![net.input(shape)];
    inputs.extend(constants.iter().map(|c| net.constant(c)));
    let y = net.node(op, &inputs.iter().map(String::as_str).collect::<Vec<_>>(), attributes);
    net.output(&y);
    net
}

fn list(values: &[i64]) -> HostTensor {
    HostTensor::from_i64(&[values.len()], values)
}

fn weights(shape: &[usize]) -> HostTensor {
    HostTensor::from_f32(shape, &vec![0.5; shape.iter().product()])
}

#[test]
fn axes_outside_of_the_shape() {
    for op in ["Softmax", "LogSoftmax", "Hardmax", "ArgMax", "Flatten"] {
        for axis in [99, -5, i64::MAX, i64::MIN] {
            let net = single(op, &[1, 2, 5], &[], vec![int("axis", axis)]);
            complains(&net, &[op, "axis", &axis.to_string()[..2], "[1, 2, 5]"]);
        }
    }
    complains(&single("ReduceSum", &[1, 2, 5], &[list(&[9])], vec![]), &["ReduceSum", "axes", "9"]);
    complains(&single("ReduceMax", &[1, 2, 5], &[], vec![ints("axes", &[1, -2])]), &["ReduceMax", "twice"]);
    complains(&single("CumSum", &[3, 3], &[list(&[9])], vec![]), &["CumSum", "axis"]);
    complains(&single("Gather", &[3, 4], &[list(&[7])], vec![int("axis", 0)]), &["Gather", "index 7"]);
}

#[test]
fn permutations_that_are_none() {
    for perm in [[0, 0, 1, 1], [0, 1, 2, 9], [-1, 0, 1, 2], [1, 2, 3, 4]] {
        complains(&single("Transpose", &[1, 2, 5, 5], &[], vec![ints("perm", &perm)]), &["Transpose", "perm"]);
    }
    complains(&single("Transpose", &[2, 5], &[], vec![ints("perm", &[2, 0, 1])]), &["Transpose", "perm", "[2, 5]"]);
}

#[test]
fn sizes_beyond_all_memory() {
    for size in [1 << 33, (1 << 33) + 4, 1 << 40, i64::MAX] {
        complains(&single("Expand", &[1], &[list(&[size])], vec![]), &["Expand", "sizes"]);
        complains(&single("Tile", &[3], &[list(&[size])], vec![]), &["Tile", "sizes"]);
        let mut net = Net::new(17);
        let (x, size) = (net.input(&[1]), net.list(&[size]));
        let made = net.node("ConstantOfShape", &[&size], vec![]);
        let y = net.node("Add", &[&x, &made], vec![]);
        net.output(&y);
        complains(&net, &["ConstantOfShape", "sizes"]);
    }
    complains(&single("Tile", &[3], &[list(&[-2])], vec![]), &["Tile", "-2"]);
    complains(&single("Expand", &[1], &[list(&[1 << 20, 1 << 20])], vec![]), &["Expand", "elements"]);
    complains(&single("Pad", &[3], &[list(&[1 << 40, 2])], vec![]), &["Pad", "pads"]);
    complains(&single("Pad", &[3], &[list(&[-2, -2])], vec![]), &["Pad", "pads", "[3]"]);
    let range = [0.0f32, 1e12, 1.0].map(|v| HostTensor::from_f32(&[], &[v]));
    let mut net = Net::new(17);
    let x = net.input(&[1]);
    let [a, b, c] = range.map(|v| net.constant(&v));
    let steps = net.node("Range", &[&a, &b, &c], vec![]);
    let y = net.node("Add", &[&x, &steps], vec![]);
    net.output(&y);
    complains(&net, &["Range", "steps"]);
    // The sizes are computed: they are seen once shapes are inferred.
    let mut net = Net::new(17);
    let x = net.input(&[1]);
    let (a, b) = (net.list(&[1 << 20]), net.list(&[1 << 13]));
    let size = net.node("Mul", &[&a, &b], vec![]);
    let y = net.node("Expand", &[&x, &size], vec![]);
    net.output(&y);
    complains(&net, &["Expand", "sizes"]);
}

#[test]
fn windows_and_groups_that_do_not_fit() {
    let conv = |attributes| single("Conv", &[1, 4, 5, 5], &[weights(&[4, 4, 3, 3])], attributes);
    complains(&conv(vec![ints("strides", &[0, 1])]), &["Conv", "strides"]);
    complains(&conv(vec![ints("strides", &[-1, 1])]), &["Conv", "strides"]);
    complains(&conv(vec![ints("dilations", &[3, 3])]), &["Conv", "window of 7"]);
    complains(&conv(vec![ints("pads", &[-4; 4])]), &["Conv", "pads"]);
    complains(&conv(vec![ints("pads", &[1 << 30; 4])]), &["Conv"]);
    complains(&conv(vec![ints("kernel_shape", &[3, 5])]), &["Conv", "kernel_shape"]);
    complains(&conv(vec![int("group", 0)]), &["Conv", "group"]);
    let small = single("Conv", &[1, 2, 2, 2], &[weights(&[3, 2, 3, 3])], vec![]);
    complains(&small, &["Conv", "window", "[1, 2, 2, 2]"]);
    let grouped = single("Conv", &[1, 4, 5, 5], &[weights(&[3, 2, 3, 3])], vec![int("group", 2)]);
    complains(&grouped, &["Conv", "group is 2", "3 outputs"]);
    let pool = |size: i64| single("MaxPool", &[1, 2, 5, 5], &[], vec![ints("kernel_shape", &[size, size])]);
    complains(&pool(0), &["MaxPool", "kernel_shape"]);
    complains(&pool(6), &["MaxPool", "window of 6"]);
    complains(&pool(1 << 40), &["MaxPool", "kernel_shape"]);
}

#[test]
fn counts_and_equations() {
    complains(&single("TopK", &[3, 4], &[list(&[99])], vec![]), &["TopK", "k is 99", "[3, 4]"]);
    complains(&single("TopK", &[3, 4], &[list(&[-1])], vec![]), &["TopK", "k is -1"]);
    let einsum = |equation: &str| single("Einsum", &[3, 3], &[], vec![text("equation", equation)]);
    for equation in ["((", "i->i", "ij->k", "ij->ii", "ij,jk->ik", "i…j->i", "......->"] {
        complains(&einsum(equation), &["Einsum", "equation"]);
    }
    let sizes = HostTensor::from_f32(&[2], &[1.0, f32::NAN]);
    let mut net = Net::new(13);
    let (x, scales) = (net.input(&[3, 4]), net.constant(&sizes));
    let y = net.node("Resize", &[&x, "", &scales], vec![]);
    net.output(&y);
    complains(&net, &["Resize", "scales"]);
}

#[test]
fn graphs_that_contradict_themselves() {
    let mut net = Net::new(17);
    let x = net.input(&[2]);
    let y = net.node("Relu", &[&x], vec![]);
    let z = net.node("Neg", &[&x], vec![]);
    net.output(&y);
    let twice = |to: &str| {
        let mut net = net.clone();
        net.graph().node[1].output[0] = to.into();
        net
    };
    complains(&twice(&y), &["Neg", &y, "Relu"]);
    complains(&twice(&x), &["Neg", &x, "input"]);
    net.output("nowhere");
    complains(&net, &["nowhere", "not computed"]);
    assert_ne!(y, z);
}

#[test]
fn what_the_importer_says_is_one_line_that_names_the_node() {
    let mut net = Net::new(17);
    let (x, w) = (net.input(&[1, 5, 4, 4]), net.constant(&weights(&[3, 2, 3, 3])));
    let y = net.node("Conv", &[&x, &w], vec![]);
    net.output(&y);
    complains(&net, &["operator Conv", &format!("Conv {y}"), "onnx.checker"]);
    let mut net = Net::new(17);
    let (x, shape) = (net.input(&[4]), net.list(&[3]));
    let y = net.node("Reshape", &[&x, &shape], vec![]);
    net.output(&y);
    complains(&net, &["operator Reshape", &y]);
}

#[test]
fn a_dimension_without_a_name_is_given_by_shape() {
    let mut net = Net::new(17);
    let x = net.input(&[2, 3]);
    let y = net.node("Relu", &[&x], vec![]);
    net.output(&y);
    let tensor = net.graph().input[0].r#type.as_mut().and_then(|t| t.value.as_mut());
    let Some(tract_onnx::pb::type_proto::Value::TensorType(tensor)) = tensor else { panic!("a tensor") };
    tensor.shape.as_mut().expect("it has a shape").dim[0].value = None;
    let message = refusal(&net);
    assert!(message.contains(&format!("input {x:?}")) && message.contains("all of it must be given"), "{message}");
}
