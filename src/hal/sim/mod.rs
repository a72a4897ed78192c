//! A simulated GPU: what a GPU would do, and when, in virtual time.
//!
//! Three layers. [`Gpu`] takes kernels, copies and graphs on streams and says when they run; it knows no tensor. A [`Profile`] says
//! what the GPU is, as a data file; what a kernel takes is a [`KernelCost`], from one of several sources. [`SimDevice`] is both
//! behind the trait of all devices, with real outputs on request.
//!
//! What is modelled: launches that a host thread does one after the other, hardware queues and their false
//! dependencies, the leftover block scheduler with priorities at block boundaries, occupancy, sharing of SMs, bandwidth
//! and L2, copy engines, graphs, MPS percentages, MIG, green contexts, time slices, retreat of persistent kernels, and what
//! changing partitions costs. What is not: instruction pipelines, L1, DRAM pages, clocks that change with power and heat,
//! and the imbalance of blocks of one kernel (all its blocks are alike).
//!
//! Cost is per kernel, not per block (`pool.rs`); nothing looks at all streams.

mod agenda;
mod bandwidth;
mod blend;
mod caps;
mod clock;
mod context;
mod copy;
mod cost;
mod device;
mod exec;
mod gpu;
mod graph;
mod install;
mod job;
mod l2;
mod memory;
mod occupancy;
mod partition;
mod place;
mod pool;
mod profile;
mod profile_check;
mod rates;
mod slab;
mod sm_set;
mod streams;
#[cfg(test)]
mod tests;
mod train;

pub use clock::VirtualClock;
pub use copy::Direction;
pub use cost::{Blocks, KernelCost, LAW_PROCESSES_MAX, Law, Roofline, Source, Unit, Work};
pub use device::{SimDevice, SimOptions};
pub use exec::Totals;
pub use gpu::{COMMANDS_MAX, Gpu};
pub use graph::{Graph, GraphNode};
pub use install::{kernel_key, launch_cost};
pub use occupancy::{BlockNeed, SmLimits};
pub use partition::{ContextId, ContextSpec, InstanceId, MigPlacement, Mode, SmBound};
pub use profile::{
    CALIBRATION_FORMAT, Calibration, Compute, Copies, DeviceLimits, Kind, Launches, MeasuredKernel, Memory, MigProfile,
    PROFILES, Power, Profile, ProfileError, SharingCosts,
};
pub use sm_set::{SMS_MAX, SmSet};
pub use streams::{Command, CommandId, Done, EventId, HostId, SimError, StreamId};
