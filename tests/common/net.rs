//! Small ONNX models, built node by node.

#![allow(dead_code, reason = "each test binary uses a part")]

use cotenant::tensor::{DType, HostTensor};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// A model under construction. Values are named `v0`, `v1`, … in the order of their creation.
#[derive(Clone, Debug)]
pub struct Net {
    graph: GraphProto,
    opset: i64,
    values: usize,
}

impl Net {
    /// An empty model.
    pub fn new(opset: i64) -> Net {
        Net { graph: GraphProto { name: "net".into(), ..GraphProto::default() }, opset, values: 0 }
    }

    /// An input of 32-bit floats.
    pub fn input(&mut self, shape: &[usize]) -> String {
        let name = self.name();
        let dim = |&d: &usize| Dimension { value: Some(dimension::Value::DimValue(d as i64)), ..Dimension::default() };
        let tensor =
            type_proto::Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim: shape.iter().map(dim).collect() }) };
        let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        self.graph.input.push(ValueInfoProto { name: name.clone(), r#type: Some(r#type), ..ValueInfoProto::default() });
        name
    }

    /// An initialiser of 32-bit floats or 64-bit integers.
    pub fn constant(&mut self, value: &HostTensor) -> String {
        let name = self.name();
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            data_type: if value.dtype() == DType::I64 { 7 } else { 1 },
            dims: value.shape().iter().map(|&d| d as i64).collect(),
            raw_data: value.bytes().to_vec(),
            ..TensorProto::default()
        });
        name
    }

    /// A list of integers as an initialiser.
    pub fn list(&mut self, values: &[i64]) -> String {
        self.constant(&HostTensor::from_i64(&[values.len()], values))
    }

    /// A node with one output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = self.name();
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: format!("{op} {name}"),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![name.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        name
    }

    /// Makes a value an output.
    pub fn output(&mut self, name: &str) {
        self.graph.output.push(ValueInfoProto { name: name.into(), ..ValueInfoProto::default() });
    }

    /// The graph, to spoil it.
    pub fn graph(&mut self) -> &mut GraphProto {
        &mut self.graph
    }

    /// The model.
    pub fn finish(self) -> ModelProto {
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: self.opset }],
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }

    fn name(&mut self) -> String {
        self.values += 1;
        format!("v{}", self.values - 1)
    }
}

/// An integer attribute.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 2, i, ..AttributeProto::default() }
}

/// A list of integers.
pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 7, ints: ints.to_vec(), ..AttributeProto::default() }
}

/// A text.
pub fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 3, s: s.as_bytes().to_vec(), ..AttributeProto::default() }
}
