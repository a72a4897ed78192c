//! A schedule that needs fewer co-kernels: what is compiled once for each set of kernels can take longer than it ever gains, on
//! drivers that take seconds for one, and large networks have hundreds of sets.
//!
//! Sets are kept in order of what their stages gain over dispatches of their own, for the code that has to be compiled; a stage
//! whose kernels are all in a set that is kept needs none of its own. The stages of all others are undone: their pieces follow each
//! other with all their workers.

use std::collections::HashMap;

use super::cost::Estimated;
use super::{ChainForm, Problem, Schedule, Stage};

/// Kernels of a stage of several pieces, in order.
type Set = Vec<u32>;

impl Schedule {
    /// This schedule with co-kernels of at most so much code altogether, where each kernel, by its number, has the size that `code` says
    /// ([`crate::hal::Device::code_size`]); and the code that it has then. The same where chains are streams, which nothing is compiled for.
    pub fn lean(&self, problem: &Problem, code: &[u32], code_max: u64) -> (Schedule, u64) {
        if !matches!(problem.machine.chains, ChainForm::CoKernel { .. }) {
            return (self.clone(), 0);
        }
        let mut part = problem.clone();
        part.machine.slots = (problem.machine.slots / self.lanes.len().max(1) as u32).max(1);
        let mut counted = Estimated::new();
        let mut gains: HashMap<Set, f64> = HashMap::new();
        for stage in self.lanes.iter().flatten().filter(|s| is_cokernel(s)) {
            let apart: f64 = undone(&part, stage).map(|s| counted.stage_ns(&part, &s)).sum();
            *gains.entry(kernels(problem, stage)).or_default() += apart - counted.stage_ns(&part, stage);
        }
        let size = |set: &Set| set.iter().map(|k| u64::from(code[*k as usize])).sum();
        let kept = kept(gains, &size, code_max);
        let is_kept = |stage: &Stage| {
            let set = kernels(problem, stage);
            kept.iter().any(|k| is_within(&set, k))
        };
        let lean = |stages: &Vec<Stage>| {
            let keep = |stage: &Stage| match is_cokernel(stage) && !is_kept(stage) {
                true => undone(problem, stage).collect(),
                false => vec![stage.clone()],
            };
            stages.iter().flat_map(keep).collect()
        };
        (Schedule { lanes: self.lanes.iter().map(lean).collect() }, kept.iter().map(size).sum())
    }
}

/// The sets that are worth most, up to so much code.
fn kept(gains: HashMap<Set, f64>, size: &dyn Fn(&Set) -> u64, code_max: u64) -> Vec<Set> {
    let mut open: Vec<(Set, f64)> = gains.into_iter().filter(|(_, ns)| *ns > 0.0).collect();
    // For the same order whatever the table's.
    open.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
    let mut kept: Vec<Set> = Vec::new();
    let mut code = 0;
    while !open.is_empty() {
        // What a set brings, with all that it serves besides.
        let worth = |set: &Set| open.iter().filter(|(s, _)| is_within(s, set)).map(|(_, ns)| ns).sum::<f64>();
        let fits = |(_, (set, _)): &(usize, &(Set, f64))| code + size(set) <= code_max;
        let fitting = open.iter().enumerate().filter(fits);
        let by_worth = fitting.map(|(at, (set, _))| (worth(set) / size(set).max(1) as f64, at));
        let Some((_, best)) = by_worth.max_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        let (set, _) = open.swap_remove(best);
        open.retain(|(s, _)| !is_within(s, &set));
        code += size(&set);
        kept.push(set);
    }
    kept
}

fn is_cokernel(stage: &Stage) -> bool {
    stage.pieces().nth(1).is_some()
}

fn kernels(problem: &Problem, stage: &Stage) -> Set {
    let mut set: Set = stage.pieces().map(|p| problem.launch(p.tenant, p.launch).kernel).collect();
    set.sort_unstable();
    set.dedup();
    set
}

fn is_within(set: &Set, other: &Set) -> bool {
    set.len() <= other.len() && set.iter().all(|k| other.binary_search(k).is_ok())
}

/// The pieces of a stage as stages, each with as many workers as its launch has alone.
fn undone<'a>(problem: &'a Problem, stage: &'a Stage) -> impl Iterator<Item = Stage> + 'a {
    stage.pieces().map(|piece| {
        let workers = problem.launch(piece.tenant, piece.launch).workers().min(piece.n_tiles()).max(piece.workers);
        Stage::of(super::Piece { workers, ..*piece })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interleave::search::{Budget, Greedy, Search, still};
    use crate::interleave::synthetic;

    fn sizes(problem: &Problem) -> Vec<u32> {
        (0..problem.kernels.len() as u32).map(|k| 50 + k).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_lean_schedule_is_right_and_within_its_bound(tenants in 1usize..6, launches in 1usize..40, seed: u64, most in 0u64..6_000) {
            let problem = synthetic::mixed(tenants, launches, seed);
            let budget = Budget::evaluations(50, still());
            let found = Greedy::default().search(&problem, &mut Estimated::new(), &budget).unwrap().schedule;
            let (lean, code) = found.lean(&problem, &sizes(&problem), most);
            prop_assert_eq!(lean.check(&problem), Ok(()));
            prop_assert!(code <= most);
            let left: std::collections::HashSet<Set> =
                lean.lanes.iter().flatten().filter(|s| is_cokernel(s)).map(|s| kernels(&problem, s)).collect();
            prop_assert!(left.iter().all(|set| set.iter().map(|k| 50 + u64::from(*k)).sum::<u64>() <= most));
            prop_assert!(lean.pieces().count() == found.pieces().count());
        }
    }

    #[test]
    fn with_room_for_all_nothing_changes_and_with_none_all_is_undone() {
        let problem = synthetic::chains(&[6, 6]);
        let schedule = Schedule::side_by_side(&problem);
        let (same, code) = schedule.lean(&problem, &sizes(&problem), 100_000);
        assert_eq!(same, schedule);
        assert!(code > 1);
        let (none, code) = schedule.lean(&problem, &sizes(&problem), 0);
        assert!(!none.lanes.iter().flatten().any(is_cokernel) && code == 0);
        assert_eq!(none.check(&problem), Ok(()));
    }

    #[test]
    fn streams_stay_as_they_are() {
        let mut problem = synthetic::chains(&[6, 6]);
        problem.machine = synthetic::streams();
        let schedule = Schedule::side_by_side(&problem);
        assert_eq!(schedule.lean(&problem, &sizes(&problem), 0), (schedule, 0));
    }
}
