//! The engine without its thread: what is loaded, what is in flight, and what to submit next.
//!
//! A submission is made of what the policy granted: the inputs of requests that begin go up before its first stage,
//! slices become stages (`compose.rs`), and outputs of requests that end are read after the last one. A tenant has at most one request
//! in a submission, because uploads come first. Where the tenants that are ready are those of a stored schedule, it is
//! submitted in place of what a policy would grant them (`rounds.rs`). At most [`Config::submissions_in_flight`] of a lane are under way, so the
//! device always has the next one and an arrival waits for little.

mod asking;
mod board;
mod combos;
mod compose;
mod draft;
mod flight;
mod general;
mod load;
mod preemption;
mod rounds;
mod streams;

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;

use super::compiling::Job;
use super::cpu_pool::CpuPool;
use super::fault::Faults;
use super::request::{Ended, Request};
use super::trace::Recorder;
use super::{Config, InferError, Memory};
use crate::hal::{Completion, Device, HalError, LaneId, LaneSpec, SubmissionId};
use crate::interleave::{StoredError, StoredSchedule};
use crate::service::policy::Policy;
use crate::service::{Class, Decisions, Lanes};
use crate::tensor::{Nanos, RequestId, TenantId};
use crate::timeline::InstantKind;
use crate::timeline::metrics::Occupied;

use asking::Asking;
pub(super) use asking::Ticket;
use board::Board;
use combos::Combos;
use compose::Composer;
use draft::{Draft, Submitted};
use flight::InFlight;
use preemption::Preemptions;
use rounds::Rounds;
use streams::Interleaver;

/// A policy that has nothing run for so long, while operators are ready, counts as stalled.
const STALL_MAX: Nanos = Nanos(60_000_000_000);

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
    /// What the policy decided that cannot be done.
    pub(super) faults: Faults,
    /// How fast best-effort work gives way.
    pub(super) preemptions: Preemptions,
    pub(super) board: Board,
    /// The lane of all, where tenants have none of their own.
    common: Lane,
    lanes: Lanes,
    /// Lanes of tenants that left, by priority.
    spare: Vec<(i32, LaneId)>,
    policy: Box<dyn Policy>,
    /// When the policy wants to be asked again.
    wake: Option<Nanos>,
    /// Since when operators are ready and the policy has nothing run.
    idle_since: Option<Nanos>,
    config: Config,
    pub(super) cpu: CpuPool,
    compiler: SyncSender<Job>,
    composer: Composer,
    combos: Combos,
    rounds: Rounds,
    asking: Asking,
    /// Models whose kernels are being compiled.
    loading: usize,
    in_flight: BTreeMap<SubmissionId, InFlight>,
    last_finished: Nanos,
    requests: u64,
    tenants_made: u32,
    decisions: Decisions,
    completions: Vec<Completion>,
}

/// A lane of the device and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) id: LaneId,
    pub(super) priority: i32,
    /// Submissions that the device has.
    pub(super) flights: usize,
    pub(super) last_finished: Nanos,
}

impl Lane {
    fn new(id: LaneId, priority: i32) -> Lane {
        Lane { id, priority, flights: 0, last_finished: Nanos(0) }
    }
}

impl Dispatcher {
    pub(super) fn new(
        mut device: Box<dyn Device>,
        policy: Box<dyn Policy>,
        config: Config,
        mut recorder: Option<Recorder>,
        cpu: CpuPool,
        compiler: SyncSender<Job>,
    ) -> Result<Dispatcher, HalError> {
        let common = Lane::new(device.lane(&LaneSpec::default())?, 0);
        let lanes = policy.lanes();
        if let Some(recorder) = recorder.as_mut().filter(|_| lanes == Lanes::One) {
            recorder.add_lane(common.id, "queue");
        }
        // Isolated memory needs a co-kernel for each set of tenants, so too many for what they gain.
        let units = match config.memory {
            Memory::Pooled => device.caps().compute_units.unwrap_or(1),
            Memory::Isolated => 1,
        };
        let interleaver = match policy.interleaves() {
            true => Interleaver::new(device.caps(), config.submission_ns),
            false => None,
        };
        let decisions = Decisions::with_capacity(config.launches_per_submission as usize);
        Ok(Dispatcher {
            device,
            recorder,
            ended: Vec::new(),
            busy: Nanos(0),
            lost: None,
            faults: Faults::default(),
            preemptions: Preemptions::default(),
            board: Board::new(lanes, config.clone()),
            common,
            lanes,
            spare: Vec::new(),
            policy,
            wake: None,
            idle_since: None,
            config,
            cpu,
            compiler,
            composer: Composer::new(interleaver),
            combos: Combos::new(units),
            rounds: Rounds::default(),
            asking: Asking::default(),
            loading: 0,
            in_flight: BTreeMap::new(),
            last_finished: Nanos(0),
            requests: 0,
            tenants_made: 0,
            decisions,
            completions: Vec::new(),
        })
    }

    /// Schedules that it uses when their tenants are there.
    ///
    /// # Errors
    /// [`StoredError::Lanes`] for one of several lanes.
    pub(super) fn use_schedules(&mut self, schedules: Vec<StoredSchedule>) -> Result<(), StoredError> {
        self.rounds = Rounds::new(schedules)?;
        Ok(())
    }

    pub(super) fn now(&self) -> Nanos {
        self.config.clock.now()
    }

    /// How much of the device was used so far: its units where it tells, else whether it had work.
    pub(super) fn occupied(&self) -> Occupied {
        match (self.device.unit_seconds(), self.device.caps().compute_units) {
            (Some(s), Some(units)) => Occupied { unit_ns: s * 1e9, units },
            _ => Occupied { unit_ns: self.busy.0 as f64, units: 1 },
        }
    }

    /// Rounds of stored schedules that began.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds.begun()
    }

    /// Submissions that the device has.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The device takes no more submissions for now.
    pub(super) fn is_full(&self) -> bool {
        self.lanes == Lanes::One && self.common.flights >= self.config.submissions_in_flight
    }

    /// When the policy wants to be asked again; it is not asked while the device takes no more.
    pub(super) fn wake(&self) -> Option<Nanos> {
        self.wake.filter(|_| !self.is_full())
    }

    /// Takes a request in.
    pub(super) fn admit(&mut self, id: TenantId, mut request: Request) {
        self.requests += 1;
        request.id = RequestId(self.requests);
        if let Some(recorder) = &mut self.recorder {
            recorder.mark(InstantKind::Arrival, id, Some(request.id), request.arrival);
        }
        match (self.board.touch(id), self.lost.clone()) {
            (Some(tenant), None) => {
                if tenant.class == Class::Latency {
                    self.preemptions.arrived(request.arrival);
                }
                tenant.queue.push_back(request);
            }
            (Some(tenant), Some(source)) => {
                let tenant = tenant.shared.name.clone();
                self.fail(id, request, InferError::Device { tenant, source });
            }
            (None, _) => request.fail(InferError::TenantGone { tenant: id.to_string() }, &mut self.ended),
        }
    }

    /// Submits as long as the device takes more and somebody has something to do.
    pub(super) fn issue(&mut self) {
        while self.lost.is_none() && !self.is_full() {
            let before = self.in_flight.len();
            let mut draft = Draft::default();
            self.refresh(&mut draft);
            loop {
                if self.begin_round() {
                    self.refresh(&mut draft);
                }
                // Where nobody is left of a round, the next one may begin.
                if !self.go_on_with_round(&mut draft) {
                    break;
                }
                self.refresh(&mut draft);
            }
            self.decide(&mut draft);
            if !draft.is_empty() {
                self.idle_since = None;
                self.submit(draft, None);
            } else if self.in_flight.len() == before {
                return self.end_stall();
            }
        }
    }

    /// Brings the board up to date, and reads the outputs of requests that have no operator left.
    fn refresh(&mut self, draft: &mut Draft) {
        let mut computed = Vec::new();
        self.board.refresh(|id| computed.push(id));
        for id in computed {
            self.grant(id, 0, draft);
        }
    }

    /// Asks the policy and carries out what it grants: into `draft`, or each tenant's into its own lane.
    fn decide(&mut self, draft: &mut Draft) {
        self.wake = None;
        if !self.board.is_ready() {
            return;
        }
        let operators_max = if self.lanes == Lanes::One { self.board.operators_max() } else { u32::MAX };
        let mut decisions = std::mem::take(&mut self.decisions);
        decisions.begin(operators_max);
        let now = self.now();
        self.policy.decide(now, &self.board.view(operators_max), &mut decisions);
        self.board.seen();
        for pick in decisions.picks() {
            let done = self.grant(pick.tenant, pick.operators, draft);
            self.faults.granted(pick, done);
        }
        // A moment that has passed already is one that comes at once, but not without end.
        self.wake = decisions.wake().map(|at| at.max(now + Nanos(1000)));
        self.decisions = decisions;
    }

    /// Puts operators of a tenant into a submission. Answers how many; `None` where there is no such tenant.
    fn grant(&mut self, id: TenantId, operators: u32, common: &mut Draft) -> Option<u32> {
        let now = self.now();
        let tenant = self.board.touch(id)?;
        if tenant.paused || tenant.in_round {
            return Some(0);
        }
        if self.lanes == Lanes::One {
            return Some(common.add(tenant, operators, now));
        }
        let mut own = Draft::default();
        let added = own.add(tenant, operators, now);
        if !own.is_empty() {
            self.submit(own, Some(id));
        }
        Some(added)
    }

    /// Gives a submission to the lane of its owner, or to the common one.
    fn submit(&mut self, mut draft: Draft, owner: Option<TenantId>) {
        let recorded = self.recorder.is_some();
        self.composer.compose(&mut draft, &self.board, &mut self.combos, recorded);
        self.ask();
        let Draft { mut submission, parts, operators, round, launched, measured } = draft;
        submission.timed = recorded || !measured.is_empty();
        let submitted = self.now();
        if !round.is_empty() {
            self.round_submitted();
        }
        let lane = match owner {
            None => &mut self.common,
            Some(owner) => match self.board.touch(owner) {
                Some(tenant) => &mut tenant.lane,
                None => return,
            },
        };
        lane.flights += 1;
        let flight = InFlight { submitted, lane: lane.id, owner, parts, operators, round, launched, measured };
        match self.device.submit(lane.id, submission) {
            Ok(id) => {
                let is_best_effort =
                    |s: &Submitted| self.board.get(s.tenant).is_some_and(|t| t.class == Class::BestEffort);
                if flight.operators.iter().chain(&flight.round).any(is_best_effort) {
                    self.preemptions.submitted(id);
                }
                self.in_flight.insert(id, flight);
            }
            Err(error @ HalError::DeviceLost(_)) => {
                self.fail_flight(flight, &error);
                self.lose(error);
            }
            Err(error) => self.fail_flight(flight, &error),
        }
    }

    /// Where operators are ready, nothing runs and the policy asked for no later moment, or put it off for [`STALL_MAX`], nobody
    /// would ever be served: the open requests fail, so that whoever waits for them learns why.
    fn end_stall(&mut self) {
        let runs = self.cpu.is_busy() || !self.in_flight.is_empty();
        if runs || !self.board.is_ready() || self.lost.is_some() {
            self.idle_since = None;
            return;
        }
        let now = self.now();
        let since = *self.idle_since.get_or_insert(now);
        if self.wake.is_none() || now.since(since) >= STALL_MAX {
            self.idle_since = None;
            self.faults.stalled();
            self.fail_open(&mut |tenant| InferError::Stalled { tenant });
        }
    }
}
