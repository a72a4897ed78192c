//! Rounds: one request of each tenant of a stored schedule, submitted as the schedule says.
//!
//! A round begins when the tenants with something ready are exactly those of a schedule and none of them has begun. Its stages
//! go out a submission's length at a time, with what the policy grants to others behind them, so an arrival waits for a
//! part of a round at most. Its tenants' next requests wait until it has ended: then they may be a round again. Finding the
//! schedule is a comparison of sorted numbers; nothing is searched, and a schedule whose co-kernels are not compiled is not
//! used.
//!
//! A tenant that leaves or fails meanwhile is left out of the stages that follow; one that is paused takes part to the end of the round.
//! Times of rounds teach nothing about operators: they overlap, so who is served in rounds only is accounted by the first guess
//! of its costs.

use std::sync::Arc;

use super::Dispatcher;
use super::board::Board;
use super::draft::{Draft, Submitted};
use crate::engine::loaded::Loaded;
use crate::engine::trace::Launched;
use crate::hal::{DeviceCaps, Recording, Slice, Stage, Together};
use crate::interleave::{Machine, Piece, Problem, ProblemError, StoredError, StoredSchedule};
use crate::tensor::{RequestId, TenantId};

/// See the module's comment.
#[derive(Default)]
pub(super) struct Rounds {
    schedules: Vec<Known>,
    /// All models of all schedules; a tenant's class is the place of its model here.
    digests: Vec<String>,
    /// The tenants that are in a schedule, with their class, in order of their ids.
    tenants: Vec<(TenantId, u32)>,
    under_way: Option<Round>,
    /// Rounds that began.
    begun: u64,
    /// Classes and ids of the tenants that are ready.
    ready: Vec<(u32, TenantId)>,
}

/// A stored schedule.
struct Known {
    stored: StoredSchedule,
    /// Classes of the models, in order of their classes, each with the model's number.
    classes: Vec<(u32, u32)>,
    /// Pieces of each model.
    pieces: Vec<u32>,
    /// Counts the times that its tenants were complete; what was asked for before is not asked for any more.
    generation: u32,
    state: State,
}

enum State {
    /// Not all of its models are loaded.
    Absent,
    /// Its co-kernels are being compiled; the device will not run so many of its stages at once.
    Asked(Arc<Problem>, usize),
    /// It is used.
    Ready(Arc<Problem>),
    /// It is not valid on this device, or most of its stages do not run at once, which was said.
    Refused,
}

/// A schedule that is being submitted.
struct Round {
    schedule: usize,
    /// What the schedule is for: it outlives the tenants.
    problem: Arc<Problem>,
    /// In the order of the schedule's models.
    members: Vec<Member>,
    /// The next stage.
    next: usize,
    /// Submissions with stages of it that the device has.
    flights: usize,
}

struct Member {
    tenant: TenantId,
    request: RequestId,
    /// Pieces that were not submitted.
    left: u32,
}

impl Rounds {
    /// Of schedules that were stored.
    ///
    /// # Errors
    /// [`StoredError::Lanes`] for one of several lanes.
    pub(super) fn new(schedules: Vec<StoredSchedule>) -> Result<Rounds, StoredError> {
        let mut rounds = Rounds::default();
        for stored in schedules {
            let lanes = stored.schedule.lanes.len();
            if lanes != 1 {
                return Err(StoredError::Lanes { made_for: stored.names(), lanes });
            }
            let mut classes: Vec<(u32, u32)> =
                stored.models.iter().zip(0..).map(|(model, at)| (rounds.class(&model.digest), at)).collect();
            classes.sort_unstable();
            let mut pieces = vec![0; stored.models.len()];
            for piece in stored.schedule.pieces() {
                // A number that is too large is found when the schedule is checked.
                if let Some(n) = pieces.get_mut(piece.tenant as usize) {
                    *n += 1;
                }
            }
            rounds.schedules.push(Known { stored, classes, pieces, generation: 0, state: State::Absent });
        }
        Ok(rounds)
    }

    /// Rounds that began.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// The device is lost.
    pub(super) fn stop(&mut self) {
        self.under_way = None;
    }

    fn class(&mut self, digest: &str) -> u32 {
        let known = self.digests.iter().position(|d| d == digest);
        known.unwrap_or_else(|| {
            self.digests.push(digest.to_owned());
            self.digests.len() - 1
        }) as u32
    }

    /// A tenant was loaded. Answers the schedules whose models are all there now, with their generations.
    pub(super) fn arrive(&mut self, tenant: &Loaded, caps: &DeviceCaps, board: &Board) -> Vec<(usize, u32)> {
        if self.schedules.is_empty() {
            return Vec::new();
        }
        // Operators on the CPU are in no schedule.
        let Ok(problem) = problem(std::slice::from_ref(&tenant.shared.recording), caps) else { return Vec::new() };
        let digest = problem.digest(0);
        let Some(class) = self.digests.iter().position(|d| *d == digest) else { return Vec::new() };
        let at = self.tenants.partition_point(|(id, _)| *id < tenant.shared.id);
        self.tenants.insert(at, (tenant.shared.id, class as u32));
        let mut complete = Vec::new();
        for at in 0..self.schedules.len() {
            let Some(tenants) = self.tenants_of(at).filter(|_| matches!(self.schedules[at].state, State::Absent))
            else {
                continue;
            };
            let recordings: Option<Vec<Arc<Recording>>> =
                tenants.iter().map(|id| Some(board.get(*id)?.shared.recording.clone())).collect();
            let Some(Ok(problem)) = recordings.map(|recordings| self::problem(&recordings, caps)) else { continue };
            let known = &mut self.schedules[at];
            known.state = match known.stored.open(&problem) {
                // The request of a model without launches would never end.
                Ok(_) if known.pieces.contains(&0) => State::Refused,
                Ok(_) => State::Asked(Arc::new(problem), 0),
                Err(error) => {
                    tracing::warn!("{error}");
                    State::Refused
                }
            };
            if let State::Asked(..) = known.state {
                known.generation += 1;
                complete.push((at, known.generation));
            }
        }
        complete
    }

    /// A tenant left.
    pub(super) fn depart(&mut self, tenant: TenantId) {
        self.tenants.retain(|(id, _)| *id != tenant);
        for at in 0..self.schedules.len() {
            if self.tenants_of(at).is_none() && !matches!(self.schedules[at].state, State::Refused) {
                self.schedules[at].state = State::Absent;
            }
        }
    }

    /// Loaded tenants in the order of a schedule's models, the oldest first where several have one model; `None` where
    /// one is missing.
    fn tenants_of(&self, schedule: usize) -> Option<Vec<TenantId>> {
        let classes = &self.schedules[schedule].classes;
        let mut found = vec![TenantId(0); classes.len()];
        let mut taken: Vec<TenantId> = Vec::with_capacity(classes.len());
        for (class, model) in classes {
            let fits = |(id, c): &&(TenantId, u32)| c == class && !taken.contains(id);
            let (id, _) = self.tenants.iter().find(fits)?;
            found[*model as usize] = *id;
            taken.push(*id);
        }
        Some(found)
    }

    /// A stage of a schedule of `problem` for the tenants that `tenant_of` names by the schedule's models, and of each slice that number; what
    /// belongs to others is left out.
    fn stage<'a>(
        &self,
        (schedule, problem): (usize, &Problem),
        stage: usize,
        tenant_of: impl Fn(u32) -> Option<&'a Loaded>,
    ) -> (Stage, Vec<u32>) {
        let (mut made, mut models) = (Stage::default(), Vec::new());
        for chain in &self.schedules[schedule].stored.schedule.lanes[0][stage].chains {
            let first = made.slices.len();
            for piece in &chain.pieces {
                let Some(tenant) = tenant_of(piece.tenant) else { continue };
                let follows = made.slices.len() > first;
                made.slices.push(slice(tenant, piece, problem, follows));
                models.push(piece.tenant);
            }
        }
        (made, models)
    }

    fn stages(&self, schedule: usize) -> usize {
        self.schedules[schedule].stored.schedule.lanes[0].len()
    }

    /// The schedule for the tenants that are ready, sorted in `self.ready`.
    fn find(&self) -> Option<usize> {
        let fits = |known: &Known| {
            matches!(known.state, State::Ready(_))
                && known.classes.len() == self.ready.len()
                && known.classes.iter().zip(&self.ready).all(|((class, _), (ready, _))| class == ready)
        };
        self.schedules.iter().position(fits)
    }
}

impl Dispatcher {
    /// A tenant is there: schedules that have all their tenants now get their co-kernels.
    pub(super) fn find_schedules(&mut self, id: TenantId) {
        let Some(tenant) = self.board.get(id) else { return };
        for (schedule, generation) in self.rounds.arrive(tenant, self.device.caps(), &self.board) {
            self.asking.schedule(schedule, generation);
        }
    }

    /// The first stage from `from` on that the device does not run at once yet; `None` where there is none any more. Looks at all stages:
    /// once, after a load, which takes longer.
    pub(super) fn stage_to_compile(&self, schedule: usize, from: usize) -> Option<(usize, Together)> {
        let known = &self.rounds.schedules[schedule];
        let (State::Asked(problem, _), Some(tenants)) = (&known.state, self.rounds.tenants_of(schedule)) else {
            return None;
        };
        let tenant_of = |model: u32| self.board.get(*tenants.get(model as usize)?);
        let stages = &known.stored.schedule.lanes[0];
        (from..stages.len()).filter(|&at| stages[at].pieces().nth(1).is_some()).find_map(|at| {
            let (stage, _) = self.rounds.stage((schedule, problem), at, tenant_of);
            let together = self.device.together(&stage);
            (together != Together::Ready).then_some((at, together))
        })
    }

    /// Whether what was asked for of a schedule in this generation is still wanted.
    pub(super) fn wants(&self, schedule: usize, generation: u32) -> bool {
        let known = &self.rounds.schedules[schedule];
        known.generation == generation && matches!(known.state, State::Asked(..))
    }

    /// A tenant of a schedule, where all of them are there.
    pub(super) fn tenant_of_schedule(&self, schedule: usize) -> Option<TenantId> {
        self.rounds.tenants_of(schedule)?.first().copied()
    }

    /// The device never runs a stage of a schedule at once.
    pub(super) fn runs_apart(&mut self, schedule: usize) {
        if let State::Asked(_, apart) = &mut self.rounds.schedules[schedule].state {
            *apart += 1;
        }
    }

    /// All of a schedule is compiled that can be. It is used, unless most of its stages would run slice by slice.
    pub(super) fn schedule_complete(&mut self, schedule: usize) {
        let known = &mut self.rounds.schedules[schedule];
        let stages = &known.stored.schedule.lanes[0];
        let several = stages.iter().filter(|stage| stage.pieces().nth(1).is_some()).count();
        let names = known.stored.names();
        known.state = match std::mem::replace(&mut known.state, State::Absent) {
            State::Asked(_, apart) if apart * 2 > several => {
                tracing::warn!(
                    "the stored schedule for {names} is not used: {apart} of its {several} stages of several launches would not run at once. Write `memory = \"pooled\"` under [device], as `interleave` does, or make it again for this device"
                );
                State::Refused
            }
            State::Asked(problem, apart) => {
                tracing::info!(
                    "the stored schedule for {names} is ready; {apart} of its {several} stages of several launches do not run at once"
                );
                State::Ready(problem)
            }
            state => state,
        };
    }

    /// Begins a round if the tenants that are ready are those of a schedule. Answers whether their views are stale for that.
    pub(super) fn begin_round(&mut self) -> bool {
        if self.rounds.under_way.is_some() || self.rounds.tenants.is_empty() {
            return false;
        }
        let Rounds { ready, tenants, .. } = &mut self.rounds;
        ready.clear();
        for tenant in self.board.ready() {
            let id = tenant.shared.id;
            let class = tenants.binary_search_by_key(&id, |(id, _)| *id).map(|at| tenants[at].1);
            let (Ok(class), Some(0)) = (class, tenant.current.as_ref().map(|c| c.next)) else { return false };
            ready.push((class, id));
        }
        ready.sort_unstable();
        let Some(schedule) = self.rounds.find() else { return false };
        let known = &self.rounds.schedules[schedule];
        let State::Ready(problem) = &known.state else { return false };
        let problem = problem.clone();
        let mut members: Vec<Option<Member>> = known.classes.iter().map(|_| None).collect();
        for ((_, model), (_, id)) in known.classes.iter().zip(&self.rounds.ready) {
            let Some(tenant) = self.board.touch(*id) else { return false };
            let Some(current) = &mut tenant.current else { return false };
            current.submitted_ns = tenant.costs.total_ns();
            tenant.used_ns += tenant.costs.total_ns();
            tenant.in_round = true;
            let left = known.pieces[*model as usize];
            members[*model as usize] = Some(Member { tenant: *id, request: current.request.id, left });
        }
        let members = members.into_iter().flatten().collect();
        self.rounds.under_way = Some(Round { schedule, problem, members, next: 0, flights: 0 });
        self.rounds.begun += 1;
        true
    }

    /// Puts the next stages of the round under way into `draft`. Answers whether that ended it, so that views are stale: nobody
    /// is left of it.
    pub(super) fn go_on_with_round(&mut self, draft: &mut Draft) -> bool {
        let Some(mut round) = self.rounds.under_way.take() else { return false };
        let now = self.now();
        let stages = self.rounds.stages(round.schedule);
        if round.next == 0 {
            for &Member { tenant: id, request, .. } in &round.members {
                if let Some(tenant) = self.board.touch(id) {
                    draft.begin(tenant, now);
                    // Should the inputs not arrive, its request fails, though none of its stages is in there.
                    draft.round.push(Submitted { tenant: id, request, operator: 0, estimated_ns: 0.0 });
                }
            }
        }
        let alone = !self.board.is_ready();
        let (target_ns, launches_max) = match alone {
            true => (self.config.submission_ns_alone, self.config.launches_per_submission_alone),
            false => (self.config.submission_ns / 2.0, self.config.launches_per_submission),
        };
        let (mut ns, mut launches) = (0.0, 0);
        while round.next < stages && (launches == 0 || ns < target_ns && launches < launches_max) {
            // Whose request has failed or gone has no part in it any more.
            let lives = |model: u32| {
                let member = round.members.get(model as usize)?;
                let tenant = self.board.get(member.tenant)?;
                (tenant.current.as_ref()?.request.id == member.request).then_some(tenant)
            };
            let (stage, models) = self.rounds.stage((round.schedule, &round.problem), round.next, lives);
            round.next += 1;
            launches += stage.slices.len() as u32;
            // An upper bound: chains may overlap.
            let slices = stage.slices.iter().zip(&models);
            ns += slices.filter_map(|(slice, model)| Some(slice_ns(lives(*model)?, slice))).sum::<f64>();
            self.add_stage(stage, &models, &mut round, draft);
        }
        if round.next == stages && round.flights == 0 && draft.round.is_empty() {
            self.release(&round);
            return true;
        }
        self.rounds.under_way = Some(round);
        false
    }

    /// Adds a stage of a round, and the reads of the requests that end with it.
    fn add_stage(&mut self, stage: Stage, models: &[u32], round: &mut Round, draft: &mut Draft) {
        let number = draft.submission.stages.len() as u32;
        for ((slice, model), at) in stage.slices.iter().zip(models).zip(0..) {
            let member = &mut round.members[*model as usize];
            member.left -= 1;
            let Member { tenant, request, left } = *member;
            if !draft.round.iter().any(|s| s.tenant == tenant) {
                draft.round.push(Submitted { tenant, request, operator: slice.operation, estimated_ns: 0.0 });
            }
            if self.recorder.is_some() {
                draft.launched.push(Launched { tenant, request, stage: number, at, slice: slice.clone() });
            }
            if left == 0
                && let Some(tenant) = self.board.touch(tenant)
            {
                draft.end_round(tenant);
            }
        }
        if !stage.slices.is_empty() {
            draft.submission.stages.push(stage);
        }
    }

    /// A submission with stages of the round was made.
    pub(super) fn round_submitted(&mut self) {
        if let Some(round) = &mut self.rounds.under_way {
            round.flights += 1;
        }
    }

    /// A submission with stages of the round ended.
    pub(super) fn round_ended(&mut self) {
        let Some(mut round) = self.rounds.under_way.take() else { return };
        round.flights = round.flights.saturating_sub(1);
        if round.flights == 0 && round.next == self.rounds.stages(round.schedule) {
            return self.release(&round);
        }
        self.rounds.under_way = Some(round);
    }

    /// The tenants of a round may begin their next requests.
    fn release(&mut self, round: &Round) {
        for member in &round.members {
            if let Some(tenant) = self.board.touch(member.tenant) {
                tenant.in_round = false;
            }
        }
    }
}

/// What a slice of a tenant is expected to take, in ns.
fn slice_ns(tenant: &Loaded, slice: &Slice) -> f64 {
    let launches = &tenant.shared.recording.operations[slice.operation as usize].launches;
    let tiles = launches[slice.launch as usize].tiles.max(1);
    let part = f64::from(slice.tiles.end - slice.tiles.start) / f64::from(tiles);
    tenant.costs.operator_ns(slice.operation) * part / launches.len() as f64
}

fn slice(tenant: &Loaded, piece: &Piece, problem: &Problem, follows: bool) -> Slice {
    let launch = problem.launch(piece.tenant, piece.launch);
    Slice {
        recording: tenant.recording,
        operation: launch.operation,
        launch: launch.launch,
        tiles: piece.tiles(),
        workers: piece.workers,
        follows,
    }
}

/// The problem of recordings on a device, as `interleave` poses it but for the costs.
fn problem(recordings: &[Arc<Recording>], caps: &DeviceCaps) -> Result<Problem, ProblemError> {
    Problem::new(recordings, caps, Machine::of(caps), &|_, _, _| None)
}
