//! From a graph to a recording on a device: layouts, memory plan, weights, launches.

mod layout;
mod order;
mod parts;
mod piece;
mod place;
mod weights;

use std::sync::Arc;

use super::GraphError;
use super::ir::{Graph, Node, NodeKind, ValueId, ValueKind};
use crate::hal::{BufferId, Chain, Device, DeviceCaps, HalError, Launch, Operation, Recording, TensorRef, caught};
use crate::kernel::{CutAxis, Elementwise, Io, KernelLaunch, NoKernel, Operand, Operator, Space};
use crate::tensor::{TenantId, View, checked_volume, show_shape};
use layout::{Home, Layouts, Work};
use weights::{Placed, Weights};

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
/// [`GraphError::Activations`] when they are larger than the device binds at once, [`GraphError::Operator`] for a value that
/// is so by itself, [`GraphError::Device`] when memory does not suffice; everything is freed then.
pub fn compile(graph: &Graph, device: &mut dyn Device, tenant: TenantId) -> Result<Compiled, GraphError> {
    check_sizes(graph, device.caps().limits.binding_bytes_max)?;
    let mut buffers = Vec::new();
    let error = match caught(|| build(graph, device, tenant, &mut buffers)) {
        Ok(Ok((recording, memory))) => return Ok(Compiled { recording: Arc::new(recording), buffers, memory }),
        Ok(Err(error)) => error,
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
) -> Result<(Recording, MemoryUse), GraphError> {
    let failed = |source: HalError| GraphError::Device { model: graph.name.clone(), source };
    let mut layouts = Layouts::of(graph);
    let work = layouts.work(graph);
    let plan = place::plan(&layouts, &work);
    let (needed, limit) = (plan.words * 4, device.caps().limits.binding_bytes_max);
    if needed > limit {
        return Err(GraphError::Activations { model: graph.name.clone(), needed, limit });
    }
    let weights = Weights::plan(graph, &work, limit);
    let weight_buffers = weights.upload(graph, device, tenant, buffers).map_err(failed)?;
    let arena = device.alloc(tenant, needed).map_err(failed)?;
    buffers.push(arena);
    let lowering = Lowering { graph, layouts: &layouts, offsets: &plan.offsets, weight_buffers, arena };
    let mut operations = Vec::new();
    let mut operands = Vec::new();
    for (at, item) in work.iter().enumerate() {
        if let Some(operation) = lowering.operation(item, weights.placed(at), device) {
            operations.push(operation);
            operands.push(lowering.operands(item));
        }
    }
    order::dependencies(&mut operations, &operands);
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
        arena_bytes: needed,
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
    weight_buffers: Vec<BufferId>,
    arena: BufferId,
}

impl Lowering<'_> {
    /// The operation of one piece of work; `None` where there is nothing to compute.
    fn operation(&self, work: &Work, placed: &[Placed], device: &dyn Device) -> Option<Operation> {
        match work {
            Work::Node { at, inputs, outputs } => {
                self.node(&self.graph.nodes[*at], Operands { inputs, outputs, placed }, device)
            }
            Work::Copy { name, from, to, value } => self.copy(name, [from, to], *value, placed, device),
        }
    }

    fn node(&self, node: &Node, operands: Operands, device: &dyn Device) -> Option<Operation> {
        if node.outputs.iter().all(|o| self.graph.value(o.value).shape.contains(&0)) {
            return None;
        }
        let operator = node.kind.operator();
        let lowered = match (operator, &node.kind) {
            (Some(operator), _) => self.launches(operator, operands, device.caps()),
            (None, NodeKind::Cpu(reason)) => Err(NoKernel(reason.clone())),
            (None, _) => Err(NoKernel("it has no kernel".into())),
        };
        let (launches, reason) = or_reason(lowered);
        let reads = node.host_inputs.iter().map(|&v| self.tensor(v)).collect();
        let writes = node.outputs.iter().map(|access| self.tensor(access.value)).collect();
        let bytes = bytes(operator, operands);
        Some(Operation {
            name: node.name.clone(),
            kind: kind_of(node),
            inputs: reads,
            outputs: writes,
            deps: Vec::new(),
            launches,
            host: Arc::new(node.host.clone()),
            flops: operator.map_or(0, Operator::flops),
            bytes,
            reason,
            given: None,
        })
    }

    /// A copy that a layout forces.
    fn copy(
        &self,
        name: &str,
        [from, to]: [&Home; 2],
        value: ValueId,
        placed: &[Placed],
        device: &dyn Device,
    ) -> Option<Operation> {
        if from.view.volume() == 0 {
            return None;
        }
        let dtype = from.dtype;
        let operands = Operands { inputs: std::slice::from_ref(from), outputs: std::slice::from_ref(to), placed };
        let lowered = match dtype.device_word() {
            _ if to.wide => Err(NoKernel("integers of 64 bits are not held on devices".into())),
            None => Err(NoKernel(format!("element type {dtype} is not held on devices"))),
            Some(_) => self.launches(&copying(from), operands, device.caps()),
        };
        let (launches, reason) = or_reason(lowered);
        let constant = match &self.graph.value(value).kind {
            ValueKind::Constant(constant) if from.constant.is_some() => Some(constant),
            _ => None,
        };
        let host = match constant {
            Some(constant) => layout::constant_program(&constant.gathered(&from.view)),
            None => super::host::HostProgram::answer(super::host::Source::Input(0)),
        };
        Some(Operation {
            name: name.into(),
            kind: "copy".into(),
            inputs: if constant.is_none() { vec![self.tensor_at(from)] } else { Vec::new() },
            outputs: vec![self.tensor_at(to)],
            deps: Vec::new(),
            launches,
            host: Arc::new(host),
            flops: 0,
            bytes: from.view.volume() as u64 * 8,
            reason,
            given: None,
        })
    }

    /// The launches of all parts of `operator`, in order.
    fn launches(
        &self,
        operator: &dyn Operator,
        operands: Operands,
        caps: &DeviceCaps,
    ) -> Result<Vec<Launch>, NoKernel> {
        let Operands { inputs, outputs, placed } = operands;
        if placed.is_empty() {
            let limit = caps.limits.binding_bytes_max;
            return Err(NoKernel(format!(
                "its constants take more than the {limit} bytes that the device binds at once, and it cannot be divided"
            )));
        }
        let divisions = operator.divisions();
        let mut launches = Vec::new();
        for Placed { part, segment, constants } in placed {
            let division = part.as_ref().map(|(at, units)| (&divisions[*at], units));
            let cut = |cut: Option<CutAxis>, view: View| match (cut, division) {
                (Some(axis), Some((_, units))) => axis.slice(&view, units),
                _ => view,
            };
            let input = |(k, home): (usize, &Home)| match &constants[k] {
                Some(view) => Operand { space: Space::Weights, view: view.clone(), dtype: home.dtype },
                None => {
                    let view = cut(division.and_then(|(d, _)| d.input(k)), self.in_arena(home));
                    Operand { space: Space::Arena, view, dtype: home.dtype }
                }
            };
            let output = |home: &Home| {
                let view = cut(division.and_then(|(d, _)| d.outputs), self.in_arena(home));
                Operand { space: Space::Arena, view, dtype: home.dtype }
            };
            let inputs: Vec<Operand> = inputs.iter().enumerate().map(input).collect();
            let outputs: Vec<Operand> = outputs.iter().map(output).collect();
            let io = Io { inputs: &inputs, outputs: &outputs };
            let made = match division {
                Some((division, units)) => (division.part)(units.clone()).lower(caps, io)?,
                None => operator.lower(caps, io)?,
            };
            launches.extend(made.into_iter().map(|launch| self.launch(launch, *segment)));
        }
        Ok(launches)
    }

    fn launch(&self, launch: KernelLaunch, segment: usize) -> Launch {
        Launch {
            kernel: launch.kernel,
            params: launch.params,
            tiles: launch.tiles,
            workers: launch.tiles,
            tile_iterations: launch.tile_iterations,
            weights: self.weight_buffers[segment],
        }
    }

    /// What its kernels read and write of the arena.
    fn operands(&self, work: &Work) -> order::Operands {
        let (inputs, outputs) = match work {
            Work::Node { inputs, outputs, .. } => (inputs.as_slice(), outputs.as_slice()),
            Work::Copy { from, to, .. } => (std::slice::from_ref(from), std::slice::from_ref(to)),
        };
        let of_arena = |homes: &[Home]| {
            homes.iter().filter(|home| home.constant.is_none()).map(|home| self.tensor_at(home)).collect()
        };
        order::Operands { reads: of_arena(inputs), writes: of_arena(outputs) }
    }

    /// The view in words of the arena.
    fn in_arena(&self, home: &Home) -> View {
        View { offset: home.view.offset + self.offsets[home.root] as usize, ..home.view.clone() }
    }

    fn tensor(&self, id: ValueId) -> TensorRef {
        self.tensor_at(self.layouts.home(id))
    }

    fn tensor_at(&self, home: &Home) -> TensorRef {
        TensorRef { buffer: self.arena, view: self.in_arena(home), dtype: home.dtype, wide: home.wide }
    }
}

/// Bytes that a node reads and writes at least: of a table no more than it writes.
fn bytes(operator: Option<&dyn Operator>, operands: Operands) -> u64 {
    let words = |home: &Home| home.view.volume() as u64;
    let written: u64 = operands.outputs.iter().map(words).sum();
    let tables = operator.map_or(&[][..], Operator::tables);
    let read = |(at, home): (usize, &Home)| if tables.contains(&at) { words(home).min(written) } else { words(home) };
    (operands.inputs.iter().enumerate().map(read).sum::<u64>() + written) * 4
}

/// What a node is, for people.
fn kind_of(node: &Node) -> String {
    match &node.kind {
        NodeKind::Concat(_) => "concat".into(),
        kind => kind.operator().map_or_else(|| "cpu".into(), Operator::kind),
    }
}

/// What a node or a copy reads and writes.
#[derive(Clone, Copy)]
struct Operands<'a> {
    inputs: &'a [Home],
    outputs: &'a [Home],
    /// The launches that compute it, and where they find constants.
    placed: &'a [Placed],
}

/// Copies are elementwise kernels without steps.
fn copying(from: &Home) -> Elementwise {
    Elementwise { chain: Chain::default(), scalars: Vec::new(), shape: from.view.shape.clone(), dtype: from.dtype }
}

/// The launches, or why there are none.
fn or_reason(lowered: Result<Vec<Launch>, NoKernel>) -> (Vec<Launch>, Option<String>) {
    match lowered {
        Ok(launches) => (launches, None),
        Err(no) => (Vec::new(), Some(no.0)),
    }
}
