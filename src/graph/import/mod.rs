//! ONNX through tract: parse, bind shapes, type, declutter, lower.

use std::path::Path;

use tract_onnx::pb::ModelProto;

use super::{Graph, GraphError, LoadOptions};

/// Imports an ONNX file.
///
/// # Errors
/// [`GraphError`].
pub fn file(path: &Path, name: &str, options: &LoadOptions) -> Result<Graph, GraphError> {
    let _ = (path, name, options);
    unimplemented!("written next")
}

/// Imports a model in memory; external data is looked for in `folder`.
///
/// # Errors
/// [`GraphError`].
pub fn proto(model: ModelProto, folder: Option<&Path>, name: &str, options: &LoadOptions) -> Result<Graph, GraphError> {
    let _ = (model, folder, name, options);
    unimplemented!("written next")
}
