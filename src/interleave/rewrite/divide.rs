//! A stage becomes two: the inverse of joining. It lets chains be dealt out anew at the border, and leaves fewer kernels to each.

use super::{Rewrite, checked};
use crate::interleave::{Chain, Piece, Problem, Schedule, Stage};

/// Puts a border into a stage: of every chain the first part by time, in whole pieces, stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divide {
    /// The lane.
    pub lane: usize,
    /// The stage.
    pub stage: usize,
    /// The part of each chain's time that stays, in [0, 1].
    pub at: f64,
}

impl Rewrite for Divide {
    fn apply(&self, problem: &Problem, schedule: &Schedule) -> Option<Schedule> {
        let stage = schedule.lanes.get(self.lane)?.get(self.stage)?;
        let halves = divided(problem, stage, self.at)?;
        let mut changed = schedule.clone();
        changed.lanes[self.lane].splice(self.stage..=self.stage, halves);
        checked(problem, changed)
    }
}

/// Both parts of a stage, which are right where it is; `None` where one of them would be empty.
pub(in crate::interleave) fn divided(problem: &Problem, stage: &Stage, at: f64) -> Option<[Stage; 2]> {
    let mut halves = [Stage::default(), Stage::default()];
    for chain in &stage.chains {
        let time = |p: &Piece| problem.launch(p.tenant, p.launch).tiles_ns(p.n_tiles());
        let all: f64 = chain.pieces.iter().map(time).sum();
        let mut sum = 0.0;
        let stays = |p: &&Piece| {
            sum += time(p);
            sum - time(p) / 2.0 <= all * at
        };
        let n = chain.pieces.iter().take_while(stays).count();
        for (half, pieces) in halves.iter_mut().zip([&chain.pieces[..n], &chain.pieces[n..]]) {
            if !pieces.is_empty() {
                half.chains.push(Chain { pieces: pieces.to_vec() });
            }
        }
    }
    halves.iter().all(|h| !h.chains.is_empty()).then_some(halves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::synthetic;

    #[test]
    fn every_chain_is_divided_at_the_same_part_of_its_time() {
        let problem = synthetic::chains(&[4, 2]);
        let schedule = Schedule::side_by_side(&problem);
        let divided = Divide { lane: 0, stage: 0, at: 0.5 }.apply(&problem, &schedule).unwrap();
        assert_eq!(
            divided.to_string(),
            "lane 0\n  0.0[0..8]x1 0.1[0..8]x1 | 1.0[0..8]x1\n  0.2[0..8]x1 0.3[0..8]x1 | 1.1[0..8]x1\n"
        );
        assert_eq!(Divide { lane: 0, stage: 0, at: 1.0 }.apply(&problem, &schedule), None);
    }
}
