//! Which 64-bit integers fit the 32 bits of a device: intervals, from inputs (checked when they enter) and constants
//! through the operators that make indices and masks. Operators that have no kernel and are not known here are assumed
//! to give 32 bits: the CPU computes them, and what it stores for a device is checked.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::{OneHot, Pad, PadMode, ScatterElements, ScatterNd, ScatterReduction};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::{Lowering, Site};
use crate::tensor::{DType, volume};

/// Least and greatest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    low: i128,
    high: i128,
}

impl Range {
    /// What an input may hold: the engine refuses others.
    pub(super) const INPUT: Range = Range { low: i32::MIN as i128, high: i32::MAX as i128 };
    const TRUTH: Range = Range { low: 0, high: 1 };
    /// Nothing is known.
    const ANY: Range = Range { low: i64::MIN as i128, high: i64::MAX as i128 };

    pub(super) fn of(values: &[i64]) -> Range {
        Range {
            low: values.iter().copied().min().unwrap_or(0).into(),
            high: values.iter().copied().max().unwrap_or(0).into(),
        }
    }

    pub(super) fn fits(self) -> bool {
        self.low >= Range::INPUT.low && self.high <= Range::INPUT.high
    }

    fn hull(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn within(self, other: Range) -> Range {
        Range { low: self.low.clamp(other.low, other.high), high: self.high.clamp(other.low, other.high) }
    }

    /// Sums of up to `n` values, among them none.
    fn times(self, n: usize) -> Range {
        Range { low: (self.low * n as i128).min(0), high: (self.high * n as i128).max(0) }
    }

    fn magnitude(self) -> i128 {
        self.low.abs().max(self.high.abs())
    }

    fn corners(self, other: Range, op: impl Fn(i128, i128) -> i128) -> Range {
        let all =
            [op(self.low, other.low), op(self.low, other.high), op(self.high, other.low), op(self.high, other.high)];
        Range { low: all.into_iter().min().unwrap_or(0), high: all.into_iter().max().unwrap_or(0) }
    }
}

/// Notes the range of a node's integer outputs.
pub(super) fn propagate(cx: &mut Lowering, site: &Site) {
    for at in 0..site.outputs.len() {
        let id = site.outputs[at];
        if matches!(cx.dtype(id), DType::I64 | DType::I32) {
            let mut range = output(cx, site, at);
            // 32-bit integers wrap; products of products would leave 128 bits.
            if cx.dtype(id) == DType::I32 && !range.fits() {
                range = Range::INPUT;
            }
            cx.ranges.insert(id, range.within(Range::ANY));
        }
    }
}

fn output(cx: &Lowering, site: &Site, at: usize) -> Range {
    let input = |k: usize| match cx.dtype(site.inputs[k]) {
        DType::Bool => Range::TRUTH,
        _ => cx.range(site.inputs[k]),
    };
    let hull = || (0..site.inputs.len()).map(input).reduce(Range::hull).unwrap_or(Range::INPUT);
    if let Some(op) = site.node.op_as::<TypedBinOp>() {
        return match op.0.name() {
            "Add" => input(0).corners(input(1), |a, b| a + b),
            "Sub" => input(0).corners(input(1), |a, b| a - b),
            "SubF" => input(0).corners(input(1), |a, b| b - a),
            "Mul" => input(0).corners(input(1), |a, b| a * b),
            "Min" | "Max" => hull(),
            // Quotients and remainders are no larger than the dividend or the divisor.
            "Div" | "Rem" => {
                let most = input(0).magnitude().max(input(1).magnitude());
                Range { low: -most, high: most }
            }
            _ => Range::INPUT,
        };
    }
    if let Some(reduce) = site.node.op_as::<Reduce>() {
        let shape = cx.shape(site.inputs[0]);
        let n = reduce.axes.iter().map(|&a| shape[a]).product::<usize>();
        return match reduce.reducer {
            Reducer::Sum => input(0).times(n),
            Reducer::Prod | Reducer::MeanOfSquares => Range::ANY,
            _ => hull().hull(Range { low: 0, high: volume(&shape) as i128 }),
        };
    }
    if let Some(range) = scattered(cx, site, &input) {
        return range;
    }
    match site.node.op.name().as_ref() {
        // Indices and counts.
        "Topk" if at == 1 => Range::INPUT,
        // Of floats and of types without a range it is assumed, and checked where it is stored.
        "Cast" => input(0).hull(Range::TRUTH),
        "Square" => input(0).corners(input(0), |a, b| a * b),
        "Neg" => Range { low: -input(0).high, high: -input(0).low },
        "Abs" => Range { low: 0, high: input(0).magnitude() },
        "CumSum" => input(0).times(cx.shape(site.inputs[0]).iter().copied().max().unwrap_or(0)),
        // What moves values keeps their range.
        _ => {
            let integers =
                (0..site.inputs.len()).filter(|&k| matches!(cx.dtype(site.inputs[k]), DType::I64 | DType::I32));
            integers.map(input).reduce(Range::hull).unwrap_or(Range::INPUT).hull(Range::TRUTH)
        }
    }
}

/// Operators that put values of their own beside those of their inputs, or join several in one place.
fn scattered(cx: &Lowering, site: &Site, input: &impl Fn(usize) -> Range) -> Option<Range> {
    let op = &site.node.op;
    let own = |value: &Tensor| value.cast_to_scalar::<i64>().map_or(Range::ANY, |v| Range::of(&[v]));
    if let Some(onehot) = op.downcast_ref::<OneHot>() {
        return Some(own(&onehot.on).hull(own(&onehot.off)));
    }
    if let Some(pad) = op.downcast_ref::<Pad>() {
        let PadMode::Constant(value) = &pad.mode else { return None };
        return Some(input(0).hull(own(value)));
    }
    let scatter = op.downcast_ref::<ScatterElements>().map(|s| s.reduction);
    let reduction = scatter.or_else(|| op.downcast_ref::<ScatterNd>().map(|s| s.reduction))?;
    let updates = volume(&cx.shape(*site.inputs.get(2)?));
    Some(match reduction {
        ScatterReduction::Add => input(0).corners(input(2).times(updates), |a, b| a + b),
        ScatterReduction::Mul if updates > 0 => Range::ANY,
        _ => input(0).hull(input(2)),
    })
}
