//! A model inside the engine: what it became on the device, and how far its requests are.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Config;
use super::cost::Costs;
use super::cpu_nodes::HostRun;
use super::dispatcher::Lane;
use super::request::Request;
use super::segment::Segments;
use super::tenant::TenantShared;
use crate::hal::{BufferId, Cut, DeviceCaps, HalError, Recording, RecordingId, cut};
use crate::service::{Class, Lanes, RequestView, TenantView};
use crate::tensor::{Nanos, Share};

/// A tenant's state.
pub(super) struct Loaded {
    pub(super) shared: Arc<TenantShared>,
    pub(super) class: Class,
    pub(super) priority: u32,
    pub(super) slo: Nanos,
    pub(super) recording: RecordingId,
    pub(super) buffers: Vec<BufferId>,
    pub(super) plan: Plan,
    pub(super) costs: Costs,
    /// Requests that have not begun.
    pub(super) queue: VecDeque<Request>,
    /// The request whose operators are being submitted.
    pub(super) current: Option<Current>,
    /// Where its submissions go, if tenants have lanes of their own.
    pub(super) lane: Lane,
    /// Nothing of it is submitted, but for the rest of a round that it is in.
    pub(super) paused: bool,
    /// It is in a round of a stored schedule, which submits its request; the next one waits.
    pub(super) in_round: bool,
    /// Device time of its operators so far; of those under way, and of all that were in rounds, the estimate.
    pub(super) used_ns: f64,
    /// Its view is to be computed anew.
    pub(super) stale: bool,
    /// It is among those that the policy has not seen as they are.
    pub(super) told: bool,
}

/// A request with operators left.
pub(super) struct Current {
    pub(super) request: Request,
    /// The first operator that was not submitted.
    pub(super) next: u32,
    /// Its inputs are on their way to the CPU, which computes `next`.
    pub(super) on_cpu: bool,
    /// What the operators before `next` were expected to take.
    pub(super) submitted_ns: f64,
}

/// What submitting each operator of a recording means on this device.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Operators that may be submitted as chains.
    pub(super) segments: Segments,
    /// From each operator on: operators that need nothing from the CPU, and the first that does.
    ready: Vec<u32>,
}

/// One operator.
#[derive(Debug)]
pub(super) enum Step {
    /// Slices, in order: launch and range.
    Launches(Vec<(u32, Cut)>),
    /// The CPU computes it and perhaps some that follow.
    Host(Arc<HostRun>),
    /// Part of the run that began before.
    WithinHost,
}

impl Plan {
    /// Cuts every launch and plans the CPU nodes; nothing is a chain yet.
    ///
    /// # Errors
    /// [`HalError`] when a launch cannot be cut for this device.
    pub(super) fn new(recording: &Arc<Recording>, caps: &DeviceCaps, share: Share) -> Result<Plan, HalError> {
        let operations = &recording.operations;
        let mut steps = Vec::with_capacity(operations.len());
        while let Some(operation) = operations.get(steps.len()) {
            if !operation.on_cpu() {
                let mut cuts = Vec::new();
                for (at, launch) in (0..).zip(&operation.launches) {
                    cuts.extend(cut(launch, caps, share)?.into_iter().map(|c| (at, c)));
                }
                steps.push(Step::Launches(cuts));
                continue;
            }
            let first = steps.len();
            let n = operations[first..].iter().take_while(|o| o.on_cpu()).count();
            let run = HostRun::new(recording, first as u32..(first + n) as u32);
            steps.push(Step::Host(Arc::new(run)));
            steps.extend((1..n).map(|_| Step::WithinHost));
        }
        let mut ready = vec![0; steps.len() + 1];
        for (at, step) in steps.iter().enumerate().rev() {
            ready[at] = match step {
                Step::Launches(_) => 1 + ready[at + 1],
                Step::Host(_) => 1,
                Step::WithinHost => 0,
            };
        }
        Ok(Plan { steps, segments: Segments::default(), ready })
    }

    pub(super) fn operators(&self) -> u32 {
        self.steps.len() as u32
    }

    /// Dispatches of one operator. A chain is that of its segment's first operator.
    pub(super) fn dispatches(&self, operator: u32) -> u32 {
        let slices = match &self.steps[operator as usize] {
            Step::Launches(cuts) => cuts.len() as u32,
            _ => 0,
        };
        self.segments.dispatches(operator, slices)
    }
}

impl Loaded {
    /// Makes the oldest waiting request the current one, if there is none.
    pub(super) fn advance(&mut self) {
        if self.current.is_none() {
            self.current =
                self.queue.pop_front().map(|request| Current { request, next: 0, on_cpu: false, submitted_ns: 0.0 });
        }
    }

    /// What a policy sees.
    pub(super) fn view(&self, lanes: Lanes, config: &Config) -> TenantView {
        TenantView {
            tenant: self.shared.id,
            class: self.class,
            priority: self.priority,
            slo: self.slo,
            queued: self.queue.len() as u32,
            used: Nanos(self.used_ns as u64),
            request: self.current.as_ref().filter(|_| !self.paused).map(|c| RequestView {
                request: c.request.id,
                arrival: c.request.arrival,
                deadline: c.request.arrival + self.slo,
                next_operator: c.next,
                operators_left: self.plan.operators() - c.next,
                operators_ready: self.operators_ready(c, lanes, config),
                cost_left: self.costs.left(c.submitted_ns),
            }),
        }
    }

    /// Operators of the current request that could be submitted now: in a lane of the tenant's own, as many as make one
    /// submission of the intended length.
    fn operators_ready(&self, current: &Current, lanes: Lanes, config: &Config) -> u32 {
        if current.on_cpu || self.in_round {
            return 0;
        }
        let ready = self.plan.ready[current.next as usize];
        if lanes == Lanes::One {
            return ready;
        }
        if self.lane.flights >= config.submissions_in_flight {
            return 0;
        }
        let (mut launches, mut ns) = (0, 0.0);
        let fits = |operator: &u32| {
            let room = ns < config.submission_ns && launches < config.launches_per_submission;
            launches += self.plan.dispatches(*operator);
            ns += self.costs.operator_ns(*operator);
            room
        };
        (current.next..current.next + ready).take_while(fits).count() as u32
    }

    /// True when the current request only waits for its outputs to be read.
    pub(super) fn is_computed(&self) -> bool {
        self.current.as_ref().is_some_and(|c| !c.on_cpu && c.next == self.plan.operators())
    }
}
