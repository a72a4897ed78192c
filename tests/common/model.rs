//! Small ONNX models written in tests, node by node.

use std::sync::Arc;

use cotenant::graph::{Graph, LoadOptions, import};
use cotenant::tensor::{DType, HostTensor};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// A model being written; methods chain.
#[derive(Default)]
pub struct Model {
    graph: GraphProto,
}

impl Model {
    /// An input of every request.
    pub fn input(self, name: &str, dtype: DType, shape: &[usize]) -> Model {
        let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
        self.symbolic_input(name, dtype, &dims.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// An input some of whose dimensions are symbols.
    pub fn symbolic_input(mut self, name: &str, dtype: DType, dims: &[&str]) -> Model {
        self.graph.input.push(port(name, dtype, dims));
        self
    }

    /// A constant.
    pub fn constant(mut self, name: &str, tensor: &HostTensor) -> Model {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: tensor.shape().iter().map(|&d| d as i64).collect(),
            data_type: data_type(tensor.dtype()) as i32,
            raw_data: tensor.bytes().to_vec(),
            ..TensorProto::default()
        });
        self
    }

    /// A node with one output, which has the node's name.
    pub fn node(mut self, op: &str, name: &str, inputs: &[&str], attributes: &[(&str, &[i64])]) -> Model {
        self.graph.node.push(NodeProto {
            name: name.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![name.into()],
            attribute: attributes.iter().map(|(name, values)| attribute(name, values)).collect(),
            ..NodeProto::default()
        });
        self
    }

    /// An output: a node's.
    pub fn output(mut self, name: &str, dtype: DType, shape: &[usize]) -> Model {
        let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
        self.graph.output.push(port(name, dtype, &dims.iter().map(String::as_str).collect::<Vec<_>>()));
        self
    }

    /// The model as a file would hold it.
    pub fn proto(self) -> ModelProto {
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
            graph: Some(GraphProto { name: "test".into(), ..self.graph }),
            ..ModelProto::default()
        }
    }

    /// The model as a graph.
    pub fn load(self) -> Arc<Graph> {
        Arc::new(import::proto(self.proto(), None, "test", &LoadOptions::default()).expect("the model imports"))
    }
}

/// One value is an integer attribute, several (or none) are a list; `group` and the like are always single.
fn attribute(name: &str, values: &[i64]) -> AttributeProto {
    let single = matches!(name, "axis" | "group" | "transA" | "transB" | "batch_dims" | "to" | "keepdims");
    let kind = if single { AttributeType::Int } else { AttributeType::Ints };
    AttributeProto {
        name: name.into(),
        r#type: kind as i32,
        i: if single { values[0] } else { 0 },
        ints: if single { Vec::new() } else { values.to_vec() },
        ..AttributeProto::default()
    }
}

fn data_type(dtype: DType) -> DataType {
    match dtype {
        DType::F32 => DataType::Float,
        DType::I64 => DataType::Int64,
        DType::I32 => DataType::Int32,
        DType::Bool => DataType::Bool,
        other => panic!("no test writes {other}"),
    }
}

fn port(name: &str, dtype: DType, dims: &[&str]) -> ValueInfoProto {
    let value = |dim: &str| match dim.parse() {
        Ok(extent) => dimension::Value::DimValue(extent),
        Err(_) => dimension::Value::DimParam(dim.into()),
    };
    let dim = |dim: &&str| Dimension { value: Some(value(dim)), ..Dimension::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: data_type(dtype) as i32, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}
