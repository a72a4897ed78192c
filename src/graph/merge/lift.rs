//! Views of one instance's value as views of the stacked one, whose axis of instances is in front.

use crate::graph::view::{ViewOp, shape_after};
use crate::kernel::Joint;
use crate::tensor::View;

/// The same steps behind an axis of `n` instances. `shape` is what one instance's steps begin with.
pub(super) fn lifted(steps: &[ViewOp], shape: &[usize], n: usize) -> Vec<ViewOp> {
    let mut lifted = Vec::new();
    let mut rank = shape.len();
    for (at, step) in steps.iter().enumerate() {
        let in_front = |shape: &[usize]| [&[n], shape].concat();
        match step {
            ViewOp::Permute(order) => {
                lifted.push(ViewOp::Permute(std::iter::once(0).chain(order.iter().map(|k| k + 1)).collect()));
            }
            ViewOp::Reshape(shape) => lifted.push(ViewOp::Reshape(in_front(shape))),
            ViewOp::Broadcast(shape) => {
                lifted.extend(std::iter::repeat_n(ViewOp::AddAxis(1), shape.len() - rank));
                lifted.push(ViewOp::Broadcast(in_front(shape)));
            }
            ViewOp::AddAxis(axis) => lifted.push(ViewOp::AddAxis(axis + 1)),
            ViewOp::RemoveAxis(axis) => lifted.push(ViewOp::RemoveAxis(axis + 1)),
            ViewOp::Slice { axis, start, len, step } => {
                lifted.push(ViewOp::Slice { axis: axis + 1, start: *start, len: *len, step: *step });
            }
            ViewOp::Diagonal(a, b) => lifted.push(ViewOp::Diagonal(a + 1, b + 1)),
        }
        rank = shape_after(&steps[..=at], shape).len();
    }
    lifted
}

/// The steps that lead from a stacked value to the operand of `n` instances. `steps` and `shape` are those of one instance.
/// `None` where the operand must be shared, or is none of this operator's.
pub(super) fn stacked_operand(steps: &[ViewOp], shape: &[usize], joint: &Joint, n: usize) -> Option<Vec<ViewOp>> {
    let mut all = lifted(steps, shape, n);
    let operand = shape_after(steps, shape);
    let whole = match joint {
        Joint::Shared => return None,
        Joint::Leading(whole) | Joint::First(whole) => whole,
    };
    View::contiguous(0, &operand).broadcast_to(whole)?;
    all.extend(std::iter::repeat_n(ViewOp::AddAxis(1), whole.len() - operand.len()));
    all.push(ViewOp::Broadcast([&[n], whole.as_slice()].concat()));
    if let Joint::First(whole) = joint {
        all.push(ViewOp::Reshape(first(whole, n)));
    }
    Some(all)
}

/// The steps that lead from a value that all instances share to their operand; `None` where it is none of this operator's.
pub(super) fn shared_operand(steps: &[ViewOp], shape: &[usize], joint: &Joint, n: usize) -> Option<Vec<ViewOp>> {
    let mut all = steps.to_vec();
    let operand = shape_after(steps, shape);
    if let Joint::Leading(whole) | Joint::First(whole) = joint {
        View::contiguous(0, &operand).broadcast_to(whole)?;
    }
    match joint {
        Joint::Shared => {}
        Joint::Leading(whole) => all.push(ViewOp::Broadcast([&[n], whole.as_slice()].concat())),
        // What is equal for all of one batch is so for the batches of all instances.
        Joint::First(whole) if operand.len() < whole.len() || operand.first() == Some(&1) => {}
        Joint::First(whole) => {
            all.push(ViewOp::Broadcast([&[n], whole.as_slice()].concat()));
            all.push(ViewOp::Reshape(first(whole, n)));
        }
    }
    Some(all)
}

/// The steps that lead from a stacked value to what the kernel of `n` instances writes.
pub(super) fn stacked_output(steps: &[ViewOp], shape: &[usize], joint: &Joint, n: usize) -> Vec<ViewOp> {
    let mut all = lifted(steps, shape, n);
    if let Joint::First(whole) = joint {
        all.push(ViewOp::Reshape(first(whole, n)));
    }
    all
}

fn first(whole: &[usize], n: usize) -> Vec<usize> {
    let mut shape = whole.to_vec();
    if let Some(first) = shape.first_mut() {
        *first *= n;
    }
    shape
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::view::apply_all;

    /// Steps that fit `[a, b, c]`.
    fn steps() -> impl Strategy<Value = (Vec<usize>, Vec<ViewOp>)> {
        let extents = proptest::collection::vec(1usize..4, 3);
        let picks = proptest::collection::vec((0usize..7, any::<prop::sample::Index>(), any::<bool>()), 0..6);
        (extents, picks).prop_map(|(shape, picks)| {
            let mut steps: Vec<ViewOp> = Vec::new();
            for (kind, pick, flag) in picks {
                let at = shape_after(&steps, &shape);
                let axis = pick.index(at.len().max(1));
                let step = match kind {
                    0 => ViewOp::Permute((0..at.len()).rev().collect()),
                    1 => ViewOp::Reshape(vec![at.iter().product()]),
                    2 => ViewOp::Broadcast([&[2], at.as_slice()].concat()),
                    3 => ViewOp::AddAxis(axis),
                    4 if at.get(axis) == Some(&1) => ViewOp::RemoveAxis(axis),
                    5 if !at.is_empty() && flag => ViewOp::Slice { axis, start: at[axis] - 1, len: at[axis], step: -1 },
                    5 if !at.is_empty() => ViewOp::Slice { axis, start: 0, len: 1, step: 1 },
                    6 if at.len() > 1 && at[0] == at[1] => ViewOp::Diagonal(0, 1),
                    _ => continue,
                };
                steps.push(step);
            }
            (shape, steps)
        })
    }

    proptest! {
        #[test]
        fn each_instance_sees_what_it_would_alone((shape, steps) in steps(), n in 2usize..5) {
            let alone = View::contiguous(0, &shape);
            let together = View::contiguous(0, &[&[n], shape.as_slice()].concat());
            let Ok(one) = apply_all(&steps, &alone) else { return Ok(()) };
            let all = apply_all(&lifted(&steps, &shape, n), &together);
            let Ok(all) = all else { return Err(TestCaseError::fail("it needs no copy alone")) };
            prop_assert_eq!(&all.shape[1..], one.shape.as_slice());
            let words: Vec<usize> = all.positions().collect();
            for (instance, words) in words.chunks(one.volume()).enumerate() {
                let base = instance * alone.volume();
                prop_assert!(one.positions().map(|at| at + base).eq(words.iter().copied()));
            }
        }
    }
}
