//! Scattering by tuples of indices, each of which selects along several axes at once.

use super::scatter::{Reduction, Scattering, scatter_launches, target};
use super::walk::{coordinates, row_major};
use super::{Io, KernelLaunch, NoKernel, Operator};
use crate::hal::DeviceCaps;
use crate::tensor::{HostTensor, View, volume};

/// The data (input 0) changed at each tuple of indices (input 1, the last axis holds the components, which select along
/// the first axes of the data) by the update there (input 2), in row-major order of the tuples: `ScatterND` of ONNX.
///
/// Negative and outlying indices, their types and data in place are treated as by [`super::ScatterElements`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScatterNd {
    /// How updates change elements.
    pub reduction: Reduction,
    /// Extents of the data and of the output.
    pub shape: Vec<usize>,
    /// Extents of the indices; the last one is the number of components.
    pub index_shape: Vec<usize>,
}

impl ScatterNd {
    fn depth(&self) -> usize {
        *self.index_shape.last().expect("indices have an axis of components")
    }

    /// Extents of the updates: the indices' without their last axis, then those of the data that no component selects.
    pub fn update_shape(&self) -> Vec<usize> {
        [&self.index_shape[..self.index_shape.len() - 1], &self.shape[self.depth()..]].concat()
    }
}

impl Operator for ScatterNd {
    fn kind(&self) -> String {
        "scatter nd".into()
    }

    fn flops(&self) -> u64 {
        if self.reduction == Reduction::Replace { 0 } else { volume(&self.update_shape()) as u64 }
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (index, update, y) = (&io.inputs[1].view, &io.inputs[2].view, &io.outputs[0].view);
        let (depth, outer) = (self.depth(), index.shape.len() - 1);
        let inner = &y.shape[depth..];
        let line = |offset, strides: &[isize]| View { offset, shape: inner.to_vec(), strides: strides.to_vec() };
        let along = |view: &View| View {
            offset: 0,
            shape: view.shape[..outer].to_vec(),
            strides: view.strides[..outer].to_vec(),
        };
        let scattering = Scattering {
            lines: [
                line(y.offset, &y.strides[depth..]),
                line(index.offset, &vec![0; inner.len()]),
                line(update.offset, &update.strides[outer..]),
            ],
            list: [along(index), along(update)],
            component_step: index.strides[outer],
            components: (0..depth).map(|axis| (y.shape[axis], y.strides[axis])).collect(),
            reduction: self.reduction,
        };
        scatter_launches(caps, io, &scattering)
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let dtype = inputs[0].dtype();
        let mut y = inputs[0].to_device_words().expect("a device type");
        let index = inputs[1].to_i64();
        let update = inputs[2].to_device_words().expect("a device type");
        let (depth, outer) = (self.depth(), self.index_shape.len() - 1);
        let update_shape = self.update_shape();
        for (i, &word) in update.iter().enumerate() {
            let mut at = coordinates(i, &update_shape);
            let inner = at.split_off(outer);
            let tuple = row_major(&at, &self.index_shape[..outer]) * depth;
            let selected: Option<Vec<usize>> = (0..depth).map(|k| target(index[tuple + k], self.shape[k])).collect();
            if let Some(mut at) = selected {
                at.extend(inner);
                let element = &mut y[row_major(&at, &self.shape)];
                *element = self.reduction.apply(dtype, *element, word);
            }
        }
        vec![HostTensor::from_device_words(dtype, &self.shape, &y).expect("a device type")]
    }
}
