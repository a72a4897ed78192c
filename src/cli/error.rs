//! What a command can end with besides a report, and the exit status that it means.

use crate::engine::scenario::ScenarioError;
use crate::graph::GraphError;
use crate::hal::{HalError, Unavailable};

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
            GraphError::Device { .. } => CliError::Failed(e.to_string()),
            _ => CliError::Input(e.to_string()),
        }
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
