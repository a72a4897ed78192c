//! Which values and nodes of a union are at the same place.
//!
//! Inputs are, when they have the same position, type and shape; constants, when they are equal; nodes, when they do the same
//! to values at the same place. What an instance has several times at one place is told apart by order. CPU nodes are at
//! no place but their own.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::graph::ir::{NodeKind, ValueId, ValueKind};
use crate::graph::union::Union;
use crate::graph::view::ViewOp;
use crate::tensor::{DType, HostTensor};

/// A place of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ValueClass(pub(super) usize);

/// A place of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeClass(pub(super) usize);

/// The places of a union.
pub(super) struct Classes {
    /// The place of each value.
    pub(super) of_value: Vec<ValueClass>,
    /// The values at each place, by instance.
    pub(super) values: Vec<Vec<ValueId>>,
    /// The place of each node.
    pub(super) of_node: Vec<NodeClass>,
    /// The nodes at each place, by instance.
    pub(super) nodes: Vec<Vec<usize>>,
}

/// What values at one place have in common.
#[derive(PartialEq, Eq, Hash)]
enum ValueKey {
    Input(usize, DType, Vec<usize>),
    Constant(usize),
    Computed(NodeClass, usize),
    /// At no other place.
    Alone(ValueId),
}

/// What nodes at one place have in common.
#[derive(PartialEq, Eq, Hash)]
struct NodeKey {
    what: String,
    inputs: Vec<(ValueClass, Vec<ViewOp>)>,
    outputs: Vec<(Vec<ViewOp>, DType, Vec<usize>, bool)>,
    host_inputs: Vec<ValueClass>,
    /// How many like it its instance had before.
    nth: usize,
}

impl Classes {
    pub(super) fn of(union: &Union) -> Classes {
        let mut finding = Finding::new(union);
        for at in 0..union.graph.nodes.len() {
            finding.node(at);
        }
        finding.classes
    }

    /// True where several instances have it.
    pub(super) fn is_joint(&self, class: NodeClass) -> bool {
        self.nodes[class.0].len() > 1
    }
}

struct Finding<'a> {
    union: &'a Union,
    classes: Classes,
    by_value: HashMap<ValueKey, ValueClass>,
    by_node: HashMap<NodeKey, NodeClass>,
    /// Nodes of each instance with equal keys so far, but for their number.
    counts: HashMap<(usize, u64), usize>,
}

impl<'a> Finding<'a> {
    fn new(union: &'a Union) -> Finding<'a> {
        let values = &union.graph.values;
        let mut finding = Finding {
            union,
            classes: Classes {
                of_value: vec![ValueClass(usize::MAX); values.len()],
                values: Vec::new(),
                of_node: Vec::new(),
                nodes: Vec::new(),
            },
            by_value: HashMap::new(),
            by_node: HashMap::new(),
            counts: HashMap::new(),
        };
        let mut constants = Constants::default();
        for (at, value) in values.iter().enumerate() {
            let first = union.inputs_from[union.instance_of_value[at]];
            let key = match &value.kind {
                ValueKind::Input(_) if value.wide || value.dtype.device_word().is_none() => {
                    ValueKey::Alone(ValueId(at))
                }
                ValueKind::Input(number) => ValueKey::Input(number - first, value.dtype, value.shape.clone()),
                ValueKind::Constant(tensor) => ValueKey::Constant(constants.number(tensor)),
                ValueKind::Computed => continue,
            };
            finding.value(ValueId(at), key);
        }
        finding
    }

    fn value(&mut self, id: ValueId, key: ValueKey) {
        let values = &mut self.classes.values;
        let class = *self.by_value.entry(key).or_insert_with(|| {
            values.push(Vec::new());
            ValueClass(values.len() - 1)
        });
        self.classes.values[class.0].push(id);
        self.classes.of_value[id.0] = class;
    }

    fn node(&mut self, at: usize) {
        let graph = &self.union.graph;
        let node = &graph.nodes[at];
        let class_of = |id: ValueId| self.classes.of_value[id.0];
        let mut key = NodeKey {
            what: what(&node.kind, at),
            inputs: node.inputs.iter().map(|a| (class_of(a.value), a.views.clone())).collect(),
            outputs: node
                .outputs
                .iter()
                .map(|a| {
                    let value = graph.value(a.value);
                    (a.views.clone(), value.dtype, value.shape.clone(), value.wide)
                })
                .collect(),
            host_inputs: node.host_inputs.iter().map(|&v| class_of(v)).collect(),
            nth: 0,
        };
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let count = self.counts.entry((self.union.instance_of_node[at], hasher.finish())).or_default();
        key.nth = *count;
        *count += 1;
        let nodes = &mut self.classes.nodes;
        let class = *self.by_node.entry(key).or_insert_with(|| {
            nodes.push(Vec::new());
            NodeClass(nodes.len() - 1)
        });
        self.classes.nodes[class.0].push(at);
        self.classes.of_node.push(class);
        for (slot, output) in node.outputs.iter().enumerate() {
            self.value(output.value, ValueKey::Computed(class, slot));
        }
    }
}

/// What a node does, as text that is equal for equal operators only.
fn what(kind: &NodeKind, at: usize) -> String {
    match (kind, kind.operator()) {
        (_, Some(operator)) => format!("{operator:?}"),
        (NodeKind::Concat(axis), _) => format!("concat {axis}"),
        (NodeKind::View, _) => "view".into(),
        _ => format!("alone {at}"),
    }
}

/// Equal tensors have equal numbers.
#[derive(Default)]
struct Constants<'a> {
    known: Vec<&'a Arc<HostTensor>>,
    by_hash: HashMap<u64, Vec<usize>>,
    by_place: HashMap<*const HostTensor, usize>,
}

impl<'a> Constants<'a> {
    fn number(&mut self, tensor: &'a Arc<HostTensor>) -> usize {
        if let Some(&number) = self.by_place.get(&Arc::as_ptr(tensor)) {
            return number;
        }
        let mut hasher = DefaultHasher::new();
        (tensor.dtype(), tensor.shape(), tensor.bytes()).hash(&mut hasher);
        let alike = self.by_hash.entry(hasher.finish()).or_default();
        let number = alike.iter().copied().find(|&k| self.known[k] == tensor).unwrap_or_else(|| {
            self.known.push(tensor);
            alike.push(self.known.len() - 1);
            self.known.len() - 1
        });
        self.by_place.insert(Arc::as_ptr(tensor), number);
        number
    }
}
