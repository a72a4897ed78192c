//! What the importer is known to get wrong is refused before execution: a wrong answer is worse than none. Each row was
//! found by comparing single-operator models with the ONNX specification's own tests and with a second runtime.

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto};

use super::bind::Input;
use crate::graph::GraphError;

/// Operator domains that the importer knows; it would take an operator of another domain for the standard one.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// Finds the first node that would give wrong answers.
pub(super) fn check(model: &ModelProto, name: &str) -> Result<(), GraphError> {
    let graph = model.graph.as_ref().expect("checked before");
    check_graph(graph, name, opset(model))
}

/// The largest element of an empty tensor is an infinity to ONNX and a finite number to the importer, which folds it.
pub(super) fn check_extremes(model: &ModelProto, name: &str, inputs: &[Input]) -> Result<(), GraphError> {
    let graph = model.graph.as_ref().expect("checked before");
    let extreme = graph.node.iter().find(|n| matches!(n.op_type.as_str(), "ReduceMax" | "ReduceMin"));
    match (extreme, inputs.iter().find(|i| i.shape.contains(&0))) {
        (Some(node), Some(input)) => Err(GraphError::Operator {
            model: name.into(),
            operator: node.op_type.clone(),
            node: node.output.join(","),
            reason: format!("extremes of empty tensors are not supported; input {:?} is {:?}", input.name, input.shape),
        }),
        _ => Ok(()),
    }
}

fn opset(model: &ModelProto) -> i64 {
    model.opset_import.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx").map_or(1, |o| o.version)
}

fn check_graph(graph: &GraphProto, name: &str, opset: i64) -> Result<(), GraphError> {
    let bfloat = graph.initializer.iter().find(|t| t.data_type == 16);
    if let Some(tensor) = bfloat {
        return Err(GraphError::Model {
            model: name.into(),
            reason: format!("initialiser {:?} is bfloat16, which is not supported; export it as float32", tensor.name),
        });
    }
    for node in &graph.node {
        if let Some(reason) = reason(node, opset) {
            return Err(GraphError::Operator {
                model: name.into(),
                operator: node.op_type.clone(),
                node: if node.name.is_empty() { node.output.join(",") } else { node.name.clone() },
                reason: reason.into(),
            });
        }
        for body in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
            check_graph(body, name, opset)?;
        }
    }
    Ok(())
}

fn reason(node: &NodeProto, opset: i64) -> Option<&'static str> {
    if !DOMAINS.contains(&node.domain.as_str()) {
        return Some("its domain is not one of ONNX's own; custom operators are not supported");
    }
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let text = |name: &str| attribute(name).map(|a| String::from_utf8_lossy(&a.s).into_owned()).unwrap_or_default();
    let int = |name: &str, default: i64| attribute(name).map_or(default, |a| a.i);
    match node.op_type.as_str() {
        "Cast" | "CastLike" if int("to", 0) == 16 => Some("casts to bfloat16 are not supported"),
        "LSTM" | "GRU" | "RNN" => recurrent(node, attribute("clip"), attribute("activations")),
        "LpPool" | "GlobalLpPool" => Some("Lp pooling is not supported"),
        "Celu" if attribute("alpha").is_some_and(|a| a.f != 1.0) => Some("alpha other than 1 is not supported"),
        "AveragePool" if int("count_include_pad", 0) == 1 && int("ceil_mode", 0) == 1 => {
            Some("count_include_pad together with ceil_mode is not supported")
        }
        "Einsum" if text("equation").trim_end().ends_with("->") => {
            Some("an equation with an empty result is not supported; use ReduceSum")
        }
        "Resize" | "Upsample" if opset < 11 => {
            Some("Resize before opset 11 is not supported; convert the model to opset 11 or later")
        }
        "QLinearMatMul" | "DynamicQuantizeLinear" => Some("quantised operators are not supported"),
        _ => None,
    }
}

fn recurrent(
    node: &NodeProto,
    clip: Option<&AttributeProto>,
    activations: Option<&AttributeProto>,
) -> Option<&'static str> {
    let defaults: &[&str] = match node.op_type.as_str() {
        "LSTM" => &["Sigmoid", "Tanh", "Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        _ => &["Tanh"],
    };
    let given: Vec<String> = activations
        .map(|a| a.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect())
        .unwrap_or_default();
    let other = given.iter().zip(defaults.iter().cycle()).any(|(g, d)| !g.eq_ignore_ascii_case(d));
    let forget = node.attribute.iter().any(|a| a.name == "input_forget" && a.i != 0);
    if clip.is_some() || forget {
        return Some("clip and input_forget are not supported");
    }
    other.then_some("activations other than the standard ones are not supported")
}
