//! The hardware-abstraction layer: one narrow trait, [`Device`], and a backend per folder.
//!
//! The contract, for every backend; `tests/hal_conformance` holds each to it, sentence by sentence:
//! - Memory is zeroed when allocated, also where others used it before, and belongs to a tenant. A tenant is never given
//!   more than its limit leaves.
//! - A recording is installed once; submissions name tile ranges of its launches and allocate nothing. No bit of a result
//!   depends on how launches are cut, how many workers walk a range, or what other tenants do.
//! - The stages of a submission run in order; chains of slices of one stage may run at the same time. Submissions to one lane run
//!   in order, those to several lanes in any. Uploads happen before the first stage, in their order; reads after the last.
//! - Validation of plans is the caller's: slices name existing launches and tiles in range, a stage's slices do not
//!   conflict, an operation's dependencies are complete before it begins, no recording is submitted whose buffers
//!   were freed, and a submission's tenants were all placed at its lane or, where that was made for nobody, none was
//!   placed anywhere ([`Device::place`]). Below, a broken promise is an `assert!` where it can be seen, before anything is submitted.
//! - A failure names the tenant or its recording and ends that work only, but for [`HalError::DeviceLost`].
//! - Identifiers are not given again: what was freed or uninstalled is an error for ever, not another tenant's.

mod caps;
mod caught;
mod clock;
mod cut;
mod error;
pub mod eval;
mod host_memory;
mod kernel;
pub mod null;
mod partition;
mod plan;
mod quota;
mod recording;
pub mod reference;
pub mod sim;
mod together;
pub mod wgpu;

use std::time::Duration;

pub use caps::{DeviceCaps, DeviceKind, Execution, HostCpu, Limits, PartitionKind, Preemption, Quirks};
pub use caught::caught;
pub use clock::{Clock, SharedClock, WallClock};
pub use cut::{Cut, cut};
pub use error::{HalError, Unavailable};
pub use eval::HostFn;
pub use kernel::{Chain, ChainArg, ChainStep, Fragment, KernelSpec};
pub use partition::{PartitionId, PartitionSpec, Units};
pub use recording::{CostSource, GivenCost, Launch, Operation, Recording, Slice, Stage, TensorRef};
pub use together::{CoKernel, Together};

use crate::tensor::{Nanos, TenantId};

/// A buffer of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// An installed recording of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordingId(pub u32);

/// An ordered queue of submissions: a stream, a queue, a logical device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u32);

/// One submission; numbers grow in order of submission over all lanes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubmissionId(pub u64);

/// What a lane should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneSpec {
    /// Larger is more urgent; devices without priorities ignore it ([`DeviceCaps::priority_levels`]).
    pub priority: i32,
    /// Where its work runs; `None` is the whole device, or its first partition where it is partitioned.
    pub partition: Option<PartitionId>,
    /// Whose work it is for. A tenant that holds no memory yet is placed at it ([`Device::place`]); one that does gets a lane
    /// that can use that memory. `None` is for tenants that were never placed.
    pub tenant: Option<TenantId>,
}

/// Bytes of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte, a multiple of four.
    pub offset: u64,
    /// Number of bytes, a multiple of four.
    pub bytes: u64,
}

/// Work given to a lane at once.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// Copied to the device before the first stage, in this order. The bytes fill their region.
    pub uploads: Vec<(Region, Vec<u8>)>,
    /// The stages in order.
    pub stages: Vec<Stage>,
    /// Copied to the host after the last stage.
    pub reads: Vec<Region>,
    /// Whether the completion should say when each slice ran, where [`DeviceCaps::timestamps`]; it costs a little time.
    pub timed: bool,
}

/// When a slice ran, by the device's own clock or by the host's, within the time from its submission to
/// [`Completion::finished`]. A stage's slices begin when those of the stage before have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceSpan {
    /// Its stage in the submission.
    pub stage: u32,
    /// Its place in the stage.
    pub slice: u32,
    /// When it began, on the run's clock.
    pub start: Nanos,
    /// When it ended, not before its start.
    pub end: Nanos,
}

/// The end of a submission.
#[derive(Debug)]
pub struct Completion {
    /// Which submission.
    pub submission: SubmissionId,
    /// When the device was found to have finished it, on the run's clock; it does not go back within a lane.
    pub finished: Nanos,
    /// When each slice that ran did so, in order of stage and slice. Empty unless the submission was timed and the device
    /// has timestamps.
    pub spans: Vec<SliceSpan>,
    /// What was read, in the order of [`Submission::reads`].
    pub reads: Vec<Vec<u8>>,
    /// Recordings whose operators failed: their later slices of this submission were left out, all other work was done.
    /// Reads are there for all; those of a recording that failed bring what its memory holds.
    pub failed: Vec<(RecordingId, HalError)>,
    /// An error of the whole submission; reads are then empty.
    pub error: Option<HalError>,
}

/// How long [`Device::poll`] may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Return what is there. Calling again and again still sees everything complete, on a wall clock.
    No,
    /// Return as soon as something completed, or after this time; at once when nothing is under way.
    AtMost(Duration),
}

/// What a device has made since it was opened; in the steady state none of it grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Buffers created, staging included.
    pub buffers: u64,
    /// Pipelines created.
    pub pipelines: u64,
    /// Those of them that are of several kernels; they may be made while tenants run.
    pub cokernels: u64,
    /// Submissions accepted.
    pub submissions: u64,
}

/// Told about the kernels of an installation, equal ones counted once: before each, how many are done, how many there are
/// and its label; at the end all of all and an empty label. A device that compiles nothing says nothing.
pub type InstallProgress<'a> = &'a mut dyn FnMut(usize, usize, &str);

/// Compiles kernels for a device on any thread, so that loading a model holds up nobody else's work.
pub trait Compiler: Send + Sync {
    /// Compiles what `recording` needs. A later [`Device::install`] finds it done.
    ///
    /// # Errors
    /// [`HalError::Kernel`] for a kernel that the device cannot run.
    fn compile(&self, recording: &Recording, progress: InstallProgress) -> Result<(), HalError>;

    /// Compiles what [`Device::together`] said it takes to run a stage at once; the device does so from then on.
    ///
    /// # Errors
    /// [`HalError::Kernel`] for kernels that the driver does not take as one.
    fn compile_together(&self, wanted: &CoKernel) -> Result<(), HalError> {
        let reason = "this device runs no stages of several kernels at once".into();
        Err(HalError::Kernel { kernel: format!("co-kernel of {}", wanted.kernels.len()), reason })
    }
}

/// Something that runs recordings.
pub trait Device: Send {
    /// What it can do. Constant for the life of the device.
    fn caps(&self) -> &DeviceCaps;

    /// The clock on which completions are dated.
    fn clock(&self) -> SharedClock;

    /// Bounds what `tenant` may hold; `None` lifts the bound. Holding more already is no error.
    fn limit_memory(&mut self, tenant: TenantId, bytes_max: Option<u64>);

    /// A zeroed buffer of `bytes` (rounded up to a multiple of four; zero stays zero), charged to `tenant` until freed.
    ///
    /// # Errors
    /// [`HalError::TenantMemory`], [`HalError::BufferTooLarge`], [`HalError::OutOfMemory`]; nothing is charged then.
    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError>;

    /// As [`Device::alloc`], for what kernels only read.
    ///
    /// # Errors
    /// As [`Device::alloc`].
    fn alloc_constants(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        self.alloc(tenant, bytes)
    }

    /// Lets what is allocated for `tenant` from now on lie in memory that it shares with all other tenants that pool. Their
    /// kernels can then be one dispatch whoever they are ([`Device::prepare`]). No kernel leaves its tenant's own range; it
    /// is its own arithmetic that keeps it there, not the driver's.
    fn pool(&mut self, tenant: TenantId) {
        let _ = tenant;
    }

    /// Compiles what it takes to run each of these stages at once: co-kernels. What is not prepared runs as well, slice by
    /// slice. Answers how many stages are prepared now.
    ///
    /// # Errors
    /// [`HalError::Kernel`] for a co-kernel that the driver does not take.
    fn prepare(&mut self, stages: &[Stage]) -> Result<usize, HalError> {
        let _ = stages;
        Ok(0)
    }

    /// How large a kernel's code is in a co-kernel, in expressions: the time that drivers take to compile one grows with the sum over its
    /// kernels. Zero where nothing is compiled.
    fn code_size(&self, kernel: &KernelSpec) -> u32 {
        let _ = kernel;
        0
    }

    /// Whether a stage of installed recordings runs at once, or would if something were compiled. Compiles nothing itself. What
    /// runs a stage at once also runs any part of each of its chains at once, where a chain binds one buffer of weights.
    fn together(&self, stage: &Stage) -> Together {
        let _ = stage;
        Together::Apart
    }

    /// Gives a buffer back; submitted work that uses it still completes. Nothing happens where there is none (any more).
    fn free(&mut self, buffer: BufferId);

    /// Writes after all earlier submissions and before all later ones. `bytes` fill the region. For loading; requests use
    /// [`Submission::uploads`].
    ///
    /// # Errors
    /// [`HalError::Range`]; nothing is written then. [`HalError::DeviceLost`].
    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError>;

    /// Reads after all earlier submissions; blocks. For tests; requests use [`Submission::reads`].
    ///
    /// # Errors
    /// [`HalError::Range`], [`HalError::DeviceLost`].
    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError>;

    /// What compiles kernels beside the device, where that takes long. `None` where [`Device::install`] is quick anyway.
    fn compiler(&self) -> Option<std::sync::Arc<dyn Compiler>> {
        None
    }

    /// Compiles a recording's kernels that are not compiled yet, and keeps its launch table on the device.
    ///
    /// # Errors
    /// [`HalError::Kernel`] for a kernel that this device cannot run, [`HalError::Range`] for a buffer that does not exist.
    /// Nothing is installed then; kernels that did compile are kept.
    fn install(
        &mut self,
        recording: std::sync::Arc<Recording>,
        progress: InstallProgress,
    ) -> Result<RecordingId, HalError>;

    /// Where the costs of an installed recording's launches are from, each source with its number of launches. Nothing where
    /// launches take the time that they take.
    fn cost_sources(&self, recording: RecordingId) -> Vec<(CostSource, usize)> {
        let _ = recording;
        Vec::new()
    }

    /// Forgets a recording; submitted work that uses it still completes. Compiled kernels are kept. Nothing happens where
    /// there is none (any more).
    fn uninstall(&mut self, recording: RecordingId);

    /// Divides the device anew; an empty plan makes it whole. Lanes that there were are gone; it takes the time that the device
    /// takes ([`DeviceCaps::reconfiguration`]).
    ///
    /// # Errors
    /// [`HalError::Partition`] where the device cannot do that, or not now; everything stays as it was then.
    fn partition(&mut self, plan: &[PartitionSpec]) -> Result<Vec<PartitionId>, HalError> {
        let _ = plan;
        Err(HalError::Partition { reason: format!("{} cannot be partitioned", self.caps().name) })
    }

    /// Changes the units of a partition while its lanes stay; what runs keeps its place.
    ///
    /// # Errors
    /// [`HalError::Partition`] where the device cannot do that.
    fn reshape(&mut self, partition: PartitionId, units: Units) -> Result<(), HalError> {
        let _ = (partition, units);
        Err(HalError::Partition { reason: format!("partitions of {} cannot change", self.caps().name) })
    }

    /// A new lane, of any number: beyond [`DeviceCaps::lanes_max`] lanes share, and may be the same.
    ///
    /// # Errors
    /// [`HalError::OutOfMemory`] where the device has no more, [`HalError::Partition`] for a partition that does not exist.
    fn lane(&mut self, spec: &LaneSpec) -> Result<LaneId, HalError>;

    /// Puts what is allocated for `tenant` from now on where `lane`, made for a tenant, can use it. A tenant does not move while
    /// it holds memory: placing it elsewhere then is a broken promise. Nothing happens where all lanes can use all memory.
    fn place(&mut self, tenant: TenantId, lane: LaneId) {
        let _ = (tenant, lane);
    }

    /// Gives work to a lane and returns without waiting for it. Dropping the device gives up what is under way.
    ///
    /// # Errors
    /// [`HalError::NoRecording`], [`HalError::Range`], [`HalError::DeviceLost`]; nothing was submitted then.
    fn submit(&mut self, lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError>;

    /// Appends what completed, in order per lane.
    ///
    /// # Errors
    /// [`HalError::DeviceLost`]. Errors of single submissions are in their completions.
    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError>;

    /// Seconds for which compute units had work since it was opened, summed over the units ([`DeviceCaps::compute_units`]).
    /// `None` where the device does not tell; then only whether it had work is known.
    fn unit_seconds(&self) -> Option<f64> {
        None
    }

    /// What was made so far.
    fn counters(&self) -> Counters;
}
