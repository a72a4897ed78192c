//! Rewrites: small changes of a schedule that keep it right. A search applies them by the thousand; each can be applied and looked
//! at by itself.
//!
//! A rewrite of a right schedule answers a right one, or none where it does not apply. It says nothing about cost.

mod border;
mod divide;
mod join;
mod split;

pub use border::{Border, Way};
pub use divide::Divide;
pub(super) use divide::divided;
pub use join::Join;
pub(super) use join::joined;
pub use split::{Onto, Split};

use std::fmt;

use super::{Problem, Schedule, Stage};

/// A change of a schedule.
pub trait Rewrite: fmt::Debug {
    /// The changed schedule; `None` where it does not apply.
    fn apply(&self, problem: &Problem, schedule: &Schedule) -> Option<Schedule>;
}

/// Where a piece stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its lane.
    pub lane: usize,
    /// Its stage in the lane.
    pub stage: usize,
    /// Its chain in the stage.
    pub chain: usize,
    /// Its number in the chain.
    pub piece: usize,
}

/// What a change left, without empty chains and stages, if it is right.
pub(super) fn checked(problem: &Problem, mut schedule: Schedule) -> Option<Schedule> {
    for stages in &mut schedule.lanes {
        for stage in stages.iter_mut() {
            stage.chains.retain(|c| !c.pieces.is_empty());
            single_workers(problem, stage);
        }
        stages.retain(|s| !s.chains.is_empty());
    }
    schedule.check(problem).is_ok().then_some(schedule)
}

/// Chains of several pieces have single workers on machines that want it, and all others beside them.
fn single_workers(problem: &Problem, stage: &mut Stage) {
    if problem.machine.single_workers() && stage.chains.iter().any(|c| c.pieces.len() > 1) {
        stage.chains.iter_mut().flat_map(|c| &mut c.pieces).for_each(|p| p.workers = 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interleave::synthetic;

    /// Any rewrite with small numbers.
    fn rewrites() -> impl Strategy<Value = Box<dyn Rewrite>> {
        let place = (0usize..2, 0usize..6, 0usize..3, 0usize..5).prop_map(|(lane, stage, chain, piece)| Place {
            lane,
            stage,
            chain,
            piece,
        });
        let onto = prop_oneof![Just(None), (0usize..3).prop_map(Some)];
        let split = (place, 1u32..9, prop_oneof![Just(Onto::SameStage), Just(Onto::NextStage)], onto.clone())
            .prop_map(|(at, keep, to, chain)| Box::new(Split { at, keep, to, chain }) as Box<dyn Rewrite>);
        let way = prop_oneof![Just(Way::Later), Just(Way::Earlier)];
        let border = (0usize..6, 0usize..3, 1usize..4, way, onto).prop_map(|(stage, chain, pieces, way, onto)| {
            Box::new(Border { lane: 0, stage, chain, pieces, way, onto }) as Box<dyn Rewrite>
        });
        let join = (0usize..6).prop_map(|stage| Box::new(Join { lane: 0, stage }) as Box<dyn Rewrite>);
        let divide = (0usize..6, 0.0f64..1.0)
            .prop_map(|(stage, at)| Box::new(Divide { lane: 0, stage, at }) as Box<dyn Rewrite>);
        prop_oneof![split, border, join, divide]
    }

    proptest! {
        #[test]
        fn rewritten_schedules_are_right(
            tenants in 1usize..5, launches in 1usize..12, seed: u64, streams: bool, rewrites in prop::collection::vec(rewrites(), 1..40)
        ) {
            let mut problem = synthetic::mixed(tenants, launches, seed);
            if streams {
                problem.machine = synthetic::streams();
            }
            let mut schedule = match seed % 3 {
                0 => Schedule::sequential(&problem),
                1 => Schedule::breadth_first(&problem),
                _ => Schedule::side_by_side(&problem),
            };
            for rewrite in rewrites {
                if let Some(changed) = rewrite.apply(&problem, &schedule) {
                    prop_assert_eq!(changed.check(&problem), Ok(()), "{}", changed);
                    prop_assert_ne!(&changed, &schedule);
                    schedule = changed;
                }
            }
        }
    }
}
