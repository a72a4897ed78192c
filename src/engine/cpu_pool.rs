//! The threads that compute operators without a kernel: a few, so that a long one of one tenant does not hold up another
//! tenant's. The engine's thread alone decides who computes what: runs begin in the order in which their inputs were
//! read, and a tenant never has two at once, however many requests of it failed meanwhile.
//!
//! Where time is virtual, the threads are modelled (`cpu_model.rs`) and the order is the same.

use std::collections::VecDeque;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use super::command::Command;
use super::cpu_model::CpuModel;
use super::cpu_nodes::{self, HostDone, HostJob};
use crate::hal::SharedClock;
use crate::tensor::{Nanos, TenantId};

/// Threads at most unless the engine's builder says otherwise; an operator may itself use several cores.
const THREADS_MAX: usize = 4;

/// The threads, as the engine's thread knows them.
pub(super) struct CpuPool {
    workers: Workers,
    clock: SharedClock,
    threads: Vec<Thread>,
    /// Runs that wait for a thread, in order; at most one of each tenant.
    waiting: VecDeque<HostJob>,
}

#[derive(Default)]
struct Thread {
    /// Whose run it computes.
    computes: Option<TenantId>,
    gone: bool,
}

/// Who computes.
enum Workers {
    /// Threads, by number.
    Threads(Vec<SyncSender<HostJob>>),
    /// Nobody; it is known how long they would take.
    Model(CpuModel),
}

/// As many threads as the machine has cores, at most [`THREADS_MAX`].
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX))
}

impl CpuPool {
    /// Starts `n` threads, which report to `done` and end when the pool is dropped.
    ///
    /// # Errors
    /// What the system says; threads that were started end.
    pub(super) fn start(
        n: usize,
        done: &SyncSender<Command>,
        clock: &SharedClock,
    ) -> std::io::Result<(CpuPool, Vec<JoinHandle<()>>)> {
        let (mut workers, mut handles) = (Vec::new(), Vec::new());
        for thread in 0..n {
            let (jobs, received) = mpsc::sync_channel(1);
            let (done, clock) = (done.clone(), clock.clone());
            let named = std::thread::Builder::new().name(format!("cotenant-cpu-{}", thread + 1));
            handles.push(named.spawn(move || cpu_nodes::work(thread, &received, &done, &*clock))?);
            workers.push(jobs);
        }
        Ok((CpuPool::new(n, Workers::Threads(workers), clock), handles))
    }

    /// A pool of modelled threads, whose runs end when the engine has come to their end ([`CpuPool::ended`]).
    pub(super) fn modelled(model: CpuModel, clock: &SharedClock) -> CpuPool {
        CpuPool::new(model.threads(), Workers::Model(model), clock)
    }

    fn new(n: usize, workers: Workers, clock: &SharedClock) -> CpuPool {
        let threads = (0..n).map(|_| Thread::default()).collect();
        CpuPool { workers, clock: clock.clone(), threads, waiting: VecDeque::new() }
    }

    /// When a modelled run ends next.
    pub(super) fn next_end(&self) -> Option<Nanos> {
        match &self.workers {
            Workers::Threads(_) => None,
            Workers::Model(model) => model.next_end(),
        }
    }

    /// A modelled run that has ended by now; threads report by themselves.
    pub(super) fn ended(&mut self) -> Option<HostDone> {
        match &mut self.workers {
            Workers::Threads(_) => None,
            Workers::Model(model) => model.ended(self.clock.now()),
        }
    }

    /// Takes a run; one of the same tenant that still waits is of a request that failed, and goes. Returns the runs that
    /// no thread is left to compute.
    #[must_use]
    pub(super) fn compute(&mut self, job: HostJob) -> Vec<HostJob> {
        self.forget(job.tenant);
        self.waiting.push_back(job);
        self.assign()
    }

    /// A thread is free again. Returns as [`CpuPool::compute`].
    #[must_use]
    pub(super) fn finished(&mut self, thread: usize) -> Vec<HostJob> {
        self.threads[thread].computes = None;
        self.assign()
    }

    /// Whether a run is under way or waits.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.threads.iter().any(|t| t.computes.is_some())
    }

    /// Drops what waits of a tenant.
    pub(super) fn forget(&mut self, tenant: TenantId) {
        self.waiting.retain(|job| job.tenant != tenant);
    }

    fn assign(&mut self) -> Vec<HostJob> {
        while let Some(at) = self.threads.iter().position(|t| t.computes.is_none() && !t.gone) {
            let busy = |tenant| self.threads.iter().any(|t| t.computes == Some(tenant));
            let Some(next) = self.waiting.iter().position(|job| !busy(job.tenant)) else { break };
            let Some(job) = self.waiting.remove(next) else { break };
            let (thread, tenant) = (&mut self.threads[at], job.tenant);
            let given = match &mut self.workers {
                Workers::Threads(threads) => threads[at].try_send(job),
                Workers::Model(model) => {
                    model.begin(at, job, self.clock.now());
                    Ok(())
                }
            };
            match given {
                Ok(()) => thread.computes = Some(tenant),
                // It is idle and its channel has room, so it has ended.
                Err(mpsc::TrySendError::Full(job) | mpsc::TrySendError::Disconnected(job)) => {
                    thread.gone = true;
                    self.waiting.push_front(job);
                }
            }
        }
        match self.threads.iter().all(|t| t.gone) {
            true => self.waiting.drain(..).collect(),
            false => Vec::new(),
        }
    }
}
