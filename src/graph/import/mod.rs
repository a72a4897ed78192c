//! ONNX through tract: read, check, prepare, type, simplify, lower.

mod bind;
mod branches;
mod declutter;
mod lower;
mod refuse;
mod rewrite;
pub mod tensor;
mod transposed;
mod typing;
mod valid;

use std::path::Path;

use prost::Message;
use tract_onnx::pb::ModelProto;

use super::{Graph, GraphError, LoadOptions, fuse};
use crate::tensor::HostTensor;

/// Bytes of a model file at most: protocol buffers end at 2 GiB.
pub const FILE_BYTES_MAX: u64 = 2 << 30;

/// Imports an ONNX file.
///
/// # Errors
/// [`GraphError`].
pub fn file(path: &Path, name: &str, options: &LoadOptions) -> Result<Graph, GraphError> {
    proto(read(path)?, path.parent(), name, options)
}

/// Reads an ONNX file.
///
/// # Errors
/// [`GraphError::File`] when it cannot be read, is too large or damaged, or holds no graph.
pub fn read(path: &Path) -> Result<ModelProto, GraphError> {
    let error = |reason: String| GraphError::File { path: path.display().to_string(), reason };
    let size = std::fs::metadata(path).map_err(|e| error(e.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(error(format!("{size} bytes, an ONNX file has at most {FILE_BYTES_MAX}")));
    }
    let bytes = std::fs::read(path).map_err(|e| error(e.to_string()))?;
    let model =
        ModelProto::decode(bytes.as_slice()).map_err(|e| error(format!("not an ONNX file, or a damaged one: {e}")))?;
    match model.graph {
        Some(_) => Ok(model),
        None => Err(error("it holds no graph; it is empty or no ONNX model".into())),
    }
}

/// Imports a model in memory; external data is looked for in `folder`.
///
/// # Errors
/// [`GraphError`].
pub fn proto(
    mut model: ModelProto,
    folder: Option<&Path>,
    name: &str,
    options: &LoadOptions,
) -> Result<Graph, GraphError> {
    let fail = |reason: String| GraphError::Model { model: name.into(), reason };
    if model.graph.is_none() {
        return Err(fail("the file holds no graph; it is empty or no ONNX model".into()));
    }
    refuse::check(&model, name)?;
    valid::check(&model, name)?;
    let inputs = bind::inputs(&model, name, options)?;
    refuse::check_extremes(&model, name, &inputs)?;
    let bound = bind::constants(&mut model, name, options)?;
    bind::forget_declared_shapes(&mut model);
    rewrite::all(&mut model);
    let folder = folder.map(|f| f.to_string_lossy().into_owned());
    let operators = typing::operators(&model);
    let typed = typing::guarded(name, &operators, || {
        branches::inline(&mut model, folder.as_deref(), &inputs)?;
        typing::typed(&model, folder.as_deref(), &inputs)
    })?;
    let names = output_names(&model);
    let mut graph = typing::guarded(name, &operators, || lower::graph(&typed, name, names))?;
    graph.bound = bound;
    fuse::all(&mut graph);
    super::wide::mark(&mut graph);
    Ok(graph)
}

/// The names of a model's inputs, in order, if `values` are of their number, types and shapes.
pub(super) fn fitting_names(model: &ModelProto, name: &str, values: &[HostTensor]) -> Result<Vec<String>, GraphError> {
    bind::check_values(model, name, values)?;
    Ok(bind::names(model))
}

fn output_names(model: &ModelProto) -> Vec<String> {
    let graph = model.graph.as_ref().expect("checked before");
    graph.output.iter().map(|o| o.name.clone()).collect()
}
