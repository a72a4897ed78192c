//! Two neighbouring stages become one: what followed a border follows in its chain. It saves a dispatch and the wait of the
//! shorter chains for the longest.

use std::collections::HashSet;

use super::{Rewrite, checked, single_workers};
use crate::interleave::check::machine_rules;
use crate::interleave::{Chain, Problem, Schedule, Stage};

/// Puts a stage and the next one of its lane together. Chains of tenants that stand in one chain of the other stage become one
/// chain; the others stay chains of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// The lane.
    pub lane: usize,
    /// The first of both stages.
    pub stage: usize,
}

impl Rewrite for Join {
    fn apply(&self, problem: &Problem, schedule: &Schedule) -> Option<Schedule> {
        let stages = schedule.lanes.get(self.lane)?;
        let (first, second) = (stages.get(self.stage)?, stages.get(self.stage + 1)?);
        let joined = joined(problem, first, second)?;
        let mut changed = schedule.clone();
        let stages = &mut changed.lanes[self.lane];
        stages.remove(self.stage + 1);
        stages[self.stage] = joined;
        checked(problem, changed)
    }
}

/// Both stages as one, right where both are; `None` where the machine cannot run it.
pub(in crate::interleave) fn joined(problem: &Problem, first: &Stage, second: &Stage) -> Option<Stage> {
    let tenants = |chain: &Chain| chain.pieces.iter().map(|p| p.tenant).collect::<HashSet<u32>>();
    let mut chains: Vec<(HashSet<u32>, Chain)> = first.chains.iter().map(|c| (tenants(c), c.clone())).collect();
    for chain in &second.chains {
        let mut own = tenants(chain);
        // All chains that it may depend on come before it.
        let (before, mut apart): (Vec<_>, Vec<_>) = chains.into_iter().partition(|(other, _)| !other.is_disjoint(&own));
        let mut pieces = Vec::new();
        for (other, chain) in before {
            own.extend(other);
            pieces.extend(chain.pieces);
        }
        pieces.extend(&chain.pieces);
        apart.push((own, Chain { pieces }));
        chains = apart;
    }
    let mut stage = Stage { chains: chains.into_iter().map(|(_, chain)| chain).collect() };
    single_workers(problem, &mut stage);
    machine_rules(problem, &stage).is_ok().then_some(stage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::synthetic;

    #[test]
    fn tenants_go_on_in_their_chains() {
        let problem = synthetic::chains(&[2, 2, 1]);
        let schedule: Schedule =
            "lane 0\n  0.0[0..8]x1 | 1.0[0..8]x1\n  2.0[0..8]x1 | 0.1[0..8]x1\n  1.1[0..8]x8\n".parse().unwrap();
        let join = |stage| Join { lane: 0, stage }.apply(&problem, &schedule).map(|s| s.lanes[0][stage].to_string());
        assert_eq!(join(0).unwrap(), "1.0[0..8]x1 | 2.0[0..8]x1 | 0.0[0..8]x1 0.1[0..8]x1");
        assert_eq!(join(1).unwrap(), "2.0[0..8]x1 | 0.1[0..8]x1 | 1.1[0..8]x8");
        assert_eq!(join(2), None);
    }

    #[test]
    fn a_worker_that_would_do_too_much_forbids_it() {
        let mut problem = synthetic::chains(&[2]);
        problem.models[0].launches.iter_mut().for_each(|l| l.tile_iterations = 2_000);
        let schedule: Schedule = "lane 0\n  0.0[0..8]x1\n  0.1[0..8]x1\n".parse().unwrap();
        assert_eq!(Join { lane: 0, stage: 0 }.apply(&problem, &schedule), None);
    }
}
