//! Polishing: borders put in and taken out where that is cheaper by the counted cost, stage by stage in one walk over a lane.
//!
//! A border costs a dispatch, and the shorter chains wait there; it leaves fewer kernels to each side, over whose bodies workers
//! pass.

use crate::interleave::cost::Estimated;
use crate::interleave::rewrite::{divided, joined};
use crate::interleave::{Problem, Stage};

/// Where a border is tried, as parts of each chain's time.
const BORDERS: [f64; 5] = [0.5, 0.25, 0.75, 0.1, 0.9];

/// Stages into which one may become, as a power of two.
const DEPTH_MAX: u32 = 4;

/// Pieces of a stage made by joining: more are not worth the time to look at them again and again.
const JOINED_PIECES_MAX: usize = 400;

/// Polishes lanes; it keeps the tables of its cost model.
#[derive(Clone, Debug, Default)]
pub(super) struct Polish {
    counted: Estimated,
}

impl Polish {
    /// The lane's stages with better borders.
    pub(super) fn lane(&mut self, problem: &Problem, stages: Vec<Stage>) -> Vec<Stage> {
        let mut parts = Vec::with_capacity(stages.len());
        for stage in stages {
            let ns = self.counted.stage_ns(problem, &stage);
            self.divide(problem, stage, ns, DEPTH_MAX, &mut parts);
        }
        let mut polished: Vec<(Stage, f64)> = Vec::with_capacity(parts.len());
        for (stage, ns) in parts {
            match polished.last_mut() {
                Some(last) => match self.joined(problem, last, (&stage, ns)) {
                    Some(both) => *last = both,
                    None => polished.push((stage, ns)),
                },
                None => polished.push((stage, ns)),
            }
        }
        polished.into_iter().map(|(stage, _)| stage).collect()
    }

    fn divide(&mut self, problem: &Problem, stage: Stage, ns: f64, depth: u32, parts: &mut Vec<(Stage, f64)>) {
        let mut best: Option<(f64, [(Stage, f64); 2])> = None;
        if depth > 0 && stage.pieces().nth(1).is_some() {
            for at in BORDERS {
                let Some(halves) = divided(problem, &stage, at) else { continue };
                let halves = halves.map(|half| {
                    let ns = self.counted.stage_ns(problem, &half);
                    (half, ns)
                });
                let sum_ns = halves[0].1 + halves[1].1;
                if sum_ns < best.as_ref().map_or(ns, |b| b.0) {
                    best = Some((sum_ns, halves));
                }
            }
        }
        match best {
            None => parts.push((stage, ns)),
            Some((_, halves)) => {
                halves.into_iter().for_each(|(half, ns)| self.divide(problem, half, ns, depth - 1, parts));
            }
        }
    }

    fn joined(&mut self, problem: &Problem, first: &(Stage, f64), second: (&Stage, f64)) -> Option<(Stage, f64)> {
        if first.0.pieces().chain(second.0.pieces()).nth(JOINED_PIECES_MAX).is_some() {
            return None;
        }
        let both = joined(problem, &first.0, second.0)?;
        let ns = self.counted.stage_ns(problem, &both);
        (ns < first.1 + second.1).then_some((both, ns))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interleave::cost::CostModel;
    use crate::interleave::{Schedule, synthetic};

    #[test]
    fn launches_of_a_stage_each_are_joined() {
        let problem = synthetic::chains(&[6]);
        let stages = Polish::default().lane(&problem, Schedule::sequential(&problem).lanes.remove(0));
        assert_eq!(stages.len(), 1, "a dispatch takes longer than the launches together");
    }

    proptest! {
        #[test]
        fn it_is_right_and_never_worse(tenants in 1usize..6, launches in 1usize..30, seed: u64, streams: bool) {
            let mut problem = synthetic::mixed(tenants, launches, seed);
            if streams {
                problem.machine = synthetic::streams();
            }
            for schedule in [Schedule::breadth_first(&problem), Schedule::side_by_side(&problem)] {
                let before = Estimated::new().schedule(&problem, &schedule).unwrap().ns;
                let lanes = schedule.lanes.into_iter().map(|l| Polish::default().lane(&problem, l)).collect();
                let polished = Schedule { lanes };
                prop_assert_eq!(polished.check(&problem), Ok(()), "{}", polished);
                prop_assert!(Estimated::new().schedule(&problem, &polished).unwrap().ns <= before * (1.0 + 1e-9));
            }
        }
    }
}
