//! Gathering element by element: every output has an index of its own along one axis.

use super::gather::{Gathering, gather_launches, resolve};
use super::walk::{coordinates, row_major};
use super::{Io, KernelLaunch, NoKernel, Operator};
use crate::hal::DeviceCaps;
use crate::tensor::{HostTensor, View, volume};

/// `y[i] = x[i with i[axis] replaced by index[i]]` for every `i` of the indices' shape: `GatherElements` of ONNX.
///
/// Along other axes the indices may have fewer elements than the data. Negative and outlying indices and their types
/// are treated as by [`super::Gather`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatherElements {
    /// The axis.
    pub axis: usize,
    /// Extents of the data (input 0).
    pub shape: Vec<usize>,
    /// Extents of the indices (input 1) and of the output.
    pub index_shape: Vec<usize>,
}

impl Operator for GatherElements {
    fn kind(&self) -> String {
        "gather elements".into()
    }

    fn flops(&self) -> u64 {
        0
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let x = &io.inputs[0].view;
        for axis in (0..x.shape.len()).filter(|&axis| axis != self.axis) {
            if self.index_shape[axis] > x.shape[axis] {
                return Err(NoKernel(format!("indices {:?} exceed data {:?}", self.index_shape, x.shape)));
            }
        }
        let mut strides = x.strides.clone();
        strides[self.axis] = 0;
        let extent = x.shape[self.axis];
        let gathering = Gathering {
            x: View { offset: x.offset, shape: self.index_shape.clone(), strides },
            index: io.inputs[1].view.clone(),
            component_step: 0,
            components: vec![(extent, x.strides[self.axis])],
            window: (0, extent),
        };
        gather_launches(caps, io, &gathering)
    }

    fn tables(&self) -> &'static [usize] {
        &[0]
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0].to_device_words().expect("a device type");
        let index = inputs[1].to_i64();
        let words: Vec<u32> = (0..volume(&self.index_shape))
            .map(|i| {
                let mut at = coordinates(i, &self.index_shape);
                at[self.axis] = resolve(index[i], self.shape[self.axis]);
                x[row_major(&at, &self.shape)]
            })
            .collect();
        vec![HostTensor::from_device_words(inputs[0].dtype(), &self.index_shape, &words).expect("a device type")]
    }
}
