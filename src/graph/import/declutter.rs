//! Simplification of the typed graph by those of tract's rules that are right.
//!
//! tract's own `into_decluttered` is not used: some of its rules change answers. Strides behind a convolution lose
//! their phase and go through a softmax's own axis; broadcasts in front of a contraction vanish although the contraction
//! sums over them; `c - conv(x)` and `c / conv(x)` become `conv(x) + c` and `conv'(x)`; squared square roots forget
//! that negative numbers have none. So each operator is simplified alone, by its own rule, unless [`trusted`] says no;
//! and of the passes over the graph three remain: folding of constants, merging of equal operators, moves of axes.
//!
//! What is left out costs nothing here: slices, strides and broadcasts are views of their input, which fusion puts into
//! the operators that read them. A rule that fails leaves its operator as it is.
//!
//! `tests/onnx/simplification.rs` compares the graph before and after on random chains of operators.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{MultiBroadcastTo, Slice};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::dummy::Dummy;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::lstm_cell::LstmEpilogue;
use tract_onnx::tract_core::ops::math::{Div, Mul, Sqrt, Square, Sub};
use tract_onnx::tract_core::ops::scan::Scan;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_core::optim::{Optimizer, OptimizerSession, TypedPass};

/// tract's passes over the graph that are right, by the names that they print.
const PASSES: [&str; 3] = ["PropConst", "PushSplitDown", "ChangeAxes"];

/// Simplifies `model`; it computes the same.
pub(super) fn simplify(model: &mut TypedModel) -> TractResult<()> {
    Optimizer { passes: passes(), steps: None }.optimize(model)
}

fn passes() -> Vec<Box<dyn TypedPass>> {
    let ours: [Box<dyn TypedPass>; 2] = [Box::new(ExplicitBroadcast), Box::<Operators>::default()];
    let named = |pass: &dyn TypedPass, name: &str| format!("{pass:?}").split('(').next() == Some(name);
    let theirs =
        Optimizer::declutter().passes.into_iter().filter(|p| PASSES.iter().any(|name| named(p.as_ref(), name)));
    let (folding, rest): (Vec<_>, Vec<_>) = theirs.partition(|p| named(p.as_ref(), PASSES[0]));
    let [broadcast, operators] = ours;
    std::iter::once(broadcast).chain(folding).chain(std::iter::once(operators)).chain(rest).collect()
}

/// Each operator's own rule, where it is trusted.
#[derive(Clone, Debug, Default)]
struct Operators {
    from: usize,
}

impl TypedPass for Operators {
    fn reset(&mut self) -> TractResult<()> {
        self.from = 0;
        Ok(())
    }

    fn next(&mut self, session: &mut OptimizerSession, model: &TypedModel) -> TractResult<Option<TypedModelPatch>> {
        for node in model.nodes[self.from..].iter().filter(|n| !n.op_is::<Dummy>()) {
            let patch = match node.op_as::<Scan>() {
                Some(scan) if !plain(&scan.body) => body_alone(session, model, node, scan),
                _ if trusted(model, node) => node.op.declutter_with_session(session, model, node),
                _ => continue,
            };
            if let Ok(Some(patch)) = patch {
                self.from = node.id + usize::from(patch.dont_apply_twice.is_some());
                return Ok(Some(patch));
            }
        }
        Ok(None)
    }
}

/// Whether the operator's own rule is right where it stands.
fn trusted(model: &TypedModel, node: &TypedNode) -> bool {
    let before = |k: usize| model.node(node.inputs[k].node);
    if node.op_is::<Downsample>() {
        return false;
    }
    if let Some(op) = node.op_as::<EinSum>() {
        // Broadcasts stay in front, and axes are only regrouped where all operands have them in full.
        let broadcast = (0..node.inputs.len()).any(|k| before(k).op_is::<MultiBroadcastTo>());
        return !broadcast && extents(model, node, op).is_ok_and(|all| all.iter().all(Extents::agree));
    }
    if node.op_is::<Conv>() {
        // An operator behind is folded into the weights, but the convolution as subtrahend or divisor is not that.
        let behind = node.outputs[0].successors.iter();
        return !behind.map(|inlet| (inlet.slot, model.node(inlet.node))).any(|(slot, next)| {
            let op = next.op_as::<TypedBinOp>();
            slot == 1 && op.is_some_and(|op| op.0.is::<Sub>() || op.0.is::<Div>())
        });
    }
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        let roots = |n: &TypedNode| n.op_as::<ElementWiseOp>().is_some_and(|op| op.0.is::<Sqrt>());
        return !(op.0.is::<Square>() && roots(before(0)));
    }
    if node.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<Mul>()) {
        // Zero times infinity is not zero; and integer products become shifts, for which there are no kernels.
        return node.inputs.iter().filter_map(|&i| model.outlet_fact(i).ok()).all(|fact| {
            let zero = fact.uniform.as_ref().is_some_and(|u| u.cast_to_scalar::<f64>().is_ok_and(|v| v == 0.0));
            !zero && !fact.datum_type.is_integer()
        });
    }
    true
}

/// Whether a loop's body has only operators that say truly which axes they keep: tract moves those out of the loop.
fn plain(body: &TypedModel) -> bool {
    body.nodes.iter().all(|node| {
        let elementwise = node.op_as::<ElementWiseOp>().is_some_and(|op| !op.0.is::<Square>());
        let other = node.op_is::<TypedBinOp>() || node.op_is::<Cast>();
        let cell = node.op_is::<EinSum>() || node.op_is::<LstmEpilogue>();
        let moves = node.op_is::<AxisOp>() || node.op_is::<Slice>() || node.op_is::<Identity>();
        let nothing = node.op_is::<Const>() || node.op_is::<TypedSource>() || node.op_is::<Dummy>();
        elementwise || other || cell || moves || nothing
    })
}

/// Simplifies what a loop does in each step and leaves the loop as it is.
fn body_alone(
    session: &mut OptimizerSession,
    model: &TypedModel,
    node: &TypedNode,
    scan: &Scan,
) -> TractResult<Option<TypedModelPatch>> {
    if scan.decluttered {
        return Ok(None);
    }
    let mut simple = scan.clone();
    session.optimize(&mut simple.body)?;
    simple.decluttered = true;
    TypedModelPatch::replace_single_op(model, node, &node.inputs, simple).map(Some)
}

/// An operand of extent one under an axis that is summed over longer operands is repeated along it. The contraction
/// would take its extent for that of the sum.
#[derive(Clone, Debug)]
struct ExplicitBroadcast;

impl TypedPass for ExplicitBroadcast {
    fn reset(&mut self) -> TractResult<()> {
        Ok(())
    }

    fn next(&mut self, _: &mut OptimizerSession, model: &TypedModel) -> TractResult<Option<TypedModelPatch>> {
        for node in &model.nodes {
            let Some(op) = node.op_as::<EinSum>() else { continue };
            let all = extents(model, node, op)?;
            if let Some(axis) = all.iter().find(|axis| axis.summed && !axis.agree()) {
                return repeat(model, node, axis).map(Some);
            }
        }
        Ok(None)
    }
}

fn repeat(model: &TypedModel, node: &TypedNode, axis: &Extents) -> TractResult<TypedModelPatch> {
    let mut patch = TypedModelPatch::default();
    let mut wires = patch.taps(model, &node.inputs)?;
    let longest = axis.of.iter().map(|&(_, _, n)| n).max().unwrap_or(1);
    for (slot, wire) in wires.iter_mut().enumerate() {
        let mut shape = patch.outlet_fact(*wire)?.shape.clone();
        for &(_, place, extent) in axis.of.iter().filter(|o| o.0 == slot && o.2 != longest) {
            ensure!(extent == 1, "{}: an axis has {extent} elements in one operand, {longest} in another", node.name);
            shape.set(place, longest.into());
        }
        if shape != patch.outlet_fact(*wire)?.shape {
            let name = format!("{}.repeated.{slot}", node.name);
            *wire = patch.wire_node(name, MultiBroadcastTo { shape }, &[*wire])?[0];
        }
    }
    let wire = patch.wire_node(&node.name, node.op.clone(), &wires)?;
    patch.shunt_outside(model, node.id.into(), wire[0])?;
    Ok(patch)
}

/// One axis of a contraction in all operands.
struct Extents {
    /// Operand, place in it, extent there.
    of: Vec<(usize, usize, usize)>,
    /// The result does not have it.
    summed: bool,
}

impl Extents {
    fn agree(&self) -> bool {
        self.of.windows(2).all(|pair| pair[0].2 == pair[1].2)
    }
}

fn extents(model: &TypedModel, node: &TypedNode, op: &EinSum) -> TractResult<Vec<Extents>> {
    let facts = model.node_input_facts(node.id)?;
    let all = op.axes.iter_all_axes().map(|axis| {
        let places = axis.inputs.iter().enumerate().flat_map(|(slot, places)| places.iter().map(move |&p| (slot, p)));
        let of = places.map(|(slot, place)| Ok((slot, place, facts[slot].shape[place].to_usize()?)));
        Ok(Extents { of: of.collect::<TractResult<_>>()?, summed: axis.outputs[0].is_empty() })
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::{PASSES, passes};

    #[test]
    fn all_trusted_passes_are_there() {
        let names: Vec<String> = passes().iter().map(|p| format!("{p:?}")).collect();
        assert_eq!(names.len(), PASSES.len() + 2, "{names:?}");
        for name in PASSES {
            assert!(names.iter().any(|n| n.starts_with(name)), "{name} of {names:?}");
        }
    }
}
