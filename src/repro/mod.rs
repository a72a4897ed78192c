//! Published experiments against ours: each system of the field on its own workload, and the simulated GPU against public
//! measurements.
//!
//! An experiment is one entry of [`EXPERIMENTS`]. It answers rows, each a figure beside the published one and the band in
//! which it should be, and a section for a document. Measured data of others are read where they lie and never copied; where
//! they are absent the rows say so and count as neither kept nor missed.

pub mod document;
pub mod ios;
pub mod mix;
pub mod plot;
pub mod runtime_aware;
pub mod stats;
pub mod validation;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::graph::GraphError;
use crate::hal::{HalError, sim};
use crate::interleave::ProblemError;
use crate::interleave::cost::CostError;
use crate::predict::fit::FitError;
use crate::predict::profile::ProfileError;
use crate::service::arrival::ArrivalError;
use crate::timeline::ClockKind;
use document::Section;

/// A figure beside the published one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The experiment.
    pub system: &'static str,
    /// What is measured, with its unit.
    pub metric: String,
    /// The published figure, where there is a single one.
    pub published: Option<f64>,
    /// Ours; none where it was skipped.
    pub ours: Option<f64>,
    /// Where ours should be; an end that is open is none. No band: for information.
    pub band: Option<[Option<f64>; 2]>,
    /// Ours is in the band; none without a band or a figure.
    pub within: Option<bool>,
    /// Whether times are the machine's or simulated.
    pub clock: ClockKind,
    /// The split, sizes and sources; or why it was skipped.
    pub note: String,
}

impl Row {
    /// A simulated figure that should be in `band`.
    pub fn banded(system: &'static str, metric: &str, ours: f64, band: [Option<f64>; 2], note: String) -> Row {
        let above = band[0].is_none_or(|low| ours >= low);
        let below = band[1].is_none_or(|high| ours <= high);
        let within = Some(above && below);
        Row { band: Some(band), within, ..Row::information(system, metric, ours, note) }
    }

    /// A simulated figure that nobody bounds.
    pub fn information(system: &'static str, metric: &str, ours: f64, note: String) -> Row {
        Row {
            system,
            metric: metric.into(),
            published: None,
            ours: Some(ours),
            band: None,
            within: None,
            clock: ClockKind::Virtual,
            note,
        }
    }

    /// A figure that could not be found, because measurements are not there.
    pub fn skipped(system: &'static str, metric: &str, band: [Option<f64>; 2], why: &str) -> Row {
        let note = format!("skipped: {why}");
        Row { ours: None, band: Some(band), ..Row::information(system, metric, 0.0, note) }
    }
}

/// How experiments are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of public measurements.
    pub data: PathBuf,
    /// First seed of arrivals; the next ones follow.
    pub seed: u64,
    /// Requests of a simulated run, for each seed.
    pub requests: u32,
    /// Only as much as shows that everything works; figures of fewer pairs.
    pub subset: bool,
}

/// What an experiment answers.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Its figures.
    pub rows: Vec<Row>,
    /// Its part of a document; empty where it was skipped.
    pub sections: Vec<Section>,
}

/// Why an experiment has no figures.
#[derive(Debug, thiserror::Error)]
pub enum ReproError {
    /// A file of measurements is damaged.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A file of measurements that is JSON is damaged.
    #[error("{}: {what}", .file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What was found and what is allowed.
        what: String,
    },
    /// Recorded gaps are damaged.
    #[error(transparent)]
    Arrivals(#[from] ArrivalError),
    /// The measurements of a model give no law.
    #[error("{}: {source}", .file.display())]
    Fit {
        /// Their file.
        file: PathBuf,
        /// Why.
        source: FitError,
    },
    /// The simulated GPU's profile is damaged.
    #[error(transparent)]
    Device(#[from] sim::ProfileError),
    /// The simulated GPU refused something: a mistake in the experiment.
    #[error("the simulated GPU: {0}")]
    Gpu(#[from] sim::SimError),
    /// A network of the zoo is not taken: a mistake in the experiment.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The simulated device refused something: a mistake in the experiment.
    #[error("the simulated device: {0}")]
    Hal(#[from] HalError),
    /// There is nothing to schedule: a mistake in the experiment.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// A schedule could not be run: a mistake in the experiment.
    #[error(transparent)]
    Cost(#[from] CostError),
}

/// Hears what is being done.
pub type Progress<'a> = &'a mut dyn FnMut(&str);

/// An experiment.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// Its name on the command line and in rows.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// Runs it.
    pub run: fn(&Options, Progress<'_>) -> Result<Outcome, ReproError>,
}

/// All of them.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment { name: validation::NAME, about: "the simulated GPU against public measurements", run: validation::run },
    Experiment {
        name: runtime_aware::NAME,
        about: "networks side by side in stages with searched borders (Runtime-Aware, ICCAD'21)",
        run: runtime_aware::run,
    },
    Experiment { name: ios::NAME, about: "one network's branches side by side (IOS, MLSys'21)", run: ios::run },
];

/// A set of public measurements.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its folder in [`Options::data`].
    pub folder: &'static str,
    /// The public repository that has it, and its licence.
    pub from: &'static str,
}

impl Source {
    /// Where it is; or why not and where to get it.
    ///
    /// # Errors
    /// The reason for skipping what needs it.
    pub fn find(&self, data: &Path) -> Result<PathBuf, String> {
        let folder = data.join(self.folder);
        if folder.is_dir() {
            return Ok(folder);
        }
        Err(format!(
            "there is no folder {}; its data are public: {}. Put them there, or name the folder that holds {} with --data DIR or COTENANT_DATA=DIR",
            folder.display(),
            self.from,
            self.folder
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_hold_their_ends() {
        let within = |ours, band| Row::banded("x", "m", ours, band, String::new()).within;
        assert_eq!(within(10.0, [Some(0.0), Some(10.0)]), Some(true));
        assert_eq!(within(10.1, [Some(0.0), Some(10.0)]), Some(false));
        assert_eq!(within(-1.0, [Some(0.0), None]), Some(false));
        assert_eq!(within(1e9, [Some(0.0), None]), Some(true));
        assert_eq!(within(f64::NAN, [Some(0.0), None]), Some(false));
        assert_eq!(Row::skipped("x", "m", [None, None], "why").within, None);
    }

    #[test]
    fn an_absent_source_names_the_public_repository() {
        let source = Source { folder: "a/b", from: "owner/name (MIT)" };
        let why = source.find(Path::new("no/such")).unwrap_err();
        assert!(why.contains("no/such/a/b") && why.contains("owner/name"), "{why}");
    }
}
