//! From tract's decluttered operators to ours. One file per family; what no family takes becomes a CPU node with the
//! reason.

mod contraction;
mod elementwise;
mod index;
mod range;
mod recurrent;
mod reduce;
mod shape;
mod spatial;
mod stable;

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::{element_wise::ElementWiseOp, konst::Const, math, source::TypedSource};

use super::tensor;
use crate::graph::fuse::copied;
use crate::graph::host::{Function, HostProgram, Source};
use crate::graph::integers::Integers;
use crate::graph::ir::{Access, Graph, Node, NodeKind, Value, ValueId, ValueKind};
use crate::graph::plain::{Plain, PlainOutput};
use crate::hal::{HostFn, caught};
use crate::kernel::Operator;
use crate::tensor::{DType, HostTensor, checked_volume, show_shape};

/// Elements of one value at most: all arithmetic on sizes and strides stays far from the ends of 64 bits. What a device
/// holds is much less, and its own answer.
const ELEMENTS_MAX: usize = 1 << 40;

/// What a family makes of an operator: its node without name and host program, or why there is no kernel.
type Lowered = Result<Form, String>;

/// The kernel side of a node.
struct Form {
    kind: NodeKind,
    inputs: Vec<Access>,
    outputs: Vec<Access>,
}

/// Lowers a typed, decluttered graph without symbols.
pub(super) fn graph(model: &TypedModel, name: &str, output_names: Vec<String>) -> TractResult<Graph> {
    let mut cx = Lowering::new(model, name);
    // Also the inputs that nothing reads: only their shape was asked for.
    for outlet in model.input_outlets()? {
        cx.computed(model.node(outlet.node), outlet.slot)?;
    }
    for id in model.eval_order()? {
        cx.node(model.node(id))?;
    }
    let mut graph = cx.graph;
    // Inputs keep the order of the file, whatever order they are used in.
    for outlet in model.input_outlets()? {
        let id = cx.outlets.get(outlet).copied();
        let id = id.with_context(|| format!("input {:?} is not a tensor", model.node(outlet.node).name))?;
        graph.inputs.push(id);
    }
    for (at, id) in graph.inputs.clone().into_iter().enumerate() {
        graph.values[id.0].kind = ValueKind::Input(at);
    }
    for outlet in model.output_outlets()? {
        graph.outputs.push(cx.outlets[outlet]);
    }
    graph.output_names = output_names;
    Ok(graph)
}

/// The graph so far, and where tract's values went.
struct Lowering<'m> {
    model: &'m TypedModel,
    graph: Graph,
    outlets: HashMap<OutletId, ValueId>,
    /// tract's tensors of constants, for CPU functions without another copy.
    constants: HashMap<ValueId, Arc<Tensor>>,
    /// What is known of 64-bit integers: least and greatest value.
    ranges: HashMap<ValueId, range::Range>,
}

/// A node of tract with its values in our graph.
struct Site<'a> {
    /// What the node stands in: the main model, or the body of a loop.
    model: &'a TypedModel,
    node: &'a TypedNode,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    /// The types that the operator declares for its inputs.
    declared: Vec<DatumType>,
}

impl<'m> Lowering<'m> {
    fn new(model: &'m TypedModel, name: &str) -> Lowering<'m> {
        let graph = Graph {
            name: name.into(),
            values: Vec::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            output_names: Vec::new(),
            bound: Vec::new(),
        };
        Lowering { model, graph, outlets: HashMap::new(), constants: HashMap::new(), ranges: HashMap::new() }
    }

    fn node(&mut self, node: &TypedNode) -> TractResult<()> {
        self.node_of(self.model, node)
    }

    /// A node of `model`: the main one, or the body of a loop.
    fn node_of(&mut self, model: &TypedModel, node: &TypedNode) -> TractResult<()> {
        if let Some(constant) = node.op_as::<Const>() {
            let id = self.constant(&node.name, constant.val().clone())?;
            self.outlets.insert(node.id.into(), id);
            return Ok(());
        }
        if node.op_is::<TypedSource>() {
            return Ok(());
        }
        if node.op.name() == "Dropout" {
            let name = &node.name;
            return Err(TractError::msg(format!("Dropout ({name}) in training mode is random; export for inference")));
        }
        let outputs = (0..node.outputs.len()).map(|k| self.computed(node, k)).collect::<TractResult<Vec<ValueId>>>()?;
        let inputs: Vec<ValueId> = node.inputs.iter().map(|i| self.outlets[i]).collect();
        let declared = node.inputs.iter().map(|i| Ok(model.outlet_fact(*i)?.datum_type));
        let declared = declared.collect::<TractResult<Vec<DatumType>>>()?;
        let site = Site { model, node, inputs, outputs, declared };
        contraction::consistent(self, &site)?;
        range::propagate(self, &site);
        if self.folded(&site)? || recurrent::unrolled(self, &site)? {
            return Ok(());
        }
        let lowered = stable::lower(self, &site).unwrap_or_else(|| self.form(&site));
        if let Ok(Form { kind: NodeKind::View, inputs, .. }) = &lowered
            && let Some(constant) = self.known(inputs[0].value)
        {
            let viewed = copied(&constant, &inputs[0].views);
            return self.becomes_constant(site.outputs[0], viewed);
        }
        self.push(&site, lowered);
        Ok(())
    }

    /// An operator of constants is computed once, here: weights behind a cast, say. False where something is not known.
    fn folded(&mut self, site: &Site) -> TractResult<bool> {
        let known: Option<Vec<Arc<Tensor>>> = site.inputs.iter().map(|id| self.constants.get(id).cloned()).collect();
        // Of empty tensors tract reduces to other values than ONNX says: the kernels know better.
        let Some(known) = known.filter(|k| !k.is_empty() && k.iter().all(|t| t.len() > 0)) else {
            return Ok(false);
        };
        let sources =
            known.into_iter().zip(&site.declared).map(|(tensor, &dt)| (Source::Constant(tensor), dt)).collect();
        let program = self.program(site, sources);
        // An operator that fails, or panics, on these values does so again where a request can be told.
        let Ok(Ok(values)) = caught(|| program.eval(&[])) else {
            return Ok(false);
        };
        for (&id, value) in site.outputs.iter().zip(values) {
            self.becomes_constant(id, value)?;
        }
        Ok(true)
    }

    /// A value that turned out to be known: a view of a constant.
    fn becomes_constant(&mut self, id: ValueId, value: HostTensor) -> TractResult<()> {
        if value.dtype() == DType::I64 {
            self.ranges.insert(id, range::Range::of(&value.to_i64()));
        }
        self.constants.insert(id, Arc::new(tensor::to_tract(&value)?));
        self.graph.values[id.0].kind = ValueKind::Constant(Arc::new(value));
        Ok(())
    }

    /// The first family that takes the operator.
    fn form(&mut self, site: &Site) -> Lowered {
        if let Some(id) = self.off_device(site) {
            let value = self.graph.value(id);
            return Err(format!("element type {} of {} is not held on devices", value.dtype, value.name));
        }
        type Family = fn(&mut Lowering, &Site) -> Option<Lowered>;
        let families: [Family; 7] = [
            elementwise::lower,
            shape::lower,
            contraction::lower,
            spatial::lower,
            reduce::lower,
            index::lower,
            recurrent::lower,
        ];
        for family in families {
            if let Some(lowered) = family(self, site) {
                return lowered;
            }
        }
        Err(format!("operator {} has no kernel", site.node.op.name()))
    }

    /// The first value of the node that devices cannot hold, by type or by the range of its values.
    fn off_device(&self, site: &Site) -> Option<ValueId> {
        site.inputs.iter().chain(&site.outputs).copied().find(|&id| {
            let value = self.graph.value(id);
            value.dtype.device_word().is_none() || (value.dtype == DType::I64 && !self.range(id).fits())
        })
    }

    fn range(&self, id: ValueId) -> range::Range {
        self.ranges.get(&id).copied().unwrap_or(range::Range::INPUT)
    }

    fn push(&mut self, site: &Site, lowered: Lowered) {
        let plain = lowered.as_ref().ok().and_then(|form| self.plain(form));
        let (host, host_inputs) = plain.unwrap_or_else(|| {
            let host_inputs: Vec<ValueId> =
                site.inputs.iter().copied().filter(|id| !self.constants.contains_key(id)).collect();
            let sources = self.sources(site, &host_inputs);
            (self.program(site, sources), host_inputs)
        });
        let form = lowered.unwrap_or_else(|reason| Form {
            kind: NodeKind::Cpu(reason),
            inputs: host_inputs.iter().copied().map(Access::plain).collect(),
            outputs: site.outputs.iter().copied().map(Access::plain).collect(),
        });
        self.graph.nodes.push(Node {
            name: site.node.name.clone(),
            kind: form.kind,
            inputs: form.inputs,
            outputs: form.outputs,
            host,
            host_inputs,
        });
    }

    /// The CPU program of an operator without a kernel: the library's operator, or ours where that computes in 32 bits.
    fn program(&self, site: &Site, mut sources: Vec<(Source, DatumType)>) -> HostProgram {
        let types: Vec<DType> = site.inputs.iter().map(|&id| self.dtype(id)).collect();
        let (output, op) = (site.outputs[0], &site.node.op);
        let integers = Integers::of(op.as_ref(), &types, self.dtype(output), &self.shape(output));
        let function = match (integers, site.node.op_as::<ElementWiseOp>()) {
            (Some(integers), _) => Function::Own(Arc::new(integers)),
            // tract squares floats only, but writes integer powers so.
            (None, Some(op)) if op.0.name() == "Square" && !site.declared[0].is_float() => {
                sources.push(sources[0].clone());
                Function::Library(Box::new(math::mul()))
            }
            _ => Function::Library(op.clone()),
        };
        HostProgram::single(function, sources, site.outputs.len())
    }

    /// A kernel's plain reference as the program of its node, and what that reads; `None` where the library computes it:
    /// sums of products, which it has as right and much faster, and what only moves elements.
    fn plain(&self, form: &Form) -> Option<(HostProgram, Vec<ValueId>)> {
        let operator: Arc<dyn Operator> = match &form.kind {
            NodeKind::Kernel(operator) if !operator.sums_products() => operator.clone(),
            NodeKind::Elementwise(operator) => Arc::new(operator.clone()),
            NodeKind::Reduce(operator) => Arc::new(operator.clone()),
            NodeKind::Norm(operator) => Arc::new(operator.clone()),
            _ => return None,
        };
        let mut host_inputs: Vec<ValueId> = Vec::new();
        let mut sources = Vec::new();
        for access in &form.inputs {
            let id = access.value;
            let source = match self.constants.get(&id) {
                Some(tensor) => Source::Constant(tensor.clone()),
                None => {
                    let at = host_inputs.iter().position(|&h| h == id).unwrap_or(host_inputs.len());
                    if at == host_inputs.len() {
                        host_inputs.push(id);
                    }
                    Source::Input(at)
                }
            };
            sources.push((source, tensor::datum_type(self.dtype(id))));
        }
        let outputs = form.outputs.iter().map(|access| {
            let value = self.graph.value(access.value);
            PlainOutput { views: access.views.clone(), dtype: value.dtype, shape: value.shape.clone() }
        });
        let plain = Plain {
            operator,
            inputs: form.inputs.iter().map(|access| access.views.clone()).collect(),
            outputs: outputs.collect(),
        };
        Some((HostProgram::single(Function::Own(Arc::new(plain)), sources, form.outputs.len()), host_inputs))
    }

    /// The arguments of the node's operator, given the inputs of its host program.
    fn sources(&self, site: &Site, host_inputs: &[ValueId]) -> Vec<(Source, DatumType)> {
        site.inputs
            .iter()
            .zip(&site.declared)
            .map(|(id, &declared)| {
                let source = match self.constants.get(id) {
                    Some(tensor) => Source::Constant(tensor.clone()),
                    None => Source::Input(host_inputs.iter().position(|h| h == id).expect("it is no constant")),
                };
                (source, declared)
            })
            .collect()
    }

    fn constant(&mut self, name: &str, value: Arc<Tensor>) -> TractResult<ValueId> {
        let host = Arc::new(tensor::from_tract(&value).with_context(|| format!("constant {name:?}"))?);
        let id = self.add(Value {
            name: name.into(),
            dtype: host.dtype(),
            shape: host.shape().to_vec(),
            kind: ValueKind::Constant(host.clone()),
            wide: false,
        });
        if host.dtype() == DType::I64 {
            self.ranges.insert(id, range::Range::of(&host.to_i64()));
        }
        self.constants.insert(id, value);
        Ok(id)
    }

    /// A constant of our own making: tables, packed weights, initial states.
    fn own_constant(&mut self, name: &str, value: HostTensor) -> TractResult<ValueId> {
        let tract = tensor::to_tract(&value)?;
        self.constant(name, Arc::new(tract))
    }

    fn computed(&mut self, node: &TypedNode, k: usize) -> TractResult<ValueId> {
        let fact = &node.outputs[k].fact;
        let dtype = tensor::dtype(fact.datum_type).with_context(|| {
            format!("{} ({}): element type {:?} is not supported", node.op.name(), node.name, fact.datum_type)
        })?;
        let shape = fact.shape.as_concrete().with_context(|| {
            format!(
                "{} ({}): its output shape depends on values that are only known at run time: {:?}",
                node.op.name(),
                node.name,
                fact.shape
            )
        })?;
        if checked_volume(shape).is_none_or(|n| n > ELEMENTS_MAX) {
            return Err(TractError::msg(format!(
                "{} ({}): its output of shape {} has more than {ELEMENTS_MAX} elements",
                node.op.name(),
                node.name,
                show_shape(shape)
            )));
        }
        let name = if k == 0 { node.name.clone() } else { format!("{}:{k}", node.name) };
        let id = self.add(Value { name, dtype, shape: shape.to_vec(), kind: ValueKind::Computed, wide: false });
        self.outlets.insert(OutletId::new(node.id, k), id);
        Ok(id)
    }

    fn add(&mut self, value: Value) -> ValueId {
        self.graph.values.push(value);
        ValueId(self.graph.values.len() - 1)
    }

    fn shape(&self, id: ValueId) -> Vec<usize> {
        self.graph.value(id).shape.clone()
    }

    fn dtype(&self, id: ValueId) -> DType {
        self.graph.value(id).dtype
    }

    /// The constant behind a value.
    fn known(&self, id: ValueId) -> Option<Arc<HostTensor>> {
        match &self.graph.value(id).kind {
            ValueKind::Constant(value) => Some(value.clone()),
            _ => None,
        }
    }
}

impl Form {
    fn new(kind: NodeKind, inputs: Vec<Access>, outputs: Vec<Access>) -> Form {
        Form { kind, inputs, outputs }
    }
}
