//! Small rewrites of a file's graph into forms that the importer gets right.

use std::collections::HashSet;

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use super::valid::Known;

/// Everything that a file's graph needs before it is parsed.
pub(super) fn all(model: &mut ModelProto) {
    unique_names(model);
    absent_inputs(model);
    filling(model);
    reversed_recurrence(model);
    initial_states(model);
    softplus(model);
    tuples(model);
}

/// `GatherND` of constants is computed while the importer types the model, and there places must count from the front.
fn tuples(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("checked before");
    let known = Known::declared(graph);
    let mut counted = Vec::new();
    for (at, node) in graph.node.iter_mut().enumerate().filter(|(_, node)| node.op_type == "GatherND") {
        let [data, index] = node.input.as_slice() else { continue };
        let is_input = graph.input.iter().any(|input| input.name == *data);
        let (Some(extents), Some(shape), Some(places)) = (known.shape(data), known.shape(index), known.values(index))
        else {
            continue;
        };
        let depth = shape.last().copied().unwrap_or(0);
        if is_input || depth == 0 || places.iter().all(|&place| place >= 0.0) {
            continue;
        }
        let batch = attribute(node, "batch_dims").map_or(0, |a| a.i) as usize;
        let from_the_front = places.iter().enumerate().map(|(i, &place)| {
            let extent = extents.get(batch.saturating_add(i % depth)).map_or(0, |&extent| extent as i64);
            if place < 0.0 { place as i64 + extent } else { place as i64 }
        });
        let name = format!("{}/places/{at}", node.name);
        counted.push(TensorProto {
            name: name.clone(),
            data_type: 7,
            dims: shape.iter().map(|&d| d as i64).collect(),
            raw_data: from_the_front.flat_map(i64::to_le_bytes).collect(),
            ..TensorProto::default()
        });
        node.input[1] = name;
    }
    graph.initializer.extend(counted);
}

/// Names of nodes are for people; some exporters give several nodes one name, which the importer refuses.
fn unique_names(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("checked before");
    let mut seen = HashSet::new();
    for (at, node) in graph.node.iter_mut().enumerate() {
        if !node.name.is_empty() && !seen.insert(node.name.clone()) {
            node.name = format!("{}#{at}", node.name);
        }
    }
}

/// Optional inputs at the end may be left out or named by nothing; the importer counts the latter.
fn absent_inputs(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("checked before");
    for node in &mut graph.node {
        let given = node.input.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        node.input.truncate(given);
    }
}

/// `ConstantOfShape` fills with 32-bit zeros where it does not say with what; the importer takes 64-bit ones.
fn filling(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("checked before");
    for node in graph.node.iter_mut().filter(|n| n.op_type == "ConstantOfShape") {
        if attribute(node, "value").is_none() {
            node.attribute.push(zero());
        }
    }
}

/// The attribute `value`: one 32-bit zero.
fn zero() -> AttributeProto {
    let zero = TensorProto { data_type: 1, dims: vec![1], raw_data: vec![0; 4], ..TensorProto::default() };
    AttributeProto { name: "value".into(), r#type: 4, t: Some(zero), ..AttributeProto::default() }
}

/// A recurrent operator that runs backwards alone becomes a forward one between two reversals of time.
fn reversed_recurrence(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("checked before");
    let mut at = 0;
    while at < graph.node.len() {
        let node = &graph.node[at];
        let recurrent = matches!(node.op_type.as_str(), "LSTM" | "GRU" | "RNN");
        if recurrent && attribute(node, "direction").is_some_and(|a| a.s == b"reverse") {
            at += turn(graph, at);
        }
        at += 1;
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

/// Rewrites the node at `at`; answers how many nodes were added in front of and behind it.
fn turn(graph: &mut GraphProto, at: usize) -> usize {
    let prefix = format!("{}/reversed/{at}", graph.node[at].name);
    let node = &mut graph.node[at];
    let axis = attribute(node, "layout").map_or(0, |a| a.i);
    node.attribute.retain(|a| a.name != "direction");
    let input = node.input[0].clone();
    let turned = format!("{prefix}/x");
    node.input[0].clone_from(&turned);
    let sequence = node.output.first().filter(|y| !y.is_empty()).cloned();
    let forward = format!("{prefix}/y");
    if sequence.is_some() {
        node.output[0].clone_from(&forward);
    }
    let parameters = ["starts", "ends", "axes", "steps"].map(|name| format!("{prefix}/{name}"));
    for (name, value) in parameters.iter().zip([-1, i64::MIN + 1, axis, -1]) {
        graph.initializer.push(TensorProto {
            name: name.clone(),
            data_type: 7,
            dims: vec![1],
            raw_data: value.to_le_bytes().to_vec(),
            ..TensorProto::default()
        });
    }
    let reversal = |from: String, to: String| NodeProto {
        op_type: "Slice".into(),
        name: to.clone(),
        input: std::iter::once(from).chain(parameters.iter().cloned()).collect(),
        output: vec![to],
        ..NodeProto::default()
    };
    let mut added = 1;
    if let Some(sequence) = sequence {
        graph.node.insert(at + 1, reversal(forward, sequence));
        added += 1;
    }
    graph.node.insert(at, reversal(input, turned));
    added
}

/// States that were left out are zeros of the sequence's batch; the importer would take a batch of one.
fn initial_states(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("checked before");
    let mut at = 0;
    while at < graph.node.len() {
        let states: &[usize] = match graph.node[at].op_type.as_str() {
            "LSTM" => &[5, 6],
            "GRU" | "RNN" => &[5],
            _ => &[],
        };
        for &slot in states {
            let absent = graph.node[at].input.get(slot).is_none_or(String::is_empty);
            if absent && attribute(&graph.node[at], "hidden_size").is_some() {
                at += zero_state(graph, at, slot);
            }
        }
        at += 1;
    }
}

/// Adds a zero state as input `slot` of the node at `at`; answers how many nodes were added in front of it.
fn zero_state(graph: &mut GraphProto, at: usize, slot: usize) -> usize {
    let node = &graph.node[at];
    let prefix = format!("{}/state/{at}/{slot}", node.name);
    let hidden = attribute(node, "hidden_size").map_or(0, |a| a.i);
    let both = attribute(node, "direction").is_some_and(|a| a.s == b"bidirectional");
    let batch_first = attribute(node, "layout").is_some_and(|a| a.i == 1);
    let sequence = node.input[0].clone();
    let name = |part: &str| format!("{prefix}/{part}");
    let vector = |part: &str, value: i64| TensorProto {
        name: name(part),
        data_type: 7,
        dims: vec![1],
        raw_data: value.to_le_bytes().to_vec(),
        ..TensorProto::default()
    };
    graph.initializer.extend([
        vector("axis", i64::from(!batch_first)),
        vector("directions", if both { 2 } else { 1 }),
        vector("hidden", hidden),
    ]);
    let operator = |op: &str, inputs: Vec<String>, output: &str, attributes: Vec<AttributeProto>| NodeProto {
        op_type: op.into(),
        name: name(output),
        input: inputs,
        output: vec![name(output)],
        attribute: attributes,
        ..NodeProto::default()
    };
    let axis = AttributeProto { name: "axis".into(), r#type: 2, i: 0, ..AttributeProto::default() };
    let mut extents = vec![name("directions"), name("batch"), name("hidden")];
    if batch_first {
        extents.swap(0, 1);
    }
    let nodes = [
        operator("Shape", vec![sequence], "shape", Vec::new()),
        operator("Gather", vec![name("shape"), name("axis")], "batch", vec![axis.clone()]),
        operator("Concat", extents, "extents", vec![axis]),
        operator("ConstantOfShape", vec![name("extents")], "zeros", vec![zero()]),
    ];
    let node = &mut graph.node[at];
    node.input.resize(node.input.len().max(slot + 1), String::new());
    node.input[slot] = name("zeros");
    let added = nodes.len();
    graph.node.splice(at..at, nodes);
    added
}

/// `ln(1 + e^x)` as the importer writes it overflows; `max(x, 0) + ln(1 + e^-|x|)` does not.
fn softplus(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("checked before");
    let mut at = 0;
    while at < graph.node.len() {
        if graph.node[at].op_type == "Softplus" {
            let node = graph.node.remove(at);
            let nodes = stable_softplus(&node, at, &mut graph.initializer);
            at += nodes.len();
            graph.node.splice(at - nodes.len()..at - nodes.len(), nodes);
        } else {
            at += 1;
        }
    }
}

fn stable_softplus(node: &NodeProto, at: usize, initialisers: &mut Vec<TensorProto>) -> Vec<NodeProto> {
    let prefix = format!("{}/softplus/{at}", node.name);
    let name = |part: &str| format!("{prefix}/{part}");
    for (part, value) in [("one", 1.0f32), ("zero", 0.0)] {
        initialisers.push(TensorProto {
            name: name(part),
            data_type: 1,
            raw_data: value.to_le_bytes().to_vec(),
            ..TensorProto::default()
        });
    }
    let x = node.input[0].clone();
    let step = |op: &str, inputs: Vec<String>, output: String| NodeProto {
        op_type: op.into(),
        name: output.clone(),
        input: inputs,
        output: vec![output],
        ..NodeProto::default()
    };
    vec![
        step("Abs", vec![x.clone()], name("abs")),
        step("Neg", vec![name("abs")], name("neg")),
        step("Exp", vec![name("neg")], name("exp")),
        step("Add", vec![name("exp"), name("one")], name("sum")),
        step("Log", vec![name("sum")], name("log")),
        step("Max", vec![x, name("zero")], name("max")),
        step("Add", vec![name("max"), name("log")], node.output[0].clone()),
    ]
}
