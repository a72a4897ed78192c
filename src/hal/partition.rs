//! How a device is divided, as plain data: what is asked of [`super::Device::partition`].

use std::ops::Range;

use crate::tensor::Nanos;

/// A part of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub u32);

/// The compute units that a partition may use.
#[derive(Clone, Debug, PartialEq)]
pub enum Units {
    /// All.
    All,
    /// So many per cent of them at the same time, any ones (MPS).
    Percent(f64),
    /// These (a green context, subarrays).
    Only(Range<u32>),
}

/// A partition to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionSpec {
    /// The physical instance that it lies in: profile and first memory slice (`("3g", 4)`). Partitions with the same lie in the same
    /// one; `None` is the undivided device. Either all partitions of a plan name one, or none does.
    pub instance: Option<(String, u32)>,
    /// Its units, of those of the instance.
    pub units: Units,
    /// It takes turns of this length with the others of its instance, instead of running at the same time. Either all
    /// partitions of an instance do, or none does.
    pub turn: Option<Nanos>,
}

impl PartitionSpec {
    /// A partition of the undivided device.
    pub fn of(units: Units) -> PartitionSpec {
        PartitionSpec { instance: None, units, turn: None }
    }
}
