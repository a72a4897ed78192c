//! ONNX through tract: read, prepare, type, declutter, lower.

mod bind;
mod branches;
mod lower;
mod refuse;
mod rewrite;
pub mod tensor;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use prost::Message;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::InferenceFact;

use super::{Graph, GraphError, LoadOptions, fuse};

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
    let inputs = bind::inputs(&model, name, options)?;
    refuse::check_extremes(&model, name, &inputs)?;
    let bound = bind::constants(&mut model, name, options)?;
    bind::forget_declared_shapes(&mut model);
    rewrite::all(&mut model);
    let folder = folder.map(|f| f.to_string_lossy().into_owned());
    let typed = guarded(|| {
        branches::inline(&mut model, folder.as_deref(), &inputs)?;
        typed(&model, folder.as_deref(), &inputs)
    })
    .map_err(fail)?;
    let names = output_names(&model);
    let mut graph = guarded(|| lower::graph(&typed, name, names)).map_err(fail)?;
    graph.bound = bound;
    fuse::all(&mut graph);
    super::wide::mark(&mut graph);
    Ok(graph)
}

/// Parses and types a model whose inputs have these facts.
fn typed(model: &ModelProto, folder: Option<&str>, inputs: &[bind::Input]) -> TractResult<TypedModel> {
    let parsed = tract_onnx::onnx().with_ignore_value_info(true).parse(model, folder)?;
    if let Some(missing) = parsed.unresolved_inputs.first() {
        return Err(TractError::msg(format!("value {missing:?} is used but never computed")));
    }
    let mut inference = parsed.model;
    for at in 0..inference.input_outlets()?.len() {
        let name = inference.node(inference.input_outlets()?[at].node).name.clone();
        let Some(input) = inputs.iter().find(|i| i.name == name) else {
            return Err(TractError::msg(format!("input {name:?} has no shape")));
        };
        let fact = InferenceFact::dt_shape(tensor::datum_type(input.dtype), &input.shape);
        inference.set_input_fact(at, fact)?;
    }
    inference.into_typed()?.into_decluttered()
}

/// Runs a part of the import that may fail or, on a damaged file, panic inside the library: both become a sentence.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| {
            // The outermost context names the operator, the innermost says what is wrong.
            format!("{e:#}")
        }),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(format!("the importer gave up on this graph: {text}"))
        }
    }
}

/// Names of the inputs that a model's file declares, in order, without initialisers.
///
/// # Errors
/// [`GraphError::File`].
pub fn input_names(path: &Path) -> Result<Vec<String>, GraphError> {
    Ok(bind::names(&read(path)?))
}

fn output_names(model: &ModelProto) -> Vec<String> {
    let graph = model.graph.as_ref().expect("checked before");
    graph.output.iter().map(|o| o.name.clone()).collect()
}
