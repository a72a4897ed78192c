//! What a command can end with besides a report, and the exit status that it means.

use crate::engine::device::OpenError;
use crate::engine::interleaving::InterleaveError;
use crate::engine::run::RunError;
use crate::engine::scenario::ScenarioError;
use crate::engine::{InferError, LoadError, StartError};
use crate::graph::GraphError;
use crate::hal::{HalError, Unavailable};
use crate::repro::ReproError;

/// Why a command did not get to its report.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// It ran and failed; exit status 1.
    #[error("{0}")]
    Failed(String),
    /// Bad usage or bad input: the file, the line or field, what was found and what is allowed; exit status 2.
    #[error("{0}")]
    Input(String),
    /// The device is not there; exit status 3.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl CliError {
    /// The process's exit status.
    pub fn status(&self) -> u8 {
        match self {
            CliError::Failed(_) => 1,
            CliError::Input(_) => 2,
            CliError::Unavailable(_) => 3,
        }
    }
}

impl From<GraphError> for CliError {
    fn from(e: GraphError) -> CliError {
        match e {
            GraphError::Device { ref source, .. } => of_device(source, e.to_string()),
            GraphError::MissingDimension { ref input, ref missing, .. } => {
                CliError::Input(format!("{e}. Give it with --dim {missing}=… or --shape {input}=…"))
            }
            GraphError::MissingShape { ref input, .. } => {
                CliError::Input(format!("{e}. Give it with --shape {input}=…"))
            }
            _ => CliError::Input(e.to_string()),
        }
    }
}

/// A device that refuses what it, or the tenant, may not have was asked for too much; else it failed.
fn of_device(source: &HalError, message: String) -> CliError {
    match source {
        HalError::TenantMemory { .. } | HalError::BufferTooLarge { .. } => CliError::Input(message),
        _ => CliError::Failed(message),
    }
}

impl From<HalError> for CliError {
    fn from(e: HalError) -> CliError {
        CliError::Failed(e.to_string())
    }
}

impl From<ScenarioError> for CliError {
    fn from(e: ScenarioError) -> CliError {
        CliError::Input(e.to_string())
    }
}

impl From<OpenError> for CliError {
    fn from(e: OpenError) -> CliError {
        match e {
            OpenError::Unavailable(unavailable) => CliError::Unavailable(unavailable),
            OpenError::Spec { .. } | OpenError::Profile(_) => CliError::Input(format!("--device: {e}")),
        }
    }
}

impl From<StartError> for CliError {
    fn from(e: StartError) -> CliError {
        match e {
            StartError::Device(e) => e.into(),
            StartError::Policy(e) => CliError::Input(e.to_string()),
            StartError::Schedule(_) | StartError::ScheduleLanes { .. } => CliError::Input(format!("--schedule: {e}")),
            StartError::Lane(_) | StartError::Thread(_) => CliError::Failed(e.to_string()),
        }
    }
}

impl From<LoadError> for CliError {
    fn from(e: LoadError) -> CliError {
        match e {
            LoadError::Model { ref source, .. } => match **source {
                GraphError::Device { ref source, .. } => of_device(source, e.to_string()),
                _ => CliError::Input(e.to_string()),
            },
            LoadError::TooMany { .. } | LoadError::NotSimulated { .. } => CliError::Input(e.to_string()),
            LoadError::Device { ref source, .. } => of_device(source, e.to_string()),
            LoadError::Panicked { .. } | LoadError::EngineGone { .. } => CliError::Failed(e.to_string()),
        }
    }
}

impl From<InferError> for CliError {
    fn from(e: InferError) -> CliError {
        match e {
            InferError::InputCount { .. }
            | InferError::Input { .. }
            | InferError::InputValue { .. }
            | InferError::FixedInput { .. } => CliError::Input(e.to_string()),
            _ => CliError::Failed(e.to_string()),
        }
    }
}

impl From<RunError> for CliError {
    fn from(e: RunError) -> CliError {
        match e {
            RunError::Start(e) => e.into(),
            RunError::Load(e) => e.into(),
            RunError::Infer(e) => e.into(),
            RunError::Scenario { .. }
            | RunError::Inputs { .. }
            | RunError::InputFile { .. }
            | RunError::Arrival { .. }
            | RunError::NoNetwork { .. }
            | RunError::Recorded { .. }
            | RunError::Given { .. } => CliError::Input(e.to_string()),
            RunError::EngineGone(_) | RunError::Stopped => CliError::Failed(e.to_string()),
        }
    }
}

impl From<InterleaveError> for CliError {
    fn from(e: InterleaveError) -> CliError {
        match e {
            InterleaveError::Open(e) => e.into(),
            InterleaveError::Model { ref source, .. } => match **source {
                GraphError::Device { ref source, .. } => of_device(source, e.to_string()),
                _ => CliError::Input(e.to_string()),
            },
            InterleaveError::Tenant { ref source, .. } => of_device(source, e.to_string()),
            InterleaveError::Input { .. }
            | InterleaveError::Problem(_)
            | InterleaveError::Search(_)
            | InterleaveError::Stored(_) => CliError::Input(e.to_string()),
            _ => CliError::Failed(e.to_string()),
        }
    }
}

impl From<ReproError> for CliError {
    fn from(e: ReproError) -> CliError {
        match e {
            ReproError::Gpu(_) | ReproError::Device(_) => CliError::Failed(e.to_string()),
            _ => CliError::Input(e.to_string()),
        }
    }
}
