//! Coordinate descent over sync pointers (Runtime-Aware, ICCAD'21): one pointer of one tenant at a time is moved while all others
//! stay; what is better is kept. Steps begin at a quarter of a segment and are halved when a round over all pointers brought
//! nothing. Numbers of segments are tried in turn, then random beginnings, until the budget ends.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::hunt::Hunt;
use super::pointers::{Pointers, segment_counts};
use super::{Budget, Found, Search};
use crate::interleave::Problem;
use crate::interleave::cost::{CostError, CostModel};

/// Beginnings that may bring nothing, one after the other.
const VAIN_MAX: u32 = 20;

/// The descent.
#[derive(Clone, Debug)]
pub struct CoordinateDescent {
    seed: u64,
}

impl CoordinateDescent {
    /// The seed decides in which order pointers are moved, and the beginnings after the first ones.
    pub fn new(seed: u64) -> CoordinateDescent {
        CoordinateDescent { seed }
    }
}

impl Search for CoordinateDescent {
    fn search(&mut self, problem: &Problem, cost: &mut dyn CostModel, budget: &Budget) -> Result<Found, CostError> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut hunt = Hunt::begin(problem, cost, budget)?;
        let counts = segment_counts(problem);
        for &segments in &counts {
            if hunt.goes_on() {
                descend(&mut hunt, Pointers::even(problem, segments), &mut rng)?;
            }
        }
        let mut vain = 0;
        while hunt.goes_on() && vain < VAIN_MAX {
            let (_, before) = hunt.best();
            let segments = counts[rng.random_range(0..counts.len())];
            descend(&mut hunt, Pointers::random(problem, segments, &mut rng), &mut rng)?;
            vain = if hunt.best().1 < before { 0 } else { vain + 1 };
        }
        Ok(hunt.end())
    }
}

/// Moves pointers as long as that brings something.
fn descend(hunt: &mut Hunt, mut pointers: Pointers, rng: &mut StdRng) -> Result<(), CostError> {
    let problem = hunt.problem;
    let mut ns = hunt.consider(pointers.schedule(problem))?;
    let segments = pointers.of_tenant.first().map_or(0, Vec::len);
    let mut coordinates: Vec<(usize, usize)> =
        (0..pointers.of_tenant.len()).flat_map(|t| (0..segments).map(move |j| (t, j))).collect();
    let longest = problem.models.iter().map(|m| m.launches.len()).max().unwrap_or(0);
    let mut step = (longest / (4 * (segments + 1))).max(1) as i64;
    loop {
        let mut better = false;
        coordinates.shuffle(rng);
        for &(tenant, j) in &coordinates {
            for change in [step, -step] {
                if !hunt.goes_on() {
                    return Ok(());
                }
                let ends = &pointers.of_tenant[tenant];
                let low = if j == 0 { 0 } else { ends[j - 1] };
                let high = ends.get(j + 1).copied().unwrap_or(problem.models[tenant].launches.len() as u32);
                let moved = (i64::from(ends[j]) + change).clamp(i64::from(low), i64::from(high)) as u32;
                if moved == ends[j] {
                    continue;
                }
                let mut changed = pointers.clone();
                changed.of_tenant[tenant][j] = moved;
                let changed_ns = hunt.consider(changed.schedule(problem))?;
                if changed_ns < ns {
                    (pointers, ns, better) = (changed, changed_ns, true);
                    break;
                }
            }
        }
        match (better, step) {
            (true, _) => {}
            (false, 1) => return Ok(()),
            (false, _) => step = (step / 2).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{never_worse_than_the_baselines, search};
    use super::super::{RandomPointers, Search};
    use super::*;
    use crate::interleave::synthetic;

    #[test]
    fn it_beats_random_search_at_the_same_budget() {
        let total = |make: &dyn Fn() -> Box<dyn Search>| -> f64 {
            let problems = (0..6).map(|seed| {
                let mut problem = synthetic::mixed(3, 40, seed);
                problem.machine = synthetic::streams();
                problem.machine.units = 2;
                problem.machine.slots = 2;
                problem
            });
            problems.map(|p| search(make().as_mut(), &p, 400).ns / p.bound_ns()).sum()
        };
        let random = total(&|| Box::new(RandomPointers::new(7)));
        let descent = total(&|| Box::new(CoordinateDescent::new(7)));
        assert!(descent <= random * 1.001, "{descent} {random}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn it_is_right_and_never_worse(tenants in 1usize..6, launches in 1usize..30, seed: u64, streams: bool) {
            never_worse_than_the_baselines(&mut CoordinateDescent::new(seed), tenants, launches, seed, streams);
        }
    }
}
