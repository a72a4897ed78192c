//! How often a worker of a co-kernel passes over the bodies of its stage.
//!
//! Bodies stand in a cyclic order; each runs all next pieces of the worker's chain that are of its kernel. So a chain takes a
//! pass more whenever the next piece's body stands before that of the last one. The order is that of first use, chain after
//! chain, as backends have it; so the chain of most pieces should stand first.

use crate::interleave::{Chain, Problem, Stage};

/// Counts bodies and passes; keeps its tables between stages.
#[derive(Clone, Debug, Default)]
pub struct Passes {
    /// The place of each kernel's body, where `seen` is the number of this stage.
    place: Vec<u32>,
    seen: Vec<u32>,
    stage: u32,
    bodies: u32,
}

impl Passes {
    /// Orders the bodies of `stage`; how many there are.
    pub fn order(&mut self, problem: &Problem, stage: &Stage) -> u32 {
        self.stage += 1;
        self.bodies = 0;
        self.place.resize(problem.kernels.len(), 0);
        self.seen.resize(problem.kernels.len(), 0);
        for piece in stage.pieces() {
            let kernel = problem.launch(piece.tenant, piece.launch).kernel as usize;
            if self.seen[kernel] != self.stage {
                self.seen[kernel] = self.stage;
                self.place[kernel] = self.bodies;
                self.bodies += 1;
            }
        }
        self.bodies
    }

    /// Passes of a chain of the stage that was ordered last.
    pub fn of(&self, problem: &Problem, chain: &Chain) -> u32 {
        let mut passes = 1;
        let mut at = 0;
        for piece in &chain.pieces {
            let place = self.place[problem.launch(piece.tenant, piece.launch).kernel as usize];
            passes += u32::from(place < at);
            at = place;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::{Piece, synthetic};

    #[test]
    fn a_pass_ends_where_a_body_stands_before_the_last() {
        let mut problem = synthetic::chains(&[6, 2]);
        for (launch, kernel) in [3, 3, 5, 3, 5, 3].into_iter().enumerate() {
            problem.models[0].launches[launch].kernel = kernel;
        }
        problem.models[1].launches[0].kernel = 5;
        problem.models[1].launches[1].kernel = 9;
        let whole = |tenant, n| Chain { pieces: (0..n).map(|l| Piece::whole(&problem, tenant, l, 1)).collect() };
        let stage = Stage { chains: vec![whole(0, 6), whole(1, 2)] };
        let mut passes = Passes::default();
        assert_eq!(passes.order(&problem, &stage), 3);
        assert_eq!(passes.of(&problem, &stage.chains[0]), 3, "3 3 5, 3 5, 3");
        assert_eq!(passes.of(&problem, &stage.chains[1]), 1, "5 9");
    }
}
