//! Submissions that the device has, and what becomes of their requests when they end, well or not.

use std::sync::Arc;

use super::Dispatcher;
use super::compose::{Measured, What};
use super::draft::{Part, Submitted, Then};
use crate::engine::InferError;
use crate::engine::cpu_nodes::{HostDone, HostJob};
use crate::engine::request::Request;
use crate::engine::trace::Launched;
use crate::hal::{Completion, HalError, LaneId, RecordingId, SliceSpan, Wait};
use crate::tensor::{Nanos, RequestId, TenantId};
use crate::timeline::InstantKind;

/// A submission that the device has.
pub(super) struct InFlight {
    pub(super) submitted: Nanos,
    pub(super) lane: LaneId,
    /// Whose lane it is, where tenants have their own.
    pub(super) owner: Option<TenantId>,
    pub(super) parts: Vec<Part>,
    pub(super) operators: Vec<Submitted>,
    /// The requests of a round that it has stages of.
    pub(super) round: Vec<Submitted>,
    pub(super) launched: Vec<Launched>,
    pub(super) measured: Vec<Measured>,
}

impl Dispatcher {
    /// Takes what the device completed; waits for it as long as `wait` says. A virtual clock goes on meanwhile.
    pub(in crate::engine) fn collect(&mut self, wait: Wait) {
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
        let Some(flight) = self.in_flight.remove(&completion.submission) else { return };
        // A part of the device may be lost and the rest go on; the loss of all of it is an error of the poll.
        if let Some(error) = completion.error {
            return self.fail_flight(flight, &error);
        }
        self.preemptions.ended(completion.submission, completion.finished);
        let begun = flight.submitted.max(self.last_finished);
        self.last_finished = completion.finished.max(self.last_finished);
        self.busy += self.last_finished.since(begun);
        let start = self.lane_ended(&flight, completion.finished);
        // What a round took tells nothing about its operators, and nothing about others' beside it.
        if flight.round.is_empty() {
            self.learn(&flight.operators, completion.finished.since(start));
        }
        self.learn_forms(&flight.measured, &completion.spans);
        if let Some(recorder) = &mut self.recorder {
            recorder.launches(flight.lane, &flight.launched, &completion.spans, start, completion.finished);
        }
        let InFlight { mut parts, mut operators, round, .. } = flight;
        let measured = round.is_empty();
        operators.extend(round);
        for (recording, error) in completion.failed {
            self.fail_recording(recording, &error, &operators, &mut parts);
        }
        let mut reads = completion.reads;
        for Part { tenant, reads: range, then } in parts {
            let bytes: Vec<Vec<u8>> = reads.get_mut(range).unwrap_or_default().iter_mut().map(std::mem::take).collect();
            match then {
                Then::Answer(request) => {
                    if let Some(tenant) = self.board.touch(tenant).filter(|_| measured) {
                        tenant.costs.mark_measured();
                    }
                    self.answer(tenant, request, completion.finished, bytes);
                }
                Then::Compute(request, run) => self.compute(HostJob { tenant, request, run, reads: bytes }),
            }
        }
    }

    /// A lane is done with a submission, which it began when it came or when the one before ended.
    fn lane_ended(&mut self, flight: &InFlight, finished: Nanos) -> Nanos {
        if !flight.round.is_empty() {
            self.round_ended();
        }
        let lane = match flight.owner {
            None => &mut self.common,
            Some(owner) => match self.board.touch(owner) {
                Some(tenant) => &mut tenant.lane,
                None => return flight.submitted.min(finished),
            },
        };
        lane.flights -= 1;
        let start = flight.submitted.max(lane.last_finished).min(finished);
        lane.last_finished = finished;
        if let Some(owner) = flight.owner {
            self.settle_lane(owner);
        }
        start
    }

    fn answer(&mut self, id: TenantId, request: Request, finished: Nanos, reads: Vec<Vec<u8>>) {
        if let Some(recorder) = &mut self.recorder {
            let started = request.started.unwrap_or(finished);
            recorder.answered(id, request.id, request.arrival, started, finished);
        }
        request.finish(finished, reads, &mut self.ended);
    }

    /// Hands a run of CPU nodes to the threads that compute them, if the request still lives.
    fn compute(&mut self, job: HostJob) {
        let alive = self.board.get(job.tenant).and_then(|t| t.current.as_ref());
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

    /// Takes what modelled threads have computed by now.
    pub(in crate::engine) fn take_computed(&mut self) {
        while let Some(done) = self.cpu.ended() {
            self.host_done(done);
        }
    }

    /// Takes what the CPU computed; the request goes on.
    pub(in crate::engine) fn host_done(&mut self, done: HostDone) {
        let HostDone { tenant, request, run, thread, uploads, spans } = done;
        let left = self.cpu.finished(thread);
        self.fail_jobs(left);
        if let Some(recorder) = &mut self.recorder {
            for (operator, start, end) in spans {
                recorder.cpu_node(thread, (tenant, request), operator, start, end);
            }
        }
        let current = self.board.touch(tenant).and_then(|t| t.current.as_mut());
        let Some(current) = current.filter(|c| c.request.id == request) else { return };
        match uploads {
            Ok(uploads) => {
                current.request.uploads = Arc::new(uploads);
                current.next = run.operators.end;
                current.on_cpu = false;
            }
            Err(error) => self.fail_request(tenant, request, &error),
        }
    }

    /// Spreads the time of a submission over its operators.
    fn learn(&mut self, operators: &[Submitted], took: Nanos) {
        let estimated: f64 = operators.iter().map(|s| s.estimated_ns).sum();
        if estimated <= 0.0 {
            return;
        }
        let ratio = took.0 as f64 / estimated;
        for submitted in operators {
            if let Some(tenant) = self.board.touch(submitted.tenant) {
                tenant.costs.learn(submitted.operator, ratio);
                tenant.used_ns = (tenant.used_ns + submitted.estimated_ns * (ratio - 1.0)).max(0.0);
            }
        }
    }

    /// Learns from stages that were timed for that.
    fn learn_forms(&mut self, measured: &[Measured], spans: &[SliceSpan]) {
        for measured in measured {
            let Some(ns) = measured.ns(spans) else { continue };
            match &measured.what {
                What::Operator(tenant, operator) => {
                    if let Some(tenant) = self.board.touch(*tenant) {
                        tenant.plan.segments.learn_apart(*operator, ns);
                    }
                }
                What::Chain(tenant, operators) => {
                    let Some(tenant) = self.board.touch(*tenant) else { continue };
                    if let Some((first, times)) = tenant.plan.segments.learn_chain(operators, ns) {
                        tenant.costs.set(first, &times);
                    }
                }
                What::Combination(key, apart_ns) => self.combos.learn(key, ns, *apart_ns),
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
        let Some(tenant) = self.board.iter().find(|t| t.recording == recording).map(|t| t.shared.id) else { return };
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
    fn fail_request(&mut self, id: TenantId, request: RequestId, error: &HalError) {
        let current = self.board.touch(id).and_then(|t| t.current.take_if(|c| c.request.id == request));
        if let Some(current) = current {
            return self.fail_for(id, current.request, error);
        }
        let is_it = |p: &Part| matches!(&p.then, Then::Answer(r) if r.id == request);
        let found = self.in_flight.values_mut().find_map(|flight| {
            let at = flight.parts.iter().position(is_it)?;
            Some(flight.parts.remove(at))
        });
        if let Some(Part { then: Then::Answer(request), .. }) = found {
            self.fail_for(id, request, error);
        }
    }

    /// A submission did not run: all requests that it served fail.
    pub(super) fn fail_flight(&mut self, flight: InFlight, error: &HalError) {
        self.lane_ended(&flight, flight.submitted);
        for part in flight.parts {
            match part.then {
                Then::Answer(request) => self.fail_for(part.tenant, request, error),
                Then::Compute(request, _) => self.fail_request(part.tenant, request, error),
            }
        }
        for submitted in flight.operators.into_iter().chain(flight.round) {
            self.fail_request(submitted.tenant, submitted.request, error);
        }
    }

    /// The device is lost: everything fails, now and from now on.
    pub(super) fn lose(&mut self, error: HalError) {
        tracing::error!("{error}");
        self.lost = Some(error.clone());
        self.rounds.stop();
        while let Some((_, flight)) = self.in_flight.pop_first() {
            self.fail_flight(flight, &error);
        }
        self.fail_open(&mut |tenant| InferError::Device { tenant, source: error.clone() });
    }

    /// Fails every request that waits or has operators left.
    pub(super) fn fail_open(&mut self, error: &mut dyn FnMut(String) -> InferError) {
        let ids: Vec<TenantId> = self.board.iter().map(|t| t.shared.id).collect();
        for id in ids {
            let Some(tenant) = self.board.touch(id) else { continue };
            let name = tenant.shared.name.clone();
            let current = tenant.current.take().map(|c| c.request);
            let open: Vec<Request> = current.into_iter().chain(tenant.queue.drain(..)).collect();
            for request in open {
                self.fail(id, request, error(name.clone()));
            }
        }
    }

    fn fail_for(&mut self, tenant: TenantId, request: Request, error: &HalError) {
        let name = self.board.get(tenant).map_or(tenant.to_string(), |t| t.shared.name.clone());
        self.fail(tenant, request, InferError::Device { tenant: name, source: error.clone() });
    }

    pub(super) fn fail(&mut self, tenant: TenantId, request: Request, error: InferError) {
        let at = self.now();
        if let Some(recorder) = &mut self.recorder {
            recorder.mark(InstantKind::Failure, tenant, Some(request.id), at);
        }
        request.fail(error, &mut self.ended);
    }
}
