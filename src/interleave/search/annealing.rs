//! Simulated annealing over full schedules: borders, chains, tiles, workers, lanes; whatever `moves.rs` changes. It begins with
//! what greedy packing finds, cools as the budget is used up, and returns to the best when it has gone astray.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::greedy;
use super::hunt::Hunt;
use super::moves;
use super::{Budget, Found, Search};
use crate::interleave::Problem;
use crate::interleave::cost::{CostError, CostModel};

/// The part by which a schedule may be worse to be accepted with a probability of 1/e, in the beginning and at the end.
const TEMPERATURES: [f64; 2] = [0.02, 0.0002];

/// Worse than the best by this many temperatures, it goes back to the best.
const ASTRAY: f64 = 6.0;

/// Changes in a row that do not apply, after which it ends: there may be none that does.
const VAIN_MAX: u32 = 20_000;

/// The annealing.
#[derive(Clone, Debug)]
pub struct Annealing {
    seed: u64,
}

impl Annealing {
    /// The same seed makes the same changes.
    pub fn new(seed: u64) -> Annealing {
        Annealing { seed }
    }
}

impl Search for Annealing {
    fn search(&mut self, problem: &Problem, cost: &mut dyn CostModel, budget: &Budget) -> Result<Found, CostError> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut hunt = Hunt::begin(problem, cost, budget)?;
        greedy::consider_all(&mut hunt)?;
        let (mut current, mut current_ns) = (hunt.best().0.clone(), hunt.best().1);
        let mut vain = 0;
        while hunt.goes_on() && vain < VAIN_MAX {
            let Some(changed) = moves::random(problem, &current, &mut rng) else {
                vain += 1;
                continue;
            };
            vain = 0;
            let ns = hunt.ns(&changed)?;
            hunt.keep(&changed, ns);
            let temperature = TEMPERATURES[0] * (TEMPERATURES[1] / TEMPERATURES[0]).powf(hunt.used());
            let worse = (ns - current_ns) / current_ns;
            if worse <= 0.0 || rng.random::<f64>() < (-worse / temperature).exp() {
                (current, current_ns) = (changed, ns);
            }
            let (best, best_ns) = hunt.best();
            if current_ns > best_ns * (1.0 + ASTRAY * temperature) {
                (current, current_ns) = (best.clone(), best_ns);
            }
        }
        Ok(hunt.end())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Greedy;
    use super::super::tests::{never_worse_than_the_baselines, search};
    use super::*;
    use crate::interleave::synthetic;

    #[test]
    fn it_is_no_worse_than_greedy_and_better_with_a_larger_budget() {
        let problem = synthetic::mixed(3, 20, 4);
        let greedy = search(&mut Greedy::default(), &problem, 1_000).ns;
        let few = search(&mut Annealing::new(1), &problem, 300).ns;
        let many = search(&mut Annealing::new(1), &problem, 3_000).ns;
        assert!(few <= greedy && many <= few, "{greedy} {few} {many}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn it_is_right_and_never_worse(tenants in 1usize..5, launches in 1usize..20, seed: u64, streams: bool) {
            never_worse_than_the_baselines(&mut Annealing::new(seed), tenants, launches, seed, streams);
        }
    }
}
