//! Where models come from and what must be said about their shapes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use tract_onnx::pb::ModelProto;

use super::{Graph, GraphError, import, zoo};
use crate::tensor::{HostTensor, show_shape};

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
    import(read(source)?, source, options)
}

/// Like [`load`], for requests like this one: `values` has one tensor per input of the file, in its order, and gives their
/// shapes; those of `options` must not contradict them, dimensions of `options` yield to them. Integers of one element
/// become constants where the model cannot be typed without them: they choose shapes and branches.
///
/// # Errors
/// As [`load`], and [`GraphError::ValueCount`] or [`GraphError::Value`] where the values are none of this model's.
pub fn load_for(source: &ModelSource, options: &LoadOptions, values: &[HostTensor]) -> Result<Graph, GraphError> {
    let model = read(source)?;
    let names = import::fitting_names(&model, &source.to_string(), values)?;
    let named = || names.iter().cloned().zip(values);
    for (position, (input, value)) in named().enumerate() {
        if let Some(asked) = options.shapes.get(&input).filter(|asked| *asked != value.shape()) {
            let what =
                format!("its shape was said to be {}, {} was given", show_shape(asked), show_shape(value.shape()));
            return Err(GraphError::Value { model: source.to_string(), input, position, what });
        }
    }
    let mut options = options.clone();
    options.shapes.extend(named().map(|(name, value)| (name, value.shape().to_vec())));
    let error = match import(model, source, &options) {
        Ok(graph) => return Ok(graph),
        Err(error) => error,
    };
    for (name, value) in named().filter(|(_, value)| !value.dtype().is_float() && value.volume() == 1) {
        options.shapes.remove(&name);
        options.constants.entry(name).or_insert_with(|| value.clone());
    }
    if options.constants.is_empty() {
        return Err(error);
    }
    // What is wrong without constants is what the caller knows about.
    import(read(source)?, source, &options).map_err(|_| error)
}

fn read(source: &ModelSource) -> Result<ModelProto, GraphError> {
    match source {
        ModelSource::File(path) => import::read(path),
        ModelSource::Zoo(name) => Ok(zoo::build(name)?),
    }
}

fn import(model: ModelProto, source: &ModelSource, options: &LoadOptions) -> Result<Graph, GraphError> {
    let name = source.to_string();
    match source {
        ModelSource::File(path) => import::proto(model, path.parent(), &name, options),
        ModelSource::Zoo(zoo_name) => {
            let mut options = options.clone();
            for (dim, value) in zoo::find(zoo_name)?.dims {
                options.dims.entry((*dim).into()).or_insert(*value);
            }
            import::proto(model, None, &name, &options)
        }
    }
}
