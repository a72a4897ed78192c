//! Two neighbouring stages become one: what followed a border follows in its chain. It saves a dispatch and the wait of the
//! shorter chains for the longest.

use super::{Rewrite, checked};
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
        let joined = joined(first, second);
        let mut changed = schedule.clone();
        let stages = &mut changed.lanes[self.lane];
        stages.remove(self.stage + 1);
        stages[self.stage] = joined;
        checked(problem, changed)
    }
}

fn joined(first: &Stage, second: &Stage) -> Stage {
    let mut chains: Vec<Chain> = first.chains.clone();
    for chain in &second.chains {
        let shares = |other: &Chain| other.pieces.iter().any(|a| chain.pieces.iter().any(|b| a.tenant == b.tenant));
        // All chains that it may depend on come before it.
        let (before, mut apart): (Vec<Chain>, Vec<Chain>) = chains.into_iter().partition(shares);
        let pieces = before.into_iter().flat_map(|c| c.pieces).chain(chain.pieces.iter().copied()).collect();
        apart.push(Chain { pieces });
        chains = apart;
    }
    Stage { chains }
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
