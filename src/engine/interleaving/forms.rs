//! The ways in which a round can be run: each a schedule, with the tenants on a device whose lanes are the schedule's.

use super::costing::Costing;
use super::paired::{Paired, Turns};
use super::parts::{part_of, renamed};
use super::picture::{self, Drawn};
use super::rig::{Participant, Rig, Round};
use super::{InterleaveError, InterleaveOptions, InterleaveStage};
use crate::engine::device::OpenError;
use crate::hal::{Device, DeviceCaps, HalError, Stage};
use crate::interleave::cost::{CostModel, Estimated, LearnedReport};
use crate::interleave::search::{self, Budget};
use crate::interleave::{Problem, Schedule};
use crate::tensor::Nanos;
use crate::timeline::Timeline;
use std::ops::Range;

/// Sequential per tenant: the first form.
pub(super) const SEQUENTIAL: usize = 0;
/// Breadth-first on one queue: the second form.
pub(super) const NAIVE: usize = 1;
/// A lane for each tenant: the third form.
pub(super) const PER_DEVICE: usize = 2;
/// Sequential per tenant, each launch by one worker: the fourth form, on devices of so few units that it is worth its time.
pub(super) const SINGLE: usize = 3;

/// Units up to which a launch by one worker is no waste of the device.
const FEW_UNITS: u32 = 8;

/// Logical devices of one form at most, unless it is one for each tenant.
const LANES_MAX: usize = 8;

/// Schedules of the search, for different numbers of lanes, that are compiled and tried: those of the least estimates.
const CANDIDATES: usize = 2;

/// Expressions of a candidate's co-kernels at most: lavapipe compiles about two thousand in a second. Mixes that gain most by
/// co-kernels are of small networks and need no more than this.
const CODE_MAX: u64 = 200_000;

/// Candidates that get a second trial.
const FINALISTS: usize = 3;

/// A way to run a round.
pub(super) struct Form {
    pub(super) name: String,
    pub(super) schedule: Schedule,
    /// Stages that are one dispatch of several slices.
    pub(super) cokernels: usize,
    rig: usize,
    round: Round,
}

/// What the searches did.
#[derive(Clone, Debug, Default)]
pub(super) struct Searched {
    pub(super) evaluations: u64,
    pub(super) seconds: f64,
    pub(super) learned: Option<LearnedReport>,
}

/// Opens the device with so many lanes.
pub(super) type Open<'a> = &'a dyn Fn(usize) -> Result<Box<dyn Device>, OpenError>;

/// All forms of one call.
pub(super) struct Forms<'a> {
    participants: &'a [Participant],
    problem: &'a Problem,
    pooled: bool,
    open: Open<'a>,
    /// With the lane of each tenant.
    rigs: Vec<(Vec<usize>, Rig)>,
    forms: Vec<Form>,
    /// Forms without interleaving, the first ones.
    n_baselines: usize,
}

impl<'a> Forms<'a> {
    /// `rig` has all tenants in one lane.
    pub(super) fn new(
        participants: &'a [Participant],
        problem: &'a Problem,
        pooled: bool,
        rig: Rig,
        open: Open<'a>,
    ) -> Forms<'a> {
        let rigs = vec![(vec![0; participants.len()], rig)];
        Forms { participants, problem, pooled, open, rigs, forms: Vec::new(), n_baselines: 0 }
    }

    pub(super) fn all(&self) -> &[Form] {
        &self.forms
    }

    /// Those without interleaving.
    pub(super) fn without(&self) -> Range<usize> {
        0..self.n_baselines
    }

    /// Bytes of each tenant's weights and activations.
    pub(super) fn footprints(&self) -> Vec<u64> {
        self.rigs[0].1.footprints()
    }

    /// Operators that no kernel computes, over all tenants.
    pub(super) fn cpu_nodes(&self) -> usize {
        self.rigs[0].1.cpu_nodes()
    }

    /// Adds the ways without interleaving, in the order of their constants.
    pub(super) fn baselines(&mut self, progress: &mut dyn FnMut(InterleaveStage)) -> Result<(), InterleaveError> {
        let sequential = Schedule::sequential(self.problem);
        let mut per_tenant: Vec<Vec<Stage>> = vec![Vec::new(); self.participants.len()];
        let ids = self.rigs[0].1.recording_ids();
        for stage in sequential.lanes.iter().flatten() {
            if let Some(piece) = stage.pieces().next() {
                per_tenant[piece.tenant as usize].push(stage.slices(self.problem, &ids));
            }
        }
        let round = self.rigs[0].1.apart(per_tenant);
        self.forms.push(Form { name: "sequential".into(), schedule: sequential, cokernels: 0, rig: 0, round });
        self.push("naive", Schedule::breadth_first(self.problem), progress)?;
        self.push("per-device", Schedule::lane_per_tenant(self.problem), progress)?;
        if self.problem.machine.single_workers() && self.problem.machine.slots <= FEW_UNITS {
            self.push("single-worker", Schedule::single_workers(self.problem), progress)?;
        }
        self.n_baselines = self.forms.len();
        Ok(())
    }

    /// Adds a form that is not there yet, with everything compiled that it needs.
    pub(super) fn add(
        &mut self,
        name: &str,
        schedule: Schedule,
        progress: &mut dyn FnMut(InterleaveStage),
    ) -> Result<(), InterleaveError> {
        if self.forms.iter().any(|f| f.schedule == schedule) {
            return Ok(());
        }
        self.push(name, schedule, progress)
    }

    fn push(
        &mut self,
        name: &str,
        schedule: Schedule,
        progress: &mut dyn FnMut(InterleaveStage),
    ) -> Result<(), InterleaveError> {
        progress(InterleaveStage::Form(name));
        let lanes = schedule.lane_of_tenants(self.participants.len());
        let lane_of: Vec<usize> = lanes.into_iter().map(|lane| lane.unwrap_or(0)).collect();
        let rig = self.rig(&lane_of)?;
        let built = &mut self.rigs[rig].1;
        let round = built.together(schedule.stages(self.problem, &built.recording_ids()));
        let begin = built.device().clock().now();
        let cokernels = built.prepare(&round)?;
        let seconds = built.device().clock().now().since(begin).as_ms() / 1e3;
        let (lanes, stages) = (schedule.lanes.len(), schedule.n_stages());
        tracing::info!(
            "{name}: {lanes} lanes, {stages} stages, {cokernels} of them co-kernels, prepared in {seconds:.1} s"
        );
        self.forms.push(Form { name: name.into(), schedule, cokernels, rig, round });
        Ok(())
    }

    /// The rig with the tenants in these lanes, opened now if there is none.
    fn rig(&mut self, lane_of: &[usize]) -> Result<usize, InterleaveError> {
        if let Some(at) = self.rigs.iter().position(|(there, _)| there == lane_of) {
            return Ok(at);
        }
        let lanes = lane_of.iter().max().map_or(1, |last| last + 1);
        let rig = Rig::new((self.open)(lanes)?, self.participants, lane_of, self.pooled)?;
        self.rigs.push((lane_of.to_vec(), rig));
        Ok(self.rigs.len() - 1)
    }

    /// Searches for each number of lanes that the device may have.
    pub(super) fn search(
        &mut self,
        options: &InterleaveOptions,
        progress: &mut dyn FnMut(InterleaveStage),
    ) -> Result<Searched, InterleaveError> {
        let clock = self.rigs[0].1.device().clock();
        let mut numbers = lane_counts(self.problem, self.participants.len());
        numbers.retain(|&n| options.lanes_max.is_none_or(|most| n <= most));
        let code = self.code_sizes();
        let lane = self.rigs[0].1.lanes()[0];
        let recordings = self.rigs[0].1.recording_ids();
        let mut costing = Costing::new(options.cost, self.rigs[0].1.device(), lane, recordings);
        let mut searched = Searched::default();
        let mut candidates = Vec::with_capacity(numbers.len());
        for &lanes in &numbers {
            let name = format!("{} on {lanes}", options.search);
            progress(InterleaveStage::Form(&name));
            let mut merged = Schedule { lanes: Vec::with_capacity(lanes) };
            for tenants in groups(self.problem, lanes) {
                let part = part_of(self.problem, &tenants, lanes);
                let mut search = search::open(&options.search, options.seed)?;
                let share = options.evaluations / (numbers.len() * lanes) as u64;
                let budget = Budget::evaluations(share.max(1), clock.clone());
                let found = costing.search(&mut *search, (self.problem, &part, &tenants), &budget)?;
                searched.evaluations += found.evaluations;
                searched.seconds += found.seconds;
                let stages = found.schedule.lanes.iter().flatten();
                merged.lanes.push(stages.map(|stage| renamed(stage, &tenants)).collect());
            }
            let (schedule, compiled) = merged.lean(self.problem, &code, CODE_MAX);
            let estimate = Estimated::default().schedule(self.problem, &schedule)?.ns;
            tracing::info!(
                "{name}: {} stages, {} lean, {compiled} expressions of co-kernels, estimated {:.2} ms",
                merged.n_stages(),
                schedule.n_stages(),
                estimate / 1e6
            );
            candidates.push((estimate, name, schedule));
        }
        searched.learned = costing.report();
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, name, schedule) in candidates.into_iter().take(CANDIDATES) {
            self.add(&name, schedule, progress)?;
        }
        Ok(searched)
    }

    /// How large each kernel's code is, by its number in the problem.
    fn code_sizes(&mut self) -> Vec<u32> {
        let rig = &mut self.rigs[0].1;
        let mut code = vec![0; self.problem.kernels.len()];
        for (model, recording) in self.problem.models.iter().zip(rig.recordings()) {
            for launch in &model.launches {
                let spec = &recording.operations[launch.operation as usize].launches[launch.launch as usize].kernel;
                code[launch.kernel as usize] = rig.device().code_size(spec);
            }
        }
        code
    }

    /// Runs each form once and compares the outputs of every tenant with those of the sequential form, which it answers.
    pub(super) fn check_outputs(&mut self) -> Result<Vec<Vec<Vec<u8>>>, InterleaveError> {
        let mut expected: Vec<Vec<Vec<u8>>> = Vec::new();
        for form in &self.forms {
            let outcome = self.rigs[form.rig].1.run(&form.round, true, false)?;
            // Some drivers compile only now.
            tracing::info!("{}: {:.0} ms for the first round", form.name, outcome.took.as_ms());
            let outputs = outcome.outputs;
            if expected.is_empty() {
                expected = outputs;
            } else if let Some(at) = (0..expected.len()).find(|&t| expected[t] != outputs[t]) {
                let tenant = self.participants[at].name.clone();
                tracing::error!("the schedule of {}:\n{}", form.name, form.schedule);
                return Err(InterleaveError::Differs { tenant, form: form.name.clone() });
            }
        }
        Ok(expected)
    }

    /// The form that is fastest in some rounds, after a second trial of the best ones.
    pub(super) fn choose(
        &mut self,
        rounds: usize,
        lanes_max: Option<usize>,
        progress: &mut dyn FnMut(InterleaveStage),
    ) -> Result<usize, InterleaveError> {
        let fits = |form: &Form| lanes_max.is_none_or(|most| form.schedule.lanes.len() <= most);
        let mut candidates: Vec<usize> = (0..self.forms.len()).filter(|&at| fits(&self.forms[at])).collect();
        for rounds in [rounds, rounds * 2] {
            let times = self.rounds(&candidates, rounds, progress)?;
            let mut ranked: Vec<usize> = (0..candidates.len()).collect();
            ranked.sort_by(|a, b| times.median_ns(*a).total_cmp(&times.median_ns(*b)));
            for at in &ranked {
                let (name, ms) = (&self.forms[candidates[*at]].name, times.median_ns(*at) / 1e6);
                tracing::info!("{name}: {ms:.2} ms in {rounds} rounds");
            }
            candidates = ranked.into_iter().take(FINALISTS).map(|at| candidates[at]).collect();
        }
        Ok(candidates.first().copied().unwrap_or(SEQUENTIAL))
    }

    /// Paired rounds of the baselines and of `best`, which is the last of each round where it is none of them.
    pub(super) fn measure(
        &mut self,
        best: usize,
        rounds: usize,
        progress: &mut dyn FnMut(InterleaveStage),
    ) -> Result<Paired, InterleaveError> {
        let forms: Vec<usize> = self.without().chain((best >= self.n_baselines).then_some(best)).collect();
        self.rounds(&forms, rounds, progress)
    }

    fn rounds(
        &mut self,
        forms: &[usize],
        rounds: usize,
        progress: &mut dyn FnMut(InterleaveStage),
    ) -> Result<Paired, InterleaveError> {
        let mut paired = Paired::default();
        let mut turns = Turns::new(forms.len());
        // The first round warms up.
        for round in 0..=rounds {
            progress(InterleaveStage::Rounds(round, rounds));
            let mut times = vec![Nanos(0); forms.len()];
            for &at in turns.next_round() {
                times[at] = self.run(forms[at])?;
            }
            if round > 0 {
                paired.add(&times);
            }
        }
        Ok(paired)
    }

    fn run(&mut self, form: usize) -> Result<Nanos, HalError> {
        let Form { rig, round, .. } = &self.forms[form];
        self.rigs[*rig].1.run(round, true, false).map(|outcome| outcome.took)
    }

    /// A timed round one after another, and a timed round of `best`.
    pub(super) fn draw(&mut self, best: usize, caps: &DeviceCaps, seed: u64) -> Result<Timeline, HalError> {
        let mut outcomes = Vec::new();
        for form in [SEQUENTIAL, best] {
            let Form { rig, round, .. } = &self.forms[form];
            outcomes.push((form, self.rigs[*rig].1.run(round, false, true)?));
        }
        let drawn: Vec<Drawn> = outcomes
            .iter()
            .map(|(form, outcome)| {
                let Form { name, schedule, .. } = &self.forms[*form];
                Drawn { name, schedule, outcome }
            })
            .collect();
        Ok(picture::timeline(&drawn, self.problem, self.participants, caps, seed))
    }
}

/// Numbers of lanes worth trying: powers of two up to one for each tenant. On devices whose chains are streams one lane
/// has all of them.
fn lane_counts(problem: &Problem, tenants: usize) -> Vec<usize> {
    if !problem.machine.single_workers() {
        return vec![1];
    }
    let mut counts: Vec<usize> = (0..).map(|k| 1 << k).take_while(|&n| n < tenants.min(LANES_MAX)).collect();
    counts.push(tenants.clamp(1, LANES_MAX));
    counts.dedup();
    counts
}

/// Tenants in so many groups of about equal work, the largest first to the least loaded group.
fn groups(problem: &Problem, lanes: usize) -> Vec<Vec<u32>> {
    let work = |tenant: &u32| problem.models[*tenant as usize].launches.iter().map(|l| l.worker_ns).sum::<f64>();
    let mut order: Vec<(u32, f64)> = (0..problem.models.len() as u32).map(|t| (t, work(&t))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut groups: Vec<(Vec<u32>, f64)> = vec![(Vec::new(), 0.0); lanes];
    for (tenant, ns) in order {
        let least = (0..lanes).min_by(|a, b| groups[*a].1.total_cmp(&groups[*b].1)).unwrap_or(0);
        groups[least].0.push(tenant);
        groups[least].1 += ns;
    }
    groups.into_iter().map(|(tenants, _)| tenants).filter(|t| !t.is_empty()).collect()
}
