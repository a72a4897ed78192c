//! Views: operators that only say where elements lie. They cost nothing; a reshape of a layout with gaps is the one that
//! may need a copy.

use crate::tensor::View;

/// One step from a layout to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ViewOp {
    /// Axis `k` of the result is axis `order[k]`.
    Permute(Vec<usize>),
    /// The same elements in row-major order under another shape.
    Reshape(Vec<usize>),
    /// Repeat axes of extent one (and missing leading ones) to this shape.
    Broadcast(Vec<usize>),
    /// An axis of extent one before this one.
    AddAxis(usize),
    /// Drop this axis of extent one.
    RemoveAxis(usize),
    /// `len` elements of `axis` from `start`, every `step`-th (negative: backwards).
    Slice {
        /// The axis.
        axis: usize,
        /// First element.
        start: usize,
        /// Number of elements.
        len: usize,
        /// Distance.
        step: isize,
    },
    /// Elements with equal indices along two axes: the second axis goes.
    Diagonal(usize, usize),
}

impl ViewOp {
    /// The layout after this step, or `None` where it needs a copy.
    pub fn apply(&self, view: &View) -> Option<View> {
        Some(match self {
            ViewOp::Permute(order) => view.permuted(order),
            ViewOp::Reshape(shape) => return view.reshaped(shape),
            ViewOp::Broadcast(shape) => {
                let wide = view.broadcast_to(shape);
                assert!(wide.is_some(), "{:?} does not broadcast to {shape:?}", view.shape);
                return wide;
            }
            ViewOp::AddAxis(axis) => view.with_axis(*axis),
            ViewOp::RemoveAxis(axis) => view.without_axis(*axis),
            ViewOp::Slice { axis, start, len, step } => view.sliced(*axis, *start, *len, *step),
            ViewOp::Diagonal(a, b) => {
                let mut view = view.clone();
                view.strides[*a] += view.strides[*b];
                view.shape.remove(*b);
                view.strides.remove(*b);
                view
            }
        })
    }
}

/// All steps in order, or the position of the step that needs a copy and the layout before it.
pub fn apply_all(steps: &[ViewOp], view: &View) -> Result<View, (usize, View)> {
    let mut at = view.clone();
    for (k, step) in steps.iter().enumerate() {
        at = step.apply(&at).ok_or((k, at))?;
    }
    Ok(at)
}

/// The shape that the steps lead to.
pub fn shape_after(steps: &[ViewOp], shape: &[usize]) -> Vec<usize> {
    let mut at = View::contiguous(0, shape);
    for step in steps {
        at = match step.apply(&at) {
            Some(next) => next,
            // A copy would make the layout contiguous; shapes are the same.
            None => step.apply(&View::contiguous(0, &at.shape)).expect("a contiguous layout reshapes"),
        };
    }
    at.shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reshape_behind_a_transpose_reports_where_it_needs_a_copy() {
        let steps = [ViewOp::Permute(vec![1, 0]), ViewOp::Reshape(vec![6])];
        let (at, before) = apply_all(&steps, &View::contiguous(0, &[2, 3])).unwrap_err();
        assert_eq!((at, before.shape.as_slice()), (1, &[3, 2][..]));
        assert_eq!(shape_after(&steps, &[2, 3]), [6]);
    }

    #[test]
    fn a_diagonal_walks_both_axes() {
        let view = ViewOp::Diagonal(0, 1).apply(&View::contiguous(0, &[3, 3])).unwrap();
        assert_eq!(view.positions().collect::<Vec<_>>(), [0, 4, 8]);
    }
}
