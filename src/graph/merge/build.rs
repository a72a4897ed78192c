//! The joint graph, node by node: what is computed at once reads and writes stacked tensors, what is not sees its slices.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::classes::{Classes, NodeClass, ValueClass};
use super::hosts::{EachInstance, Joined, Viewed, program};
use super::lift::{lifted, shared_operand, stacked_operand, stacked_output};
use super::plan::{How, Plan, places, run};
use crate::graph::host::HostProgram;
use crate::graph::ir::{Access, Graph, Node, NodeKind, Value, ValueId, ValueKind};
use crate::graph::union::Union;
use crate::graph::view::ViewOp;
use crate::kernel::Joint;
use crate::tensor::HostTensor;

/// Builds it.
pub(super) fn build(union: &Union, classes: &Classes, plan: &Plan) -> Graph {
    let mut builder = Builder::new(union, classes, plan);
    builder.inputs();
    for unit in order(union, classes, plan) {
        match unit {
            Unit::Node(at) => builder.alone(at),
            Unit::Class(class) => builder.at_once(class),
        }
    }
    builder.finish()
}

/// What is emitted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Unit {
    Node(usize),
    Class(NodeClass),
}

/// A valid order that keeps to the instances' own as far as it can, so that lives of values stay as short.
fn order(union: &Union, classes: &Classes, plan: &Plan) -> Vec<Unit> {
    let graph = &union.graph;
    let unit_of = |at: usize| match plan.how[classes.of_node[at].0] {
        How::Apart => Unit::Node(at),
        _ => Unit::Class(classes.of_node[at]),
    };
    let mut producer = vec![None; graph.values.len()];
    let mut first_of = vec![usize::MAX; union.inputs_from.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        for output in &node.outputs {
            producer[output.value.0] = Some(at);
        }
        let first = &mut first_of[union.instance_of_node[at]];
        *first = at.min(*first);
    }
    let mut waits: HashMap<Unit, BTreeSet<Unit>> = HashMap::new();
    let mut readers: HashMap<Unit, Vec<Unit>> = HashMap::new();
    let mut rank: HashMap<Unit, (usize, usize)> = HashMap::new();
    for (at, node) in graph.nodes.iter().enumerate() {
        let unit = unit_of(at);
        let here = (at - first_of[union.instance_of_node[at]], union.instance_of_node[at]);
        let least = rank.entry(unit).or_insert(here);
        *least = here.min(*least);
        let before = waits.entry(unit).or_default();
        for value in node.inputs.iter().map(|a| a.value).chain(node.host_inputs.iter().copied()) {
            // A stacked tensor is there when all of its parts are.
            let parts = match unit {
                Unit::Class(_) => classes.values[classes.of_value[value.0].0].as_slice(),
                Unit::Node(_) => std::slice::from_ref(&value),
            };
            before.extend(parts.iter().filter_map(|v| producer[v.0]).map(unit_of).filter(|b| *b != unit));
        }
    }
    for (&unit, before) in &waits {
        for &b in before {
            readers.entry(b).or_default().push(unit);
        }
    }
    let ready = waits.iter().filter(|(_, before)| before.is_empty()).map(|(unit, _)| Reverse((rank[unit], *unit)));
    let mut ready: BinaryHeap<_> = ready.collect();
    let mut order = Vec::new();
    while let Some(Reverse((_, unit))) = ready.pop() {
        order.push(unit);
        for &reader in readers.get(&unit).into_iter().flatten() {
            let left = waits.get_mut(&reader).expect("every unit is known");
            left.remove(&unit);
            if left.is_empty() {
                ready.push(Reverse((rank[&reader], reader)));
            }
        }
    }
    assert_eq!(order.len(), waits.len(), "nodes at one place are equally deep, so that none waits for itself");
    order
}

struct Builder<'a> {
    union: &'a Union,
    classes: &'a Classes,
    plan: &'a Plan,
    graph: Graph,
    /// Each value of the union by itself, where it is one already.
    own: Vec<Option<ValueId>>,
    /// Values that were computed with an axis of one instance in front.
    parts: HashMap<ValueId, ValueId>,
    stacks: HashMap<ValueClass, ValueId>,
    constants: HashMap<ValueClass, ValueId>,
}

impl<'a> Builder<'a> {
    fn new(union: &'a Union, classes: &'a Classes, plan: &'a Plan) -> Builder<'a> {
        let of = &union.graph;
        let graph = Graph {
            name: of.name.clone(),
            values: Vec::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            output_names: of.output_names.clone(),
            bound: of.bound.clone(),
        };
        let own = vec![None; of.values.len()];
        let (parts, stacks, constants) = (HashMap::new(), HashMap::new(), HashMap::new());
        Builder { union, classes, plan, graph, own, parts, stacks, constants }
    }

    fn inputs(&mut self) {
        for at in 0..self.union.graph.values.len() {
            let value = &self.union.graph.values[at];
            let class = self.classes.of_value[at];
            match value.kind {
                ValueKind::Input(_) if !self.plan.together[class.0] => self.own[at] = Some(self.add(value.clone())),
                ValueKind::Input(_) if !self.stacks.contains_key(&class) => {
                    self.new_stack(class);
                }
                _ => {}
            }
        }
        self.graph.inputs = self.union.graph.inputs.iter().map(|&id| self.own(id)).collect();
    }

    fn finish(mut self) -> Graph {
        self.graph.outputs = self.union.graph.outputs.iter().map(|&id| self.own(id)).collect();
        self.graph
    }

    fn add(&mut self, value: Value) -> ValueId {
        self.graph.values.push(value);
        ValueId(self.graph.values.len() - 1)
    }

    /// The stacked tensor of a class, not computed yet.
    fn new_stack(&mut self, class: ValueClass) -> ValueId {
        let members = &self.classes.values[class.0];
        let first = self.union.graph.value(members[0]);
        let stack = Value {
            name: several(members.len(), &first.name),
            shape: [&[members.len()], first.shape.as_slice()].concat(),
            ..first.clone()
        };
        let id = self.add(stack);
        self.stacks.insert(class, id);
        id
    }

    fn view(&mut self, of: ValueId, views: Vec<ViewOp>, value: Value) -> ValueId {
        let name = value.name.clone();
        let id = self.add(Value { kind: ValueKind::Computed, ..value });
        let host = program(Viewed(views.clone()), &self.graph, &[of], 1);
        self.graph.nodes.push(Node {
            name,
            kind: NodeKind::View,
            inputs: vec![Access { value: of, views }],
            outputs: vec![Access::plain(id)],
            host,
            host_inputs: vec![of],
        });
        id
    }

    fn constant(&mut self, id: ValueId) -> ValueId {
        let class = self.classes.of_value[id.0];
        if let Some(&known) = self.constants.get(&class) {
            return known;
        }
        let made = self.add(self.union.graph.value(id).clone());
        self.constants.insert(class, made);
        made
    }

    /// One instance's value by itself.
    fn own(&mut self, id: ValueId) -> ValueId {
        if let Some(known) = self.own[id.0] {
            return known;
        }
        let value = self.union.graph.value(id).clone();
        let class = self.classes.of_value[id.0];
        let made = if let ValueKind::Constant(_) = value.kind {
            self.constant(id)
        } else if let Some(&part) = self.parts.get(&id) {
            self.view(part, vec![ViewOp::RemoveAxis(0)], value)
        } else {
            let place = self.classes.values[class.0].iter().position(|&v| v == id).expect("a value is of its class");
            let slice = ViewOp::Slice { axis: 0, start: place, len: 1, step: 1 };
            self.view(self.stacks[&class], vec![slice, ViewOp::RemoveAxis(0)], value)
        };
        self.own[id.0] = Some(made);
        made
    }

    /// The stacked tensor of a class; parts that were computed one by one are joined, each where it lies.
    fn stack(&mut self, class: ValueClass) -> ValueId {
        if let Some(&stack) = self.stacks.get(&class) {
            return stack;
        }
        let parts: Vec<ValueId> = self.classes.values[class.0].iter().map(|v| self.parts[v]).collect();
        let stack = self.new_stack(class);
        let host = program(Joined, &self.graph, &parts, 1);
        self.graph.nodes.push(Node {
            name: self.graph.value(stack).name.clone(),
            kind: NodeKind::Concat(0),
            inputs: parts.iter().copied().map(Access::plain).collect(),
            outputs: vec![Access::plain(stack)],
            host,
            host_inputs: parts,
        });
        stack
    }

    /// A node of one instance.
    fn alone(&mut self, at: usize) {
        let node = &self.union.graph.nodes[at];
        let joins = node.outputs.iter().any(|a| self.plan.together[self.classes.of_value[a.value.0].0]);
        let inputs = node.inputs.iter().map(|a| Access { value: self.own(a.value), views: a.views.clone() }).collect();
        let host_inputs: Vec<ValueId> = node.host_inputs.iter().map(|&v| self.own(v)).collect();
        let mut outputs = Vec::new();
        for output in &node.outputs {
            let value = self.union.graph.value(output.value).clone();
            outputs.push(match joins {
                true => {
                    let part = self.add(Value { shape: [&[1], value.shape.as_slice()].concat(), ..value });
                    self.parts.insert(output.value, part);
                    let views = [&[ViewOp::RemoveAxis(0)], output.views.as_slice()].concat();
                    Access { value: part, views }
                }
                false => {
                    let own = self.add(value);
                    self.own[output.value.0] = Some(own);
                    Access { value: own, views: output.views.clone() }
                }
            });
        }
        let host = match joins {
            true => self.each(node, vec![vec![None; host_inputs.len()]], &host_inputs),
            false => node.host.clone(),
        };
        let (name, kind) = (node.name.clone(), node.kind.clone());
        self.graph.nodes.push(Node { name, kind, inputs, outputs, host, host_inputs });
    }

    fn each(&self, node: &Node, places: Vec<Vec<Option<usize>>>, host_inputs: &[ValueId]) -> HostProgram {
        let outputs = node.outputs.len();
        program(EachInstance { program: node.host.clone(), places, outputs }, &self.graph, host_inputs, outputs)
    }

    /// The nodes of a class as one.
    fn at_once(&mut self, class: NodeClass) {
        let nodes = &self.classes.nodes[class.0];
        let (node, n) = (&self.union.graph.nodes[nodes[0]], nodes.len());
        let joints = match &self.plan.how[class.0] {
            How::Kernel(stacked) => stacked.inputs.as_slice(),
            _ => &[],
        };
        let inputs = (0..node.inputs.len()).map(|k| self.operand(nodes, k, joints.get(k))).collect();
        let host_inputs: Vec<ValueId> =
            node.host_inputs.iter().map(|v| self.stack(self.classes.of_value[v.0])).collect();
        let of_inputs = (0..node.host_inputs.len())
            .map(|k| places(self.classes, nodes, |at| self.union.graph.nodes[at].host_inputs[k]));
        let of_inputs: Vec<Vec<usize>> = of_inputs.collect();
        let of_instances = (0..n).map(|i| of_inputs.iter().map(|places| Some(places[i])).collect()).collect();
        let (kind, joints) = match &self.plan.how[class.0] {
            How::Kernel(stacked) => (NodeKind::Kernel(stacked.operator.clone()), stacked.outputs.as_slice()),
            How::Concat(axis) => (NodeKind::Concat(axis + 1), &[][..]),
            How::View | How::Apart => (NodeKind::View, &[][..]),
        };
        let mut outputs = Vec::new();
        for (slot, output) in node.outputs.iter().enumerate() {
            let stack = self.new_stack(self.classes.of_value[output.value.0]);
            let shape = &self.union.graph.value(output.value).shape;
            let views = match joints.get(slot) {
                Some(joint) => stacked_output(&output.views, shape, joint, n),
                None => lifted(&output.views, shape, n),
            };
            outputs.push(Access { value: stack, views });
        }
        let host = self.each(node, of_instances, &host_inputs);
        let name = several(n, &node.name);
        self.graph.nodes.push(Node { name, kind, inputs, outputs, host, host_inputs });
    }

    /// What the nodes read as their input `k`, at once. Without a `joint` it is the value itself behind the node's views.
    fn operand(&mut self, nodes: &[usize], k: usize, joint: Option<&Joint>) -> Access {
        let n = nodes.len();
        let access = &self.union.graph.nodes[nodes[0]].inputs[k];
        let value = self.union.graph.value(access.value);
        if let ValueKind::Constant(tensor) = &value.kind {
            return match joint {
                Some(joint) => {
                    let views = shared_operand(&access.views, &value.shape, joint, n).expect("the plan has tried it");
                    Access { value: self.constant(access.value), views }
                }
                None => {
                    let repeated = std::iter::repeat_n(tensor.bytes(), n).collect::<Vec<_>>().concat();
                    let shape = [&[n], value.shape.as_slice()].concat();
                    let tensor = HostTensor::new(value.dtype, &shape, repeated).expect("n times its bytes");
                    let kind = ValueKind::Constant(tensor.into());
                    let id = self.add(Value { name: several(n, &value.name), shape, kind, ..value.clone() });
                    Access { value: id, views: lifted(&access.views, &value.shape, n) }
                }
            };
        }
        let places = places(self.classes, nodes, |at| self.union.graph.nodes[at].inputs[k].value);
        let class = self.classes.of_value[access.value.0];
        let mut views = Vec::new();
        let (start, step) = run(&places).expect("the plan has tried it");
        if (start, step) != (0, 1) || n != self.classes.values[class.0].len() {
            views.push(ViewOp::Slice { axis: 0, start, len: n, step });
        }
        views.extend(match joint {
            Some(joint) => stacked_operand(&access.views, &value.shape, joint, n).expect("the plan has tried it"),
            None => lifted(&access.views, &value.shape, n),
        });
        Access { value: self.stack(class), views }
    }
}

/// The name of what several instances have, by that of the first.
fn several(n: usize, first: &str) -> String {
    format!("{n} x {}", first.split_once('/').map_or(first, |(_, name)| name))
}
