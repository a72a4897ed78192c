//! The engine without its thread: what is loaded, what is in flight, and what to submit next.
//!
//! A submission is made of what the policy granted: the inputs of requests that begin go up before its first stage,
//! each slice is a stage, and outputs of requests that end are read after the last one. A tenant has at most one request
//! in a submission, because uploads come first. At most [`Config::submissions_in_flight`] are under way, so the device
//! always has the next one and an arrival waits for little.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::command::{Load, LoadReply};
use super::cost::Costs;
use super::cpu_nodes::{HostDone, HostJob, HostRun};
use super::cpu_pool::CpuPool;
use super::loaded::{Current, Loaded, Plan, Step};
use super::request::{Ended, Request};
use super::tenant::TenantShared;
use super::trace::{Launched, Recorder};
use super::{Config, InferError, LoadError};
use crate::hal::{
    Completion, Device, HalError, LaneId, LaneSpec, RecordingId, Region, Slice, Stage, Submission, SubmissionId, Wait,
};
use crate::service::policy::Policy;
use crate::service::{Decisions, TenantView, View};
use crate::tensor::{Nanos, RequestId, Share, TenantId};
use crate::timeline::InstantKind;

/// See the module's comment.
pub(super) struct Dispatcher {
    pub(super) device: Box<dyn Device>,
    pub(super) recorder: Option<Recorder>,
    /// Requests of load generators that ended and were not looked at yet.
    pub(super) ended: Vec<Ended>,
    /// Time in which submissions ran.
    pub(super) busy: Nanos,
    /// Why the device can do no more.
    pub(super) lost: Option<HalError>,
    lane: LaneId,
    policy: Box<dyn Policy>,
    config: Config,
    cpu: CpuPool,
    /// In order of their ids.
    tenants: Vec<Loaded>,
    in_flight: VecDeque<InFlight>,
    last_finished: Nanos,
    requests: u64,
    tenants_made: u32,
    views: Vec<TenantView>,
    decisions: Decisions,
    completions: Vec<Completion>,
}

/// A submission that the device has.
struct InFlight {
    id: SubmissionId,
    submitted: Nanos,
    parts: Vec<Part>,
    operators: Vec<Submitted>,
    launched: Vec<Launched>,
}

/// An operator in a submission.
#[derive(Clone, Copy)]
struct Submitted {
    tenant: TenantId,
    request: RequestId,
    operator: u32,
}

/// What becomes of some reads of a submission.
struct Part {
    tenant: TenantId,
    reads: Range<usize>,
    then: Then,
}

enum Then {
    /// They are the outputs of this request.
    Answer(Request),
    /// The CPU goes on with this request.
    Compute(RequestId, Arc<HostRun>),
}

/// A submission being made.
#[derive(Default)]
struct Draft {
    submission: Submission,
    parts: Vec<Part>,
    operators: Vec<Submitted>,
    launched: Vec<Launched>,
}

impl Draft {
    fn is_empty(&self) -> bool {
        self.submission.stages.is_empty() && self.parts.is_empty()
    }

    fn read(&mut self, regions: impl Iterator<Item = Region>) -> Range<usize> {
        let first = self.submission.reads.len();
        self.submission.reads.extend(regions);
        first..self.submission.reads.len()
    }
}

impl Dispatcher {
    pub(super) fn new(
        mut device: Box<dyn Device>,
        policy: Box<dyn Policy>,
        config: Config,
        recorder: Option<Recorder>,
        cpu: CpuPool,
    ) -> Result<Dispatcher, HalError> {
        let lane = device.lane(&LaneSpec::default())?;
        Ok(Dispatcher {
            device,
            recorder,
            ended: Vec::new(),
            busy: Nanos(0),
            lost: None,
            lane,
            policy,
            cpu,
            tenants: Vec::new(),
            in_flight: VecDeque::new(),
            last_finished: Nanos(0),
            requests: 0,
            tenants_made: 0,
            views: Vec::new(),
            decisions: Decisions::with_capacity(config.launches_per_submission as usize),
            completions: Vec::new(),
            config,
        })
    }

    pub(super) fn now(&self) -> Nanos {
        self.device.clock().now()
    }

    /// Submissions that the device has.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The device takes no more submissions for now.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight.len() >= self.config.submissions_in_flight
    }

    /// What is loaded.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &Arc<TenantShared>> {
        self.tenants.iter().map(|t| &t.shared)
    }

    /// Compiles and installs a model and reports to whoever asked.
    pub(super) fn load(&mut self, load: Load) {
        let reply = load.reply.clone();
        let result = self.try_load(load);
        let id = result.as_ref().ok().map(|t| t.id);
        if reply.send(LoadReply::Done(result)).is_err()
            && let Some(id) = id
        {
            self.unload(id);
        }
    }

    fn try_load(&mut self, load: Load) -> Result<Arc<TenantShared>, LoadError> {
        let Load { spec, compile, fixed, reply } = load;
        let name = || spec.name.clone();
        if self.tenants.len() >= self.config.tenants_max {
            return Err(LoadError::TooMany { tenant: name(), tenants_max: self.config.tenants_max });
        }
        if let Some(source) = self.lost.clone() {
            return Err(LoadError::Device { tenant: name(), source });
        }
        self.tenants_made += 1;
        let id = TenantId(self.tenants_made);
        let started = self.now();
        self.device.limit_memory(id, spec.memory_limit_bytes);
        let compiled =
            compile(&mut *self.device, id).map_err(|e| LoadError::Model { tenant: name(), source: Box::new(e) })?;
        let lowered = self.now();
        let mut pipelines = Vec::new();
        let installed = self.install(&compiled.recording, spec.share, |at, done, total, kernel| {
            pipelines.push((kernel.to_string(), at));
            let _ = reply.try_send(LoadReply::Compiling(done, total, kernel.into()));
        });
        let (recording, plan) = match installed {
            Ok(installed) => installed,
            Err(source) => {
                compiled.buffers.iter().for_each(|&b| self.device.free(b));
                return Err(LoadError::Device { tenant: name(), source });
            }
        };
        let costs = Costs::guess(&compiled.recording, self.device.caps());
        let shared = Arc::new(TenantShared::new(id, &spec, compiled.recording, compiled.memory, fixed));
        let end = self.now();
        if let Some(recorder) = &mut self.recorder {
            recorder.add_tenant(&shared, spec.class, spec.slo);
            recorder.compiled(id, "lower and upload", started, lowered);
            let ends = pipelines.iter().skip(1).map(|(_, at)| *at).chain([end]);
            for ((kernel, from), to) in pipelines.iter().zip(ends).filter(|((kernel, _), _)| !kernel.is_empty()) {
                recorder.compiled(id, kernel, *from, to);
            }
        }
        self.tenants.push(Loaded {
            shared: shared.clone(),
            class: spec.class,
            priority: spec.priority,
            slo: spec.slo,
            recording,
            buffers: compiled.buffers,
            plan,
            costs,
            queue: VecDeque::with_capacity(shared.queue_max),
            current: None,
        });
        Ok(shared)
    }

    /// Installs and plans; nothing stays installed after an error. `progress` gets the time as well.
    fn install(
        &mut self,
        recording: &Arc<crate::hal::Recording>,
        share: Share,
        mut progress: impl FnMut(Nanos, usize, usize, &str),
    ) -> Result<(RecordingId, Plan), HalError> {
        let clock = self.config.clock;
        let mut note = |done: usize, total: usize, kernel: &str| {
            progress(crate::hal::Clock::now(&clock), done, total, kernel);
        };
        let id = self.device.install(recording.clone(), &mut note)?;
        match Plan::new(recording, self.device.caps(), share) {
            Ok(plan) => Ok((id, plan)),
            Err(error) => {
                self.device.uninstall(id);
                Err(error)
            }
        }
    }

    /// Forgets a tenant. Requests that the device is about to finish still finish; others fail.
    pub(super) fn unload(&mut self, id: TenantId) {
        let Some(at) = self.index(id) else { return };
        let tenant = self.tenants.remove(at);
        self.cpu.forget(id);
        let gone = || InferError::TenantGone { tenant: tenant.shared.name.clone() };
        let current = tenant.current.map(|c| c.request);
        for request in current.into_iter().chain(tenant.queue) {
            request.fail(gone(), &mut self.ended);
        }
        self.device.uninstall(tenant.recording);
        tenant.buffers.iter().for_each(|&b| self.device.free(b));
    }

    /// Takes a request in.
    pub(super) fn admit(&mut self, id: TenantId, mut request: Request) {
        self.requests += 1;
        request.id = RequestId(self.requests);
        if let Some(recorder) = &mut self.recorder {
            recorder.mark(InstantKind::Arrival, id, Some(request.id), request.arrival);
        }
        match (self.index(id), self.lost.clone()) {
            (Some(at), None) => self.tenants[at].queue.push_back(request),
            (Some(at), Some(source)) => {
                let tenant = self.tenants[at].shared.name.clone();
                self.fail(id, request, InferError::Device { tenant, source });
            }
            (None, _) => request.fail(InferError::TenantGone { tenant: id.to_string() }, &mut self.ended),
        }
    }

    /// Submits as long as the device takes more and somebody has something to do.
    pub(super) fn issue(&mut self) {
        while self.lost.is_none() && !self.is_full() {
            let mut draft = Draft::default();
            for at in 0..self.tenants.len() {
                self.tenants[at].advance();
                if self.tenants[at].is_computed() {
                    self.submit_operators(at, 0, &mut draft);
                }
            }
            self.decide(&mut draft);
            if draft.is_empty() {
                return;
            }
            self.submit(draft);
        }
    }

    /// Asks the policy and puts what it grants into `draft`.
    fn decide(&mut self, draft: &mut Draft) {
        self.views.clear();
        self.views.extend(self.tenants.iter().map(Loaded::view));
        let operators_max = self.operators_max();
        if operators_max == 0 {
            return;
        }
        let mut decisions = std::mem::take(&mut self.decisions);
        decisions.begin(operators_max);
        let now = self.now();
        self.policy.decide(now, &View { tenants: &self.views, operators_max }, &mut decisions);
        for pick in decisions.picks() {
            if let Some(at) = self.index(pick.tenant) {
                self.submit_operators(at, pick.operators, draft);
            }
        }
        self.decisions = decisions;
    }

    /// How many operators make a submission of the intended length, taking ready tenants in turn.
    fn operators_max(&self) -> u32 {
        let busy = self.views.iter().filter(|v| v.request.is_some()).count();
        let (target, launches_max) = match (self.tenants.len(), busy) {
            (1, _) => (f64::INFINITY, self.config.launches_per_submission_alone),
            (_, 1) => (self.config.submission_ns_alone, self.config.launches_per_submission_alone),
            _ => (self.config.submission_ns, self.config.launches_per_submission),
        };
        let (mut operators, mut launches, mut ns) = (0, 0, 0.0);
        for round in 0.. {
            let before = operators;
            for (view, tenant) in self.views.iter().zip(&self.tenants) {
                let Some(request) = view.request.filter(|r| round < r.operators_ready) else { continue };
                let operator = request.next_operator + round;
                operators += 1;
                launches += tenant.plan.slices(operator);
                ns += tenant.costs.operator_ns(operator);
                if ns >= target || launches >= launches_max {
                    return operators;
                }
            }
            if operators == before {
                break;
            }
        }
        operators
    }

    /// Adds up to `operators` of a tenant's current request to `draft`, and what must go up before or come back after.
    fn submit_operators(&mut self, at: usize, operators: u32, draft: &mut Draft) {
        let now = self.now();
        let timed = self.recorder.is_some();
        let tenant = &mut self.tenants[at];
        let id = tenant.shared.id;
        let Some(current) = tenant.current.as_mut().filter(|c| !c.on_cpu) else { return };
        let request = current.request.id;
        current.request.started.get_or_insert(now);
        draft.submission.uploads.append(&mut current.request.uploads);
        for _ in 0..operators {
            match tenant.plan.steps.get(current.next as usize) {
                None | Some(Step::WithinHost) => break,
                Some(Step::Host(run)) => {
                    let reads = draft.read(run.regions.iter().copied());
                    draft.parts.push(Part { tenant: id, reads, then: Then::Compute(request, run.clone()) });
                    current.on_cpu = true;
                    return;
                }
                Some(Step::Launches(cuts)) => {
                    for (launch, cut) in cuts {
                        let slice = Slice {
                            recording: tenant.recording,
                            operation: current.next,
                            launch: *launch,
                            tiles: cut.tiles.clone(),
                            workers: cut.workers,
                        };
                        if timed {
                            draft.launched.push(Launched { tenant: id, request, slice: slice.clone() });
                        }
                        draft.submission.stages.push(Stage::of(slice));
                    }
                    draft.operators.push(Submitted { tenant: id, request, operator: current.next });
                    current.next += 1;
                }
            }
        }
        if tenant.is_computed()
            && let Some(Current { request, .. }) = tenant.current.take()
        {
            let reads = draft.read(tenant.shared.output_regions());
            draft.parts.push(Part { tenant: id, reads, then: Then::Answer(request) });
        }
    }

    fn submit(&mut self, draft: Draft) {
        let Draft { mut submission, parts, operators, launched } = draft;
        submission.timed = self.recorder.is_some();
        let submitted = self.now();
        let (id, error) = match self.device.submit(self.lane, submission) {
            Ok(id) => (id, None),
            Err(error) => (SubmissionId(u64::MAX), Some(error)),
        };
        let flight = InFlight { id, submitted, parts, operators, launched };
        match error {
            None => self.in_flight.push_back(flight),
            Some(error @ HalError::DeviceLost(_)) => {
                self.in_flight.push_back(flight);
                self.lose(error);
            }
            Some(error) => self.fail_flight(flight, &error),
        }
    }

    /// Takes what the device completed.
    pub(super) fn collect(&mut self, wait: Wait) {
        if self.in_flight.is_empty() {
            return;
        }
        let mut completions = std::mem::take(&mut self.completions);
        let polled = self.device.poll(wait, &mut completions);
        for completion in completions.drain(..) {
            self.complete(completion);
        }
        self.completions = completions;
        if let Err(error) = polled {
            self.lose(error);
        }
    }

    fn complete(&mut self, completion: Completion) {
        let Some(at) = self.in_flight.iter().position(|f| f.id == completion.submission) else { return };
        let Some(flight) = self.in_flight.remove(at) else { return };
        if let Some(error) = completion.error {
            if matches!(error, HalError::DeviceLost(_)) {
                self.in_flight.push_front(flight);
                return self.lose(error);
            }
            return self.fail_flight(flight, &error);
        }
        let start = flight.submitted.max(self.last_finished);
        self.last_finished = completion.finished.max(start);
        let took = self.last_finished.since(start);
        self.busy += took;
        self.learn(&flight.operators, took);
        if let Some(recorder) = &mut self.recorder {
            recorder.launches(&flight.launched, &completion.spans, start, self.last_finished);
        }
        let InFlight { mut parts, operators, .. } = flight;
        for (recording, error) in completion.failed {
            self.fail_recording(recording, &error, &operators, &mut parts);
        }
        let mut reads = completion.reads;
        for Part { tenant, reads: range, then } in parts {
            let bytes: Vec<Vec<u8>> = reads.get_mut(range).unwrap_or_default().iter_mut().map(std::mem::take).collect();
            match then {
                Then::Answer(request) => self.answer(tenant, request, completion.finished, bytes),
                Then::Compute(request, run) => self.compute(HostJob { tenant, request, run, reads: bytes }),
            }
        }
    }

    fn answer(&mut self, tenant: TenantId, request: Request, finished: Nanos, reads: Vec<Vec<u8>>) {
        if let Some(recorder) = &mut self.recorder {
            let started = request.started.unwrap_or(finished);
            recorder.answered(tenant, request.id, request.arrival, started, finished);
        }
        if let Some(at) = self.index(tenant) {
            self.tenants[at].costs.mark_measured();
        }
        request.finish(finished, reads, &mut self.ended);
    }

    /// Hands a run of CPU nodes to the threads that compute them, if the request still lives.
    fn compute(&mut self, job: HostJob) {
        let alive = self.index(job.tenant).and_then(|at| self.tenants[at].current.as_ref());
        if alive.is_some_and(|c| c.request.id == job.request) {
            let left = self.cpu.compute(job);
            self.fail_jobs(left);
        }
    }

    /// Threads live as long as the engine; should they not, nobody waits for them.
    fn fail_jobs(&mut self, jobs: Vec<HostJob>) {
        for HostJob { tenant, request, .. } in jobs {
            let reason = "the threads that compute CPU nodes are gone".into();
            self.fail_request(tenant, request, &HalError::Host { operator: "all".into(), reason });
        }
    }

    /// Takes what the CPU computed; the request goes on.
    pub(super) fn host_done(&mut self, done: HostDone) {
        let HostDone { tenant, request, run, thread, uploads, spans } = done;
        let left = self.cpu.finished(thread);
        self.fail_jobs(left);
        if let Some(recorder) = &mut self.recorder {
            for (operator, start, end) in spans {
                recorder.cpu_node(thread, (tenant, request), operator, start, end);
            }
        }
        let Some(at) = self.index(tenant) else { return };
        let Some(current) = self.tenants[at].current.as_mut().filter(|c| c.request.id == request) else { return };
        match uploads {
            Ok(uploads) => {
                current.request.uploads = uploads;
                current.next = run.operators.end;
                current.on_cpu = false;
            }
            Err(error) => self.fail_request(tenant, request, &error),
        }
    }

    /// Spreads the time of a submission over its operators.
    fn learn(&mut self, operators: &[Submitted], took: Nanos) {
        let index = |dispatcher: &Dispatcher, s: &Submitted| dispatcher.index(s.tenant);
        let estimated: f64 =
            operators.iter().filter_map(|s| Some(self.tenants[index(self, s)?].costs.operator_ns(s.operator))).sum();
        if estimated <= 0.0 {
            return;
        }
        let ratio = took.0 as f64 / estimated;
        for submitted in operators {
            if let Some(at) = index(self, submitted) {
                self.tenants[at].costs.learn(submitted.operator, ratio);
            }
        }
    }

    /// Fails the requests that a recording had in a submission, and leaves everybody else's.
    fn fail_recording(
        &mut self,
        recording: RecordingId,
        error: &HalError,
        operators: &[Submitted],
        parts: &mut Vec<Part>,
    ) {
        let Some(tenant) = self.tenants.iter().find(|t| t.recording == recording).map(|t| t.shared.id) else { return };
        for part in std::mem::take(parts) {
            match part {
                Part { tenant: owner, then: Then::Answer(request), .. } if owner == tenant => {
                    self.fail_for(tenant, request, error);
                }
                part => parts.push(part),
            }
        }
        if let Some(submitted) = operators.iter().find(|s| s.tenant == tenant) {
            self.fail_request(tenant, submitted.request, error);
        }
    }

    /// Fails a request wherever it is: with operators left, or in a later submission.
    fn fail_request(&mut self, tenant: TenantId, request: RequestId, error: &HalError) {
        if let Some(at) = self.index(tenant)
            && let Some(current) = self.tenants[at].current.take_if(|c| c.request.id == request)
        {
            return self.fail_for(tenant, current.request, error);
        }
        let is_it = |p: &Part| matches!(&p.then, Then::Answer(r) if r.id == request);
        let found = self.in_flight.iter_mut().find_map(|flight| {
            let at = flight.parts.iter().position(is_it)?;
            Some(flight.parts.remove(at))
        });
        if let Some(Part { then: Then::Answer(request), .. }) = found {
            self.fail_for(tenant, request, error);
        }
    }

    /// A submission did not run: all requests that it served fail.
    fn fail_flight(&mut self, flight: InFlight, error: &HalError) {
        for part in flight.parts {
            match part.then {
                Then::Answer(request) => self.fail_for(part.tenant, request, error),
                Then::Compute(request, _) => self.fail_request(part.tenant, request, error),
            }
        }
        for submitted in flight.operators {
            self.fail_request(submitted.tenant, submitted.request, error);
        }
    }

    /// The device is lost: everything fails, now and from now on.
    fn lose(&mut self, error: HalError) {
        tracing::error!("{error}");
        self.lost = Some(error.clone());
        while let Some(flight) = self.in_flight.pop_front() {
            self.fail_flight(flight, &error);
        }
        for at in 0..self.tenants.len() {
            let tenant = &mut self.tenants[at];
            let id = tenant.shared.id;
            let current = tenant.current.take().map(|c| c.request);
            let open: Vec<Request> = current.into_iter().chain(tenant.queue.drain(..)).collect();
            for request in open {
                self.fail_for(id, request, &error);
            }
        }
    }

    fn fail_for(&mut self, tenant: TenantId, request: Request, error: &HalError) {
        let name = self.index(tenant).map_or(tenant.to_string(), |at| self.tenants[at].shared.name.clone());
        self.fail(tenant, request, InferError::Device { tenant: name, source: error.clone() });
    }

    fn fail(&mut self, tenant: TenantId, request: Request, error: InferError) {
        let at = self.now();
        if let Some(recorder) = &mut self.recorder {
            recorder.mark(InstantKind::Failure, tenant, Some(request.id), at);
        }
        request.fail(error, &mut self.ended);
    }

    fn index(&self, id: TenantId) -> Option<usize> {
        self.tenants.binary_search_by_key(&id, |t| t.shared.id).ok()
    }
}
