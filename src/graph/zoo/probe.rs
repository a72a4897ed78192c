//! What the tests of the zoo share: import a network through tract, run it, and look at its outputs.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{ModelProto, type_proto};
use tract_onnx::prelude::*;

use super::weights::{self, Spread};

/// Builds and runs `name` twice, on different inputs. Every output must be finite, neither vanish nor explode, and
/// differ between the two by more than rounding.
pub fn check(name: &str, dims: &[(&str, usize)]) {
    let model = import(&super::build(name).unwrap(), dims).unwrap();
    let [first, second] = [1, 2].map(|seed| run(&model, seed));
    for (output, (a, b)) in first.iter().zip(&second).enumerate() {
        assert!(a.iter().chain(b).all(|v| v.is_finite()), "{name} output {output} is not finite");
        let deviation = deviation(a);
        let change = (a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64).sqrt();
        println!("{name} output {output}: {} values, deviation {deviation:.4}, change {change:.4}", a.len());
        assert!((1e-2..1e1).contains(&deviation), "{name} output {output} has deviation {deviation}");
        assert!(change > 1e-2 * deviation, "{name} output {output} changes by {change} of {deviation}");
    }
}

/// The inputs of a network as `Entry::inputs` writes them.
pub fn inputs(proto: &ModelProto) -> Vec<String> {
    let graph = proto.graph.as_ref().unwrap();
    let text = |input: &tract_onnx::pb::ValueInfoProto| {
        let Some(type_proto::Value::TensorType(tensor)) = &input.r#type.as_ref().unwrap().value else { unreachable!() };
        let kind = if tensor.elem_type == DataType::Int64 as i32 { "i64" } else { "f32" };
        let dims = tensor.shape.as_ref().unwrap().dim.iter().map(|dim| match dim.value.as_ref().unwrap() {
            dimension::Value::DimValue(length) => length.to_string(),
            dimension::Value::DimParam(symbol) => symbol.clone(),
        });
        format!("{} {kind}[{}]", input.name, dims.collect::<Vec<_>>().join(","))
    };
    graph.input.iter().map(text).collect()
}

/// The symbols in the shapes of `Entry::inputs`.
pub fn symbols_of<'a>(inputs: &[&'a str]) -> HashSet<&'a str> {
    let shapes = inputs.iter().map(|input| input.split_once('[').unwrap().1.trim_end_matches(']'));
    shapes.flat_map(|shape| shape.split(',')).filter(|dim| dim.parse::<usize>().is_err()).collect()
}

/// As a file is imported: typed with its symbols, then bound, then reduced.
fn import(proto: &ModelProto, dims: &[(&str, usize)]) -> TractResult<TypedModel> {
    let typed = tract_onnx::onnx().model_for_proto_model(proto)?.into_typed()?;
    let bound: HashMap<Symbol, TDim> =
        dims.iter().filter_map(|&(name, value)| Some((typed.symbols.get(name)?, value.into()))).collect();
    assert_eq!(bound.len(), dims.len(), "a symbol of {dims:?} does not occur");
    typed.set_symbols(&bound)?.into_decluttered()
}

/// Floats of variance 1; integers 0 or 1, which are valid ids, rows and masks everywhere.
fn run(model: &TypedModel, seed: u64) -> Vec<Vec<f32>> {
    let outlets = model.input_outlets().unwrap();
    let inputs = outlets.iter().enumerate().map(|(i, outlet)| {
        let fact = model.outlet_fact(*outlet).unwrap();
        let shape = fact.shape.as_concrete().unwrap().to_vec();
        let values = weights::generate(seed, i, shape.iter().product(), Spread::centred(1.0));
        if fact.datum_type == i64::datum_type() {
            let bits: Vec<i64> = values.iter().map(|&v| i64::from(v > 0.0)).collect();
            Tensor::from_shape(&shape, &bits).unwrap().into_tvalue()
        } else {
            Tensor::from_shape(&shape, &values).unwrap().into_tvalue()
        }
    });
    let inputs: TVec<TValue> = inputs.collect();
    let plan = model.clone().into_optimized().unwrap().into_runnable().unwrap();
    let outputs = plan.run(inputs).unwrap();
    outputs.iter().map(|output| output.to_plain_array_view::<f32>().unwrap().iter().copied().collect()).collect()
}

fn deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt()
}
