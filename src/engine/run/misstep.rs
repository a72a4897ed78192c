//! Which words of a scenario an error comes from, so that its message names their place and what to write instead. Failures
//! that no scenario could avoid stay as they are.

use super::{RunError, RunOptions};
use crate::engine::device::OpenError;
use crate::engine::scenario::{Place, Scenario};
use crate::engine::{InferError, LoadError, StartError};
use crate::graph::GraphError;
use crate::hal::HalError;
use crate::service::policy::PolicyError;

/// An engine that did not start with the device and the policy of `scenario`, unless `options` chose them.
pub(super) fn of_start(error: StartError, scenario: &Scenario, options: &RunOptions) -> RunError {
    let place = match &error {
        StartError::Device(OpenError::Spec { .. } | OpenError::Profile(_)) if options.device.is_none() => {
            scenario.place(&["device", "spec"])
        }
        StartError::Policy(policy) if options.policy.is_none() => match policy {
            PolicyError::Unknown { .. } => scenario.place(&["policy", "name"]),
            PolicyError::Option { key, .. } | PolicyError::Value { key, .. } => scenario.place(&["policy", key]),
        },
        _ => return error.into(),
    };
    at(place, error.into(), String::new())
}

/// A tenant that was not loaded, or whose first request was refused.
pub(super) fn of_tenant(error: RunError, scenario: &Scenario, tenant_idx: usize) -> RunError {
    let (key, remedy) = match &error {
        RunError::Load(LoadError::Model { source, .. }) => match source.as_ref() {
            GraphError::MissingDimension { input, missing, .. } => (
                "dims",
                format!(
                    ". Write `dims = {{ {missing} = … }}` or `shapes = {{ {input} = [ … ] }}` in the tenant's table"
                ),
            ),
            GraphError::MissingShape { input, .. } => {
                ("shapes", format!(". Write `shapes = {{ {input} = [ … ] }}` in the tenant's table"))
            }
            GraphError::Options { .. } if scenario.tenants[tenant_idx].dims.is_empty() => ("shapes", String::new()),
            GraphError::Options { .. } => ("dims", String::new()),
            GraphError::Device { source, .. } => match of_device(source) {
                Some(key) => (key, String::new()),
                None => return error,
            },
            _ => ("model", String::new()),
        },
        RunError::Load(LoadError::Device { source, .. }) => match of_device(source) {
            Some(key) => (key, String::new()),
            None => return error,
        },
        RunError::Load(LoadError::TooMany { .. } | LoadError::NotSimulated { .. })
        | RunError::NoNetwork { .. }
        | RunError::Recorded { .. }
        | RunError::Given { .. } => ("model", String::new()),
        RunError::Infer(
            InferError::InputCount { .. }
            | InferError::Input { .. }
            | InferError::InputValue { .. }
            | InferError::FixedInput { .. },
        )
        | RunError::Inputs { .. }
        | RunError::InputFile { .. } => ("inputs", String::new()),
        RunError::Arrival { .. } => ("arrival", String::new()),
        _ => return error,
    };
    at(scenario.place_of_tenant(tenant_idx, &[key]), error, remedy)
}

/// The key of a tenant that asks a device for more than there is.
fn of_device(error: &HalError) -> Option<&'static str> {
    match error {
        HalError::TenantMemory { .. } => Some("memory_limit_mb"),
        HalError::BufferTooLarge { .. } => Some("model"),
        _ => None,
    }
}

fn at(place: Place, source: RunError, remedy: String) -> RunError {
    RunError::Scenario { place, source: Box::new(source), remedy }
}
