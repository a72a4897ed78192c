//! Inputs: their shapes from what the file declares and what the caller gave, and those that become constants.

use std::sync::Arc;

use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, ValueInfoProto};
use tract_onnx::pb::{tensor_shape_proto::dimension::Value as DimValue, type_proto::Value as TypeValue};

use super::valid::VOLUME_MAX;
use crate::graph::{GraphError, LoadOptions};
use crate::tensor::{DType, HostTensor, show_shape, volume};

/// An input at a fixed shape.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
}

/// The model's inputs (initialisers that are also listed as inputs are none), without those that are bound as constants.
pub(super) fn inputs(model: &ModelProto, name: &str, options: &LoadOptions) -> Result<Vec<Input>, GraphError> {
    let graph = model.graph.as_ref().expect("checked before");
    let declared = free_inputs(graph);
    let complain = |what: String| GraphError::Options { model: name.into(), what };
    let names: Vec<&str> = declared.iter().map(|i| i.name.as_str()).collect();
    let given = options.shapes.keys().chain(options.constants.keys());
    if let Some(unknown) = given.clone().find(|k| !names.contains(&k.as_str())) {
        return Err(complain(format!("there is no input {unknown:?}; the inputs are {}", names.join(", "))));
    }
    check_dims(&declared, options).map_err(complain)?;
    declared
        .iter()
        .filter(|i| !options.constants.contains_key(&i.name))
        .map(|info| input(info, name, options))
        .collect()
}

/// Names of the inputs, in the file's order.
pub(super) fn names(model: &ModelProto) -> Vec<String> {
    let graph = model.graph.as_ref().expect("checked before");
    free_inputs(graph).iter().map(|i| i.name.clone()).collect()
}

/// Whether `values` are of the number, types and shapes that the inputs declare.
pub(super) fn check_values(model: &ModelProto, name: &str, values: &[HostTensor]) -> Result<(), GraphError> {
    let declared = free_inputs(model.graph.as_ref().expect("checked before"));
    if declared.len() != values.len() {
        return Err(GraphError::ValueCount { model: name.into(), inputs: names(model), found: values.len() });
    }
    for (position, (info, value)) in declared.iter().zip(values).enumerate() {
        let found = format!("{} {}", value.dtype(), show_shape(value.shape()));
        let dims = declared_shape(info);
        // Types that cannot be held are complained about where inputs are typed.
        let dtype = declared_dtype(info).unwrap_or(value.dtype());
        if dtype != value.dtype() || dims.as_ref().is_some_and(|dims| !fits(dims, value.shape())) {
            let dims = dims.as_deref().map_or_else(|| "of any shape".into(), show);
            let what = format!("it is declared {dtype} {dims}, {found} was given");
            return Err(GraphError::Value { model: name.into(), input: info.name.clone(), position, what });
        }
    }
    Ok(())
}

fn free_inputs(graph: &GraphProto) -> Vec<&ValueInfoProto> {
    graph.input.iter().filter(|i| !graph.initializer.iter().any(|t| t.name == i.name)).collect()
}

/// A dimension that no input has is a spelling mistake.
fn check_dims(inputs: &[&ValueInfoProto], options: &LoadOptions) -> Result<(), String> {
    let mut known: Vec<String> = Vec::new();
    for info in inputs {
        for dim in declared_shape(info).unwrap_or_default() {
            if let Dim::Symbol(symbol) = dim {
                known.push(symbol);
            }
        }
    }
    known.sort();
    known.dedup();
    match options.dims.keys().find(|k| !known.contains(k)) {
        Some(unknown) if known.is_empty() => Err(format!("there is no dimension {unknown:?}; every shape is fixed")),
        Some(unknown) => Err(format!("there is no dimension {unknown:?}; the dimensions are {}", known.join(", "))),
        None => Ok(()),
    }
}

/// A declared extent.
enum Dim {
    Fixed(usize),
    Symbol(String),
    Unnamed,
}

fn fits(declared: &[Dim], shape: &[usize]) -> bool {
    declared.len() == shape.len()
        && declared.iter().zip(shape).all(|(d, &s)| !matches!(d, Dim::Fixed(fixed) if *fixed != s))
}

fn declared_shape(info: &ValueInfoProto) -> Option<Vec<Dim>> {
    let Some(TypeValue::TensorType(tensor)) = &info.r#type.as_ref()?.value else {
        return None;
    };
    let dims = tensor.shape.as_ref()?.dim.iter().map(|dim| match &dim.value {
        Some(DimValue::DimValue(v)) if *v >= 0 => Dim::Fixed(*v as usize),
        Some(DimValue::DimParam(symbol)) if !symbol.is_empty() => Dim::Symbol(symbol.clone()),
        _ => Dim::Unnamed,
    });
    Some(dims.collect())
}

fn input(info: &ValueInfoProto, model: &str, options: &LoadOptions) -> Result<Input, GraphError> {
    let complain = |what: String| GraphError::Options { model: model.into(), what };
    let name = info.name.clone();
    let dtype = declared_dtype(info).map_err(|what| complain(format!("input {name:?}: {what}")))?;
    let declared = declared_shape(info);
    if let Some(shape) = options.shapes.get(&name) {
        if let Some(declared) = declared.as_ref().filter(|declared| !fits(declared, shape)) {
            let declared = show(declared);
            return Err(complain(format!("input {name:?} is declared {declared}, the shape {shape:?} was given")));
        }
        return sized(name, dtype, shape.clone(), model);
    }
    let Some(declared) = declared else {
        return Err(unknown(model, name, "unknown".into()));
    };
    let mut shape = Vec::new();
    for dim in &declared {
        shape.push(match dim {
            Dim::Fixed(n) => *n,
            Dim::Symbol(symbol) => match options.dims.get(symbol) {
                Some(&n) => n,
                None => {
                    let (model, missing) = (model.into(), symbol.clone());
                    let declared = show(&declared);
                    return Err(GraphError::MissingDimension { model, input: name, declared, missing });
                }
            },
            Dim::Unnamed => return Err(unknown(model, name, show(&declared))),
        });
    }
    sized(name, dtype, shape, model)
}

fn sized(name: String, dtype: DType, shape: Vec<usize>, model: &str) -> Result<Input, GraphError> {
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if elements.is_none_or(|n| n > VOLUME_MAX) {
        let what = format!("input {name:?} of shape {shape:?} has more than {VOLUME_MAX} elements");
        return Err(GraphError::Options { model: model.into(), what });
    }
    Ok(Input { name, dtype, shape })
}

fn unknown(model: &str, input: String, declared: String) -> GraphError {
    GraphError::MissingShape { model: model.into(), input, declared }
}

fn show(dims: &[Dim]) -> String {
    let texts: Vec<String> = dims
        .iter()
        .map(|d| match d {
            Dim::Fixed(n) => n.to_string(),
            Dim::Symbol(s) => s.clone(),
            Dim::Unnamed => "?".into(),
        })
        .collect();
    format!("[{}]", texts.join(","))
}

fn declared_dtype(info: &ValueInfoProto) -> Result<DType, String> {
    let Some(TypeValue::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err("it is declared as something else than a tensor".into());
    };
    from_code(tensor.elem_type).ok_or(format!("element type {} of ONNX is not supported", tensor.elem_type))
}

/// Element types by ONNX's numbers.
pub(super) const CODES: [(i32, DType); 12] = [
    (1, DType::F32),
    (2, DType::U8),
    (3, DType::I8),
    (4, DType::U16),
    (5, DType::I16),
    (6, DType::I32),
    (7, DType::I64),
    (9, DType::Bool),
    (10, DType::F16),
    (11, DType::F64),
    (12, DType::U32),
    (13, DType::U64),
];

fn from_code(code: i32) -> Option<DType> {
    CODES.iter().find(|c| c.0 == code).map(|c| c.1)
}

/// Moves the inputs that the caller gave as constants to the initialisers.
pub(super) fn constants(
    model: &mut ModelProto,
    name: &str,
    options: &LoadOptions,
) -> Result<Vec<(usize, String, Arc<HostTensor>)>, GraphError> {
    let graph = model.graph.as_mut().expect("checked before");
    let order: Vec<String> = free_inputs(graph).iter().map(|i| i.name.clone()).collect();
    let mut bound = Vec::new();
    for (at, input) in order.iter().enumerate() {
        let Some(value) = options.constants.get(input) else {
            continue;
        };
        let info = graph.input.iter().find(|i| i.name == *input).expect("it was listed");
        let declared = declared_dtype(info).unwrap_or(value.dtype());
        if declared != value.dtype() {
            let what =
                format!("input {input:?} is declared {declared}, a constant of type {} was given", value.dtype());
            return Err(GraphError::Options { model: name.into(), what });
        }
        graph.initializer.push(initialiser(input, value));
        graph.input.retain(|i| i.name != *input);
        bound.push((at, input.clone(), Arc::new(value.clone())));
    }
    Ok(bound)
}

fn initialiser(name: &str, value: &HostTensor) -> TensorProto {
    debug_assert_eq!(volume(value.shape()), value.volume());
    let code = CODES.iter().find(|c| c.1 == value.dtype()).expect("every type has a number").0;
    TensorProto {
        name: name.into(),
        data_type: code,
        dims: value.shape().iter().map(|&d| d as i64).collect(),
        raw_data: value.bytes().to_vec(),
        ..TensorProto::default()
    }
}

/// Drops what the file says of intermediate and output types: exporters write stale sizes there, and all follow from
/// the inputs.
pub(super) fn forget_declared_shapes(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("checked before");
    graph.value_info.clear();
    for output in &mut graph.output {
        output.r#type = None;
    }
}
