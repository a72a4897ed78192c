//! From a file's graph to typed, simplified operators, through tract; and what tract says of a graph that it cannot
//! type, in one line.

use std::collections::HashMap;

use tract_onnx::model::ParseResult;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{InferenceFact, InferenceModel};

use super::bind::Input;
use super::valid::{self, Complaint, Known, label};
use super::{declutter, tensor, transposed};
use crate::graph::{GraphError, quiet};

/// Characters of a message of tract's at most.
const MESSAGE_MAX: usize = 300;

/// Parses, checks, types and simplifies a model whose inputs have these facts.
pub(super) fn typed(model: &ModelProto, folder: Option<&str>, inputs: &[Input]) -> TractResult<TypedModel> {
    let mut typed = unsimplified(model, folder, inputs)?;
    declutter::simplify(&mut typed)?;
    Ok(typed)
}

fn unsimplified(model: &ModelProto, folder: Option<&str>, inputs: &[Input]) -> TractResult<TypedModel> {
    let mut framework = tract_onnx::onnx().with_ignore_value_info(true);
    framework.op_register.insert("ConvTranspose", transposed::conv_transpose);
    let ParseResult { model: mut inference, unresolved_inputs, outlets_by_name } = framework.parse(model, folder)?;
    if let Some(missing) = unresolved_inputs.first() {
        return Err(TractError::msg(format!("value {missing:?} is used but never computed")));
    }
    for at in 0..inference.input_outlets()?.len() {
        let name = inference.node(inference.input_outlets()?[at].node).name.clone();
        let Some(input) = inputs.iter().find(|i| i.name == name) else {
            return Err(TractError::msg(format!("input {name:?} has no shape")));
        };
        let fact = InferenceFact::dt_shape(tensor::datum_type(input.dtype), &input.shape);
        inference.set_input_fact(at, fact)?;
    }
    infer(&mut inference, model.graph.as_ref().expect("checked before"), &outlets_by_name)?;
    inference.into_typed()
}

/// Infers all shapes. Where the library fails, or takes what ONNX does not allow, the node's attributes are to blame.
fn infer(inference: &mut InferenceModel, graph: &GraphProto, outlets: &HashMap<String, OutletId>) -> TractResult<()> {
    let inferred = quiet::caught(|| inference.analyse(false));
    valid::nodes(graph, &Known::inferred(inference, outlets))?;
    match inferred {
        Ok(result) => result.map(drop),
        Err(panic) => Err(TractError::msg(gave_up(&panic))),
    }
}

/// Runs a part of the import that may fail or, on a damaged file, panic inside the library: both become one sentence
/// that names the node.
pub(super) fn guarded<T>(
    name: &str,
    nodes: &HashMap<String, String>,
    work: impl FnOnce() -> TractResult<T>,
) -> Result<T, GraphError> {
    let error = match quiet::caught(work) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error,
        Err(panic) => {
            return Err(GraphError::Model { model: name.into(), reason: gave_up(&panic) });
        }
    };
    match error.downcast::<Complaint>() {
        Ok(complaint) => Err(complaint.of(name)),
        Err(error) => Err(explained(&error, name, nodes)),
    }
}

const REMEDY: &str = "Check the model with onnx.checker, simplify it, or export it again with fixed shapes";

fn gave_up(panic: &str) -> String {
    format!("the importer gave up on this graph ({panic}). {REMEDY}")
}

/// ONNX operator types by node, for messages. Nodes without a name are called by their first output.
pub(super) fn operators(model: &ModelProto) -> HashMap<String, String> {
    let nodes = model.graph.iter().flat_map(|g| &g.node);
    let names = |n: &NodeProto| n.output.first().cloned().into_iter().chain([label(n)]).collect::<Vec<_>>();
    nodes.flat_map(|n| names(n).into_iter().map(|name| (name, n.op_type.clone()))).collect()
}

/// The node that tract was at, and the innermost reason.
fn explained(error: &TractError, name: &str, nodes: &HashMap<String, String>) -> GraphError {
    let lines: Vec<String> = error.chain().map(first_line).collect();
    // That two numbers differ says little without the rule that they break.
    let rule = usize::from(lines.last().is_some_and(|line| line.starts_with("Impossible to unify")));
    let reason = lines[lines.len().saturating_sub(1 + rule)..].join(": ");
    let Some(node) = lines.iter().filter_map(|line| node_in(line)).next_back() else {
        return GraphError::Model { model: name.into(), reason };
    };
    let operator = nodes.get(node).or_else(|| nodes.get(node.split('.').next()?));
    let operator = operator.cloned().unwrap_or_else(|| "of the importer".into());
    GraphError::Operator { model: name.into(), operator, node: node.into(), reason: format!("{reason}. {REMEDY}") }
}

/// The node's name in `Failed analyse for node #12 "name" Operator` or `Building node name (Operator)`.
fn node_in(line: &str) -> Option<&str> {
    match line.split_once("node #") {
        Some((_, node)) => node.split('"').nth(1),
        None => Some(line.strip_prefix("Building node ")?.rsplit_once(" (")?.0).filter(|name| !name.is_empty()),
    }
}

fn first_line(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default().trim();
    match line.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.trim_end_matches('.').into(),
    }
}
