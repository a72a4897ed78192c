//! `If` nodes whose condition follows from the input shapes and bound constants are replaced by the branch that is
//! taken: tract types both branches, and exporters write branches that only type under their condition.

use std::collections::{BTreeMap, HashSet};

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use tract_onnx::prelude::*;

use super::bind::Input;

/// Branches that are spliced in at most; more is a graph that does not end.
const SPLICES_MAX: usize = 1000;

/// Replaces every `If` of the main graph whose condition is constant. Others stay as they are.
pub(super) fn inline(model: &mut ModelProto, folder: Option<&str>, inputs: &[Input]) -> TractResult<()> {
    for number in 0..SPLICES_MAX {
        let graph = model.graph.as_ref().expect("checked before");
        let ifs = (0..graph.node.len()).filter(|&at| graph.node[at].op_type == "If");
        let decided = ifs.filter_map(|at| condition(model, folder, inputs, at).map(|taken| (at, taken))).next();
        let Some((at, taken)) = decided else {
            return Ok(());
        };
        splice(model.graph.as_mut().expect("checked before"), at, taken, number);
    }
    Err(TractError::msg(format!("more than {SPLICES_MAX} nested If nodes")))
}

/// The value of the condition of the `If` at `at`, where tract can fold it.
fn condition(model: &ModelProto, folder: Option<&str>, inputs: &[Input], at: usize) -> Option<bool> {
    let graph = model.graph.as_ref()?;
    let name = graph.node[at].input.first()?.clone();
    let (nodes, needed) = ancestors(graph, &name)?;
    let part = GraphProto {
        name: "condition".into(),
        node: nodes,
        initializer: graph.initializer.iter().filter(|t| needed.contains(&t.name)).cloned().collect(),
        input: graph.input.iter().filter(|i| needed.contains(&i.name)).cloned().collect(),
        output: vec![ValueInfoProto { name, ..ValueInfoProto::default() }],
        ..GraphProto::default()
    };
    let part = ModelProto { graph: Some(part), ..shell(model) };
    let typed = super::typing::typed(&part, folder, inputs).ok()?;
    let fact = typed.outlet_fact(*typed.outputs.first()?).ok()?;
    fact.konst.as_ref()?.cast_to_scalar::<bool>().ok()
}

/// A model's versions without its graph.
fn shell(model: &ModelProto) -> ModelProto {
    ModelProto { ir_version: model.ir_version, opset_import: model.opset_import.clone(), ..ModelProto::default() }
}

/// The nodes that compute `name`, in order, and all names that they use; `None` if another `If` is among them.
fn ancestors(graph: &GraphProto, name: &str) -> Option<(Vec<NodeProto>, HashSet<String>)> {
    let mut needed: HashSet<String> = [name.to_string()].into();
    let mut nodes = Vec::new();
    for node in graph.node.iter().rev() {
        if node.output.iter().any(|o| needed.contains(o)) {
            if node.op_type == "If" {
                return None;
            }
            needed.extend(node.input.iter().cloned());
            for body in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
                needed.extend(used_inside(body));
            }
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    Some((nodes, needed))
}

fn used_inside(graph: &GraphProto) -> Vec<String> {
    let mut names: Vec<String> = graph.node.iter().flat_map(|n| n.input.clone()).collect();
    for body in graph.node.iter().flat_map(|n| &n.attribute).filter_map(|a| a.g.as_ref()) {
        names.extend(used_inside(body));
    }
    names
}

/// Puts the nodes of the taken branch in the place of the `If`, under names of their own.
fn splice(graph: &mut GraphProto, at: usize, taken: bool, number: usize) {
    let node = graph.node.remove(at);
    let wanted = if taken { "then_branch" } else { "else_branch" };
    let branch = node.attribute.iter().find(|a| a.name == wanted).and_then(|a| a.g.clone());
    let mut branch = branch.unwrap_or_default();
    let prefix = format!("{}/{number}/", node.name);
    let own = |name: &str| format!("{prefix}{name}");
    let initialisers = branch.initializer.iter().map(|t| t.name.clone());
    let results = branch.node.iter().flat_map(|n| n.output.clone()).filter(|o| !o.is_empty());
    let renamed: BTreeMap<String, String> = initialisers.chain(results).map(|n| (n.clone(), own(&n))).collect();
    rename(&mut branch, &renamed);
    for tensor in &mut branch.initializer {
        tensor.name = own(&tensor.name);
    }
    for inner in branch.node.iter_mut().filter(|n| !n.name.is_empty()) {
        inner.name = own(&inner.name);
    }
    let mut nodes = branch.node;
    for (outer, inner) in node.output.iter().zip(&branch.output) {
        nodes.push(NodeProto {
            op_type: "Identity".into(),
            name: own(&format!("out/{outer}")),
            input: vec![inner.name.clone()],
            output: vec![outer.clone()],
            ..NodeProto::default()
        });
    }
    graph.initializer.extend(branch.initializer);
    graph.node.splice(at..at, nodes);
}

fn rename(graph: &mut GraphProto, names: &BTreeMap<String, String>) {
    let new = |name: &mut String| {
        if let Some(to) = names.get(name) {
            name.clone_from(to);
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().for_each(new);
        node.output.iter_mut().for_each(new);
        for body in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
            rename(body, names);
        }
    }
    graph.output.iter_mut().for_each(|o| new(&mut o.name));
}
