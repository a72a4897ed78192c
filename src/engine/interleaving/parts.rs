//! Parts of a problem: some tenants with their part of the machine, whose schedules are made the whole's again.

use crate::interleave::{Chain, Piece, Problem, Stage};

/// The problem of some tenants, as one of so many lanes.
pub(super) fn part_of(problem: &Problem, tenants: &[u32], lanes: usize) -> Problem {
    let mut part = problem.clone();
    part.models = tenants.iter().map(|&t| problem.models[t as usize].clone()).collect();
    part.machine.slots = (problem.machine.slots / lanes as u32).max(1);
    part.machine.lanes = 1;
    part
}

/// A stage of a part with the tenants' numbers in the whole.
pub(super) fn renamed(stage: &Stage, tenants: &[u32]) -> Stage {
    let piece = |p: &Piece| Piece { tenant: tenants[p.tenant as usize], ..*p };
    let chain = |c: &Chain| Chain { pieces: c.pieces.iter().map(piece).collect() };
    Stage { chains: stage.chains.iter().map(chain).collect() }
}
