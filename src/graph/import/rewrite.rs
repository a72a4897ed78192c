//! Small rewrites of a file's graph into forms that the importer gets right.

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// A recurrent operator that runs backwards alone becomes a forward one between two reversals of time.
pub(super) fn reversed_recurrence(model: &mut ModelProto) {
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
