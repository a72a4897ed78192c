//! Tenants come and go: a model is compiled and installed, a tenant gets its lane, and all of it is given back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;

use super::{Dispatcher, Lane};
use crate::engine::command::{Load, LoadReply};
use crate::engine::compiling::{CompileJob, Job, Loading};
use crate::engine::cost::Costs;
use crate::engine::loaded::{Loaded, Plan};
use crate::engine::segment::Segments;
use crate::engine::tenant::TenantShared;
use crate::engine::{InferError, LoadError, Memory};
use crate::hal::{HalError, LaneSpec, caught};
use crate::service::Lanes;
use crate::tensor::{Share, TenantId};

impl Dispatcher {
    /// Puts a model's memory on the device and has its kernels compiled; [`Dispatcher::compiled`] goes on.
    pub(in crate::engine) fn load(&mut self, load: Load) {
        let reply = load.reply.clone();
        match self.begin_load(load) {
            Err(error) => drop(reply.send(LoadReply::Done(Err(error)))),
            Ok(loading) => match self.device.compiler() {
                None => self.compiled(loading, Ok(())),
                Some(compiler) => {
                    self.loading += 1;
                    let job = Job::Load(Box::new(CompileJob { loading, compiler }));
                    // The thread is gone or has all the jobs it takes: the device compiles them itself.
                    if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.compiler.try_send(job)
                        && let Job::Load(job) = job
                    {
                        self.loading -= 1;
                        self.compiled(job.loading, Ok(()));
                    }
                }
            },
        }
    }

    fn begin_load(&mut self, load: Load) -> Result<Loading, LoadError> {
        let Load { spec, compile, fixed, reply } = load;
        let name = || spec.name.clone();
        if self.board.len() + self.loading >= self.config.tenants_max {
            return Err(LoadError::TooMany { tenant: name(), tenants_max: self.config.tenants_max });
        }
        if let Some(source) = self.lost.clone() {
            return Err(LoadError::Device { tenant: name(), source });
        }
        self.tenants_made += 1;
        let id = TenantId(self.tenants_made);
        let started = self.now();
        // The lane first: memory lies where it can be used from there.
        let lane = self.lane(id, spec.priority).map_err(|source| LoadError::Device { tenant: name(), source })?;
        self.device.limit_memory(id, spec.memory_limit_bytes);
        if self.config.memory == Memory::Pooled {
            self.device.pool(id);
        }
        let compiled = caught(|| compile(&mut *self.device, id))
            .map_err(|message| LoadError::Panicked { tenant: name(), message })
            .and_then(|compiled| compiled.map_err(|e| LoadError::Model { tenant: name(), source: Box::new(e) }))
            .inspect_err(|_| self.give_back(&lane))?;
        let lowered = self.now();
        Ok(Loading { id, spec, lane, compiled, fixed, reply, started, lowered, pipelines: Vec::new() })
    }

    /// Installs a model whose kernels were compiled, and reports to whoever asked for it.
    pub(in crate::engine) fn kernels_compiled(&mut self, loading: Loading, result: Result<(), HalError>) {
        self.loading -= 1;
        self.compiled(loading, result);
    }

    fn compiled(&mut self, loading: Loading, result: Result<(), HalError>) {
        let (id, reply) = (loading.id, loading.reply.clone());
        let (name, lane, buffers) = (loading.spec.name.clone(), loading.lane.clone(), loading.compiled.buffers.clone());
        // One tenant's panic is that tenant's; the others' engine goes on.
        let loaded = match caught(|| result.and_then(|()| self.end_load(loading))) {
            Ok(loaded) => loaded.map_err(|source| LoadError::Device { tenant: name, source }),
            Err(message) => Err(LoadError::Panicked { tenant: name, message }),
        };
        if loaded.is_err() {
            buffers.iter().for_each(|&b| self.device.free(b));
            self.give_back(&lane);
        }
        let there = loaded.is_ok();
        if reply.send(LoadReply::Done(loaded)).is_err() && there {
            self.unload(id);
        }
    }

    /// Makes a tenant of a model. After an error nothing is left of it but its buffers and its lane.
    fn end_load(&mut self, loading: Loading) -> Result<Arc<TenantShared>, HalError> {
        let Loading { id, spec, lane, compiled, fixed, reply, started, lowered, mut pipelines } = loading;
        let clock = self.config.clock.clone();
        let mut unused = Vec::new();
        let noted = if pipelines.is_empty() { &mut pipelines } else { &mut unused };
        let mut note = |done: usize, total: usize, kernel: &str| {
            Loading::note(noted, &reply, clock.now(), (done, total, kernel));
        };
        let recording = self.device.install(compiled.recording.clone(), &mut note)?;
        let mut plan = Plan::new(&compiled.recording, self.device.caps(), spec.share)
            .inspect_err(|_| self.device.uninstall(recording))?;
        let pooled = self.config.memory == Memory::Pooled;
        plan.segments = Segments::find(&compiled.recording, self.device.caps(), pooled);
        let costs = Costs::guess(&compiled.recording, self.device.caps());
        let shared = Arc::new(TenantShared::new(id, &spec, compiled.recording, compiled.memory, fixed));
        let end = self.now();
        if let Some(recorder) = &mut self.recorder {
            recorder.add_tenant(&shared, spec.class, spec.slo);
            let track = if lane.id == self.common.id { "queue" } else { &shared.name };
            recorder.add_lane(lane.id, track);
            recorder.compiled(id, "lower and upload", started, lowered);
            let ends = pipelines.iter().skip(1).map(|(_, at)| *at).chain([end]);
            for ((kernel, from), to) in pipelines.iter().zip(ends).filter(|((kernel, _), _)| !kernel.is_empty()) {
                recorder.compiled(id, kernel, *from, to);
            }
        }
        self.board.insert(Loaded {
            shared: shared.clone(),
            class: spec.class,
            priority: spec.priority,
            slo: spec.slo,
            recording,
            buffers: compiled.buffers,
            plan,
            costs,
            queue: VecDeque::new(),
            current: None,
            lane,
            paused: false,
            in_round: false,
            used_ns: 0.0,
            stale: false,
            told: false,
        });
        // Schedules and composed stages know nothing of shares that tenants were given.
        if spec.share == Share::FULL {
            if let Some(tenant) = self.board.get(id) {
                self.composer.arrive(tenant, self.device.caps());
            }
            self.find_schedules(id);
        }
        self.ask_for(id);
        Ok(shared)
    }

    /// Forgets a tenant. Requests that the device is about to finish still finish; others fail.
    pub(in crate::engine) fn unload(&mut self, id: TenantId) {
        let Some(tenant) = self.board.remove(id) else { return };
        self.cpu.forget(id);
        self.combos.forget(id);
        self.rounds.depart(id);
        self.composer.depart(id);
        self.give_back(&tenant.lane);
        let gone = || InferError::TenantGone { tenant: tenant.shared.name.clone() };
        let current = tenant.current.map(|c| c.request);
        for request in current.into_iter().chain(tenant.queue) {
            request.fail(gone(), &mut self.ended);
        }
        self.device.uninstall(tenant.recording);
        tenant.buffers.iter().for_each(|&b| self.device.free(b));
    }

    /// A tenant's lane: one of its own where the policy wants that and the device has one, else the common one.
    fn lane(&mut self, tenant: TenantId, priority: u32) -> Result<Lane, HalError> {
        if self.lanes == Lanes::One {
            return Ok(Lane::new(self.common.id, 0));
        }
        let priority = self.lane_priority(priority);
        if let Some(at) = self.spare.iter().position(|(p, _)| *p == priority) {
            let (_, lane) = self.spare.swap_remove(at);
            self.device.place(tenant, lane);
            return Ok(Lane::new(lane, priority));
        }
        let spec = LaneSpec { priority, tenant: Some(tenant), ..LaneSpec::default() };
        Ok(Lane::new(self.device.lane(&spec)?, priority))
    }

    /// The priority of a tenant's lane: all the same where lanes have none.
    fn lane_priority(&self, priority: u32) -> i32 {
        let prioritised = self.lanes == (Lanes::PerTenant { prioritised: true });
        if prioritised && self.device.caps().priority_levels > 1 { priority as i32 } else { 0 }
    }

    /// Keeps a lane for the next tenant.
    fn give_back(&mut self, lane: &Lane) {
        if lane.id != self.common.id {
            self.spare.push((lane.priority, lane.id));
        }
    }

    /// Holds a tenant's requests back, or lets them go on. What was submitted runs to its end.
    pub(in crate::engine) fn pause(&mut self, id: TenantId, paused: bool) {
        if let Some(tenant) = self.board.touch(id) {
            tenant.paused = paused;
        }
    }

    /// Changes how important a tenant is. Where lanes have priorities, it moves to another lane once its own is empty.
    pub(in crate::engine) fn set_priority(&mut self, id: TenantId, priority: u32) {
        if let Some(tenant) = self.board.touch(id) {
            tenant.priority = priority;
            self.settle_lane(id);
        }
    }

    /// Moves a tenant whose lane has another priority than itself, if nothing of it is under way there.
    pub(super) fn settle_lane(&mut self, id: TenantId) {
        let Some(tenant) = self.board.get(id) else { return };
        let fits = tenant.lane.priority == self.lane_priority(tenant.priority);
        if fits || tenant.lane.flights > 0 || tenant.lane.id == self.common.id {
            return;
        }
        let (name, wanted) = (tenant.shared.name.clone(), tenant.priority);
        // A device without another lane keeps it where it is.
        let Ok(lane) = self.lane(id, wanted) else { return };
        if let Some(recorder) = &mut self.recorder {
            recorder.add_lane(lane.id, &name);
        }
        if let Some(tenant) = self.board.touch(id) {
            let old = std::mem::replace(&mut tenant.lane, lane);
            self.give_back(&old);
        }
    }
}
