//! Random search over sync pointers: what coordinate descent has to beat.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::hunt::Hunt;
use super::pointers::{Pointers, segment_counts};
use super::{Budget, Found, Search};
use crate::interleave::Problem;
use crate::interleave::cost::{CostError, CostModel};

/// Draws pointers until the budget ends.
#[derive(Clone, Debug)]
pub struct RandomPointers {
    seed: u64,
}

impl RandomPointers {
    /// The same seed draws the same pointers.
    pub fn new(seed: u64) -> RandomPointers {
        RandomPointers { seed }
    }
}

impl Search for RandomPointers {
    fn search(&mut self, problem: &Problem, cost: &mut dyn CostModel, budget: &Budget) -> Result<Found, CostError> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut hunt = Hunt::begin(problem, cost, budget)?;
        let counts = segment_counts(problem);
        while hunt.goes_on() {
            let segments = counts[rng.random_range(0..counts.len())];
            hunt.consider(Pointers::random(problem, segments, &mut rng).schedule(problem))?;
        }
        Ok(hunt.end())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{never_worse_than_the_baselines, search};
    use super::*;
    use crate::interleave::synthetic;

    #[test]
    fn a_larger_budget_finds_no_worse() {
        let problem = synthetic::mixed(3, 25, 8);
        let few = search(&mut RandomPointers::new(1), &problem, 20);
        let many = search(&mut RandomPointers::new(1), &problem, 200);
        assert!(many.ns <= few.ns);
        assert_eq!((few.evaluations, many.evaluations), (20, 200));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn it_is_right_and_never_worse(tenants in 1usize..6, launches in 1usize..30, seed: u64, streams: bool) {
            never_worse_than_the_baselines(&mut RandomPointers::new(seed), tenants, launches, seed, streams);
        }
    }
}
