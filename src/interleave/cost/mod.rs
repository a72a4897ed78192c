//! What stages and schedules take: counted ([`Estimated`]), measured ([`Measured`]), or learned from measurements
//! ([`Learned`]). Searches see a [`CostModel`] only.

mod cached;
mod estimated;
mod learned;
mod measured;
mod passes;
mod rls;

pub use cached::Cached;
pub use estimated::Estimated;
pub use learned::{LearnOptions, Learned, LearnedReport};
pub use measured::{DeviceRunner, MeasureOptions, Measured, Runner};
pub use passes::Passes;

use super::{ChainForm, Problem, Schedule, Stage};
use crate::hal::HalError;

/// What something takes, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Nanoseconds.
    pub ns: f64,
    /// The part of it by which it is expected to be off: a relative standard error.
    pub relative_error: f64,
}

/// Why there is no estimate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CostError {
    /// The device that measures failed.
    #[error("measuring a schedule: {0}")]
    Device(#[from] HalError),
    /// A schedule to be measured has more lanes than there are.
    #[error("the schedule has {asked} lanes, {there} were opened for measuring")]
    Lanes {
        /// Its lanes.
        asked: usize,
        /// Lanes of the runner.
        there: usize,
    },
    /// It was submitted and never came back.
    #[error("a schedule that was submitted did not end within {seconds} s; the device may be lost")]
    Lost {
        /// The time waited.
        seconds: u64,
    },
}

/// Says what stages and schedules take.
///
/// Stages and schedules given to it are such that [`Schedule::check`] finds them right; a stage is asked for by itself,
/// whatever comes before it. Answers are in nanoseconds on the device's clock and are comparable with each other, not with those of
/// another model.
pub trait CostModel {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// What a stage takes, its dispatch included, the submission's own cost not.
    ///
    /// # Errors
    /// [`CostError`] where it measures and the device fails.
    fn stage(&mut self, problem: &Problem, stage: &Stage) -> Result<Estimate, CostError>;

    /// What a round of all tenants takes: unless a model knows better, the stages of each lane one after another, the lanes at the
    /// same time as far as they overlap and the device has room.
    ///
    /// # Errors
    /// As [`CostModel::stage`].
    fn schedule(&mut self, problem: &Problem, schedule: &Schedule) -> Result<Estimate, CostError> {
        let mut lanes = Lanes::new(problem, schedule);
        for stages in &schedule.lanes {
            for stage in stages {
                lanes.stage(stage, self.stage(problem, stage)?);
            }
            lanes.end();
        }
        Ok(lanes.estimate())
    }
}

/// Adds stages up to lanes and lanes to a schedule.
struct Lanes<'a> {
    problem: &'a Problem,
    /// Counts what lanes share; only where there are several.
    counted: Option<Estimated>,
    lane_ns: f64,
    longest_ns: f64,
    sum_ns: f64,
    /// Time of all slots, of the memory, and of the host's launches.
    slot_ns: f64,
    traffic_ns: f64,
    host_ns: f64,
    variance: f64,
    used: usize,
}

impl<'a> Lanes<'a> {
    fn new(problem: &'a Problem, schedule: &Schedule) -> Lanes<'a> {
        let several = schedule.lanes.iter().filter(|l| !l.is_empty()).count() > 1;
        Lanes {
            problem,
            counted: several.then(Estimated::new),
            lane_ns: 0.0,
            longest_ns: 0.0,
            sum_ns: 0.0,
            slot_ns: 0.0,
            traffic_ns: 0.0,
            host_ns: 0.0,
            variance: 0.0,
            used: 0,
        }
    }

    fn stage(&mut self, stage: &Stage, estimate: Estimate) {
        self.lane_ns += estimate.ns;
        // Errors of stages are taken for independent.
        self.variance += (estimate.ns * estimate.relative_error).powi(2);
        if let Some(counted) = &mut self.counted {
            let parts = counted.parts(self.problem, stage);
            self.slot_ns += parts.slot_ns;
            self.traffic_ns += parts.traffic_ns;
            // One host launches for all streams; each logical device has a thread of its own.
            if matches!(self.problem.machine.chains, ChainForm::Streams { .. }) {
                self.host_ns += parts.start_ns;
            }
        }
    }

    fn end(&mut self) {
        if self.lane_ns > 0.0 {
            self.used += 1;
            self.lane_ns += self.problem.machine.submission_ns;
        }
        self.longest_ns = self.longest_ns.max(self.lane_ns);
        self.sum_ns += self.lane_ns;
        self.lane_ns = 0.0;
    }

    fn estimate(&self) -> Estimate {
        let machine = &self.problem.machine;
        let mut ns = self.longest_ns;
        if self.used > 1 {
            let overlapping = f64::from(machine.lanes).min(self.used as f64);
            let work_ns = (self.slot_ns / f64::from(machine.slots)).max(self.traffic_ns).max(self.host_ns);
            ns = ns.max(self.sum_ns / overlapping).max(work_ns + machine.submission_ns);
        }
        let relative_error = if self.sum_ns > 0.0 { self.variance.sqrt() / self.sum_ns } else { 0.0 };
        Estimate { ns, relative_error }
    }
}
