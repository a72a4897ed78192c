//! What reaches the engine's thread, over one bounded channel.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::compiling::Loading;
use super::cpu_nodes::HostDone;
use super::dispatcher::Ticket;
use super::request::Request;
use super::run::drive::{Drive, DriveReport};
use super::tenant::TenantShared;
use super::{EngineStats, LoadError, TenantSpec};
use crate::graph::{Compiled, GraphError};
use crate::hal::{Device, HalError};
use crate::tensor::{HostTensor, Nanos, TenantId};
use crate::timeline::Timeline;

/// A command to the engine.
pub(super) enum Command {
    /// Compile and install a model.
    Load(Box<Load>),
    /// The kernels of a model are compiled, or not.
    Compiled(Box<Loading>, Result<(), HalError>),
    /// A co-kernel was compiled, or cannot be.
    CompiledTogether {
        /// What it is for.
        ticket: Ticket,
        /// Its kernels.
        kernels: usize,
        /// Whether it was compiled.
        result: Result<(), HalError>,
        /// From when to when it was compiled.
        ran: (Nanos, Nanos),
    },
    /// Forget a tenant; its open requests fail.
    Unload(TenantId),
    /// Hold a tenant's requests back, or let them go on.
    Pause(TenantId, bool),
    /// Change a tenant's priority.
    Priority(TenantId, u32),
    /// A request for a tenant.
    Infer(TenantId, Request),
    /// The CPU has computed some nodes of a request.
    HostDone(HostDone),
    /// Make requests by the clock until a run's end.
    Drive(Box<Drive>, SyncSender<DriveReport>),
    /// Say how things are.
    Stats(SyncSender<EngineStats>),
    /// Let no further request of a run come.
    EndDrive,
    /// Copy what was recorded after the first `seen` events.
    Timeline {
        /// Events that whoever asks has seen.
        seen: u64,
        /// Where the copy goes; `None` without a recorder.
        reply: SyncSender<Option<Timeline>>,
    },
    /// End.
    Shutdown,
}

/// How a model gets onto the device.
pub(super) type Compile = Box<dyn FnOnce(&mut dyn Device, TenantId) -> Result<Compiled, GraphError> + Send>;

/// A model on its way to the device.
pub(super) struct Load {
    pub(super) spec: TenantSpec,
    pub(super) compile: Compile,
    pub(super) fixed: Vec<(usize, String, Arc<HostTensor>)>,
    /// Progress is dropped where nobody listens; the last message is the result.
    pub(super) reply: SyncSender<LoadReply>,
}

/// News of a load.
pub(super) enum LoadReply {
    /// So many pipelines of so many are compiled; the next one's kernel.
    Compiling(usize, usize, String),
    /// The end.
    Done(Result<Arc<TenantShared>, LoadError>),
}
