//! What is computed for several instances at once, and which values lie together for it.

use super::classes::{Classes, NodeClass, ValueClass};
use super::lift::{shared_operand, stacked_operand, stacked_output};
use crate::graph::ir::{NodeKind, ValueId, ValueKind};
use crate::graph::union::Union;
use crate::graph::view::apply_all;
use crate::kernel::Stacked;
use crate::tensor::View;

/// How the nodes at one place are computed.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// Each by itself.
    Apart,
    /// By one operator.
    Kernel(Stacked),
    /// As views of what lies together.
    View,
    /// As one concatenation along this axis of one instance.
    Concat(usize),
}

/// The decisions.
pub(super) struct Plan {
    /// For each place of nodes.
    pub(super) how: Vec<How>,
    /// For each place of values: a stacked tensor holds them.
    pub(super) together: Vec<bool>,
}

impl Plan {
    pub(super) fn of(union: &Union, classes: &Classes) -> Plan {
        let mut deciding = Deciding::new(union, classes);
        while deciding.retreat() {}
        let Deciding { how, .. } = deciding;
        let mut together = vec![false; classes.values.len()];
        for (nodes, _) in classes.nodes.iter().zip(&how).filter(|(_, how)| !matches!(how, How::Apart)) {
            let node = &union.graph.nodes[nodes[0]];
            let reads = node.inputs.iter().map(|a| a.value).chain(node.host_inputs.iter().copied());
            for value in reads.chain(node.outputs.iter().map(|a| a.value)) {
                together[classes.of_value[value.0].0] |=
                    !matches!(union.graph.value(value).kind, ValueKind::Constant(_));
            }
        }
        Plan { how, together }
    }

    /// How many operators compute several instances, and how many nodes they stand for.
    pub(super) fn counts(&self, classes: &Classes) -> (usize, usize) {
        let stacked = self.how.iter().zip(&classes.nodes).filter(|(how, _)| matches!(how, How::Kernel(_)));
        stacked.fold((0, 0), |(stacked, absorbed), (_, nodes)| (stacked + 1, absorbed + nodes.len()))
    }
}

/// Where in its class the value lies that each of `nodes` reads as its `pick`.
pub(super) fn places(classes: &Classes, nodes: &[usize], pick: impl Fn(usize) -> ValueId) -> Vec<usize> {
    let place = |&node: &usize| {
        let value = pick(node);
        let class = &classes.values[classes.of_value[value.0].0];
        class.iter().position(|&v| v == value).expect("a value is of its class")
    };
    nodes.iter().map(place).collect()
}

/// First place and step, where there is one step between all neighbours.
pub(super) fn run(places: &[usize]) -> Option<(usize, isize)> {
    let (&first, &second) = (places.first()?, places.get(1)?);
    let step = second as isize - first as isize;
    let even = places.windows(2).all(|pair| pair[1] as isize - pair[0] as isize == step);
    (even && step != 0).then_some((first, step))
}

/// Begins with all that might be and takes back what cannot.
struct Deciding<'a> {
    union: &'a Union,
    classes: &'a Classes,
    how: Vec<How>,
    /// Places of values that cannot lie together.
    single: Vec<bool>,
}

impl<'a> Deciding<'a> {
    fn new(union: &'a Union, classes: &'a Classes) -> Deciding<'a> {
        let single = classes.values.iter().map(|values| {
            let value = union.graph.value(values[0]);
            values.len() < 2 || value.wide || value.dtype.device_word().is_none()
        });
        let mut deciding =
            Deciding { union, classes, how: vec![How::Apart; classes.nodes.len()], single: single.collect() };
        for class in 0..classes.nodes.len() {
            if classes.is_joint(NodeClass(class)) {
                deciding.how[class] = deciding.candidate(&classes.nodes[class]).unwrap_or(How::Apart);
            }
        }
        deciding.keep_outputs_dense();
        deciding
    }

    /// An output that is also concatenated has a tensor of its own, as it would have alone.
    fn keep_outputs_dense(&mut self) {
        let graph = &self.union.graph;
        for node in graph.nodes.iter().filter(|n| matches!(n.kind, NodeKind::Concat(_))) {
            for input in node.inputs.iter().filter(|i| graph.outputs.contains(&i.value)) {
                let class = self.class(input.value);
                self.single[class.0] = true;
            }
        }
    }

    fn class(&self, value: ValueId) -> ValueClass {
        self.classes.of_value[value.0]
    }

    fn is_constant(&self, value: ValueId) -> bool {
        matches!(self.union.graph.value(value).kind, ValueKind::Constant(_))
    }

    /// How nodes at one place could be computed at once, whatever becomes of what they read.
    fn candidate(&self, nodes: &[usize]) -> Option<How> {
        let graph = &self.union.graph;
        let (node, n) = (&graph.nodes[nodes[0]], nodes.len());
        let shared: Vec<bool> = node.inputs.iter().map(|input| self.is_constant(input.value)).collect();
        if shared.iter().all(|shared| *shared) {
            return None;
        }
        match &node.kind {
            NodeKind::View => return Some(How::View),
            NodeKind::Concat(axis) => return Some(How::Concat(*axis)),
            _ => {}
        }
        let stacked = node.kind.operator()?.stacked(n, &shared)?;
        if stacked.inputs.len() != node.inputs.len() || stacked.outputs.len() != node.outputs.len() {
            return None;
        }
        for (input, joint) in node.inputs.iter().zip(&stacked.inputs) {
            let shape = &graph.value(input.value).shape;
            match self.is_constant(input.value) {
                true => shared_operand(&input.views, shape, joint, n)?,
                false => stacked_operand(&input.views, shape, joint, n)?,
            };
        }
        for (output, joint) in node.outputs.iter().zip(&stacked.outputs) {
            let shape = &graph.value(output.value).shape;
            let whole = View::contiguous(0, &[&[n], shape.as_slice()].concat());
            apply_all(&stacked_output(&output.views, shape, joint, n), &whole).ok()?;
        }
        Some(How::Kernel(stacked))
    }

    /// Takes back what rests on something that is not. True if there was anything.
    fn retreat(&mut self) -> bool {
        let mut changed = false;
        for class in 0..self.how.len() {
            if !matches!(self.how[class], How::Apart) && !self.stands(class) {
                self.how[class] = How::Apart;
                changed = true;
            }
        }
        let (graph, classes) = (&self.union.graph, self.classes);
        for (at, node) in graph.nodes.iter().enumerate() {
            if !matches!(self.how[classes.of_node[at].0], How::Apart) {
                continue;
            }
            // Only kernels write an instance's part of a stacked tensor; and what goes into a concatenation goes there.
            let outputs = node.outputs.iter().filter(|_| node.kind.operator().is_none()).map(|a| a.value);
            let parts = node.inputs.iter().filter(|_| matches!(node.kind, NodeKind::Concat(_))).map(|a| a.value);
            for value in outputs.chain(parts) {
                let class = classes.of_value[value.0].0;
                changed |= !std::mem::replace(&mut self.single[class], true);
            }
        }
        changed
    }

    /// True where all that the nodes of this place read and write can lie together.
    fn stands(&self, class: usize) -> bool {
        let nodes = &self.classes.nodes[class];
        let node = |at: usize| &self.union.graph.nodes[at];
        let first = node(nodes[0]);
        let whole = matches!(self.how[class], How::Concat(_));
        let together = |value: ValueId, pick: &dyn Fn(usize) -> ValueId| {
            if self.is_constant(value) {
                return true;
            }
            let class = self.class(value).0;
            let run = run(&places(self.classes, nodes, pick));
            let all = run == Some((0, 1)) && self.classes.values[class].len() == nodes.len();
            !self.single[class] && run.is_some() && (all || !whole)
        };
        let inputs = first.inputs.iter().enumerate().all(|(k, a)| together(a.value, &|at| node(at).inputs[k].value));
        let host = &first.host_inputs;
        let host = host.iter().enumerate().all(|(k, &v)| together(v, &|at| node(at).host_inputs[k]));
        inputs && host && first.outputs.iter().all(|a| !self.single[self.class(a.value).0])
    }
}
