//! Operators over whole rows: reductions, softmax, normalisation, running sums.

use std::sync::Arc;

use tract_onnx::tract_core::ops::array::CumSum;
use tract_onnx::tract_core::ops::nn::{self as t, SoftmaxKind};

use super::{Form, Lowered, Lowering, Site};
use crate::graph::ir::{Access, NodeKind};
use crate::kernel::{ArgReduce, CumulativeSum, Extremum, Norm, Operator, Reduce, Reducer, Softmax};
use crate::tensor::DType;

pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    let op = &site.node.op;
    let input = *site.inputs.first()?;
    let (shape, dtype) = (cx.shape(input), cx.dtype(input));
    // Integer results were followed through the graph: those that do not fit never come here.
    let in_range = true;
    let kernel = |operator: Arc<dyn Operator>| NodeKind::Kernel(operator);
    let kind = if let Some(op) = op.downcast_ref::<t::Reduce>() {
        let axes = op.axes.to_vec();
        let reducer = match op.reducer {
            t::Reducer::Sum => Reducer::Sum,
            t::Reducer::Prod => Reducer::Prod,
            t::Reducer::Max => Reducer::Max,
            t::Reducer::Min => Reducer::Min,
            t::Reducer::MeanOfSquares => Reducer::MeanOfSquares,
            t::Reducer::All => Reducer::All,
            t::Reducer::Any => Reducer::Any,
            t::Reducer::ArgMax(last) => {
                let operator = ArgReduce { extremum: Extremum::Max, last, shape, axes };
                return Some(Ok(plain(site, kernel(Arc::new(operator)))));
            }
            t::Reducer::ArgMin(last) => {
                let operator = ArgReduce { extremum: Extremum::Min, last, shape, axes };
                return Some(Ok(plain(site, kernel(Arc::new(operator)))));
            }
        };
        NodeKind::Reduce(Reduce { reducer, shape, axes, dtype, in_range })
    } else if let Some(op) = op.downcast_ref::<t::Softmax>() {
        if op.quant_output_dt.is_some() || dtype != DType::F32 {
            return Some(Err(format!("softmax of {dtype} has no kernel")));
        }
        let log = matches!(op.kind, SoftmaxKind::LogSoftmax);
        kernel(Arc::new(Softmax { shape, axes: op.axes.to_vec(), log }))
    } else if let Some(op) = op.downcast_ref::<t::RmsNorm>() {
        let eps = op.eps.cast_to_scalar::<f32>().ok()?;
        NodeKind::Norm(Norm { shape, axes: vec![op.axis], centered: false, eps, scale: false, shift: false })
    } else if let Some(op) = op.downcast_ref::<CumSum>() {
        let (exclusive, reverse) = (op.exclusive, op.reverse);
        kernel(Arc::new(CumulativeSum { shape, axis: op.axis, exclusive, reverse, dtype, in_range }))
    } else {
        return None;
    };
    Some(Ok(plain(site, kind)))
}

fn plain(site: &Site, kind: NodeKind) -> Form {
    Form::new(kind, vec![Access::plain(site.inputs[0])], vec![Access::plain(site.outputs[0])])
}
