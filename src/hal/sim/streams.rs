//! Streams, hardware queues and events: what order commands keep.
//!
//! Commands of a stream run one after the other. A context has a number of hardware queues, its streams are dealt out to
//! them in turn, and a queue looks at its oldest command only: where two streams share a queue, one waits for the other
//! without need. A command is in its queue from the moment at which its host thread has enqueued it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::clock::Ps;
use super::copy::Direction;
use super::cost::KernelCost;
use super::graph::Graph;
use super::partition::{ContextId, InstanceId};
use crate::tensor::Nanos;

/// A stream of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) u32);

/// A thread of the host; its launches follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub(super) u32);

/// A mark in streams that other streams can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub(super) u32);

/// A submitted command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId {
    pub(super) seq: u64,
    pub(super) place: u32,
}

/// What a stream can be told to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Run a kernel.
    Kernel(KernelCost),
    /// Run a graph of kernels.
    Graph(Arc<Graph>),
    /// Copy between host and device.
    Copy {
        /// How much.
        bytes: u64,
        /// Which way.
        direction: Direction,
        /// The host's side is pinned memory.
        pinned: bool,
    },
    /// Mark that everything before in this stream is done.
    Record(EventId),
    /// Wait for the newest mark that was submitted before this command; for nothing if there was none.
    Wait(EventId),
}

/// A command that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which.
    pub command: CommandId,
    /// What [`super::Gpu::submit`] was given with it.
    pub tag: u64,
    /// When its first block or byte began.
    pub start: Nanos,
    /// When it was over.
    pub end: Nanos,
    /// Blocks of a kernel that ran.
    pub blocks: u32,
    /// Blocks of a kernel that were withdrawn: launch them again to go on.
    pub withdrawn: u32,
}

/// Why the simulated GPU refuses something.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimError {
    /// The stream's context went with a repartition.
    #[error("{0:?} does not exist (any more): its instance was destroyed when the GPU was partitioned anew")]
    NoStream(StreamId),
    /// There is no such context (any more).
    #[error("{0:?} does not exist (any more)")]
    NoContext(ContextId),
    /// There is no such instance (any more).
    #[error("{0:?} does not exist (any more)")]
    NoInstance(InstanceId),
    /// A block is larger than an SM.
    #[error("a block of the kernel fits no SM of {profile}: it needs {need:?}")]
    DoesNotFit {
        /// The device's profile.
        profile: String,
        /// What the block needs.
        need: super::BlockNeed,
    },
    /// Too many commands are waiting.
    #[error("{waiting} commands are waiting already, which is the limit: wait for some to end")]
    Full {
        /// Commands that are not done.
        waiting: usize,
    },
    /// Something runs or waits.
    #[error("the GPU can be partitioned only while it is idle; {waiting} commands are not done")]
    Busy {
        /// Commands that are not done.
        waiting: usize,
    },
    /// A partition that this device cannot make.
    #[error("{what}: {reason}")]
    Partition {
        /// What was asked for.
        what: String,
        /// Why not, and what would do.
        reason: String,
    },
}

/// A command in a queue or running.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) seq: u64,
    pub(super) stream: u32,
    pub(super) what: Command,
    /// When its host thread has enqueued it.
    pub(super) enqueued: Ps,
    pub(super) tag: u64,
    /// When its first part began.
    pub(super) started: Option<Ps>,
    /// The kernel that it became.
    pub(super) job: Option<u32>,
    /// The mark that it makes or waits for.
    pub(super) mark: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) context: u32,
    pub(super) queue: u32,
    pub(super) priority: i32,
    /// One of its commands runs.
    pub(super) busy: bool,
    /// The next one begins at this time at the earliest.
    pub(super) ready_at: Ps,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    pub(super) commands: VecDeque<u32>,
    /// It is on the list of an event.
    pub(super) waits: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Event {
    /// Marks submitted.
    pub(super) submitted: u64,
    /// Marks made.
    pub(super) made: u64,
    /// Queues that wait.
    pub(super) waiting: Vec<u32>,
}
