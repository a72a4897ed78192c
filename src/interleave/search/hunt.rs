//! What every search does: count evaluations, look at the budget, keep the best.

use crate::interleave::cost::{CostError, CostModel};
use crate::interleave::{Problem, Schedule, Stage};
use crate::tensor::Nanos;

use super::{Budget, Found};

/// A search under way.
pub(super) struct Hunt<'a> {
    pub(super) problem: &'a Problem,
    cost: &'a mut dyn CostModel,
    budget: &'a Budget<'a>,
    began: Nanos,
    evaluations: u64,
    best: Schedule,
    best_ns: f64,
}

impl<'a> Hunt<'a> {
    /// Begins with the baselines.
    pub(super) fn begin(
        problem: &'a Problem,
        cost: &'a mut dyn CostModel,
        budget: &'a Budget<'a>,
    ) -> Result<Hunt<'a>, CostError> {
        let began = budget.clock.now();
        let best = Schedule::sequential(problem);
        let best_ns = cost.schedule(problem, &best)?.ns;
        let mut hunt = Hunt { problem, cost, budget, began, evaluations: 1, best, best_ns };
        hunt.consider(Schedule::side_by_side(problem))?;
        hunt.consider(Schedule::lane_per_tenant(problem))?;
        Ok(hunt)
    }

    /// Whether the budget allows another evaluation.
    pub(super) fn goes_on(&self) -> bool {
        self.evaluations < self.budget.evaluations_max
            && !self.budget.is_stopped()
            && self.budget.time_max.is_none_or(|max| self.budget.clock.now().since(self.began) < max)
    }

    /// The part of the budget that is used up, in [0, 1]: of evaluations or of time, whichever is further.
    pub(super) fn used(&self) -> f64 {
        let evaluations = self.evaluations as f64 / self.budget.evaluations_max.max(1) as f64;
        let time = self
            .budget
            .time_max
            .map_or(0.0, |max| self.budget.clock.now().since(self.began).0 as f64 / max.0.max(1) as f64);
        evaluations.max(time).min(1.0)
    }

    /// What `schedule` takes, in ns; it is kept where it is the best.
    pub(super) fn consider(&mut self, schedule: Schedule) -> Result<f64, CostError> {
        debug_assert_eq!(schedule.check(self.problem), Ok(()), "{schedule}");
        let ns = self.ns(&schedule)?;
        if ns < self.best_ns {
            (self.best, self.best_ns) = (schedule, ns);
        }
        Ok(ns)
    }

    /// Keeps `schedule`, which takes `ns`, where it is the best.
    pub(super) fn keep(&mut self, schedule: &Schedule, ns: f64) {
        if ns < self.best_ns {
            (self.best, self.best_ns) = (schedule.clone(), ns);
        }
    }

    /// What `schedule` takes, in ns; whoever asks keeps it.
    pub(super) fn ns(&mut self, schedule: &Schedule) -> Result<f64, CostError> {
        self.evaluations += 1;
        Ok(self.cost.schedule(self.problem, schedule)?.ns)
    }

    /// What a stage takes, in ns.
    pub(super) fn stage_ns(&mut self, stage: &Stage) -> Result<f64, CostError> {
        self.evaluations += 1;
        Ok(self.cost.stage(self.problem, stage)?.ns)
    }

    /// The best so far and what it takes in ns.
    pub(super) fn best(&self) -> (&Schedule, f64) {
        (&self.best, self.best_ns)
    }

    /// Takes the best home.
    pub(super) fn end(self) -> Found {
        Found {
            schedule: self.best,
            ns: self.best_ns,
            evaluations: self.evaluations,
            seconds: self.budget.clock.now().since(self.began).as_secs(),
        }
    }
}
