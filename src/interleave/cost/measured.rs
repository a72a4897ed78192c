//! Cost by running: the device's own clock says what a stage or a schedule takes. On a simulated device that is the simulated
//! cost model, on a real one the profiling-guided one.
//!
//! A stage is measured by itself, several times in one submission, less what an empty submission takes. What its launches read
//! meanwhile is whatever memory holds; no kernel's time depends much on it, and none leaves its memory.

use std::time::Duration;

use super::{CostError, CostModel, Estimate};
use crate::hal::{self, Completion, Device, LaneId, RecordingId, SharedClock, Submission, Wait};
use crate::interleave::{Problem, Schedule, Stage};
use crate::tensor::Nanos;

/// Time after which a submission counts as lost.
const LOST: Duration = Duration::from_secs(60);

/// Runs the stages of lanes: one device with its lanes, or several logical devices driven from threads of their own.
pub trait Runner {
    /// Lanes that it has.
    fn lanes(&self) -> usize;

    /// Compiles what these stages take to run as they are meant to. Not measured.
    ///
    /// # Errors
    /// [`CostError`] where the device fails.
    fn prepare(&mut self, problem: &Problem, lanes: &[&[Stage]]) -> Result<(), CostError>;

    /// Runs the stages of each lane once, all lanes at the same time, and waits; the time from before the first submission until the
    /// last one was found complete.
    ///
    /// # Errors
    /// [`CostError`] where the device fails.
    fn run(&mut self, problem: &Problem, lanes: &[&[Stage]]) -> Result<Nanos, CostError>;
}

/// One device and lanes of it, with the tenants' recordings installed.
pub struct DeviceRunner<'d> {
    device: &'d mut dyn Device,
    lanes: Vec<LaneId>,
    recordings: Vec<RecordingId>,
    clock: SharedClock,
    done: Vec<Completion>,
}

impl<'d> DeviceRunner<'d> {
    /// `recordings` are the problem's models in their order. Nothing else is submitted meanwhile.
    pub fn new(device: &'d mut dyn Device, lanes: Vec<LaneId>, recordings: Vec<RecordingId>) -> DeviceRunner<'d> {
        let clock = device.clock();
        DeviceRunner { device, lanes, recordings, clock, done: Vec::new() }
    }

    fn slices(&self, problem: &Problem, stages: &[Stage]) -> Vec<hal::Stage> {
        stages.iter().map(|s| s.slices(problem, &self.recordings)).collect()
    }

    fn lanes_for(&self, lanes: &[&[Stage]]) -> Result<(), CostError> {
        if lanes.len() > self.lanes.len() {
            return Err(CostError::Lanes { asked: lanes.len(), there: self.lanes.len() });
        }
        Ok(())
    }
}

impl Runner for DeviceRunner<'_> {
    fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn prepare(&mut self, problem: &Problem, lanes: &[&[Stage]]) -> Result<(), CostError> {
        for stages in lanes {
            let stages = self.slices(problem, stages);
            self.device.prepare(&stages)?;
        }
        Ok(())
    }

    fn run(&mut self, problem: &Problem, lanes: &[&[Stage]]) -> Result<Nanos, CostError> {
        self.lanes_for(lanes)?;
        let submissions: Vec<(LaneId, Submission)> = self
            .lanes
            .iter()
            .zip(lanes)
            .map(|(lane, stages)| (*lane, Submission { stages: self.slices(problem, stages), ..Submission::default() }))
            .collect();
        let began = self.clock.now();
        let mut under_way = submissions.len();
        for (lane, submission) in submissions {
            self.device.submit(lane, submission)?;
        }
        let mut ended = began;
        while under_way > 0 {
            self.device.poll(Wait::AtMost(LOST), &mut self.done)?;
            if self.done.is_empty() && self.clock.now().since(began) >= Nanos(LOST.as_nanos() as u64) {
                return Err(CostError::Lost { seconds: LOST.as_secs() });
            }
            for completion in self.done.drain(..) {
                under_way -= 1;
                ended = ended.max(completion.finished);
                let failed = completion.failed.into_iter().map(|(_, error)| error).next();
                if let Some(error) = completion.error.or(failed) {
                    return Err(error.into());
                }
            }
        }
        Ok(ended.since(began))
    }
}

/// How often something is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasureOptions {
    /// Runs before those that count.
    pub warm_ups: u32,
    /// Runs that count; their median is the time.
    pub repetitions: u32,
    /// Times that a stage stands in one submission.
    pub stage_copies: u32,
}

impl Default for MeasureOptions {
    /// As IOS measures: 2 warm-ups and 6 runs (of 6 copies there; copies are fewer here, as stages are longer).
    fn default() -> MeasureOptions {
        MeasureOptions { warm_ups: 2, repetitions: 6, stage_copies: 3 }
    }
}

impl MeasureOptions {
    /// Once is enough where time is virtual: it has no spread.
    pub fn virtual_time() -> MeasureOptions {
        MeasureOptions { warm_ups: 0, repetitions: 1, stage_copies: 1 }
    }
}

/// The measuring model.
pub struct Measured<R> {
    runner: R,
    options: MeasureOptions,
    empty_ns: Option<f64>,
    runs: u64,
}

impl<R: Runner> Measured<R> {
    /// Measures by `runner`.
    pub fn new(runner: R, options: MeasureOptions) -> Measured<R> {
        Measured { runner, options, empty_ns: None, runs: 0 }
    }

    /// Submissions run so far, warm-ups included.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    fn measure(&mut self, problem: &Problem, lanes: &[&[Stage]]) -> Result<Estimate, CostError> {
        self.runner.prepare(problem, lanes)?;
        let mut times = Vec::with_capacity(self.options.repetitions.max(1) as usize);
        for run in 0..self.options.warm_ups + self.options.repetitions.max(1) {
            let time = self.runner.run(problem, lanes)?;
            self.runs += 1;
            if run >= self.options.warm_ups {
                times.push(time.0 as f64);
            }
        }
        Ok(median_with_error(&mut times))
    }
}

/// The median, and the standard error of it by the quartiles' distance.
fn median_with_error(times: &mut [f64]) -> Estimate {
    times.sort_by(f64::total_cmp);
    let n = times.len();
    let ns = if n % 2 == 1 { times[n / 2] } else { (times[n / 2 - 1] + times[n / 2]) / 2.0 };
    let quartiles = times[n - 1 - n / 4] - times[n / 4];
    // For normal times the deviation is the quartiles' distance / 1.349, and the median's error 1.253 deviations / √n.
    let relative_error = if ns > 0.0 { quartiles / 1.349 * 1.253 / (n as f64).sqrt() / ns } else { 0.0 };
    Estimate { ns, relative_error }
}

impl<R: Runner> CostModel for Measured<R> {
    fn name(&self) -> &'static str {
        "measured"
    }

    fn stage(&mut self, problem: &Problem, stage: &Stage) -> Result<Estimate, CostError> {
        if self.empty_ns.is_none() {
            self.empty_ns = Some(self.measure(problem, &[&[]])?.ns);
        }
        let empty_ns = self.empty_ns.unwrap_or_default();
        let copies = vec![stage.clone(); self.options.stage_copies.max(1) as usize];
        let all = self.measure(problem, &[&copies])?;
        let ns = ((all.ns - empty_ns) / copies.len() as f64).max(1.0);
        Ok(Estimate { ns, relative_error: all.relative_error * all.ns / (all.ns - empty_ns).max(1.0) })
    }

    fn schedule(&mut self, problem: &Problem, schedule: &Schedule) -> Result<Estimate, CostError> {
        let lanes: Vec<&[Stage]> = schedule.lanes.iter().filter(|l| !l.is_empty()).map(Vec::as_slice).collect();
        if lanes.len() > self.runner.lanes() {
            return Err(CostError::Lanes { asked: lanes.len(), there: self.runner.lanes() });
        }
        self.measure(problem, &lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::synthetic;

    /// Takes a time for each run as given, and a µs for each stage.
    struct Scripted {
        noise: Vec<u64>,
        runs: usize,
    }

    impl Runner for Scripted {
        fn lanes(&self) -> usize {
            1
        }

        fn prepare(&mut self, _: &Problem, _: &[&[Stage]]) -> Result<(), CostError> {
            Ok(())
        }

        fn run(&mut self, _: &Problem, lanes: &[&[Stage]]) -> Result<Nanos, CostError> {
            self.runs += 1;
            Ok(Nanos(self.noise[(self.runs - 1) % self.noise.len()] + 1_000 * lanes[0].len() as u64))
        }
    }

    #[test]
    fn a_stage_is_the_median_less_what_an_empty_submission_takes() {
        let problem = synthetic::chains(&[2]);
        let options = MeasureOptions { warm_ups: 1, repetitions: 3, stage_copies: 4 };
        let mut model = Measured::new(Scripted { noise: vec![900, 50, 70, 60], runs: 0 }, options);
        let stage = &Schedule::sequential(&problem).lanes[0][0];
        let estimate = model.stage(&problem, stage).unwrap();
        assert_eq!(estimate.ns, 1_000.0);
        assert_eq!(model.runs(), 8);
        assert!(estimate.relative_error > 0.0);
    }

    #[test]
    fn more_lanes_than_there_are_is_an_error() {
        let problem = synthetic::chains(&[2, 2]);
        let mut model = Measured::new(Scripted { noise: vec![1], runs: 0 }, MeasureOptions::default());
        let error = model.schedule(&problem, &Schedule::lane_per_tenant(&problem)).unwrap_err();
        assert_eq!(error, CostError::Lanes { asked: 2, there: 1 });
    }
}
