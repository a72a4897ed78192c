//! Compiles the kernels of a model that is being loaded, and co-kernels for models that run already, on a thread of its own: the
//! tenants that run notice nothing but the CPU time that it takes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::TenantSpec;
use super::command::{Command, LoadReply};
use super::dispatcher::{Lane, Ticket};
use crate::graph::Compiled;
use crate::hal::{Clock, CoKernel, Compiler, HalError, caught};
use crate::tensor::{HostTensor, Nanos, TenantId};

/// A model whose memory is on the device and whose kernels may not be.
pub(super) struct Loading {
    pub(super) id: TenantId,
    pub(super) spec: TenantSpec,
    pub(super) lane: Lane,
    pub(super) compiled: Compiled,
    pub(super) fixed: Vec<(usize, String, Arc<HostTensor>)>,
    pub(super) reply: SyncSender<LoadReply>,
    /// When the load began.
    pub(super) started: Nanos,
    /// When the model was lowered and its weights were on the device.
    pub(super) lowered: Nanos,
    /// Each kernel, and when its compilation began; an empty name at the end.
    pub(super) pipelines: Vec<(String, Nanos)>,
}

impl Loading {
    /// Notes progress and tells whoever waits for the load, if there is room for the message.
    pub(super) fn note(
        pipelines: &mut Vec<(String, Nanos)>,
        reply: &SyncSender<LoadReply>,
        now: Nanos,
        (done, total, kernel): (usize, usize, &str),
    ) {
        pipelines.push((kernel.to_string(), now));
        let _ = reply.try_send(LoadReply::Compiling(done, total, kernel.into()));
    }
}

/// Work for the thread.
pub(super) enum Job {
    /// A model.
    Load(Box<CompileJob>),
    /// A co-kernel.
    Together(TogetherJob),
}

/// A co-kernel for the thread, and what it is for.
pub(super) struct TogetherJob {
    pub(super) ticket: Ticket,
    pub(super) wanted: CoKernel,
    pub(super) compiler: Arc<dyn Compiler>,
}

/// A model for the thread.
pub(super) struct CompileJob {
    pub(super) loading: Loading,
    pub(super) compiler: Arc<dyn Compiler>,
}

/// The thread: compiles jobs in order until the engine is gone.
pub(super) fn work(jobs: &Receiver<Job>, done: &SyncSender<Command>, clock: &dyn Clock) {
    while let Ok(job) = jobs.recv() {
        let command = match job {
            Job::Load(job) => load(*job, clock),
            Job::Together(job) => together(job, clock),
        };
        if done.send(command).is_err() {
            return;
        }
    }
}

fn load(job: CompileJob, clock: &dyn Clock) -> Command {
    let CompileJob { mut loading, compiler } = job;
    let Loading { compiled, reply, pipelines, .. } = &mut loading;
    let mut note = |done: usize, total: usize, kernel: &str| {
        Loading::note(pipelines, reply, clock.now(), (done, total, kernel));
    };
    let result = caught(|| compiler.compile(&compiled.recording, &mut note)).unwrap_or_else(panicked);
    Command::Compiled(Box::new(loading), result)
}

fn together(job: TogetherJob, clock: &dyn Clock) -> Command {
    let TogetherJob { ticket, wanted, compiler } = job;
    let start = clock.now();
    let result = caught(|| compiler.compile_together(&wanted)).unwrap_or_else(panicked);
    Command::CompiledTogether { ticket, kernels: wanted.kernels.len(), result, ran: (start, clock.now()) }
}

fn panicked(reason: String) -> Result<(), HalError> {
    Err(HalError::Kernel { kernel: "compiler".into(), reason })
}
