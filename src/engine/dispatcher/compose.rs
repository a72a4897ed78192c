//! From operators that were granted to the stages of a submission.
//!
//! Operators of a tenant that lie in one segment become a chain; chains of several tenants that are next become one stage, where
//! the device runs them at once. A missing combination is asked for, and until it is compiled the chains follow each other.
//! Everything else is a stage per slice, in the order of the grants, but for policies that interleave, on devices whose chains are
//! streams: there the operators of all tenants are composed into stages first (`streams.rs`). A submission ends as one, so nobody is served later
//! for standing further back in it.
//!
//! Bounded: each operator is looked at once, each stage tries at most [`CHAINS_MAX`] combinations, and nothing is compiled or
//! searched here.

use std::ops::Range;

use super::board::Board;
use super::combos::{CHAINS_MAX, Combos, Key};
use super::draft::{Draft, Submitted};
use super::streams::Interleaver;
use crate::engine::loaded::{Loaded, Step};
use crate::engine::segment::{Form, chain_slices};
use crate::engine::trace::Launched;
use crate::hal::{DeviceCaps, RecordingId, Slice, SliceSpan, Stage};
use crate::tensor::{RequestId, TenantId};

/// Operators of one tenant in a submission that are no stages yet; a tenant has one request in a submission.
#[derive(Clone, Copy)]
struct Run {
    tenant: TenantId,
    request: RequestId,
    recording: RecordingId,
    next: u32,
    end: u32,
}

/// Stages whose time is to be learned from.
pub(super) struct Measured {
    stages: Range<u32>,
    pub(super) what: What,
}

/// What ran in them.
pub(super) enum What {
    /// An operator by its own dispatches.
    Operator(TenantId, u32),
    /// Operators as a chain.
    Chain(TenantId, Range<u32>),
    /// Chains at once that take so many nanoseconds one after another.
    Combination(Key, f64),
}

impl Measured {
    /// How long it took in ns, if the device told.
    pub(super) fn ns(&self, spans: &[SliceSpan]) -> Option<f64> {
        let first = spans.get(spans.partition_point(|s| s.stage < self.stages.start))?;
        let end = spans.partition_point(|s| s.stage < self.stages.end);
        let last = spans.get(end.checked_sub(1)?)?;
        (first.start < last.end).then(|| last.end.since(first.start).0 as f64)
    }
}

/// Makes stages; what it holds is used again and again.
#[derive(Default)]
pub(super) struct Composer {
    runs: Vec<Run>,
    /// Of the stage being made: places in `runs`, and the operators of each chain.
    chains: Vec<(usize, Range<u32>)>,
    /// Where the policy wants it and the device can.
    streams: Option<Interleaver>,
}

impl Composer {
    pub(super) fn new(streams: Option<Interleaver>) -> Composer {
        Composer { streams, ..Composer::default() }
    }

    /// A tenant was loaded.
    pub(super) fn arrive(&mut self, tenant: &Loaded, caps: &DeviceCaps) {
        if let Some(streams) = &mut self.streams {
            streams.arrive(tenant, caps);
        }
    }

    /// A tenant left.
    pub(super) fn depart(&mut self, tenant: TenantId) {
        if let Some(streams) = &mut self.streams {
            streams.depart(tenant);
        }
    }

    /// Makes the stages of `draft`, and what is to be recorded of them where `recorded`.
    pub(super) fn compose(&mut self, draft: &mut Draft, board: &Board, combos: &mut Combos, recorded: bool) {
        self.runs.clear();
        for s in &draft.operators {
            match self.runs.iter_mut().find(|r| r.tenant == s.tenant) {
                Some(run) => run.end = s.operator + 1,
                None => self.runs.extend(Run::of(s, board)),
            }
        }
        if let Some(streams) = &mut self.streams {
            for run in &mut self.runs {
                if board.get(run.tenant).is_some_and(|tenant| streams.grant(tenant, run.next..run.end)) {
                    run.next = run.end;
                }
            }
            streams.compose(&mut draft.submission.stages);
        }
        for at in 0..draft.operators.len() {
            let Submitted { tenant, operator, .. } = draft.operators[at];
            let Some(run) = self.runs.iter().position(|r| r.tenant == tenant) else { continue };
            if operator >= self.runs[run].next {
                self.stage(run, draft, board, combos);
            }
        }
        if recorded {
            self.record(draft);
        }
    }

    /// The next stages of a run.
    fn stage(&mut self, at: usize, draft: &mut Draft, board: &Board, combos: &mut Combos) {
        let run = self.runs[at];
        let Some(tenant) = board.get(run.tenant) else { return };
        let first = draft.submission.stages.len() as u32;
        match tenant.plan.segments.form(run.next, run.end) {
            Form::Apart(timed) => {
                push_apart(tenant, run.next, &mut draft.submission.stages);
                self.runs[at].next += 1;
                let stages = first..draft.submission.stages.len() as u32;
                if timed && !stages.is_empty() {
                    draft.measured.push(Measured { stages, what: What::Operator(run.tenant, run.next) });
                }
            }
            Form::Chain(operators, true) => {
                let mut stage = Stage::default();
                chain_slices(&tenant.shared.recording, tenant.recording, operators.clone(), &mut stage.slices);
                self.runs[at].next = operators.end;
                draft.submission.stages.push(stage);
                draft.measured.push(Measured { stages: first..first + 1, what: What::Chain(run.tenant, operators) });
            }
            Form::Chain(operators, false) => self.combine(at, operators, draft, board, combos),
        }
    }

    /// A stage of a run's chain and of chains of others.
    fn combine(&mut self, at: usize, operators: Range<u32>, draft: &mut Draft, board: &Board, combos: &mut Combos) {
        self.chains.clear();
        self.chains.push((at, operators));
        let others = self.runs.iter().enumerate().filter(|(other, r)| *other != at && r.next < r.end);
        let chains = others.filter_map(|(other, r)| match board.get(r.tenant)?.plan.segments.form(r.next, r.end) {
            Form::Chain(operators, false) => Some((other, operators)),
            _ => None,
        });
        self.chains.extend(chains.take(combos.chains_max().min(CHAINS_MAX) - 1));
        let mut combination = None;
        while self.chains.len() > 1 {
            let key = Key::new(self.chains.iter().filter_map(|(at, operators)| {
                let run = &self.runs[*at];
                let (start, _) = board.get(run.tenant)?.plan.segments.chain(operators)?;
                Some((run.tenant, start))
            }));
            if let Some(timed) = combos.runs(&key) {
                combination = Some((key, timed));
                break;
            }
            self.chains.pop();
        }
        // Isolated memory is numbered in the order of the chains, so that is always the same.
        let Composer { runs, chains, .. } = self;
        chains.sort_unstable_by_key(|(at, _)| runs[*at].tenant);
        let mut stage = Stage::default();
        let mut apart_ns = 0.0;
        for (at, operators) in chains.drain(..) {
            let Some(tenant) = board.get(runs[at].tenant) else { continue };
            apart_ns += tenant.plan.segments.chain(&operators).map_or(0.0, |(_, ns)| ns);
            runs[at].next = operators.end;
            chain_slices(&tenant.shared.recording, tenant.recording, operators, &mut stage.slices);
        }
        let number = draft.submission.stages.len() as u32;
        draft.submission.stages.push(stage);
        if let Some((key, true)) = combination {
            let what = What::Combination(key, apart_ns);
            draft.measured.push(Measured { stages: number..number + 1, what });
        }
    }

    /// Notes whose each slice is.
    fn record(&self, draft: &mut Draft) {
        for (stage, number) in draft.submission.stages.iter().zip(0..) {
            for (slice, at) in stage.slices.iter().zip(0..) {
                let Some(run) = self.runs.iter().find(|r| r.recording == slice.recording) else { continue };
                let (tenant, request) = (run.tenant, run.request);
                draft.launched.push(Launched { tenant, request, stage: number, at, slice: slice.clone() });
            }
        }
    }
}

impl Run {
    fn of(s: &Submitted, board: &Board) -> Option<Run> {
        let recording = board.get(s.tenant)?.recording;
        let Submitted { tenant, request, operator, .. } = *s;
        Some(Run { tenant, request, recording, next: operator, end: operator + 1 })
    }
}

/// An operator as a stage for each of its slices.
fn push_apart(tenant: &Loaded, operator: u32, stages: &mut Vec<Stage>) {
    let Some(Step::Launches(cuts)) = tenant.plan.steps.get(operator as usize) else { return };
    stages.extend(cuts.iter().map(|(launch, cut)| {
        Stage::of(Slice {
            recording: tenant.recording,
            operation: operator,
            launch: *launch,
            tiles: cut.tiles.clone(),
            workers: cut.workers,
            follows: false,
        })
    }));
}
