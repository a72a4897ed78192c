//! The same operator for several instances at once: requests, or tenants with equal weights. It becomes one launch over
//! operands that have an axis of instances; the order of every sum stays that of one instance, so no bit changes.
//!
//! For most operators that is one more axis in front, for convolutions and pools more images of the batch. Kernels whose
//! lanes share rows choose how many by the number of rows; for several instances they choose by the rows of one
//! ([`SameLanes`]). Operators without an answer are computed for each instance by itself.

use std::sync::Arc;

use super::{Io, KernelLaunch, NoKernel, Operator};
use crate::hal::DeviceCaps;
use crate::tensor::HostTensor;

/// How an operand of one instance becomes that of several. The extents are those that the operand of one instance has,
/// or is broadcast to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joint {
    /// All instances share it: it stays as it is.
    Shared,
    /// With an axis of instances in front of these.
    Leading(Vec<usize>),
    /// The first of these as many times longer as there are instances.
    First(Vec<usize>),
}

/// An operator for several instances.
#[derive(Clone, Debug)]
pub struct Stacked {
    /// The operator.
    pub operator: Arc<dyn Operator>,
    /// How its inputs come about, in its order.
    pub inputs: Vec<Joint>,
    /// How its outputs lie, in its order.
    pub outputs: Vec<Joint>,
}

impl Stacked {
    /// Every operand with an axis of instances in front.
    pub(super) fn leading(
        operator: impl Operator + 'static,
        inputs: impl IntoIterator<Item = Vec<usize>>,
        outputs: impl IntoIterator<Item = Vec<usize>>,
    ) -> Stacked {
        Stacked {
            operator: Arc::new(operator),
            inputs: inputs.into_iter().map(Joint::Leading).collect(),
            outputs: outputs.into_iter().map(Joint::Leading).collect(),
        }
    }
}

/// These extents behind an axis of `n` instances; `None` where a kernel that walks `axes_max` axes might not walk one
/// more.
pub(super) fn with_instances(n: usize, shape: &[usize], axes_max: usize) -> Option<Vec<usize>> {
    let walked = shape.iter().filter(|&&extent| extent != 1).count();
    (walked < axes_max).then(|| [&[n], shape].concat())
}

/// Axes of one instance where there is one more in front.
pub(super) fn behind(axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|axis| axis + 1).collect()
}

/// An operator whose lanes share rows.
pub(super) trait InRows: Operator + Clone + 'static {
    /// As [`Operator::lower`], with as many lanes for a row as one of `instances` would get by itself.
    fn lower_for(&self, caps: &DeviceCaps, io: Io, instances: usize) -> Result<Vec<KernelLaunch>, NoKernel>;
}

/// Rows of several instances, each summed as in one of them.
#[derive(Clone, Debug)]
pub(super) struct SameLanes<T> {
    pub(super) operator: T,
    pub(super) instances: usize,
}

impl<T: InRows> Operator for SameLanes<T> {
    fn kind(&self) -> String {
        self.operator.kind()
    }

    fn flops(&self) -> u64 {
        self.operator.flops()
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        self.operator.lower_for(caps, io, self.instances)
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        self.operator.reference(inputs)
    }
}
