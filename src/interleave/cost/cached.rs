//! A cost model that remembers equal stages and schedules, for models that are slow: measuring above all.
//!
//! Equal are stages that have the same pieces; that two launches of a model are alike is not used.

use std::collections::HashMap;

use super::{CostError, CostModel, Estimate};
use crate::interleave::{Problem, Schedule, Stage};

/// Remembers what another model said about one problem.
pub struct Cached<M> {
    model: M,
    stages: HashMap<Stage, Estimate>,
    schedules: HashMap<Schedule, Estimate>,
    entries_max: usize,
    hits: u64,
}

impl<M: CostModel> Cached<M> {
    /// Remembers up to `entries_max` stages and as many schedules; what comes later is asked for each time.
    pub fn new(model: M, entries_max: usize) -> Cached<M> {
        Cached { model, stages: HashMap::new(), schedules: HashMap::new(), entries_max, hits: 0 }
    }

    /// The model behind it.
    pub fn into_inner(self) -> M {
        self.model
    }

    /// Questions that it answered by itself.
    pub fn hits(&self) -> u64 {
        self.hits
    }
}

impl<M: CostModel> CostModel for Cached<M> {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn stage(&mut self, problem: &Problem, stage: &Stage) -> Result<Estimate, CostError> {
        if let Some(known) = self.stages.get(stage) {
            self.hits += 1;
            return Ok(*known);
        }
        let estimate = self.model.stage(problem, stage)?;
        if self.stages.len() < self.entries_max {
            self.stages.insert(stage.clone(), estimate);
        }
        Ok(estimate)
    }

    fn schedule(&mut self, problem: &Problem, schedule: &Schedule) -> Result<Estimate, CostError> {
        if let Some(known) = self.schedules.get(schedule) {
            self.hits += 1;
            return Ok(*known);
        }
        let estimate = self.model.schedule(problem, schedule)?;
        if self.schedules.len() < self.entries_max {
            self.schedules.insert(schedule.clone(), estimate);
        }
        Ok(estimate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::cost::Estimated;
    use crate::interleave::synthetic;

    #[test]
    fn equal_stages_are_asked_for_once() {
        let problem = synthetic::mixed(2, 10, 3);
        let schedule = Schedule::side_by_side(&problem);
        let mut cached = Cached::new(Estimated::new(), 100);
        let first = cached.schedule(&problem, &schedule).unwrap();
        assert_eq!(first, Estimated::new().schedule(&problem, &schedule).unwrap());
        assert_eq!(cached.schedule(&problem, &schedule).unwrap(), first);
        assert_eq!(cached.hits(), 1);
        cached.stage(&problem, &schedule.lanes[0][0]).unwrap();
        cached.stage(&problem, &schedule.lanes[0][0]).unwrap();
        assert_eq!(cached.hits(), 2);
    }
}
