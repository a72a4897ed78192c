//! Gathering by tuples of indices, each of which selects along several axes at once.

use super::gather::{Gathering, gather_launches, resolve};
use super::walk::{coordinates, row_major};
use super::{Io, KernelLaunch, NoKernel, Operator};
use crate::hal::DeviceCaps;
use crate::tensor::{HostTensor, View, volume};

/// The last axis of the indices holds tuples; each selects along the first axes of the data, after `batch` axes that
/// data and indices share: `GatherND` of ONNX.
///
/// Negative and outlying indices and their types are treated as by [`super::Gather`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatherNd {
    /// Leading axes that data and indices share.
    pub batch: usize,
    /// Extents of the data (input 0).
    pub shape: Vec<usize>,
    /// Extents of the indices (input 1); the last one is the number of components.
    pub index_shape: Vec<usize>,
}

impl GatherNd {
    fn depth(&self) -> usize {
        *self.index_shape.last().expect("indices have an axis of components")
    }

    /// Extents of the output: the indices' without their last axis, then those of the data that no component selects.
    pub fn output_shape(&self) -> Vec<usize> {
        let outer = &self.index_shape[..self.index_shape.len() - 1];
        [outer, &self.shape[self.batch + self.depth()..]].concat()
    }
}

impl Operator for GatherNd {
    fn kind(&self) -> String {
        "gather nd".into()
    }

    fn flops(&self) -> u64 {
        0
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (x, index) = (&io.inputs[0].view, &io.inputs[1].view);
        let (shape, depth, batch) = (self.output_shape(), self.depth(), self.batch);
        let outer = index.shape.len() - 1;
        let inner = shape.len() - outer;
        let selected = batch..batch + depth;
        let components: Vec<(usize, isize)> = selected.map(|axis| (x.shape[axis], x.strides[axis])).collect();
        let gathering = Gathering {
            x: View {
                offset: x.offset,
                shape: shape.clone(),
                strides: [&x.strides[..batch], &vec![0; outer - batch], &x.strides[batch + depth..]].concat(),
            },
            index: View { offset: index.offset, shape, strides: [&index.strides[..outer], &vec![0; inner]].concat() },
            component_step: index.strides[outer],
            window: (0, components.first().map_or(0, |c| c.0)),
            components,
        };
        gather_launches(caps, io, &gathering)
    }

    fn tables(&self) -> &'static [usize] {
        &[0]
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0].to_device_words().expect("a device type");
        let index = inputs[1].to_i64();
        let (shape, depth) = (self.output_shape(), self.depth());
        let outer_shape = &self.index_shape[..self.index_shape.len() - 1];
        let words: Vec<u32> = (0..volume(&shape))
            .map(|i| {
                let mut at = coordinates(i, &shape);
                let inner = at.split_off(outer_shape.len());
                let tuple = row_major(&at, outer_shape) * depth;
                at.truncate(self.batch);
                for k in 0..depth {
                    at.push(resolve(index[tuple + k], self.shape[self.batch + k]));
                }
                at.extend(inner);
                x[row_major(&at, &self.shape)]
            })
            .collect();
        vec![HostTensor::from_device_words(inputs[0].dtype(), &shape, &words).expect("a device type")]
    }
}
