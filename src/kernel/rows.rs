//! Rows: the geometry of kernels that reduce. Some axes of a tensor are walked by the lanes of one row (`inner`), the
//! others number the rows (`outer`); operands of equal shape are split alike, and neighbouring axes are merged.

use std::sync::Arc;

use super::params::KernelFile;
use super::{KernelLaunch, NoKernel, RANK_MAX, merge_axes};
use crate::hal::{DeviceCaps, DeviceKind, KernelSpec};
use crate::tensor::{View, volume};

/// Iterations of one lane over one row at most, over all passes; half of what the strictest driver allows.
const ITERATIONS_MAX: usize = 30_000;

/// Operands split into rows and elements of a row; entry k belongs to operand k.
pub(super) struct Rows {
    /// Where each row begins.
    pub(super) outer: Vec<View>,
    /// The elements of a row, from its beginning (offset 0).
    pub(super) inner: Vec<View>,
}

impl Rows {
    /// Splits views of equal shapes: the axes in `reduced` are walked within a row.
    ///
    /// # Errors
    /// [`NoKernel`] when more than [`RANK_MAX`] axes remain on either side after merging.
    pub(super) fn split(views: &[View], reduced: &[usize]) -> Result<Rows, NoKernel> {
        let side = |inner: bool| -> Vec<View> {
            let views: Vec<View> = views.iter().map(|view| part(view, reduced, inner)).collect();
            merge_axes(&views)
        };
        let rows = Rows { outer: side(false), inner: side(true) };
        rows.check()?;
        Ok(rows)
    }

    /// As [`Rows::split`] for one input, and an output that has one element per row: its axes are the outer ones, with
    /// or without axes of extent one.
    ///
    /// # Errors
    /// [`NoKernel`] for too many axes, or an output of another shape.
    pub(super) fn reducing(x: &View, reduced: &[usize], y: &View) -> Result<Rows, NoKernel> {
        let outer = part(x, reduced, false);
        if volume(&outer.shape) != y.volume() {
            return Err(NoKernel(format!("{:?} reduced over {reduced:?} is not {:?}", x.shape, y.shape)));
        }
        let y = y
            .reshaped(&outer.shape)
            .ok_or_else(|| NoKernel(format!("an output {:?} does not lie as {:?}", y.shape, outer.shape)))?;
        let rows = Rows { outer: merge_axes(&[outer, y]), inner: merge_axes(&[part(x, reduced, true)]) };
        rows.check()?;
        Ok(rows)
    }

    fn check(&self) -> Result<(), NoKernel> {
        let rank = self.outer_rank().max(self.inner_rank()) as usize;
        if rank > RANK_MAX {
            return Err(NoKernel(format!("{rank} axes that cannot be merged, the kernel walks {RANK_MAX}")));
        }
        if [&self.outer[0], &self.inner[0]].iter().any(|v| v.volume() > i32::MAX as usize) {
            return Err(NoKernel("more elements than 32 bits can count".into()));
        }
        Ok(())
    }

    /// Number of rows.
    pub(super) fn count(&self) -> usize {
        self.outer[0].volume()
    }

    /// Elements of a row.
    pub(super) fn len(&self) -> usize {
        self.inner[0].volume()
    }

    /// Axes that number the rows.
    pub(super) fn outer_rank(&self) -> u32 {
        self.outer[0].shape.len() as u32
    }

    /// Axes within a row.
    fn inner_rank(&self) -> u32 {
        self.inner[0].shape.len() as u32
    }

    /// How many lanes share a row. `passes` counts the loops over a row's elements, each in steps of `step` elements.
    ///
    /// The rows are those of `instances` equal ones, and each is walked as if it were there alone.
    ///
    /// A software device computes eight lanes at the price of one and pays for each workgroup and barrier, so a lane
    /// takes a whole row as soon as the rows fill the lanes of all cores. A GPU wants neighbouring lanes at
    /// neighbouring elements.
    ///
    /// # Errors
    /// [`NoKernel`] for rows so long that a lane would exceed the loop bound of some drivers.
    pub(super) fn lanes(
        &self,
        caps: &DeviceCaps,
        passes: usize,
        step: usize,
        instances: usize,
    ) -> Result<Lanes, NoKernel> {
        let (rows, n) = (self.count() / instances, self.len());
        let (mut lanes, mut group) = (64, 1);
        if caps.kind == DeviceKind::SoftwareGpu {
            lanes = 8;
            let all = caps.compute_units.unwrap_or(2) as usize * 8;
            while group < 8 && 2 * rows * group <= all && n >= 32 * group {
                group *= 2;
            }
        } else if !(self.rows_are_neighbours() && rows >= 1024) {
            while group < 64 && n >= 8 * group {
                group *= 2;
            }
            if n >= 1 << 14 {
                group = 256;
            }
        }
        let most = caps.limits.invocations_max.min(256) as usize;
        let fits = |group: usize| passes * n.div_ceil(group * step) <= ITERATIONS_MAX;
        while !fits(group) && group < most {
            group *= 2;
        }
        let group = group.min(most);
        lanes = lanes.max(group);
        if !fits(group) || lanes > caps.limits.invocations_max as usize {
            return Err(NoKernel(format!("rows of {n} elements, too long for {most} lanes")));
        }
        // The last iterations of each pass, its entry, and the pairwise steps of the lanes.
        let tile_iterations = passes * (n.div_ceil(group * step) + step + 2 + 2 * group.ilog2() as usize);
        Ok(Lanes { lanes: lanes as u32, group: group as u32, tile_iterations: tile_iterations as u32 })
    }

    /// The launch of `file`, whose constants `GROUP`, `OUTER` and `INNER` are the geometry and `consts` the others, with a
    /// parameter struct's words.
    ///
    /// # Errors
    /// [`NoKernel`] for more tiles than 32 bits can count.
    pub(super) fn launch(
        &self,
        file: &KernelFile,
        lanes: Lanes,
        consts: Vec<(&'static str, u32)>,
        params: Vec<u32>,
    ) -> Result<KernelLaunch, NoKernel> {
        let geometry = [("GROUP", lanes.group), ("OUTER", self.outer_rank()), ("INNER", self.inner_rank())];
        let kernel = KernelSpec {
            name: file.name,
            source: file.source,
            functions: file.functions,
            consts: geometry.into_iter().chain(consts).collect(),
            lanes: lanes.lanes,
            chain: None,
        };
        Ok(KernelLaunch {
            kernel: Arc::new(kernel),
            params,
            tiles: super::tiles_of(self.count(), lanes.lanes / lanes.group)?,
            tile_iterations: lanes.tile_iterations,
        })
    }

    /// True where the first operand's neighbouring rows lie closer than the neighbouring elements of a row.
    fn rows_are_neighbours(&self) -> bool {
        let last = |view: &View| view.strides.last().map_or(0, |s| s.unsigned_abs());
        last(&self.outer[0]) < last(&self.inner[0])
    }
}

/// How the lanes of a workgroup share rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lanes {
    /// Invocations of a workgroup.
    pub(super) lanes: u32,
    /// Lanes of one row; divides `lanes`.
    pub(super) group: u32,
    /// Bound of a lane's loop iterations for one tile.
    pub(super) tile_iterations: u32,
}

/// The axes of `view` that are in `reduced` (`inner`) or are not.
fn part(view: &View, reduced: &[usize], inner: bool) -> View {
    let axes: Vec<usize> = (0..view.shape.len()).filter(|axis| reduced.contains(axis) == inner).collect();
    View {
        offset: if inner { 0 } else { view.offset },
        shape: axes.iter().map(|&a| view.shape[a]).collect(),
        strides: axes.iter().map(|&a| view.strides[a]).collect(),
    }
}

/// The positions of a dense tensor of `shape` row by row, for references: one list per combination of outer indices,
/// the reduced ones in row-major order.
pub(super) fn dense_rows(shape: &[usize], reduced: &[usize]) -> Vec<Vec<usize>> {
    let dense = View::contiguous(0, shape);
    let inner = part(&dense, reduced, true);
    part(&dense, reduced, false).positions().map(|row| inner.positions().map(|i| row + i).collect()).collect()
}

/// The shape that is left of `shape` without the `reduced` axes.
pub(super) fn outer_shape(shape: &[usize], reduced: &[usize]) -> Vec<usize> {
    (0..shape.len()).filter(|axis| !reduced.contains(axis)).map(|axis| shape[axis]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_merge_on_both_sides() {
        let x = View::contiguous(5, &[2, 3, 4, 5]);
        let rows = Rows::reducing(&x, &[2, 3], &View::contiguous(0, &[2, 3, 1, 1])).unwrap();
        assert_eq!((rows.outer[0].shape.as_slice(), rows.inner[0].shape.as_slice()), (&[6][..], &[20][..]));
        assert_eq!((rows.outer[0].offset, rows.inner[0].offset), (5, 0));
        assert!(Rows::reducing(&x, &[0], &View::contiguous(0, &[3, 4])).is_err());
    }

    #[test]
    fn dense_rows_are_row_major() {
        assert_eq!(dense_rows(&[2, 2, 2], &[0, 2]), [[0, 1, 4, 5], [2, 3, 6, 7]]);
        assert_eq!(dense_rows(&[2, 0], &[1]), [[0usize; 0]; 2]);
    }
}
