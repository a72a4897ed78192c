//! Which 64-bit integers fit the 32 bits of a device: intervals, from inputs (checked when they enter) and constants
//! through the operators that make indices and masks.

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
            let range = output(cx, site, at);
            cx.ranges.insert(id, range);
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
                let reach = [input(0), input(1)].map(|r| r.low.abs().max(r.high.abs()));
                let most = reach[0].max(reach[1]);
                Range { low: -most, high: most }
            }
            _ => Range::INPUT,
        };
    }
    if let Some(reduce) = site.node.op_as::<Reduce>() {
        let shape = cx.shape(site.inputs[0]);
        let n = reduce.axes.iter().map(|&a| shape[a]).product::<usize>() as i128;
        return match reduce.reducer {
            Reducer::Sum => {
                let r = input(0);
                Range { low: (r.low * n).min(0), high: (r.high * n).max(0) }
            }
            Reducer::Prod => Range { low: i128::MIN / 2, high: i128::MAX / 2 },
            _ => hull().hull(Range { low: 0, high: volume(&shape) as i128 }),
        };
    }
    match site.node.op.name().as_ref() {
        // Indices and counts.
        "Topk" if at == 1 => Range::INPUT,
        "Cast" => input(0).hull(Range::TRUTH),
        "Square" => input(0).corners(input(0), |a, b| a * b),
        "Neg" => Range { low: -input(0).high, high: -input(0).low },
        "CumSum" => {
            let n = volume(&cx.shape(site.inputs[0])) as i128;
            let r = input(0);
            Range { low: (r.low * n).min(0), high: (r.high * n).max(0) }
        }
        // What moves values keeps their range.
        _ => {
            let integers =
                (0..site.inputs.len()).filter(|&k| matches!(cx.dtype(site.inputs[k]), DType::I64 | DType::I32));
            integers.map(input).reduce(Range::hull).unwrap_or(Range::INPUT).hull(Range::TRUTH)
        }
    }
}
