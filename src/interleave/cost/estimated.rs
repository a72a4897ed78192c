//! Cost by counting: from the launches' times by one worker and alone, and the machine's figures.
//!
//! A stage takes its dispatch and the longest of: its chains as the units take them up one after another; its work spread
//! over all slots; its bytes over the bandwidth; with streams, the host's launches. Nothing is known here of caches, nor of a
//! launch's neighbours beyond units and bandwidth.

use super::{CostError, CostModel, Estimate, Passes};
use crate::interleave::{Chain, ChainForm, Piece, Problem, Stage};

/// What is said about how far it is off; stages of the software devices were off by about as much.
const RELATIVE_ERROR: f64 = 0.3;

/// The analytic model.
#[derive(Clone, Debug, Default)]
pub struct Estimated {
    passes: Passes,
    /// When each slot is free.
    free_ns: Vec<f64>,
}

/// What a stage consists of, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Parts {
    /// Dispatch, events, launches by the host.
    pub(super) start_ns: f64,
    /// The longest chain's pieces alone.
    pub(super) longest_ns: f64,
    /// All work over the slots.
    pub(super) work_ns: f64,
    /// Passes over bodies of the chain with most of them.
    pub(super) bodies_ns: f64,
    /// Gaps of the longest chain.
    pub(super) gaps_ns: f64,
    /// All bytes over the bandwidth.
    pub(super) traffic_ns: f64,
    /// Time of all slots together: pieces, gaps and passes of every chain.
    pub(super) slot_ns: f64,
    /// The whole stage.
    pub(super) ns: f64,
}

impl Estimated {
    /// A model with tables of its own.
    pub fn new() -> Estimated {
        Estimated::default()
    }

    /// What a stage takes, in ns.
    pub fn stage_ns(&mut self, problem: &Problem, stage: &Stage) -> f64 {
        self.parts(problem, stage).ns
    }

    pub(super) fn parts(&mut self, problem: &Problem, stage: &Stage) -> Parts {
        match problem.machine.chains {
            ChainForm::CoKernel { body_ns, .. } => self.co_kernel(problem, stage, body_ns),
            ChainForm::Streams { streams, launch_ns, join_ns } => {
                let mut parts = of_work(problem, stage);
                let mut sum_ns = 0.0;
                for chain in &stage.chains {
                    let (ns, gaps_ns) = chain_ns(problem, chain);
                    sum_ns += ns + gaps_ns;
                    if ns > parts.longest_ns {
                        (parts.longest_ns, parts.gaps_ns) = (ns, gaps_ns);
                    }
                }
                parts.slot_ns = parts.work_ns * f64::from(problem.machine.slots);
                let pieces = stage.pieces().count() as f64;
                let joins = stage.chains.len().saturating_sub(1) as f64;
                parts.start_ns = pieces * launch_ns + joins * join_ns;
                let device = (parts.longest_ns + parts.gaps_ns).max(parts.work_ns).max(parts.traffic_ns);
                let queued = sum_ns / f64::from(streams.max(1));
                parts.ns = problem.machine.dispatch_ns + device.max(queued).max(parts.start_ns);
                parts
            }
        }
    }

    fn co_kernel(&mut self, problem: &Problem, stage: &Stage, body_ns: f64) -> Parts {
        let machine = &problem.machine;
        let mut parts = of_work(problem, stage);
        parts.start_ns = machine.dispatch_ns;
        let bodies = self.passes.order(problem, stage);
        // A launch by itself runs its own kernel.
        let pass_ns = if stage.pieces().nth(1).is_some() { f64::from(bodies) * body_ns } else { 0.0 };
        self.free_ns.clear();
        self.free_ns.resize((machine.slots as usize).min(stage.chains.len()), 0.0);
        let mut end_ns = 0.0f64;
        let mut wide_ns = 0.0f64;
        for chain in &stage.chains {
            let (work_ns, gaps_ns) = chain_ns(problem, chain);
            let bodies_ns = pass_ns * f64::from(self.passes.of(problem, chain));
            if work_ns > parts.longest_ns {
                (parts.longest_ns, parts.gaps_ns) = (work_ns, gaps_ns);
            }
            parts.bodies_ns = parts.bodies_ns.max(bodies_ns);
            let ns = work_ns + gaps_ns + bodies_ns;
            let workers = chain.pieces.iter().map(|p| p.workers.min(p.n_tiles())).max().unwrap_or(1);
            let tiles_ns: f64 = chain.pieces.iter().map(|p| tiles_ns(problem, p)).sum();
            parts.slot_ns += tiles_ns + (gaps_ns + bodies_ns) * f64::from(workers);
            if chain.pieces.iter().any(|p| p.workers > 1) {
                wide_ns = wide_ns.max(ns);
                continue;
            }
            // A free slot takes up the next chain.
            let slot = (0..self.free_ns.len()).min_by(|&a, &b| self.free_ns[a].total_cmp(&self.free_ns[b]));
            if let Some(slot) = slot {
                self.free_ns[slot] += ns;
                end_ns = end_ns.max(self.free_ns[slot]);
            }
        }
        parts.ns = parts.start_ns + end_ns.max(wide_ns).max(parts.work_ns).max(parts.traffic_ns);
        parts
    }
}

impl CostModel for Estimated {
    fn name(&self) -> &'static str {
        "estimated"
    }

    fn stage(&mut self, problem: &Problem, stage: &Stage) -> Result<Estimate, CostError> {
        Ok(Estimate { ns: self.stage_ns(problem, stage), relative_error: RELATIVE_ERROR })
    }
}

/// The parts that do not depend on chains.
fn of_work(problem: &Problem, stage: &Stage) -> Parts {
    let mut parts = Parts::default();
    for piece in stage.pieces() {
        let launch = problem.launch(piece.tenant, piece.launch);
        let n = piece.n_tiles();
        parts.work_ns += launch.tiles_ns(n);
        parts.traffic_ns += launch.bytes * f64::from(n) / f64::from(launch.tiles.max(1));
    }
    parts.work_ns /= f64::from(problem.machine.slots);
    parts.traffic_ns /= problem.machine.gbs;
    parts
}

/// A piece by one worker, in ns.
fn tiles_ns(problem: &Problem, piece: &Piece) -> f64 {
    problem.launch(piece.tenant, piece.launch).tiles_ns(piece.n_tiles())
}

/// The pieces of a chain, and the gaps between them, in ns.
fn chain_ns(problem: &Problem, chain: &Chain) -> (f64, f64) {
    let work = chain.pieces.iter().map(|p| piece_ns(problem, p)).sum();
    (work, chain.pieces.len().saturating_sub(1) as f64 * problem.machine.gap_ns)
}

/// A piece while nothing else runs, in ns: the tiles of its busiest worker, or its part of what the whole device takes.
pub(in crate::interleave) fn piece_ns(problem: &Problem, piece: &Piece) -> f64 {
    let launch = problem.launch(piece.tenant, piece.launch);
    let n = piece.n_tiles();
    let worker = launch.tiles_ns(n.div_ceil(piece.workers));
    if piece.workers == 1 {
        return worker;
    }
    let alone = launch.alone_ns * f64::from(n) / f64::from(launch.tiles.max(1));
    worker.max(alone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::{Schedule, synthetic};

    fn schedule_ns(problem: &Problem, schedule: &Schedule) -> f64 {
        Estimated::new().schedule(problem, schedule).unwrap().ns
    }

    #[test]
    fn a_launch_alone_takes_its_dispatch_and_itself() {
        let problem = synthetic::chains(&[1]);
        assert_eq!(schedule_ns(&problem, &Schedule::sequential(&problem)), 150_000.0 + 40_000.0 + 4_000.0);
    }

    #[test]
    fn chains_of_two_tenants_overlap_on_two_cores_and_three_do_not() {
        let problem = synthetic::chains(&[2, 2, 2]);
        let chain = |tenant| Chain { pieces: (0..2).map(|l| Piece::whole(&problem, tenant, l, 1)).collect() };
        let two = Stage { chains: vec![chain(0), chain(1)] };
        let three = Stage { chains: vec![chain(0), chain(1), chain(2)] };
        let mut cost = Estimated::new();
        // Two bodies in one pass, two pieces of 8 µs with a gap.
        let chain_ns = 2.0 * 8_000.0 + 500.0 + 2.0 * 1_500.0;
        assert_eq!(cost.stage_ns(&problem, &two), 40_000.0 + chain_ns);
        assert_eq!(cost.stage_ns(&problem, &three), 40_000.0 + 2.0 * chain_ns);
    }

    #[test]
    fn streams_wait_for_the_host_when_launches_are_short() {
        let mut problem = synthetic::chains(&[2, 2]);
        problem.machine = synthetic::streams();
        let side_by_side = Schedule::side_by_side(&problem);
        let ns = Estimated::new().stage_ns(&problem, &side_by_side.lanes[0][0]);
        assert_eq!(ns, 1_500.0 + 4.0 * 5_000.0 + 4_500.0);
    }

    #[test]
    fn lanes_overlap_as_far_as_there_are_units() {
        let problem = synthetic::chains(&[4, 4]);
        let apart = schedule_ns(&problem, &Schedule::lane_per_tenant(&problem));
        // Each lane is 4 launches alone; together they have 64 µs of work for two cores.
        assert_eq!(apart, 150_000.0 + 4.0 * 44_000.0);
        let mut busy = problem.clone();
        busy.machine.dispatch_ns = 0.0;
        assert_eq!(schedule_ns(&busy, &Schedule::lane_per_tenant(&busy)), 150_000.0 + 64_000.0 / 2.0);
    }
}
