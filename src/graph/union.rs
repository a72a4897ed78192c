//! The disjoint union: several graphs beside each other as one, each with names of its own. It computes what they compute
//! and shares nothing; [`super::merge`] is what joins equal parts.

use super::ir::{Access, Graph, Node, Value, ValueId, ValueKind};

/// Graphs beside each other.
#[derive(Clone, Debug)]
pub struct Union {
    /// All of them. Inputs and outputs are those of the first graph, then those of the second, and so on; names begin with
    /// the graph's number: `1/input`.
    pub graph: Graph,
    /// Which of the graphs a value is of.
    pub(super) instance_of_value: Vec<usize>,
    /// Which of the graphs a node is of.
    pub(super) instance_of_node: Vec<usize>,
    /// The first of each graph's inputs.
    pub(super) inputs_from: Vec<usize>,
}

impl Union {
    /// The union of `graphs`, in their order.
    pub fn of(graphs: &[&Graph]) -> Union {
        let names: Vec<&str> = graphs.iter().map(|g| g.name.as_str()).collect();
        let alike = names.windows(2).all(|pair| pair[0] == pair[1]);
        let name = match names.first() {
            Some(first) if alike && names.len() > 1 => format!("{} x {first}", names.len()),
            _ => names.join(" + "),
        };
        let mut union = Union {
            graph: Graph {
                name,
                values: Vec::new(),
                nodes: Vec::new(),
                inputs: Vec::new(),
                outputs: Vec::new(),
                output_names: Vec::new(),
                bound: Vec::new(),
            },
            instance_of_value: Vec::new(),
            instance_of_node: Vec::new(),
            inputs_from: Vec::new(),
        };
        for (instance, graph) in graphs.iter().enumerate() {
            union.add(instance, graph);
        }
        union
    }

    fn add(&mut self, instance: usize, graph: &Graph) {
        let base = self.graph.values.len();
        let (inputs, file_inputs) = (self.graph.inputs.len(), self.graph.inputs.len() + self.graph.bound.len());
        self.inputs_from.push(inputs);
        let moved = |id: ValueId| ValueId(id.0 + base);
        let accesses = |all: &[Access]| -> Vec<Access> {
            all.iter().map(|a| Access { value: moved(a.value), views: a.views.clone() }).collect()
        };
        for value in &graph.values {
            let kind = match &value.kind {
                ValueKind::Input(at) => ValueKind::Input(at + inputs),
                kind => kind.clone(),
            };
            self.graph.values.push(Value { name: named(instance, &value.name), kind, ..value.clone() });
            self.instance_of_value.push(instance);
        }
        for node in &graph.nodes {
            self.graph.nodes.push(Node {
                name: named(instance, &node.name),
                kind: node.kind.clone(),
                inputs: accesses(&node.inputs),
                outputs: accesses(&node.outputs),
                host: node.host.clone(),
                host_inputs: node.host_inputs.iter().map(|&v| moved(v)).collect(),
            });
            self.instance_of_node.push(instance);
        }
        self.graph.inputs.extend(graph.inputs.iter().map(|&v| moved(v)));
        self.graph.outputs.extend(graph.outputs.iter().map(|&v| moved(v)));
        self.graph.output_names.extend(graph.output_names.iter().map(|name| named(instance, name)));
        let bound =
            graph.bound.iter().map(|(at, name, value)| (at + file_inputs, named(instance, name), value.clone()));
        self.graph.bound.extend(bound);
    }
}

fn named(instance: usize, name: &str) -> String {
    format!("{instance}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{LoadOptions, ModelSource, load};

    #[test]
    fn inputs_and_outputs_are_named_by_instance_and_nothing_is_shared() {
        let zoo = |name: &str| load(&ModelSource::Zoo(name.into()), &LoadOptions::default()).unwrap();
        let (a, b) = (zoo("keyword_spotting"), zoo("dlrm"));
        let union = Union::of(&[&a, &b, &a]).graph;
        let names = |ports: Vec<crate::graph::Port>| ports.into_iter().map(|p| p.name).collect::<Vec<_>>();
        assert_eq!(names(union.input_ports()), ["0/mfcc", "1/dense", "1/sparse", "2/mfcc"]);
        assert_eq!(union.outputs.len(), 2 * a.outputs.len() + b.outputs.len());
        assert_eq!(union.nodes.len(), 2 * a.nodes.len() + b.nodes.len());
        let mut seen = vec![false; union.values.len()];
        for node in &union.nodes {
            for output in &node.outputs {
                assert!(!std::mem::replace(&mut seen[output.value.0], true), "each value is computed once");
            }
            for input in node.inputs.iter().filter(|i| matches!(union.value(i.value).kind, ValueKind::Computed)) {
                assert!(seen[input.value.0], "{} reads what was computed before", node.name);
            }
        }
        assert_eq!(Union::of(&[&a, &a]).graph.name, "2 x zoo:keyword_spotting");
    }
}
