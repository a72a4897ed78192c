//! What the commands need to know of a model before it is loaded: names and types of its inputs and which operators
//! take them. Weights are skipped while parsing, so this is quick for any file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use prost::Message;

use super::error::CliError;
use crate::tensor::DType;

/// A model without its weights.
#[derive(Clone, PartialEq, Message)]
pub struct OnnxHead {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphHead>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphHead {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeHead>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorHead>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<PortHead>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<PortHead>,
}

/// A node.
#[derive(Clone, PartialEq, Message)]
pub struct NodeHead {
    /// Names of the values that it takes; empty where one is left out.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct TensorHead {
    #[prost(string, tag = "8")]
    name: String,
}

/// An input or output.
#[derive(Clone, PartialEq, Message)]
pub struct PortHead {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<TypeHead>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeHead {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorTypeHead>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorTypeHead {
    #[prost(int32, tag = "1")]
    element: i32,
}

impl PortHead {
    /// The element type; `None` for sequences, optional values and types that we do not hold.
    pub fn dtype(&self) -> Option<DType> {
        element_type(self.kind.as_ref()?.tensor.as_ref()?.element)
    }
}

impl OnnxHead {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`CliError::Input`] naming the file.
    pub fn read(path: &Path) -> Result<OnnxHead, CliError> {
        let error = |what: String| CliError::Input(format!("{}: {what}", path.display()));
        let bytes = fs::read(path).map_err(|e| error(format!("cannot be read: {e}")))?;
        let head = OnnxHead::decode(bytes.as_slice()).map_err(|e| error(format!("not an ONNX model: {e}")))?;
        match head.graph {
            Some(_) => Ok(head),
            None => Err(error("not an ONNX model: it has no graph".into())),
        }
    }

    /// The inputs that a request must give, in order: those that are not also weights.
    pub fn inputs(&self) -> Vec<&PortHead> {
        let Some(graph) = &self.graph else { return Vec::new() };
        let weights: BTreeSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        graph.input.iter().filter(|port| !weights.contains(port.name.as_str())).collect()
    }

    /// The outputs, in order.
    pub fn outputs(&self) -> &[PortHead] {
        self.graph.as_ref().map_or(&[], |graph| &graph.output)
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> &[NodeHead] {
        self.graph.as_ref().map_or(&[], |graph| &graph.node)
    }
}

/// Our type for the number by which ONNX names an element type.
pub fn element_type(number: i32) -> Option<DType> {
    Some(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        _ => return None,
    })
}
