//! Case folders: a model with stored inputs and the outputs that it should give.
//!
//! `model.onnx`, `input_0.npy` … and `output_0.npy` … in graph order, a second set in `alt/` perhaps, and `meta.json` with
//! `max_rel_error` perhaps. Shapes come from the files.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::CliError;
use super::onnx_head::OnnxHead;
use crate::graph::{Graph, LoadOptions, ModelSource, load_for};
use crate::tensor::{HostTensor, npy};

/// A case folder.
#[derive(Debug)]
pub struct Case {
    /// The folder.
    pub folder: PathBuf,
    /// The error limit of its `meta.json`.
    pub limit: Option<f64>,
    /// Whether its inputs are made by a script and may not be there yet.
    seeded: bool,
    head: OnnxHead,
}

/// One set of stored tensors.
#[derive(Debug)]
pub struct Set {
    /// One per input of the graph.
    pub inputs: Vec<HostTensor>,
    /// One per output of the graph.
    pub outputs: Vec<HostTensor>,
}

/// The part of `meta.json` that is read.
#[derive(Debug, Default, Deserialize)]
struct Meta {
    max_rel_error: Option<f64>,
    #[serde(default)]
    kind: String,
}

impl Case {
    /// True where `path` looks like a case and not like a model.
    pub fn is_case(path: &str) -> bool {
        Path::new(path).is_dir()
    }

    /// Reads what describes the case.
    ///
    /// # Errors
    /// [`CliError::Input`] naming the file.
    pub fn open(folder: &Path) -> Result<Case, CliError> {
        let bad = |what: &str| CliError::Input(format!("{}: {what}", folder.display()));
        if !folder.is_dir() {
            return Err(bad("no such folder; allowed is a folder with model.onnx, input_0.npy … and output_0.npy …"));
        }
        let meta = meta(&folder.join("meta.json"))?;
        let seeded = meta.kind.starts_with("seeded");
        let model = folder.join("model.onnx");
        if !model.is_file() {
            return Err(bad(match seeded {
                true => "it has no model.onnx; meta.json says that a script writes it (generate.py beside the folders)",
                false => "it has no model.onnx; allowed is a folder with model.onnx, input_0.npy … and output_0.npy …",
            }));
        }
        let head = OnnxHead::read(&model)?;
        Ok(Case { folder: folder.into(), limit: meta.max_rel_error, seeded, head })
    }

    /// The names of its sets that are there.
    pub fn sets(&self) -> Vec<&'static str> {
        let alt = self.folder.join("alt").exists();
        [".", "alt"].into_iter().filter(|name| *name == "." || alt).collect()
    }

    /// Reads the set `.` or `alt`.
    ///
    /// # Errors
    /// [`CliError::Input`] naming the file that is missing or damaged.
    pub fn set(&self, name: &str) -> Result<Set, CliError> {
        let folder = if name == "." { self.folder.clone() } else { self.folder.join(name) };
        if !folder.is_dir() {
            return Err(CliError::Input(format!("{}: allowed is a folder with a second set", folder.display())));
        }
        let inputs = self.tensors(&folder, "input", self.head.inputs().len())?;
        let outputs = self.tensors(&folder, "output", self.head.outputs().len())?;
        Ok(Set { inputs, outputs })
    }

    /// Loads the model at the shapes of a set. Integer inputs of one element become constants where the model cannot be
    /// typed without: they choose shapes and branches.
    ///
    /// # Errors
    /// [`CliError::Input`]: what is wrong with the model.
    pub fn load(&self, set: &Set) -> Result<Graph, CliError> {
        let source = ModelSource::File(self.folder.join("model.onnx"));
        Ok(load_for(&source, &LoadOptions::default(), &set.inputs)?)
    }

    fn tensors(&self, folder: &Path, kind: &str, n: usize) -> Result<Vec<HostTensor>, CliError> {
        let one = |k: usize| {
            let path = folder.join(format!("{kind}_{k}.npy"));
            if !path.is_file() {
                let why = match (self.seeded, kind) {
                    (true, "input") => "; it is large, and a script writes it (generate.py beside the folders)".into(),
                    _ => format!("; the model has {n} {kind}s and needs a file for each"),
                };
                return Err(CliError::Input(format!("{} is missing{why}", path.display())));
            }
            npy::read(&path).map_err(|e| CliError::Input(e.to_string()))
        };
        let beyond = folder.join(format!("{kind}_{n}.npy"));
        if beyond.exists() {
            let what = format!("{}: the model has {n} {kind}s; take the file away", beyond.display());
            return Err(CliError::Input(what));
        }
        (0..n).map(one).collect()
    }
}

/// The values of `set` that a graph takes with each request: without those that became constants.
pub fn request(graph: &Graph, inputs: &[HostTensor]) -> Vec<HostTensor> {
    let bound = |k: usize| graph.bound.iter().any(|(at, ..)| *at == k);
    inputs.iter().enumerate().filter(|(k, _)| !bound(*k)).map(|(_, tensor)| tensor.clone()).collect()
}

fn meta(path: &Path) -> Result<Meta, CliError> {
    if !path.is_file() {
        return Ok(Meta::default());
    }
    let bad = |what: String| CliError::Input(format!("{}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    let meta: Meta = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    match meta.max_rel_error {
        Some(limit) if !(limit > 0.0 && limit.is_finite()) => {
            Err(bad(format!("max_rel_error: found {limit}, allowed is a number above 0")))
        }
        _ => Ok(meta),
    }
}
