//! Scenario files: which tenants run, when their requests come, under which policy, for how long.
//!
//! A scenario is TOML; `CONTRACT` fixes its names. [`Scenario::load`] reads a file and checks that the files it names
//! are there; [`Scenario::parse`] takes text and looks at nothing else. Every error names the file, line and column, the
//! field and its tenant, what was found and what is allowed. Whether a policy or a built-in model of a name exists is
//! for their registries to say, later; [`Scenario::place`] tells where that was written.

mod check;
mod place;
mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use place::Place;

use super::Memory;
pub use crate::service::Class;
use crate::service::arrival::ArrivalSpec;
use crate::tensor::Nanos;

/// Largest scenario file that is read, in bytes.
pub const SCENARIO_BYTES_MAX: u64 = 1 << 20;

/// Most tenants of one scenario.
pub const TENANTS_MAX: usize = 4096;

/// A checked scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The file it was read from; relative paths in it begin at its folder.
    pub origin: PathBuf,
    /// Its text, for traces.
    pub text: String,
    /// Seed of all that is drawn at random; 0 if not given.
    pub seed: u64,
    /// How long requests come before they are counted; 0 if not given.
    pub warm_up: Nanos,
    /// How long it runs after that.
    pub length: Length,
    /// The device, as `--device` takes it; `auto` if not given.
    pub device: String,
    /// `[device] memory`: where the tenants' memory lies, `"isolated"` or `"pooled"`; isolated if not given.
    pub memory: Memory,
    /// The policy; `round-robin` if not given.
    pub policy: PolicySpec,
    /// The tenants, at least one, in order; names differ.
    pub tenants: Vec<TenantSpec>,
}

/// How long a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Until this much time has passed; above zero.
    Duration(Nanos),
    /// Until each tenant has had this many requests; above zero.
    Requests(u64),
}

/// The `[policy]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// The policy's name.
    pub name: String,
    /// Further keys, which are the policy's own.
    pub options: toml::Table,
}

/// A `[[tenant]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantSpec {
    /// Its name, unlike all others.
    pub name: String,
    /// Its model.
    pub model: ModelRef,
    /// Values of symbolic dimensions, each at least 1.
    pub dims: BTreeMap<String, usize>,
    /// Shapes of inputs whose dimensions have no names; each extent is at least 1.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// What it was promised.
    pub class: Class,
    /// Larger is more important, 0 to [`PRIORITY_MAX`]; 5 if not given.
    pub priority: u32,
    /// Latency that was promised; 100 ms if not given.
    pub slo: Nanos,
    /// Requests that may be computed together, 1 to [`BATCH_MAX`]; 1 if not given.
    pub max_batch: u32,
    /// Device memory that it may take, in MiB; no limit if not given.
    pub memory_limit_mb: Option<u64>,
    /// When its requests come; a closed loop of one if not given.
    pub arrival: ArrivalSpec,
    /// A folder of `input_0.npy` …, already relative to the current folder; drawn from the seed if not given.
    pub inputs: Option<PathBuf>,
}

/// Largest priority.
pub const PRIORITY_MAX: u32 = 1000;

/// Largest `max_batch`.
pub const BATCH_MAX: u32 = 1024;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModelRef {
    /// An ONNX file.
    File(PathBuf),
    /// A built-in model with seeded weights: `zoo:NAME`.
    Zoo(String),
    /// A recorded list of kernels, for simulated devices: `profile:FILE.csv`.
    Profile(PathBuf),
    /// A law fitted to measurements of a whole model, for the simulated device that they are of: `law:NAME`, the batch as
    /// dimension `N`.
    Law(String),
}

impl ModelRef {
    /// Understands a model name; relative paths begin at `folder`. `None` where nothing is named.
    pub fn parse(text: &str, folder: &Path) -> Option<ModelRef> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind @ ("zoo" | "profile" | "law"), rest)) => (kind, rest),
            _ => ("", text),
        };
        if rest.trim().is_empty() {
            return None;
        }
        Some(match kind {
            "zoo" => ModelRef::Zoo(rest.into()),
            "law" => ModelRef::Law(rest.into()),
            "profile" => ModelRef::Profile(folder.join(rest)),
            _ => ModelRef::File(folder.join(rest)),
        })
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            ModelRef::File(path) | ModelRef::Profile(path) => Some(path),
            ModelRef::Zoo(_) | ModelRef::Law(_) => None,
        }
    }

    /// Only its cost is known, so that it runs on simulated devices only.
    pub fn is_given(&self) -> bool {
        matches!(self, ModelRef::Profile(_) | ModelRef::Law(_))
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelRef::File(path) => write!(f, "{}", path.display()),
            ModelRef::Zoo(name) => write!(f, "zoo:{name}"),
            ModelRef::Profile(path) => write!(f, "profile:{}", path.display()),
            ModelRef::Law(name) => write!(f, "law:{name}"),
        }
    }
}

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {what}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said, or that it is too large.
        what: String,
    },
    /// Not TOML, an unknown or missing field, or a value of a wrong type.
    #[error("{place}: {what}, in `{source_line}`")]
    Syntax {
        /// Where.
        place: Place,
        /// What was found and what is expected.
        what: String,
        /// The text of the line.
        source_line: String,
    },
    /// A value that is not allowed.
    #[error("{place}: {field}: found {found}, allowed is {allowed}")]
    Value {
        /// Where.
        place: Place,
        /// The field, with its tenant.
        field: String,
        /// What it is.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// A file that it names cannot be used.
    #[error("{place}: {field}: {}: {what}", .file.display())]
    File {
        /// Where it is named.
        place: Place,
        /// The field, with its tenant.
        field: String,
        /// The file.
        file: PathBuf,
        /// What was found in it and what is allowed.
        what: String,
    },
}

impl Scenario {
    /// Reads a scenario file and checks that models, inputs and arrival traces that it names exist.
    ///
    /// # Errors
    /// [`ScenarioError`], naming the place.
    pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
        let read_error = |what: String| ScenarioError::Read { file: path.into(), what };
        let bytes = std::fs::metadata(path).map_err(|e| read_error(e.to_string()))?.len();
        if bytes > SCENARIO_BYTES_MAX {
            return Err(read_error(format!("{bytes} bytes, allowed is at most {SCENARIO_BYTES_MAX}")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| read_error(e.to_string()))?;
        check::scenario(&text, path, check::Files::MustExist)
    }

    /// Understands the text of a scenario file called `origin`, without looking for the files that it names.
    ///
    /// # Errors
    /// [`ScenarioError`], naming the place.
    pub fn parse(text: &str, origin: &Path) -> Result<Scenario, ScenarioError> {
        check::scenario(text, origin, check::Files::MayBeAbsent)
    }

    /// What is understood but has no effect, a message each.
    pub fn warnings(&self) -> Vec<String> {
        let batched = self.tenants.iter().enumerate().filter(|(_, tenant)| tenant.max_batch > 1);
        let warning = |(at, tenant): (usize, &TenantSpec)| {
            let place = self.place_of_tenant(at, &["max_batch"]);
            let (name, max_batch) = (&tenant.name, tenant.max_batch);
            format!("{place}: tenant {name:?}: max_batch = {max_batch} has no effect: requests are not batched yet")
        };
        batched.map(warning).collect()
    }

    /// The folder at which relative paths begin.
    pub fn folder(&self) -> &Path {
        self.origin.parent().unwrap_or(Path::new(""))
    }
}

#[cfg(test)]
mod tests;
