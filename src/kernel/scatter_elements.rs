//! Scattering element by element: every update has an index of its own along one axis.

use super::scatter::{Reduction, Scattering, scatter_launches, target};
use super::walk::{at_origin_of, coordinates, row_major};
use super::{Io, KernelLaunch, NoKernel, Operator};
use crate::hal::DeviceCaps;
use crate::tensor::{HostTensor, View, volume};

/// The data (input 0) with `y[i with i[axis] replaced by index[i]]` changed by `update[i]`, for every `i` of the
/// indices' shape in row-major order: `ScatterElements` of ONNX.
///
/// Indices (input 1) and updates (input 2) have one shape, and along other axes no more elements than the data.
/// A negative index counts from the end; the update of one that is still outside is dropped. Indices are i32 words, or
/// f32 (towards zero). The data may be the output itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScatterElements {
    /// The axis.
    pub axis: usize,
    /// How updates change elements.
    pub reduction: Reduction,
    /// Extents of the data and of the output.
    pub shape: Vec<usize>,
    /// Extents of indices and updates.
    pub index_shape: Vec<usize>,
}

impl Operator for ScatterElements {
    fn kind(&self) -> String {
        "scatter elements".into()
    }

    fn flops(&self) -> u64 {
        if self.reduction == Reduction::Replace { 0 } else { volume(&self.index_shape) as u64 }
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (index, update, y) = (&io.inputs[1].view, &io.inputs[2].view, &io.outputs[0].view);
        let axis = self.axis;
        for other in (0..y.shape.len()).filter(|&other| other != axis) {
            if index.shape[other] > y.shape[other] {
                return Err(NoKernel(format!("indices {:?} exceed data {:?}", index.shape, y.shape)));
            }
        }
        let mut covered = at_origin_of(y, axis);
        covered.shape = at_origin_of(index, axis).shape;
        let along = |view: &View| View { offset: 0, shape: vec![view.shape[axis]], strides: vec![view.strides[axis]] };
        let scattering = Scattering {
            lines: [covered, at_origin_of(index, axis), at_origin_of(update, axis)],
            list: [along(index), along(update)],
            component_step: 0,
            components: vec![(y.shape[axis], y.strides[axis])],
            reduction: self.reduction,
        };
        scatter_launches(caps, io, &scattering)
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let dtype = inputs[0].dtype();
        let mut y = inputs[0].to_device_words().expect("a device type");
        let index = inputs[1].to_i64();
        let update = inputs[2].to_device_words().expect("a device type");
        for i in 0..volume(&self.index_shape) {
            let mut at = coordinates(i, &self.index_shape);
            if let Some(k) = target(index[i], self.shape[self.axis]) {
                at[self.axis] = k;
                let element = &mut y[row_major(&at, &self.shape)];
                *element = self.reduction.apply(dtype, *element, update[i]);
            }
        }
        vec![HostTensor::from_device_words(dtype, &self.shape, &y).expect("a device type")]
    }
}
