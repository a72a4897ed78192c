//! What is known of a graph's values while nodes are checked: shapes, and small integer or float constants.

use std::collections::HashMap;

use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{Factoid, InferenceModel};

/// Elements of a constant that is looked into, at most. Parameters are short; weights are long.
const LOOKED_INTO: usize = 4096;

/// Shapes and constants by the names of their values.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Known {
    shapes: HashMap<String, Vec<usize>>,
    values: HashMap<String, Vec<f64>>,
}

impl Known {
    /// What a file says itself: inputs of fixed shape, initialisers, `Constant` nodes.
    pub(in super::super) fn declared(graph: &GraphProto) -> Known {
        let mut known = Known::default();
        for input in &graph.input {
            if let Some(shape) = fixed(input) {
                known.shapes.insert(input.name.clone(), shape);
            }
        }
        for tensor in &graph.initializer {
            known.tensor(&tensor.name, tensor);
        }
        for node in graph.node.iter().filter(|n| n.op_type == "Constant") {
            let Some(name) = node.output.first() else { continue };
            for attribute in &node.attribute {
                match attribute.name.as_str() {
                    "value" => attribute.t.iter().for_each(|t| known.tensor(name, t)),
                    "value_int" => known.list(name, Vec::new(), vec![attribute.i as f64]),
                    "value_float" => known.list(name, Vec::new(), vec![attribute.f.into()]),
                    "value_ints" => {
                        let values: Vec<f64> = attribute.ints.iter().map(|&v| v as f64).collect();
                        known.list(name, vec![values.len()], values);
                    }
                    "value_floats" => {
                        let values: Vec<f64> = attribute.floats.iter().map(|&v| v.into()).collect();
                        known.list(name, vec![values.len()], values);
                    }
                    _ => (),
                }
            }
        }
        known
    }

    /// What has been inferred, all of it or as far as it went.
    pub(in super::super) fn inferred(model: &InferenceModel, outlets: &HashMap<String, OutletId>) -> Known {
        let mut known = Known::default();
        for (name, &outlet) in outlets {
            let Ok(fact) = model.outlet_fact(outlet) else { continue };
            if let Ok(Some(shape)) = fact.shape.as_concrete_finite() {
                known.shapes.insert(name.clone(), shape.to_vec());
            }
            if let Some(value) = fact.value.concretize().filter(|v| v.len() <= LOOKED_INTO) {
                let floats = value.cast_to::<f64>();
                let floats = floats.as_ref().ok().and_then(|v| v.try_as_plain_ram().ok());
                if let Some(values) = floats.and_then(|v| v.as_slice::<f64>().ok().map(<[f64]>::to_vec)) {
                    known.values.insert(name.clone(), values);
                }
            }
        }
        known
    }

    /// The shape of a value. Absent inputs have none.
    pub(in super::super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    /// The elements of a small constant; integers of up to 53 bits are exact.
    pub(in super::super) fn values(&self, name: &str) -> Option<&[f64]> {
        self.values.get(name).map(Vec::as_slice)
    }

    fn list(&mut self, name: &str, shape: Vec<usize>, values: Vec<f64>) {
        self.shapes.insert(name.into(), shape);
        self.values.insert(name.into(), values);
    }

    fn tensor(&mut self, name: &str, tensor: &TensorProto) {
        let shape: Option<Vec<usize>> = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let Some(shape) = shape else { return };
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let values = elements.filter(|&n| n <= LOOKED_INTO).and_then(|n| elements_of(tensor, n));
        self.shapes.insert(name.into(), shape);
        if let Some(values) = values {
            self.values.insert(name.into(), values);
        }
    }
}

fn fixed(input: &ValueInfoProto) -> Option<Vec<usize>> {
    let Some(TypeValue::TensorType(tensor)) = &input.r#type.as_ref()?.value else {
        return None;
    };
    let dims = tensor.shape.as_ref()?.dim.iter();
    dims.map(|dim| match dim.value {
        Some(DimValue::DimValue(size)) => usize::try_from(size).ok(),
        _ => None,
    })
    .collect()
}

/// The `n` elements of a tensor of 32- or 64-bit integers or floats.
fn elements_of(tensor: &TensorProto, n: usize) -> Option<Vec<f64>> {
    fn words<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.chunks_exact(N).filter_map(|c| c.try_into().ok()).map(read).collect()
    }
    let raw = tensor.raw_data.as_slice();
    let values: Vec<f64> = match (tensor.data_type, raw.is_empty()) {
        (1, false) => words(raw, |b| f32::from_le_bytes(b).into()),
        (6, false) => words(raw, |b| i32::from_le_bytes(b).into()),
        (7, false) => words(raw, |b| i64::from_le_bytes(b) as f64),
        (11, false) => words(raw, f64::from_le_bytes),
        (1, true) => tensor.float_data.iter().map(|&v| v.into()).collect(),
        (6, true) => tensor.int32_data.iter().map(|&v| v.into()).collect(),
        (7, true) => tensor.int64_data.iter().map(|&v| v as f64).collect(),
        (11, true) => tensor.double_data.clone(),
        _ => return None,
    };
    (values.len() == n).then_some(values)
}
