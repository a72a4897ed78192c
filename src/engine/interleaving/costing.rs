//! Which cost model a search goes by: counted, measured on the device, or learned from measurements of the stages that it is
//! least sure of.
//!
//! Stages are measured on the first logical device, alone, with all units of the adapter; what logical devices take from each
//! other is counted. What is compiled for a measurement is not part of it.

use std::fmt;
use std::str::FromStr;

use crate::hal::{Device, LaneId, RecordingId};
use crate::interleave::cost::{
    Cached, CostError, CostModel, DeviceRunner, Estimate, Estimated, LearnOptions, Learned, LearnedReport,
    MeasureOptions, Measured,
};
use crate::interleave::search::{Budget, Found, Search};
use crate::interleave::{Problem, Schedule, Stage};

use super::parts::renamed;

/// Stages and schedules that are remembered.
const REMEMBERED_MAX: usize = 1 << 16;

/// Stages that the learned cost measures at most: each may need a co-kernel, and drivers take up to seconds for one.
const MEASUREMENTS_MAX: u64 = 60;

/// What a search minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CostKind {
    /// Counted from the launches' measured times.
    #[default]
    Counted,
    /// Every schedule is run.
    Measured,
    /// Counted, corrected by what was learned from measured stages.
    Learned,
}

impl CostKind {
    /// All of them.
    pub const ALL: [CostKind; 3] = [CostKind::Counted, CostKind::Measured, CostKind::Learned];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            CostKind::Counted => "counted",
            CostKind::Measured => "measured",
            CostKind::Learned => "learned",
        }
    }

    /// Evaluations that a search has unless told otherwise: one that runs is slow.
    pub fn evaluations(self) -> u64 {
        match self {
            CostKind::Counted | CostKind::Learned => 2_000,
            CostKind::Measured => 40,
        }
    }
}

impl fmt::Display for CostKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such cost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cost: found {0:?}, allowed is counted, measured, learned")]
pub struct UnknownCost(String);

impl FromStr for CostKind {
    type Err = UnknownCost;

    fn from_str(name: &str) -> Result<CostKind, UnknownCost> {
        CostKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownCost(name.into()))
    }
}

type Device1<'d> = Cached<Measured<DeviceRunner<'d>>>;

/// A cost model for all parts of one problem.
pub(super) enum Costing<'d> {
    Counted,
    Measured(Box<Device1<'d>>),
    Learned(Box<Learned<Device1<'d>>>),
}

impl<'d> Costing<'d> {
    /// Where it measures, with `lane` of a device that has the problem's recordings.
    pub(super) fn new(
        kind: CostKind,
        device: &'d mut dyn Device,
        lane: LaneId,
        recordings: Vec<RecordingId>,
    ) -> Costing<'d> {
        if kind == CostKind::Counted {
            return Costing::Counted;
        }
        let options = match device.caps().backend {
            "sim" => MeasureOptions::virtual_time(),
            _ => MeasureOptions::default(),
        };
        // Lanes of a schedule are this one lane, one after another.
        let lanes = vec![lane; recordings.len().max(1)];
        let device = Cached::new(Measured::new(DeviceRunner::new(device, lanes, recordings), options), REMEMBERED_MAX);
        match kind {
            CostKind::Learned => {
                let options = LearnOptions { measurements_max: MEASUREMENTS_MAX, ..LearnOptions::default() };
                Costing::Learned(Box::new(Learned::new(device, options)))
            }
            _ => Costing::Measured(Box::new(device)),
        }
    }

    /// Searches for a schedule of `part`, which has these tenants of `whole`.
    pub(super) fn search(
        &mut self,
        search: &mut dyn Search,
        (whole, part, tenants): (&Problem, &Problem, &[u32]),
        budget: &Budget,
    ) -> Result<Found, CostError> {
        let model: &mut dyn CostModel = match self {
            Costing::Counted => return search.search(part, &mut Estimated::default(), budget),
            Costing::Measured(model) => &mut **model,
            Costing::Learned(model) => &mut **model,
        };
        search.search(part, &mut OfPart { model, whole, tenants }, budget)
    }

    /// How good the learned one is by now.
    pub(super) fn report(&self) -> Option<LearnedReport> {
        match self {
            Costing::Learned(model) => Some(model.report()),
            _ => None,
        }
    }
}

/// Costs of a part's stages as those of the whole.
struct OfPart<'a> {
    model: &'a mut dyn CostModel,
    whole: &'a Problem,
    tenants: &'a [u32],
}

impl CostModel for OfPart<'_> {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn stage(&mut self, _: &Problem, stage: &Stage) -> Result<Estimate, CostError> {
        self.model.stage(self.whole, &renamed(stage, self.tenants))
    }

    fn schedule(&mut self, _: &Problem, schedule: &Schedule) -> Result<Estimate, CostError> {
        let lanes = schedule.lanes.iter().map(|stages| stages.iter().map(|s| renamed(s, self.tenants)).collect());
        self.model.schedule(self.whole, &Schedule { lanes: lanes.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_name_and_others_are_answered_with_those_that_there_are() {
        for kind in CostKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let message = "guessed".parse::<CostKind>().unwrap_err().to_string();
        assert_eq!(message, "cost: found \"guessed\", allowed is counted, measured, learned");
    }
}
