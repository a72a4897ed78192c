//! Cost by learning: an online regression over what a stage consists of, trained by another model that measures.
//!
//! What is learned is the ratio of the measured time to the counted one, from the parts that counting has (`estimated.rs`) as
//! fractions of the whole: where counting is right the ratio is 1, which is where it begins. A stage whose prediction is unsure is
//! measured, as long as measurements are left; then it is learned from. Each measurement is predicted first, so that the errors
//! reported are of samples not seen before (prequential).

use super::estimated::Parts;
use super::rls::Rls;
use super::{CostError, CostModel, Estimate, Estimated};
use crate::interleave::{Problem, Stage};

/// Errors that are kept for the report.
const ERRORS_MAX: usize = 256;

/// How it learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnOptions {
    /// Stages that may be measured.
    pub measurements_max: u64,
    /// A prediction with a larger relative deviation is measured.
    pub unsure: f64,
    /// How fast old samples are forgotten; 1 is never.
    pub forgetting: f64,
}

impl Default for LearnOptions {
    fn default() -> LearnOptions {
        LearnOptions { measurements_max: 500, unsure: 0.1, forgetting: 0.998 }
    }
}

/// How good it is by now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LearnedReport {
    /// Stages measured.
    pub measured: u64,
    /// Stages predicted.
    pub predicted: u64,
    /// Median of `|predicted − measured| / measured` over the last measurements, each predicted before it was learned from;
    /// these are the stages that it was least sure of. `None` before the first.
    pub relative_error: Option<f64>,
    /// The same of the counted times.
    pub counted_relative_error: Option<f64>,
}

/// The learning model.
pub struct Learned<M> {
    truth: M,
    counted: Estimated,
    rls: Rls,
    options: LearnOptions,
    report: LearnedReport,
    errors: Vec<[f64; 2]>,
}

impl<M: CostModel> Learned<M> {
    /// Learns from `truth`.
    pub fn new(truth: M, options: LearnOptions) -> Learned<M> {
        let mut prior = [0.0; FEATURES];
        prior[0] = 1.0;
        Learned {
            truth,
            counted: Estimated::new(),
            rls: Rls::new(&prior, 1.0, 0.2, options.forgetting),
            options,
            report: LearnedReport::default(),
            errors: Vec::new(),
        }
    }

    /// How good it is by now.
    pub fn report(&self) -> LearnedReport {
        let median = |of: usize| {
            let mut errors: Vec<f64> = self.errors.iter().map(|e| e[of]).collect();
            errors.sort_by(f64::total_cmp);
            errors.get(errors.len() / 2).copied()
        };
        LearnedReport { relative_error: median(0), counted_relative_error: median(1), ..self.report }
    }

    /// Learns that `stage` took `ns`; anybody may measure.
    pub fn learn(&mut self, problem: &Problem, stage: &Stage, ns: f64) {
        let parts = self.counted.parts(problem, stage);
        let x = features(&parts, stage);
        let (ratio, _) = self.rls.predict(&x);
        if self.errors.len() == ERRORS_MAX {
            self.errors.remove(0);
        }
        let error = |predicted: f64| (predicted - ns).abs() / ns.max(1.0);
        self.errors.push([error(ratio * parts.ns), error(parts.ns)]);
        self.report.measured += 1;
        self.rls.learn(&x, ns / parts.ns);
    }

    /// The model that it learns from.
    pub fn truth(&mut self) -> &mut M {
        &mut self.truth
    }
}

const FEATURES: usize = 8;

/// Parts of the whole; the first is the whole itself.
fn features(parts: &Parts, stage: &Stage) -> [f64; FEATURES] {
    let part = |ns: f64| ns / parts.ns;
    // A µs for each chain and piece that counting does not know.
    let per = |n: usize| part(1e3 * n as f64);
    let pieces = stage.pieces().count();
    [
        1.0,
        part(parts.start_ns),
        part(parts.longest_ns),
        part(parts.work_ns),
        part(parts.bodies_ns),
        part(parts.traffic_ns),
        per(stage.chains.len()),
        per(pieces),
    ]
}

impl<M: CostModel> CostModel for Learned<M> {
    fn name(&self) -> &'static str {
        "learned"
    }

    fn stage(&mut self, problem: &Problem, stage: &Stage) -> Result<Estimate, CostError> {
        let parts = self.counted.parts(problem, stage);
        let (ratio, deviation) = self.rls.predict(&features(&parts, stage));
        // A line may lead below anything that can be.
        let ratio = ratio.clamp(0.05, 20.0);
        let relative_error = deviation / ratio;
        if relative_error > self.options.unsure && self.report.measured < self.options.measurements_max {
            let measured = self.truth.stage(problem, stage)?;
            self.learn(problem, stage, measured.ns);
            return Ok(measured);
        }
        self.report.predicted += 1;
        Ok(Estimate { ns: ratio * parts.ns, relative_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::{Schedule, synthetic};

    /// A device whose dispatches cost twice as much as said, and work 0.7 of it.
    struct Other(Estimated, u64);

    impl CostModel for Other {
        fn name(&self) -> &'static str {
            "other"
        }

        fn stage(&mut self, problem: &Problem, stage: &Stage) -> Result<Estimate, CostError> {
            self.1 += 1;
            let parts = self.0.parts(problem, stage);
            Ok(Estimate { ns: 2.0 * parts.start_ns + 0.7 * (parts.ns - parts.start_ns), relative_error: 0.0 })
        }
    }

    #[test]
    fn it_learns_another_device_and_stops_measuring() {
        let mut learned = Learned::new(Other(Estimated::new(), 0), LearnOptions::default());
        let mut asked = 0;
        for seed in 0..12 {
            let problem = synthetic::mixed(4, 30, seed);
            for schedule in [Schedule::sequential(&problem), Schedule::side_by_side(&problem)] {
                asked += schedule.n_stages() as u64;
                learned.schedule(&problem, &schedule).unwrap();
            }
        }
        let report = learned.report();
        assert_eq!(report.measured, learned.truth().1);
        assert_eq!(report.measured + report.predicted, asked);
        assert!(report.measured < asked / 5, "{report:?} of {asked}");
        let problem = synthetic::mixed(5, 40, 99);
        let schedule = Schedule::side_by_side(&problem);
        let truth = Other(Estimated::new(), 0).schedule(&problem, &schedule).unwrap().ns;
        let ns = learned.schedule(&problem, &schedule).unwrap().ns;
        assert!((ns - truth).abs() < 0.15 * truth, "{ns} {truth}");
        assert!(report.relative_error.unwrap() < report.counted_relative_error.unwrap(), "{report:?}");
    }

    #[test]
    fn measurements_are_bounded() {
        let options = LearnOptions { measurements_max: 3, unsure: 0.0, ..LearnOptions::default() };
        let mut learned = Learned::new(Other(Estimated::new(), 0), options);
        let problem = synthetic::mixed(2, 10, 1);
        learned.schedule(&problem, &Schedule::sequential(&problem)).unwrap();
        assert_eq!(learned.report().measured, 3);
    }
}
