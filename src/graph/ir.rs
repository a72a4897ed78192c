//! The graph: values and the nodes that compute them, in a valid order.

use std::sync::Arc;

use crate::kernel::{Contraction, Elementwise, Norm, Operator, Reduce};
use crate::tensor::{DType, HostTensor};

use super::host::HostProgram;
use super::view::ViewOp;

/// A value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum ValueKind {
    /// Given with each request: input number.
    Input(usize),
    /// Known when the model is loaded.
    Constant(Arc<HostTensor>),
    /// Computed by a node.
    Computed,
}

/// A tensor of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// For people.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<usize>,
    /// Its origin.
    pub kind: ValueKind,
    /// A 64-bit integer that only CPU functions touch: it keeps its 64 bits.
    pub wide: bool,
}

/// A tensor as a node sees it: a value behind a chain of views.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The value.
    pub value: ValueId,
    /// Applied in order to the value's layout; gives the operand that the kernel wants.
    pub views: Vec<ViewOp>,
}

impl Access {
    /// The value as it is.
    pub fn plain(value: ValueId) -> Access {
        Access { value, views: Vec::new() }
    }
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// Our operator, with a kernel.
    Kernel(Arc<dyn Operator>),
    /// A chain of scalar functions, open to fusion; becomes a kernel.
    Elementwise(Elementwise),
    /// A sum of products with an epilogue, open to fusion; becomes a kernel.
    Contraction(Contraction),
    /// A reduction, open to fusion into a normalisation.
    Reduce(Reduce),
    /// A normalisation, open to fusion.
    Norm(Norm),
    /// The output is the input behind views; becomes a copy only where the layout forces it.
    View,
    /// Concatenation along an axis: inputs are computed into their places where possible.
    Concat(usize),
    /// Computed by the node's CPU function only, with the reason.
    Cpu(String),
}

impl NodeKind {
    /// The operator that a kernel computes.
    pub fn operator(&self) -> Option<&dyn Operator> {
        match self {
            NodeKind::Kernel(operator) => Some(operator.as_ref()),
            NodeKind::Elementwise(operator) => Some(operator),
            NodeKind::Contraction(contraction) => Some(contraction.operator()),
            NodeKind::Reduce(operator) => Some(operator),
            NodeKind::Norm(operator) => Some(operator),
            NodeKind::View | NodeKind::Concat(_) | NodeKind::Cpu(_) => None,
        }
    }
}

/// One operator of the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name in the model.
    pub name: String,
    /// What to do.
    pub kind: NodeKind,
    /// What it reads, in the operator's order.
    pub inputs: Vec<Access>,
    /// What it computes. The views lead from the value's layout to the operand that the kernel writes.
    pub outputs: Vec<Access>,
    /// How the CPU computes the output values.
    pub host: HostProgram,
    /// The values that `host` takes, in order: none of them constant.
    pub host_inputs: Vec<ValueId>,
}

/// A named input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name in the model.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<usize>,
}

/// A model at fixed shapes. Nodes are in a valid order.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The model's name.
    pub name: String,
    /// All values.
    pub values: Vec<Value>,
    /// The operators in a valid order.
    pub nodes: Vec<Node>,
    /// The model's inputs, in its order; also those that became constants are listed by [`Graph::bound`].
    pub inputs: Vec<ValueId>,
    /// The model's outputs, in its order.
    pub outputs: Vec<ValueId>,
    /// Names of the outputs.
    pub output_names: Vec<String>,
    /// Inputs of the file that were bound as constants: position among the file's inputs, name, value.
    pub bound: Vec<(usize, String, Arc<HostTensor>)>,
}

impl Graph {
    /// The value behind an id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The inputs that each request must give, in order.
    pub fn input_ports(&self) -> Vec<Port> {
        self.inputs.iter().map(|&id| self.port(id, self.value(id).name.clone())).collect()
    }

    /// The outputs that each request gets, in order.
    pub fn output_ports(&self) -> Vec<Port> {
        self.outputs.iter().zip(&self.output_names).map(|(&id, name)| self.port(id, name.clone())).collect()
    }

    fn port(&self, id: ValueId, name: String) -> Port {
        let value = self.value(id);
        Port { name, dtype: value.dtype, shape: value.shape.clone() }
    }
}
