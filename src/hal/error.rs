//! What can go wrong below the kernels. Only what a caller cannot foresee is an error; capabilities are asked.

use crate::tensor::TenantId;

use super::{BufferId, RecordingId};

/// An error of a device.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum HalError {
    /// A tenant asked for more memory than its limit leaves.
    #[error(
        "{tenant} asked for {asked} bytes of device memory; {used} of its limit of {limit} bytes are in use. Raise memory_limit_mb or load a smaller model"
    )]
    TenantMemory {
        /// Who asked.
        tenant: TenantId,
        /// Bytes asked for, rounded up to words.
        asked: u64,
        /// Bytes the tenant holds already.
        used: u64,
        /// Its limit in bytes.
        limit: u64,
    },
    /// One buffer is larger than the device can bind.
    #[error(
        "{tenant} needs one buffer of {asked} bytes, the device binds at most {limit}. Use a smaller batch or resolution, or a device with a larger binding limit (`cotenant devices`)"
    )]
    BufferTooLarge {
        /// Who asked.
        tenant: TenantId,
        /// Bytes asked for, rounded up to words.
        asked: u64,
        /// The device's limit in bytes.
        limit: u64,
    },
    /// The device has no memory left.
    #[error("the device has no memory left for {asked} bytes of {tenant}")]
    OutOfMemory {
        /// Who asked.
        tenant: TenantId,
        /// Bytes asked for, rounded up to words.
        asked: u64,
    },
    /// The device or its driver stopped answering; everything on it is lost.
    #[error("the device is lost: {0}")]
    DeviceLost(String),
    /// A kernel could not be built for this device.
    #[error("kernel {kernel}: {reason}")]
    Kernel {
        /// The kernel's name.
        kernel: String,
        /// What the compiler or the device said.
        reason: String,
    },
    /// An operator's CPU function failed.
    #[error("operator {operator} failed on the CPU: {reason}")]
    Host {
        /// The operator's name in its graph.
        operator: String,
        /// What its function said.
        reason: String,
    },
    /// A buffer that does not exist (any more), or a range outside it.
    #[error("buffer {buffer:?} has no bytes {offset}..{end}")]
    Range {
        /// The buffer.
        buffer: BufferId,
        /// First byte.
        offset: u64,
        /// One past the last byte.
        end: u64,
    },
    /// A recording that does not exist (any more).
    #[error("recording {0:?} is not installed")]
    NoRecording(RecordingId),
    /// A division of the device that it cannot make.
    #[error("partition: {reason}")]
    Partition {
        /// Why, and what would do.
        reason: String,
    },
    /// A lane that does not exist (any more).
    #[error("{0:?} does not exist; partitioning a device ends its lanes")]
    NoLane(super::LaneId),
    /// Too much was submitted and is not done.
    #[error("{waiting} pieces of work wait already, which is the limit; wait for some to end")]
    Full {
        /// What waits.
        waiting: usize,
    },
}

/// Why a device cannot be opened at all: it becomes exit status 3.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[error("device {spec:?} is not available: {reason}\n  {remedy}")]
pub struct Unavailable {
    /// What was asked for.
    pub spec: String,
    /// Why it is not there.
    pub reason: String,
    /// What to install or choose instead.
    pub remedy: String,
}
