//! From a graph to a recording on a device: layouts, memory plan, weights, launches.

mod layout;
mod order;
mod place;
mod weights;

use std::sync::Arc;

use super::GraphError;
use super::ir::{Access, Graph, Node, NodeKind, ValueId, ValueKind};
use crate::hal::{BufferId, Device, HalError, Launch, Operation, Recording, TensorRef, caught};
use crate::kernel::{Elementwise, Io, KernelLaunch, Operand, Operator, Space};
use crate::tensor::{TenantId, checked_volume, show_shape};
use layout::{Home, Layouts, Work};
use weights::Weights;

/// How much device memory a compiled model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Weights in bytes.
    pub weight_bytes: u64,
    /// The arena in bytes, reused by liveness.
    pub arena_bytes: u64,
    /// What the activations would take without reuse.
    pub arena_bytes_without_reuse: u64,
}

/// A model on a device: the recording, not installed yet, and the buffers that hold it.
#[derive(Debug)]
pub struct Compiled {
    /// The work.
    pub recording: Arc<Recording>,
    /// All buffers of the model, to be freed when it goes.
    pub buffers: Vec<BufferId>,
    /// What it takes.
    pub memory: MemoryUse,
}

/// Plans memory, uploads weights and lowers every node for `device`.
///
/// # Errors
/// [`GraphError::Device`] when memory does not suffice, [`GraphError::Operator`] for a value that no buffer of the device
/// holds; everything is freed then.
pub fn compile(graph: &Graph, device: &mut dyn Device, tenant: TenantId) -> Result<Compiled, GraphError> {
    check_sizes(graph, device.caps().limits.binding_bytes_max)?;
    let mut buffers = Vec::new();
    let error = match caught(|| build(graph, device, tenant, &mut buffers)) {
        Ok(Ok((recording, memory))) => return Ok(Compiled { recording: Arc::new(recording), buffers, memory }),
        Ok(Err(source)) => GraphError::Device { model: graph.name.clone(), source },
        Err(text) => {
            let reason = format!("compiling it panicked, which is a defect of this program: {text}");
            GraphError::Model { model: graph.name.clone(), reason }
        }
    };
    for buffer in buffers {
        device.free(buffer);
    }
    Err(error)
}

/// Refuses what no buffer of the device can hold, by the name of the operator that computes it; all arithmetic behind
/// this is on sizes that fit.
fn check_sizes(graph: &Graph, limit_bytes: u64) -> Result<(), GraphError> {
    for node in graph.nodes.iter().filter(|n| !matches!(n.kind, NodeKind::View)) {
        for value in node.outputs.iter().map(|o| graph.value(o.value)) {
            let (shape, bytes) = (&value.shape, if value.wide { 8 } else { value.dtype.size().max(4) });
            let asked = checked_volume(shape).and_then(|n| n.checked_mul(bytes));
            if asked.is_some_and(|asked| asked as u64 <= limit_bytes) {
                continue;
            }
            return Err(GraphError::Operator {
                model: graph.name.clone(),
                operator: kind_of(node),
                node: node.name.clone(),
                reason: format!(
                    "its output of shape {} takes {} bytes, the device binds at most {limit_bytes}. Use a smaller batch or resolution, or a device with a larger binding limit (`cotenant devices`)",
                    show_shape(shape),
                    asked.map_or_else(|| "more than 2^64".into(), |asked| asked.to_string()),
                ),
            });
        }
    }
    Ok(())
}

fn build(
    graph: &Graph,
    device: &mut dyn Device,
    tenant: TenantId,
    buffers: &mut Vec<BufferId>,
) -> Result<(Recording, MemoryUse), HalError> {
    let mut layouts = Layouts::of(graph);
    let work = layouts.work(graph);
    let plan = place::plan(&layouts, &work);
    let weights = Weights::plan(graph, &work, device.caps().limits.binding_bytes_max, tenant)?;
    let weight_buffers = weights.upload(graph, device, tenant, buffers)?;
    let arena = device.alloc(tenant, plan.words * 4)?;
    buffers.push(arena);
    let lowering =
        Lowering { graph, layouts: &layouts, offsets: &plan.offsets, weights: &weights, weight_buffers, arena };
    let mut operations = Vec::new();
    for item in &work {
        if let Some(operation) = lowering.operation(item, device) {
            operations.push(operation);
        }
    }
    order::dependencies(&mut operations);
    let recording = Recording {
        name: graph.name.clone(),
        tenant,
        arena,
        operations,
        inputs: graph.inputs.iter().map(|&id| (graph.value(id).name.clone(), lowering.tensor(id))).collect(),
        outputs: layouts
            .outputs
            .iter()
            .zip(&graph.output_names)
            .map(|(home, name)| (name.clone(), lowering.tensor_at(home)))
            .collect(),
    };
    let memory = MemoryUse {
        weight_bytes: weights.bytes(),
        arena_bytes: plan.words * 4,
        arena_bytes_without_reuse: plan.words_without_reuse * 4,
    };
    Ok((recording, memory))
}

/// Everything that is decided, while launches are made.
struct Lowering<'a> {
    graph: &'a Graph,
    layouts: &'a Layouts,
    /// First word of each root in the arena.
    offsets: &'a [u64],
    weights: &'a Weights,
    weight_buffers: Vec<BufferId>,
    arena: BufferId,
}

impl Lowering<'_> {
    /// The operation of one piece of work; `None` where there is nothing to compute.
    fn operation(&self, work: &Work, device: &dyn Device) -> Option<Operation> {
        match work {
            Work::Node { at, inputs, outputs } => self.node(&self.graph.nodes[*at], *at, inputs, outputs, device),
            Work::Copy { name, from, to, value } => self.copy(name, from, to, *value, device),
        }
    }

    fn node(
        &self,
        node: &Node,
        at: usize,
        inputs: &[Home],
        outputs: &[Home],
        device: &dyn Device,
    ) -> Option<Operation> {
        if node.outputs.iter().all(|o| self.graph.value(o.value).shape.contains(&0)) {
            return None;
        }
        let operator = node.kind.operator();
        let segment = self.weights.segment_of(at);
        let operands: Vec<Operand> =
            inputs.iter().zip(&node.inputs).map(|(h, a)| self.operand(h, a, segment)).collect();
        let results: Vec<Operand> =
            outputs.iter().zip(&node.outputs).map(|(h, a)| self.operand(h, a, segment)).collect();
        let io = Io { inputs: &operands, outputs: &results };
        let (launches, reason) = match (operator, &node.kind) {
            (Some(_), _) if segment.is_none() => {
                (Vec::new(), Some("its weights are larger than the device binds at once".to_string()))
            }
            (Some(operator), _) => match operator.lower(device.caps(), io) {
                Ok(launches) => (launches, None),
                Err(no) => (Vec::new(), Some(no.0)),
            },
            (None, NodeKind::Cpu(reason)) => (Vec::new(), Some(reason.clone())),
            (None, _) => (Vec::new(), Some("it has no kernel".to_string())),
        };
        let tensors = |values: &mut dyn Iterator<Item = ValueId>| values.map(|v| self.tensor(v)).collect::<Vec<_>>();
        let reads = tensors(&mut node.host_inputs.iter().copied());
        let writes: Vec<TensorRef> =
            node.outputs.iter().zip(outputs).map(|(access, _)| self.tensor(access.value)).collect();
        let bytes = operands.iter().chain(&results).map(|o| o.view.volume() as u64 * 4).sum();
        Some(Operation {
            name: node.name.clone(),
            kind: kind_of(node),
            inputs: reads,
            outputs: writes,
            deps: Vec::new(),
            launches: launches.into_iter().map(|l| self.launch(l, segment)).collect(),
            host: Arc::new(node.host.clone()),
            flops: operator.map_or(0, Operator::flops),
            bytes,
            reason,
        })
    }

    /// A copy that a layout forces: an elementwise kernel without steps.
    fn copy(&self, name: &str, from: &Home, to: &Home, value: ValueId, device: &dyn Device) -> Option<Operation> {
        let value = self.graph.value(value);
        if from.view.volume() == 0 {
            return None;
        }
        let dtype = value.dtype;
        let operator = Elementwise {
            chain: crate::hal::Chain::default(),
            scalars: Vec::new(),
            shape: from.view.shape.clone(),
            dtype,
        };
        let segment = self.weights.copy_segment(from);
        let place = |home: &Home| Operand { space: space(home), view: self.absolute(home, segment), dtype };
        let (source, target) = (place(from), place(to));
        let io = Io { inputs: std::slice::from_ref(&source), outputs: std::slice::from_ref(&target) };
        let (launches, reason) = match dtype.device_word() {
            _ if to.wide => (Vec::new(), Some("integers of 64 bits are not held on devices".into())),
            None => (Vec::new(), Some(format!("element type {dtype} is not held on devices"))),
            Some(_) => match operator.lower(device.caps(), io) {
                Ok(launches) => (launches, None),
                Err(no) => (Vec::new(), Some(no.0)),
            },
        };
        let dynamic = source.space == Space::Arena;
        let host = match &value.kind {
            ValueKind::Constant(constant) if !dynamic => layout::constant_program(&constant.gathered(&from.view)),
            _ => super::host::HostProgram::answer(super::host::Source::Input(0)),
        };
        let wide = to.wide;
        let tensor = |o: &Operand| TensorRef { buffer: self.arena, view: o.view.clone(), dtype, wide };
        Some(Operation {
            name: name.into(),
            kind: "copy".into(),
            inputs: if dynamic { vec![tensor(&source)] } else { Vec::new() },
            outputs: vec![tensor(&target)],
            deps: Vec::new(),
            launches: launches.into_iter().map(|l| self.launch(l, Some(segment))).collect(),
            host: Arc::new(host),
            flops: 0,
            bytes: from.view.volume() as u64 * 8,
            reason,
        })
    }

    fn launch(&self, launch: KernelLaunch, segment: Option<usize>) -> Launch {
        Launch {
            kernel: launch.kernel,
            params: launch.params,
            tiles: launch.tiles,
            workers: launch.tiles,
            tile_iterations: launch.tile_iterations,
            weights: self.weight_buffers[segment.unwrap_or(0)],
        }
    }

    fn operand(&self, home: &Home, access: &Access, segment: Option<usize>) -> Operand {
        let dtype = self.graph.value(access.value).dtype;
        Operand { space: space(home), view: self.absolute(home, segment.unwrap_or(0)), dtype }
    }

    /// The view in words of its buffer.
    fn absolute(&self, home: &Home, segment: usize) -> crate::tensor::View {
        let mut view = home.view.clone();
        view.offset += match home.constant {
            Some(constant) => self.weights.offset(constant, segment),
            None => self.offsets[home.root] as usize,
        };
        view
    }

    fn tensor(&self, id: ValueId) -> TensorRef {
        self.tensor_at(self.layouts.home(id))
    }

    fn tensor_at(&self, home: &Home) -> TensorRef {
        TensorRef { buffer: self.arena, view: self.absolute(home, 0), dtype: home.dtype, wide: home.wide }
    }
}

/// What a node is, for people.
fn kind_of(node: &Node) -> String {
    match &node.kind {
        NodeKind::Concat(_) => "concat".into(),
        kind => kind.operator().map_or_else(|| "cpu".into(), Operator::kind),
    }
}

fn space(home: &Home) -> Space {
    if home.constant.is_some() { Space::Weights } else { Space::Arena }
}
