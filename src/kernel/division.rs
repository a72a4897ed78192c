//! How an operator divides into parts, each of which computes a range of some extent and reads a piece of the constants
//! that follow that extent: so a constant that is larger than a device binds at once can be bound piece by piece.
//!
//! Only extents that no sum runs over are cut: rows, columns, channels, batches, and the rows of a table from which
//! indices choose. So every output is computed by one part (of a table, by the one that holds its row) with the sums of
//! the whole operator in their order, and its bits do not depend on the division. An operator without divisions is
//! computed whole or not at all: sums are never divided.

use std::fmt;
use std::ops::Range;

use super::Operator;
use crate::tensor::View;

/// An axis of an operand that follows the extent that a division cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutAxis {
    /// Counted from the last axis, which is 0: operands that broadcast align there.
    pub from_last: usize,
    /// Elements along the axis for one unit of the division.
    pub per_unit: usize,
}

impl CutAxis {
    /// One element per unit, along the axis that is this many before the last.
    pub fn from_last(from_last: usize) -> CutAxis {
        CutAxis { from_last, per_unit: 1 }
    }

    /// The axis of `view` that follows, or `None` where the operand lacks it or repeats along it: then it is read whole.
    pub fn axis_of(&self, view: &View) -> Option<usize> {
        let axis = view.shape.len().checked_sub(1 + self.from_last)?;
        (view.shape[axis] != 1).then_some(axis)
    }

    /// The elements of `view` that belong to `units`.
    pub fn slice(&self, view: &View, units: &Range<usize>) -> View {
        match self.axis_of(view) {
            Some(axis) => view.sliced(axis, units.start * self.per_unit, units.len() * self.per_unit, 1),
            None => view.clone(),
        }
    }
}

/// One way to divide an operator.
pub struct Division<'a> {
    /// The extent that is cut, in units.
    pub units: usize,
    /// How the first inputs follow; `None` is read whole by every part.
    pub inputs: Vec<Option<CutAxis>>,
    /// How all further inputs follow.
    pub further: Option<CutAxis>,
    /// How the outputs follow; `None` where every part has the whole output and writes some of its elements.
    pub outputs: Option<CutAxis>,
    /// The operator that computes a range of units from what belongs to them.
    pub part: Box<dyn Fn(Range<usize>) -> Box<dyn Operator> + 'a>,
}

impl Division<'_> {
    /// How input `k` follows.
    pub fn input(&self, k: usize) -> Option<CutAxis> {
        self.inputs.get(k).copied().unwrap_or(self.further)
    }
}

impl fmt::Debug for Division<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Division { units, inputs, further, outputs, part: _ } = self;
        f.debug_struct("Division")
            .field("units", units)
            .field("inputs", inputs)
            .field("further", further)
            .field("outputs", outputs)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operand_that_broadcasts_is_read_whole() {
        let cut = CutAxis { from_last: 1, per_unit: 2 };
        let wide = View::contiguous(5, &[3, 8, 4]);
        assert_eq!(cut.slice(&wide, &(1..3)), View { offset: 13, shape: vec![3, 4, 4], strides: vec![32, 4, 1] });
        for narrow in [View::contiguous(5, &[1, 4]), View::contiguous(5, &[4]), View::contiguous(5, &[])] {
            assert_eq!(cut.slice(&narrow, &(1..3)), narrow);
        }
    }
}
