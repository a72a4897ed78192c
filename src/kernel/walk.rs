//! How kernels that move words walk their output: a lane takes a *run* of neighbouring elements along one axis and
//! computes the addresses of the other axes once for all of it.

use super::{KernelLaunch, NoKernel, RANK_MAX, dims_words, stride_word};
use crate::hal::{DeviceCaps, DeviceKind};
use crate::tensor::View;

/// Workgroup size and run length for kernels that mostly load and store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneShape {
    /// Invocations of a workgroup.
    pub(super) lanes: u32,
    /// Elements of a lane.
    pub(super) per: u32,
    /// The elements of a lane lie apart, so that those of neighbouring lanes lie together (hardware joins such
    /// accesses; software devices load lane by lane and like a lane's elements to share a cache line).
    pub(super) spread: bool,
}

impl LaneShape {
    /// What suits the device.
    pub(super) fn of(caps: &DeviceCaps) -> LaneShape {
        match caps.kind {
            DeviceKind::SoftwareGpu => LaneShape { lanes: 8, per: 16, spread: false },
            _ => LaneShape { lanes: 64.min(caps.limits.invocations_max), per: 4, spread: true },
        }
    }
}

/// A shape of at most [`RANK_MAX`] axes whose axis `run` is cut into blocks of up to `per` elements. Kernels number the
/// blocks in row-major order of the shape in which that axis counts blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Blocks in all.
    pub(super) runs: u32,
    /// Axes in use, the last ones of `dims`.
    pub(super) rank: u32,
    /// Extents, of the run's axis in blocks.
    pub(super) dims: [u32; RANK_MAX],
    /// Which entry of `dims` counts blocks.
    pub(super) run_axis: u32,
    /// Elements along the run's axis.
    pub(super) run_extent: u32,
    /// From the first element of a block to that of the next.
    pub(super) run_block: u32,
    /// From an element of a block to the next.
    pub(super) run_step: u32,
    axis: usize,
}

impl Walk {
    /// Cuts axis `run` of `shape`, which has one axis at least and no empty one.
    ///
    /// # Errors
    /// [`NoKernel`] for more axes than kernels walk, or more elements than 32 bits count.
    pub(super) fn new(shape: &[usize], run: usize, lane: LaneShape) -> Result<Walk, NoKernel> {
        if shape.len() > RANK_MAX {
            let rank = shape.len();
            return Err(NoKernel(format!("{rank} axes that cannot be merged, the kernel walks {RANK_MAX}")));
        }
        let too_many = || NoKernel(format!("{shape:?} has more elements than 32 bits count"));
        let extent = u32::try_from(shape[run]).map_err(|_| too_many())?;
        let blocks = extent.div_ceil(lane.per);
        let mut cut = View::contiguous(0, shape);
        cut.shape[run] = blocks as usize;
        let missing = RANK_MAX - shape.len();
        Ok(Walk {
            runs: u32::try_from(cut.volume()).map_err(|_| too_many())?,
            rank: shape.len() as u32,
            dims: dims_words(&cut),
            run_axis: (missing + run) as u32,
            run_extent: extent,
            run_block: if lane.spread { 1 } else { lane.per },
            run_step: if lane.spread { blocks } else { 1 },
            axis: run,
        })
    }

    /// A view's strides for each entry of `dims`.
    pub(super) fn strides(&self, view: &View) -> [u32; RANK_MAX] {
        let missing = RANK_MAX - view.strides.len();
        let mut words = [0; RANK_MAX];
        for (axis, &stride) in view.strides.iter().enumerate() {
            words[missing + axis] = stride_word(stride);
        }
        words[missing + self.axis] = words[missing + self.axis].wrapping_mul(self.run_block);
        words
    }

    /// A view's stride from an element of a run to the next.
    pub(super) fn step(&self, view: &View) -> u32 {
        stride_word(view.strides[self.axis]).wrapping_mul(self.run_step)
    }

    /// Loop iterations of a lane for one run whose elements take `each` of them.
    pub(super) fn iterations(&self, lane: LaneShape, each: u32) -> u32 {
        self.rank + 1 + lane.per * (1 + each) + 1
    }
}

/// Appends one axis to a view.
pub(super) fn with_last_axis(view: &View, extent: usize, stride: isize) -> View {
    let mut view = view.clone();
    view.shape.push(extent);
    view.strides.push(stride);
    view
}

/// A view without an axis of any extent: what it shows at coordinate 0 of it.
pub(super) fn at_origin_of(view: &View, axis: usize) -> View {
    let mut view = view.clone();
    view.shape.remove(axis);
    view.strides.remove(axis);
    view
}

/// Coordinates of element number `i` in row-major order.
pub(super) fn coordinates(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut at = vec![0; shape.len()];
    for (c, &dim) in at.iter_mut().zip(shape).rev() {
        *c = i % dim;
        i /= dim;
    }
    at
}

/// Row-major number of the element at `at`.
pub(super) fn row_major(at: &[usize], shape: &[usize]) -> usize {
    at.iter().zip(shape).fold(0, |n, (&c, &dim)| n * dim + c)
}

/// Launches that one operator may need because its layout or its length exceeds one launch.
pub(super) const LAUNCHES_MAX: usize = 256;

/// Calls `each` for every combination of the leading axes that exceed `rank`; it gets the views without those axes.
///
/// # Errors
/// [`NoKernel`] when that makes too many launches, or from `each`.
pub(super) fn over_leading_axes(
    views: &[View],
    rank: usize,
    mut each: impl FnMut(&[View]) -> Result<Vec<KernelLaunch>, NoKernel>,
) -> Result<Vec<KernelLaunch>, NoKernel> {
    let extra = views[0].shape.len().saturating_sub(rank);
    let leading = &views[0].shape[..extra];
    let n: usize = leading.iter().product();
    if n > LAUNCHES_MAX {
        return Err(NoKernel(format!("{:?} takes {n} launches, {LAUNCHES_MAX} are allowed", views[0].shape)));
    }
    let mut launches = Vec::new();
    for i in 0..n {
        let at = coordinates(i, leading);
        let inner: Vec<View> = views
            .iter()
            .map(|view| {
                let reach: isize = at.iter().zip(&view.strides).map(|(&c, &stride)| c as isize * stride).sum();
                View {
                    offset: (view.offset as isize + reach) as usize,
                    shape: view.shape[extra..].to_vec(),
                    strides: view.strides[extra..].to_vec(),
                }
            })
            .collect();
        launches.extend(each(&inner)?);
    }
    Ok(launches)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions of `view` in the order in which kernels visit them, with the guard that kernels have.
    fn visited(view: &View, walk: &Walk, per: u32) -> Vec<usize> {
        let strides = walk.strides(view);
        let mut seen = Vec::new();
        for run in 0..walk.runs {
            let (mut rest, mut at, mut first) = (run, view.offset as u32, 0);
            for axis in (RANK_MAX - walk.rank as usize..RANK_MAX).rev() {
                let c = rest % walk.dims[axis];
                rest /= walk.dims[axis];
                at = at.wrapping_add(c.wrapping_mul(strides[axis]));
                if axis as u32 == walk.run_axis {
                    first = c * walk.run_block;
                }
            }
            let count = per.min((walk.run_extent - first).div_ceil(walk.run_step));
            seen.extend((0..count).map(|j| at.wrapping_add(j.wrapping_mul(walk.step(view))) as usize));
        }
        seen
    }

    #[test]
    fn every_element_is_visited_once_whichever_axis_is_cut() {
        for shape in [vec![1], vec![37], vec![3, 17, 2], vec![2, 1, 5, 1, 2, 9]] {
            let view = View::contiguous(3, &shape);
            let reversed =
                (0..shape.len()).fold(view.clone(), |v, axis| v.sliced(axis, shape[axis] - 1, shape[axis], -1));
            for run in 0..shape.len() {
                for (per, spread) in [(4, false), (4, true), (16, false), (16, true)] {
                    let walk = Walk::new(&shape, run, LaneShape { lanes: 8, per, spread }).unwrap();
                    for view in [&view, &reversed] {
                        let mut seen = visited(view, &walk, per);
                        seen.sort_unstable();
                        assert!(seen.into_iter().eq(3..3 + view.volume()), "{shape:?} {run} {per} {spread}");
                    }
                }
            }
        }
    }
}
