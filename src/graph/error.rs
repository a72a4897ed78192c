//! What can go wrong between a model file and a recording. Each message names the place and the remedy.

use crate::hal::HalError;

/// An error of loading or compiling a model.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What the system or the parser said.
        reason: String,
    },
    /// No built-in model has this name.
    #[error(transparent)]
    Zoo(#[from] super::zoo::ZooError),
    /// A dimension of an input is symbolic and was not given. How to give it depends on who asks.
    #[error("{model}: input {input:?} has the shape {declared}; {missing} is not known")]
    MissingDimension {
        /// The model.
        model: String,
        /// The input.
        input: String,
        /// Its declared shape.
        declared: String,
        /// The first symbol without a value.
        missing: String,
    },
    /// An input's shape, or a dimension of it that has no name, was not given.
    #[error("{model}: the shape of input {input:?} is {declared}; all of it must be given")]
    MissingShape {
        /// The model.
        model: String,
        /// The input.
        input: String,
        /// Its declared shape.
        declared: String,
    },
    /// A given name or shape does not fit the model.
    #[error("{model}: {what}")]
    Options {
        /// The model.
        model: String,
        /// What was given, what the model has.
        what: String,
    },
    /// There are more or fewer values than the model has inputs.
    #[error("{model}: {found} values were given for {} inputs: {}", .inputs.len(), .inputs.join(", "))]
    ValueCount {
        /// The model.
        model: String,
        /// Names of its inputs.
        inputs: Vec<String>,
        /// Number of values.
        found: usize,
    },
    /// A value is none that an input takes.
    #[error("{model}: input {input:?}: {what}")]
    Value {
        /// The model.
        model: String,
        /// The input.
        input: String,
        /// Its place among the inputs.
        position: usize,
        /// What the model declares and what was given.
        what: String,
    },
    /// An operator cannot be imported.
    #[error("{model}: operator {operator} (node {node:?}): {reason}")]
    Operator {
        /// The model.
        model: String,
        /// ONNX operator type.
        operator: String,
        /// The node's name.
        node: String,
        /// Why.
        reason: String,
    },
    /// The model as a whole cannot be typed.
    #[error("{model}: {reason}")]
    Model {
        /// The model.
        model: String,
        /// What the importer said, most specific first.
        reason: String,
    },
    /// The arena is larger than the device binds at once; constants are divided, activations are not.
    #[error(
        "{model}: its activations take {needed} bytes in one buffer, the device binds at most {limit}. Use a smaller batch or resolution, or a device with a larger binding limit (`cotenant devices`)"
    )]
    Activations {
        /// The model.
        model: String,
        /// Bytes of the arena.
        needed: u64,
        /// The device's limit in bytes.
        limit: u64,
    },
    /// The device refused.
    #[error("{model}: {source}")]
    Device {
        /// The model.
        model: String,
        /// Why.
        source: HalError,
    },
}
