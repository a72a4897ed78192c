//! Recurrent networks: tract's `Scan` (LSTM, RNN, GRU) and `GruSeq` are unrolled over time. Each step is the body's own
//! operators on slices of the sequence, so that fusion, kernels and the memory plan need no notion of a loop.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::gru_cell::GruEpilogue;
use tract_onnx::tract_core::ops::gru_seq::GruSeq;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::lstm_cell::LstmEpilogue;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::scan::{InputMapping, OutputMapping, Scan, ScanInfo};
use tract_onnx::tract_core::ops::source::TypedSource;

use super::{Form, Lowered, Lowering, Site};
use crate::graph::fuse::copied;
use crate::graph::host::{Function, HostProgram, Source};
use crate::graph::ir::{Access, Node, NodeKind, Value, ValueId, ValueKind};
use crate::graph::view::ViewOp;
use crate::kernel::{GruCell, LstmCell, Operator};
use crate::tensor::HostTensor;

/// Operators that one loop may unroll to; longer ones stay on the CPU.
const UNROLLED_MAX: usize = 20_000;

/// Unrolls the node if it is a loop of known length. False: it is none, or too long.
pub(super) fn unrolled(cx: &mut Lowering, site: &Site) -> TractResult<bool> {
    if let Some(scan) = site.node.op_as::<Scan>() {
        if scan.skip != 0 {
            return Ok(false);
        }
        let the_loop = Loop {
            body: &scan.body,
            inputs: &scan.input_mapping,
            outputs: &scan.output_mapping,
            operands: site.inputs.clone(),
        };
        return unroll(cx, site, &the_loop);
    }
    if let Some(gru) = site.node.op_as::<GruSeq>() {
        return gru_sequence(cx, site, gru);
    }
    Ok(false)
}

/// A loop over time.
struct Loop<'a> {
    body: &'a TypedModel,
    inputs: &'a [InputMapping],
    outputs: &'a [OutputMapping<TDim>],
    /// The values outside, one per input of the body.
    operands: Vec<ValueId>,
}

fn unroll(cx: &mut Lowering, site: &Site, the_loop: &Loop) -> TractResult<bool> {
    let scanned = the_loop.inputs.iter().zip(&the_loop.operands).find_map(|(mapping, &id)| match mapping {
        InputMapping::Scan(info) => Some(cx.shape(id)[info.axis].div_ceil(info.chunk.unsigned_abs())),
        _ => None,
    });
    let Some(steps) = scanned else {
        return Ok(false);
    };
    if steps == 0 || steps * the_loop.body.nodes.len() > UNROLLED_MAX {
        return Ok(false);
    }
    let mut states = Vec::new();
    for (at, (mapping, &id)) in the_loop.inputs.iter().zip(&the_loop.operands).enumerate() {
        if mapping.is_state() {
            let inside = the_loop.body.outlet_fact(the_loop.body.input_outlets()?[at])?;
            states.push(initial_state(cx, site, id, inside.shape.as_concrete())?);
        }
    }
    let mut collected: Vec<Vec<ValueId>> = vec![Vec::new(); the_loop.outputs.len()];
    let mut constants = HashMap::new();
    for step in 0..steps {
        let results = one_step(cx, site, the_loop, step, steps, &states, &mut constants)?;
        let carried = the_loop.outputs.iter().zip(&results).filter(|(mapping, _)| mapping.state);
        states = carried.map(|(_, &id)| id).collect();
        for (list, &id) in collected.iter_mut().zip(&results) {
            list.push(id);
        }
    }
    for (mapping, mut list) in the_loop.outputs.iter().zip(collected) {
        if let Some(slot) = mapping.last_value_slot {
            let last = *list.last().expect("there is a step");
            alias(cx, site, slot, last);
        }
        if let Some((slot, info)) = mapping.scan {
            if info.chunk < 0 {
                list.reverse();
            }
            join(cx, site, slot, info.axis, list);
        }
    }
    Ok(true)
}

/// An initial state that was left out is a zero whose axes tract may have moved or shortened: it takes the body's shape.
fn initial_state(cx: &mut Lowering, site: &Site, id: ValueId, wanted: Option<&[usize]>) -> TractResult<ValueId> {
    let (Some(constant), Some(wanted)) = (cx.known(id), wanted) else {
        return Ok(id);
    };
    if constant.shape() == wanted {
        return Ok(id);
    }
    let zero = constant.bytes().iter().all(|&b| b == 0);
    ensure!(zero, "an initial state of shape {:?} where the cell wants {wanted:?}", constant.shape());
    let state = HostTensor::zeros(constant.dtype(), wanted);
    cx.own_constant(&format!("{} (state)", site.node.name), state)
}

/// The body once; answers its outputs.
fn one_step(
    cx: &mut Lowering,
    site: &Site,
    the_loop: &Loop,
    step: usize,
    steps: usize,
    states: &[ValueId],
    constants: &mut HashMap<usize, ValueId>,
) -> TractResult<Vec<ValueId>> {
    let mut inner: HashMap<OutletId, ValueId> = HashMap::new();
    let mut state = states.iter();
    for (at, (mapping, &operand)) in the_loop.inputs.iter().zip(&the_loop.operands).enumerate() {
        let id = match mapping {
            InputMapping::Full => operand,
            InputMapping::State => *state.next().context("a state without a value")?,
            InputMapping::Scan(info) => slice(cx, site, operand, info, step, steps)?,
        };
        inner.insert(the_loop.body.input_outlets()?[at], id);
    }
    // The body's outlets are numbered apart from the model's.
    let outside = std::mem::replace(&mut cx.outlets, inner);
    let result = body_nodes(cx, the_loop.body, constants);
    let inner = std::mem::replace(&mut cx.outlets, outside);
    result?;
    the_loop.body.output_outlets()?.iter().map(|o| inner.get(o).copied().context("a body output")).collect()
}

fn body_nodes(cx: &mut Lowering, body: &TypedModel, constants: &mut HashMap<usize, ValueId>) -> TractResult<()> {
    for id in body.eval_order()? {
        let node = body.node(id);
        if node.op_is::<TypedSource>() {
            continue;
        }
        if node.op_is::<Const>()
            && let Some(&known) = constants.get(&id)
        {
            cx.outlets.insert(id.into(), known);
            continue;
        }
        cx.node_of(body, node)?;
        if node.op_is::<Const>() {
            constants.insert(id, cx.outlets[&OutletId::new(id, 0)]);
        }
    }
    Ok(())
}

/// The part of a sequence that a step sees.
fn slice(
    cx: &mut Lowering,
    site: &Site,
    from: ValueId,
    info: &ScanInfo,
    step: usize,
    steps: usize,
) -> TractResult<ValueId> {
    let mut shape = cx.shape(from);
    let chunk = info.chunk.unsigned_abs();
    let place = if info.chunk > 0 { step } else { steps - 1 - step };
    let start = place * chunk;
    let len = chunk.min(shape[info.axis].saturating_sub(start));
    ensure!(len == chunk, "a sequence of {} in parts of {chunk}", shape[info.axis]);
    let op = Slice { axis: info.axis, start: start.into(), end: (start + len).into() };
    shape[info.axis] = len;
    let view = ViewOp::Slice { axis: info.axis, start, len, step: 1 };
    view_node(cx, site, Box::new(op), from, shape, view)
}

fn view_node(
    cx: &mut Lowering,
    site: &Site,
    op: Box<dyn TypedOp>,
    from: ValueId,
    shape: Vec<usize>,
    view: ViewOp,
) -> TractResult<ValueId> {
    let dtype = cx.dtype(from);
    let name = site.node.name.clone();
    if let Some(constant) = cx.known(from) {
        return cx.own_constant(&name, copied(&constant, &[view]));
    }
    let to = cx.add(Value { name: name.clone(), dtype, shape, kind: ValueKind::Computed, wide: false });
    if let Some(&range) = cx.ranges.get(&from) {
        cx.ranges.insert(to, range);
    }
    let (source, host_inputs) = source(cx, from);
    let host = HostProgram::single(Function::Library(op), vec![(source, super::tensor::datum_type(dtype))], 1);
    cx.graph.nodes.push(Node {
        name,
        kind: NodeKind::View,
        inputs: vec![Access { value: from, views: vec![view] }],
        outputs: vec![Access::plain(to)],
        host,
        host_inputs,
    });
    Ok(to)
}

fn source(cx: &Lowering, id: ValueId) -> (Source, Vec<ValueId>) {
    match cx.constants.get(&id) {
        Some(constant) => (Source::Constant(constant.clone()), Vec::new()),
        None => (Source::Input(0), vec![id]),
    }
}

/// The loop's output `slot` is `id`.
fn alias(cx: &mut Lowering, site: &Site, slot: usize, id: ValueId) {
    let (source, host_inputs) = source(cx, id);
    cx.graph.nodes.push(Node {
        name: format!("{} (last)", site.node.name),
        kind: NodeKind::View,
        inputs: vec![Access::plain(id)],
        outputs: vec![Access::plain(site.outputs[slot])],
        host: HostProgram::answer(source),
        host_inputs,
    });
}

/// The loop's output `slot` is all of `parts` along `axis`.
fn join(cx: &mut Lowering, site: &Site, slot: usize, axis: usize, parts: Vec<ValueId>) {
    let declared = super::tensor::datum_type(cx.dtype(parts[0]));
    let sources = (0..parts.len()).map(|k| (Source::Input(k), declared)).collect();
    cx.graph.nodes.push(Node {
        name: format!("{} (sequence)", site.node.name),
        kind: NodeKind::Concat(axis),
        inputs: parts.iter().copied().map(Access::plain).collect(),
        outputs: vec![Access::plain(site.outputs[slot])],
        host: HostProgram::single(Function::Library(Box::new(TypedConcat { axis })), sources, 1),
        host_inputs: parts,
    });
}

/// A `GruSeq` as a loop whose body is the plain cell.
fn gru_sequence(cx: &mut Lowering, site: &Site, gru: &GruSeq) -> TractResult<bool> {
    let hidden = gru.hidden;
    let x = cx.shape(site.inputs[0]);
    let batch = x[0];
    let mut body = TypedModel::default();
    let fact = |shape: &[usize]| TypedFact::dt_shape(DatumType::F32, shape);
    let mut mapping = vec![InputMapping::Scan(ScanInfo { axis: 1, chunk: gru.chunk })];
    let xt = body.add_source("x", fact(&[batch, 1, x[2]]))?;
    let mut weights = tvec!();
    for &id in &site.inputs[1..site.inputs.len() - 1] {
        weights.push(body.add_source(format!("w{}", weights.len()), fact(&cx.shape(id)))?);
        mapping.push(InputMapping::Full);
    }
    let h = body.add_source("h", fact(&[batch, hidden]))?;
    mapping.push(InputMapping::State);
    let xt = body.wire_node("xt", AxisOp::Rm(1), &[xt])?[0];
    let r_slot = usize::from(!gru.projected);
    let product = |body: &mut TypedModel, name: &str, a: OutletId, w: OutletId| {
        let axes = AxesMapping::from_strs(&["bk", "gk"], &["bg"])?;
        Ok::<OutletId, TractError>(body.wire_node(name, EinSum::new(axes, DatumType::F32), &[a, w])?[0])
    };
    let mut xh = match gru.projected {
        true => xt,
        false => product(&mut body, "xw", xt, weights[0])?,
    };
    let mut rh = product(&mut body, "hr", h, weights[r_slot])?;
    if gru.has_bias {
        let mut bias = weights[r_slot + 1];
        if body.outlet_fact(bias)?.rank() == 1 {
            bias = body.wire_node("bias", AxisOp::Add(0), &[bias])?[0];
        }
        let part = |body: &mut TypedModel, name: &str, from: usize| {
            let slice = Slice { axis: 1, start: (from * hidden).into(), end: ((from + 3) * hidden).into() };
            Ok::<OutletId, TractError>(body.wire_node(name, slice, &[bias])?[0])
        };
        if !gru.projected {
            let wb = part(&mut body, "wb", 0)?;
            xh = body.wire_node("xwb", math::add(), &[xh, wb])?[0];
        }
        let rb = part(&mut body, "rb", 3)?;
        rh = body.wire_node("hrb", math::add(), &[rh, rb])?[0];
    }
    let next = body.wire_node("h_next", GruEpilogue { hidden }, &[xh, rh, h])?[0];
    let emitted = body.wire_node("y", AxisOp::Add(1), &[next])?[0];
    body.select_output_outlets(&[next, emitted])?;
    let mut operands = site.inputs.clone();
    let state = operands.len() - 1;
    operands[state] = flat_state(cx, site, operands[state], batch, hidden)?;
    let none = || OutputMapping { scan: None, full_dim_hint: None, last_value_slot: None, state: false };
    let outputs = vec![
        OutputMapping { state: true, ..none() },
        OutputMapping {
            scan: gru.emit_y.then_some((0, ScanInfo { axis: 1, chunk: gru.chunk })),
            last_value_slot: Some(1),
            ..none()
        },
    ];
    unroll(cx, site, &Loop { body: &body, inputs: &mapping, outputs: &outputs, operands })
}

/// The initial state as `[batch, hidden]`, whichever unit axis it came with.
fn flat_state(cx: &mut Lowering, site: &Site, id: ValueId, batch: usize, hidden: usize) -> TractResult<ValueId> {
    let shape = cx.shape(id);
    if shape.len() == 2 {
        return Ok(id);
    }
    let unit =
        shape.iter().position(|&d| d == 1 && shape.len() == 3).context("an initial state of two or three axes")?;
    let op = AxisOp::Rm(unit);
    view_node(cx, site, Box::new(op), id, vec![batch, hidden], ViewOp::RemoveAxis(unit))
}

/// The cells at the end of a step: all gates in one kernel.
pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    let shape = cx.shape(site.outputs[0]);
    let kernel: Arc<dyn Operator> = if site.node.op_is::<LstmEpilogue>() {
        Arc::new(LstmCell { shape })
    } else if site.node.op_is::<GruEpilogue>() {
        Arc::new(GruCell { shape })
    } else {
        return None;
    };
    let inputs = site.inputs.iter().copied().map(Access::plain).collect();
    let outputs = site.outputs.iter().copied().map(Access::plain).collect();
    Some(Ok(Form::new(NodeKind::Kernel(kernel), inputs, outputs)))
}
