//! What of a constant lies in a buffer of weights: all of it, or the elements behind a view, packed in the order in which
//! they lie in the constant. Equal sets of elements are equal pieces, whichever operator's view led there: an embedding
//! table that is also the last matrix product's operand lies there once.

use std::borrow::Cow;
use std::cmp::Reverse;

use crate::graph::ir::{Graph, ValueId, ValueKind};
use crate::kernel::merge_axes;
use crate::tensor::{HostTensor, View};

/// Elements of a constant that lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Piece {
    constant: ValueId,
    /// The elements in the constant: axes from the outermost in memory inwards, merged where they can be.
    part: View,
}

impl Piece {
    /// All of a constant, as it is.
    pub(super) fn whole(graph: &Graph, constant: ValueId) -> Piece {
        Piece { constant, part: merged(View::contiguous(0, &graph.value(constant).shape)) }
    }

    /// The elements behind `view` of a constant, each once where the view repeats them, and the same view of the piece.
    pub(super) fn behind(constant: ValueId, view: &View) -> (Piece, View) {
        let mut axes: Vec<usize> =
            (0..view.shape.len()).filter(|&a| view.shape[a] != 1 && view.strides[a] != 0).collect();
        axes.sort_by_key(|&a| Reverse(view.strides[a].unsigned_abs()));
        let part = View {
            offset: view.extent().0,
            shape: axes.iter().map(|&a| view.shape[a]).collect(),
            strides: axes.iter().map(|&a| view.strides[a].abs()).collect(),
        };
        let mut packed = View { offset: 0, shape: view.shape.clone(), strides: vec![0; view.shape.len()] };
        let mut step = 1;
        for &axis in axes.iter().rev() {
            packed.strides[axis] = step * view.strides[axis].signum();
            if view.strides[axis] < 0 {
                packed.offset += step as usize * view.shape[axis].saturating_sub(1);
            }
            step *= view.shape[axis] as isize;
        }
        (Piece { constant, part: merged(part) }, packed)
    }

    /// Words in the buffer.
    pub(super) fn words(&self, graph: &Graph) -> u64 {
        let dtype = graph.value(self.constant).dtype;
        match dtype.device_word() {
            Some(_) => self.part.volume() as u64,
            None => (self.part.volume() * dtype.size()).div_ceil(4) as u64,
        }
    }

    /// The words. Types that devices do not hold, and integers beyond 32 bits, lie there as raw bytes as far as there is
    /// room: no kernel reads them.
    pub(super) fn contents(&self, graph: &Graph) -> Vec<u32> {
        let ValueKind::Constant(constant) = &graph.value(self.constant).kind else {
            return Vec::new();
        };
        let whole = self.part.offset == 0 && self.part.is_contiguous() && self.part.volume() == constant.volume();
        let tensor: Cow<HostTensor> = match whole {
            true => Cow::Borrowed(constant),
            false => Cow::Owned(constant.gathered(&self.part)),
        };
        tensor.to_device_words().unwrap_or_else(|_| {
            let mut bytes = tensor.bytes().to_vec();
            bytes.resize(self.words(graph) as usize * 4, 0);
            bytemuck::pod_collect_to_vec(&bytes)
        })
    }
}

fn merged(view: View) -> View {
    merge_axes(&[view]).swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The piece behind `view` of a constant of 120 numbers, and what its packed view reads from it.
    fn check(view: &View) -> Piece {
        let constant = HostTensor::from_i32(&[120], &(0..120).collect::<Vec<_>>());
        let (piece, packed) = Piece::behind(ValueId(0), view);
        let stored = constant.gathered(&piece.part);
        assert!(packed.extent().1 <= stored.volume(), "{view:?} as {packed:?} of {:?}", piece.part);
        assert_eq!(stored.gathered(&packed), constant.gathered(view), "{view:?}");
        piece
    }

    #[test]
    fn a_piece_holds_what_the_view_reads() {
        let table = View::contiguous(0, &[4, 5, 6]);
        for view in [
            table.clone(),
            table.permuted(&[2, 0, 1]),
            table.sliced(1, 4, 3, -1),
            table.sliced(2, 1, 3, 2).permuted(&[2, 1, 0]),
            table.sliced(0, 3, 4, -1).sliced(2, 5, 2, -3),
            table.sliced(0, 2, 1, 1).with_axis(0).broadcast_to(&[7, 1, 5, 6]).unwrap(),
            View { offset: 3, shape: vec![4], strides: vec![25] },
            View::contiguous(9, &[]),
            table.sliced(1, 0, 0, 1),
        ] {
            check(&view);
        }
    }

    #[test]
    fn equal_sets_of_elements_are_one_piece() {
        let table = View::contiguous(0, &[12, 10]);
        let rows = table.sliced(0, 4, 5, 1);
        let as_columns = table.permuted(&[1, 0]).sliced(1, 4, 5, 1);
        assert_eq!(check(&rows), check(&as_columns));
        assert_eq!(check(&rows), check(&rows.sliced(0, 4, 5, -1)));
        assert_ne!(check(&rows), check(&table.sliced(0, 5, 5, 1)));
        let whole = Piece { constant: ValueId(0), part: merged(View::contiguous(0, &[120])) };
        assert_eq!(check(&table), whole);
    }
}
