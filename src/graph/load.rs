//! Where models come from and what must be said about their shapes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::{Graph, GraphError, import, zoo};
use crate::tensor::HostTensor;

/// A model's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// An ONNX file.
    File(PathBuf),
    /// A built-in network, without the prefix `zoo:`.
    Zoo(String),
}

impl ModelSource {
    /// `zoo:NAME` or a path.
    pub fn parse(text: &str) -> ModelSource {
        match text.strip_prefix("zoo:") {
            Some(name) => ModelSource::Zoo(name.into()),
            None => ModelSource::File(text.into()),
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelSource::File(path) => write!(f, "{}", path.display()),
            ModelSource::Zoo(name) => write!(f, "zoo:{name}"),
        }
    }
}

/// What is known about a model's inputs before it is typed. Everything a model leaves open must be given, by name of
/// the dimension or by shape of the input.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Symbolic dimensions by name: `N` → 1.
    pub dims: BTreeMap<String, usize>,
    /// Whole input shapes by input name; these win over `dims`.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Inputs that become constants of the graph, by name: shapes, axes and the like that decide other shapes. They
    /// must be given again, equal, with every request.
    pub constants: BTreeMap<String, HostTensor>,
}

/// Reads, types, lowers and fuses a model.
///
/// # Errors
/// [`GraphError`]: a damaged file, an unknown name, a missing dimension, an operator that cannot be imported.
pub fn load(source: &ModelSource, options: &LoadOptions) -> Result<Graph, GraphError> {
    let name = source.to_string();
    match source {
        ModelSource::File(path) => import::file(path, &name, options),
        ModelSource::Zoo(zoo_name) => {
            let mut options = options.clone();
            for (dim, value) in zoo::find(zoo_name)?.dims {
                options.dims.entry((*dim).into()).or_insert(*value);
            }
            import::proto(zoo::build(zoo_name)?, None, &name, &options)
        }
    }
}
