//! Models of a few operators, and what they answer on every device of this machine and on the reference device.

use std::sync::Arc;

use cotenant::engine::{Engine, TenantSpec};
use cotenant::graph::{LoadOptions, import};
use cotenant::hal::reference::ReferenceDevice;
use cotenant::hal::{Device, WallClock};
use cotenant::tensor::{DType, HostTensor};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

use crate::common;
pub use crate::net::{int, ints, text};

/// ONNX's number of an element type.
fn code(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 1,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        other => panic!("no model here has {other}"),
    }
}

/// A node; names of inputs and outputs are separated by blanks, `-` is an input that is left out.
pub fn node(op: &str, inputs: &str, outputs: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let name = |text: &str| if text == "-" { String::new() } else { text.into() };
    let names = |text: &str| text.split_whitespace().map(name).collect();
    NodeProto {
        op_type: op.into(),
        name: format!("{op} {outputs}"),
        input: names(inputs),
        output: names(outputs),
        attribute,
        ..NodeProto::default()
    }
}

/// A model whose inputs have the types and shapes of these tensors.
pub fn model(
    opset: i64,
    inputs: &[(&str, &HostTensor)],
    constants: &[(&str, HostTensor)],
    nodes: Vec<NodeProto>,
    outputs: &[&str],
) -> ModelProto {
    let declared = |(name, tensor): &(&str, &HostTensor)| {
        let dim = |&d: &usize| Dimension { value: Some(dimension::Value::DimValue(d as i64)), ..Dimension::default() };
        let shape = Some(TensorShapeProto { dim: tensor.shape().iter().map(dim).collect() });
        let value = type_proto::Value::TensorType(type_proto::Tensor { elem_type: code(tensor.dtype()), shape });
        let r#type = Some(TypeProto { value: Some(value), ..TypeProto::default() });
        ValueInfoProto { name: (*name).into(), r#type, ..ValueInfoProto::default() }
    };
    let constant = |(name, tensor): &(&str, HostTensor)| TensorProto {
        name: (*name).into(),
        data_type: code(tensor.dtype()),
        dims: tensor.shape().iter().map(|&d| d as i64).collect(),
        raw_data: tensor.bytes().to_vec(),
        ..TensorProto::default()
    };
    let output = |name: &&str| ValueInfoProto { name: (*name).into(), ..ValueInfoProto::default() };
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
        graph: Some(GraphProto {
            name: "model".into(),
            input: inputs.iter().map(declared).collect(),
            initializer: constants.iter().map(constant).collect(),
            node: nodes,
            output: outputs.iter().map(output).collect(),
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

/// What a model answers on each device, with the device's name; an error as its text.
pub fn everywhere(model: &ModelProto, inputs: &[HostTensor]) -> Vec<(String, Result<Vec<HostTensor>, String>)> {
    let mut devices = common::devices();
    devices.push(Box::new(ReferenceDevice::open(WallClock::start())) as Box<dyn Device>);
    devices.into_iter().map(|device| (device.caps().name.clone(), on(device, model, inputs))).collect()
}

fn on(device: Box<dyn Device>, model: &ModelProto, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
    let graph = import::proto(model.clone(), None, "model", &LoadOptions::default()).map_err(|e| e.to_string())?;
    let engine = Engine::builder().start_on(device).map_err(|e| e.to_string())?;
    let tenant =
        engine.load_graph(TenantSpec::new("model", ""), Arc::new(graph), &mut |_| {}).map_err(|e| e.to_string())?;
    let answer = tenant.infer(inputs.to_vec()).and_then(cotenant::engine::Pending::wait).map_err(|e| e.to_string())?;
    Ok(answer.outputs)
}

/// One input `x`, some operators, one output `y`: the answer on every device is `expected`, within `relative`.
pub fn check(
    opset: i64,
    x: &HostTensor,
    constants: &[(&str, HostTensor)],
    nodes: Vec<NodeProto>,
    expected: &HostTensor,
    relative: f64,
) {
    let what = nodes.iter().map(|n| n.op_type.as_str()).collect::<Vec<_>>().join("+");
    let model = model(opset, &[("x", x)], constants, nodes, &["y"]);
    for (device, answer) in everywhere(&model, std::slice::from_ref(x)) {
        let answer = answer.unwrap_or_else(|e| panic!("{what} on {device}: {e}"));
        common::assert_close(&answer[0], expected, relative, &format!("{what} on {device}"));
    }
}
