//! Strided views: how a tensor's elements lie in a buffer. Slices, transposes and broadcasts are views, not copies.

use super::volume;

/// Where the elements of a tensor lie in a buffer, counted in elements (32-bit words on devices).
///
/// Element `[i0, i1, …]` is at `offset + Σ iₖ · strides[k]`. Strides may be zero (broadcast) or negative (reversed).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Position of element `[0, 0, …]`.
    pub offset: usize,
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Distance between neighbours along each axis.
    pub strides: Vec<isize>,
}

impl View {
    /// Row-major without gaps, beginning at `offset`.
    pub fn contiguous(offset: usize, shape: &[usize]) -> View {
        View { offset, shape: shape.to_vec(), strides: contiguous_strides(shape) }
    }

    /// Number of elements.
    pub fn volume(&self) -> usize {
        volume(&self.shape)
    }

    /// True when the elements are row-major without gaps (axes of extent one may have any stride).
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1isize;
        for (&dim, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if dim != 1 && stride != expected {
                return self.volume() == 0;
            }
            expected *= dim as isize;
        }
        true
    }

    /// The axes in another order: axis `k` of the result is axis `order[k]` of `self`.
    pub fn permuted(&self, order: &[usize]) -> View {
        assert_eq!(order.len(), self.shape.len(), "one entry per axis");
        View {
            offset: self.offset,
            shape: order.iter().map(|&k| self.shape[k]).collect(),
            strides: order.iter().map(|&k| self.strides[k]).collect(),
        }
    }

    /// Every `step`-th element of `axis`, `len` of them, beginning at `start`; a negative step walks backwards.
    pub fn sliced(&self, axis: usize, start: usize, len: usize, step: isize) -> View {
        let mut view = self.clone();
        if len > 0 {
            view.offset = (view.offset as isize + start as isize * view.strides[axis]) as usize;
        }
        view.shape[axis] = len;
        view.strides[axis] *= step;
        view
    }

    /// With an axis of extent one inserted before `axis`.
    pub fn with_axis(&self, axis: usize) -> View {
        let mut view = self.clone();
        view.shape.insert(axis, 1);
        view.strides.insert(axis, 0);
        view
    }

    /// Without `axis`, whose extent must be one.
    pub fn without_axis(&self, axis: usize) -> View {
        assert_eq!(self.shape[axis], 1, "only an axis of extent one can be dropped");
        let mut view = self.clone();
        view.shape.remove(axis);
        view.strides.remove(axis);
        view
    }

    /// Broadcast to `shape` by the usual rule (axes align at the end; extent one repeats). `None` if it does not fit.
    pub fn broadcast_to(&self, shape: &[usize]) -> Option<View> {
        let missing = shape.len().checked_sub(self.shape.len())?;
        let mut strides = vec![0; shape.len()];
        for (axis, (&dim, &stride)) in self.shape.iter().zip(&self.strides).enumerate() {
            let wanted = shape[missing + axis];
            if dim == wanted {
                strides[missing + axis] = if dim == 1 { 0 } else { stride };
            } else if dim != 1 {
                return None;
            }
        }
        Some(View { offset: self.offset, shape: shape.to_vec(), strides })
    }

    /// The same elements in the same order under another shape, or `None` where that needs a copy.
    pub fn reshaped(&self, shape: &[usize]) -> Option<View> {
        assert_eq!(volume(shape), self.volume(), "a reshape keeps the volume");
        if self.volume() == 0 {
            return Some(View::contiguous(self.offset, shape));
        }
        let old: Vec<(usize, isize)> =
            self.shape.iter().copied().zip(self.strides.iter().copied()).filter(|&(dim, _)| dim != 1).collect();
        let mut strides = vec![0isize; shape.len()];
        let (mut old_at, mut new_at) = (0, 0);
        // Walk both shapes in groups of equal volume; each group of old axes must be one run.
        while new_at < shape.len() {
            if shape[new_at] == 1 {
                new_at += 1;
                continue;
            }
            let (old_from, new_from) = (old_at, new_at);
            let (mut old_volume, mut new_volume) = (old[old_at].0, shape[new_at]);
            (old_at, new_at) = (old_at + 1, new_at + 1);
            while old_volume != new_volume {
                if old_volume < new_volume {
                    old_volume *= old[old_at].0;
                    old_at += 1;
                } else {
                    new_volume *= shape[new_at];
                    new_at += 1;
                }
            }
            for k in old_from..old_at - 1 {
                if old[k].1 != old[k + 1].1 * old[k + 1].0 as isize {
                    return None;
                }
            }
            let mut stride = old[old_at - 1].1;
            for k in (new_from..new_at).rev() {
                strides[k] = stride;
                stride *= shape[k] as isize;
            }
        }
        Some(View { offset: self.offset, shape: shape.to_vec(), strides })
    }

    /// The lowest and one past the highest position that an element takes; equal when there is none.
    pub fn extent(&self) -> (usize, usize) {
        if self.volume() == 0 {
            return (self.offset, self.offset);
        }
        let (mut low, mut high) = (self.offset as isize, self.offset as isize);
        for (&dim, &stride) in self.shape.iter().zip(&self.strides) {
            let reach = stride * (dim as isize - 1);
            if reach < 0 {
                low += reach;
            } else {
                high += reach;
            }
        }
        (low as usize, high as usize + 1)
    }

    /// Positions of all elements in row-major order.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        let mut index = vec![0usize; self.shape.len()];
        let mut at = self.offset as isize;
        let mut left = self.volume();
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let here = at as usize;
            left -= 1;
            for k in (0..index.len()).rev() {
                index[k] += 1;
                at += self.strides[k];
                if index[k] < self.shape[k] {
                    break;
                }
                at -= self.strides[k] * self.shape[k] as isize;
                index[k] = 0;
            }
            Some(here)
        })
    }
}

/// Row-major strides without gaps.
pub(crate) fn contiguous_strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1isize;
    for (at, &dim) in shape.iter().enumerate().rev() {
        strides[at] = stride;
        stride *= dim as isize;
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_transposed_view_reshapes_only_where_runs_allow() {
        let view = View::contiguous(0, &[2, 3, 4]);
        let swapped = view.permuted(&[1, 0, 2]);
        assert!(swapped.reshaped(&[6, 4]).is_none());
        assert_eq!(swapped.reshaped(&[3, 2, 2, 2]).unwrap().strides, [4, 12, 2, 1]);
        assert_eq!(view.reshaped(&[24]).unwrap().strides, [1]);
    }

    #[test]
    fn slices_may_run_backwards() {
        let view = View::contiguous(5, &[4]).sliced(0, 3, 4, -1);
        assert_eq!(view.positions().collect::<Vec<_>>(), [8, 7, 6, 5]);
        assert_eq!(view.extent(), (5, 9));
    }

    proptest! {
        #[test]
        fn a_reshape_keeps_the_order_of_elements(a in 1usize..4, b in 1usize..4, c in 1usize..4, d in 1usize..4) {
            let view = View::contiguous(1, &[a, b, c, d]).permuted(&[0, 2, 1, 3]);
            for shape in [vec![a * c, b * d], vec![a, c, b * d], vec![a * b * c * d], vec![a * c, 1, b, d]] {
                if let Some(reshaped) = view.reshaped(&shape) {
                    prop_assert!(view.positions().eq(reshaped.positions()));
                }
            }
        }
    }
}
