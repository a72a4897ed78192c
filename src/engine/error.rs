//! What can go wrong between a program and its engine. Every message names the tenant and says what was found and what
//! is allowed.

use super::device::OpenError;
use crate::graph::GraphError;
use crate::hal::HalError;
use crate::interleave::StoredError;
use crate::service::policy::PolicyError;
use crate::tensor::{DType, show_shape};

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] OpenError),
    /// The policy cannot be made.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The device opened but does not work.
    #[error("the device does not work: {0}")]
    Lane(#[from] HalError),
    /// A stored schedule cannot be used by an engine.
    #[error(transparent)]
    Schedule(#[from] StoredError),
    /// Stored schedules are for one lane, and the policy gives each tenant its own.
    #[error(
        "a stored schedule runs in one lane, and the policy {policy:?} gives each tenant its own: choose another policy, or none of the schedules"
    )]
    ScheduleLanes {
        /// The policy.
        policy: String,
    },
    /// The system gave no thread.
    #[error("no thread for the engine: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a tenant was not loaded. Nothing of it is left on the device.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The model cannot be read or compiled, or its memory does not suffice.
    #[error("tenant {tenant:?}: {source}")]
    Model {
        /// The tenant's name.
        tenant: String,
        /// Why.
        source: Box<GraphError>,
    },
    /// The device refused it.
    #[error("tenant {tenant:?}: {source}")]
    Device {
        /// The tenant's name.
        tenant: String,
        /// Why.
        source: HalError,
    },
    /// Something panicked while it was loaded. Other tenants did not notice.
    #[error("tenant {tenant:?}: loading it panicked, which is a defect of this program: {message}")]
    Panicked {
        /// The tenant's name.
        tenant: String,
        /// What the panic said.
        message: String,
    },
    /// Of the model only the cost is known, and the device is none that goes by costs.
    #[error(
        "tenant {tenant:?}: model {model}: of it only the cost is known, which only simulated devices run, and this device is {device:?}. Choose another: --device sim:PROFILE, or spec = \"sim:PROFILE\" under [device]"
    )]
    NotSimulated {
        /// The tenant's name.
        tenant: String,
        /// The model.
        model: String,
        /// The device.
        device: String,
    },
    /// There are too many tenants.
    #[error("tenant {tenant:?}: the engine has {tenants_max} tenants already, which is the most it takes")]
    TooMany {
        /// The tenant's name.
        tenant: String,
        /// The limit.
        tenants_max: usize,
    },
    /// The engine ended.
    #[error("tenant {tenant:?}: the engine has ended")]
    EngineGone {
        /// The tenant's name.
        tenant: String,
    },
}

/// Why a request was not accepted or not answered. Other tenants do not notice.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InferError {
    /// Too many or too few inputs.
    #[error("tenant {tenant:?}: {found} inputs were given, the model takes {expected}: {names}")]
    InputCount {
        /// The tenant's name.
        tenant: String,
        /// Inputs of the model.
        expected: usize,
        /// Inputs of the request.
        found: usize,
        /// The inputs with their types and shapes.
        names: String,
    },
    /// An input has another type or shape.
    #[error(
        "tenant {tenant:?}: input {input:?} is {found_type} {}, the model takes {expected_type} {}",
        show_shape(.found_shape), show_shape(.expected_shape)
    )]
    Input {
        /// The tenant's name.
        tenant: String,
        /// The input's name.
        input: String,
        /// The model's type.
        expected_type: DType,
        /// The model's shape.
        expected_shape: Vec<usize>,
        /// The given type.
        found_type: DType,
        /// The given shape.
        found_shape: Vec<usize>,
    },
    /// A value of an input cannot be held on the device.
    #[error("tenant {tenant:?}: input {input:?}: {reason}")]
    InputValue {
        /// The tenant's name.
        tenant: String,
        /// The input's name.
        input: String,
        /// Which value, and why.
        reason: String,
    },
    /// An input that became a constant when the model was loaded was given another value.
    #[error(
        "tenant {tenant:?}: input {input:?} was fixed when the model was loaded and differs now. Give the same value, leave it out, or load the model again"
    )]
    FixedInput {
        /// The tenant's name.
        tenant: String,
        /// The input's name.
        input: String,
    },
    /// The tenant has as many requests as it may have; wait for one, or raise `queue_max`.
    #[error(
        "tenant {tenant:?}: {queue_max} requests wait or run, which is the most it may have (queue_max); wait for one"
    )]
    QueueFull {
        /// The tenant's name.
        tenant: String,
        /// The limit.
        queue_max: usize,
    },
    /// The device, or an operator on the CPU, failed.
    #[error("tenant {tenant:?}: {source}")]
    Device {
        /// The tenant's name.
        tenant: String,
        /// Why.
        source: HalError,
    },
    /// The policy gave the request nothing although nothing else was to be done; see [`super::PolicyFault::Stalled`].
    #[error(
        "tenant {tenant:?}: the policy granted nothing to anybody although operators were ready; choose another policy"
    )]
    Stalled {
        /// The tenant's name.
        tenant: String,
    },
    /// The tenant was unloaded before the request was answered.
    #[error("tenant {tenant:?} was unloaded")]
    TenantGone {
        /// The tenant's name.
        tenant: String,
    },
    /// The engine ended before the request was answered.
    #[error("tenant {tenant:?}: the engine has ended")]
    EngineGone {
        /// The tenant's name.
        tenant: String,
    },
}

/// An answer that the engine can no longer give, because it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has ended")]
pub struct EngineGone;
