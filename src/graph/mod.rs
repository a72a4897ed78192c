//! Models as graphs: ONNX in, a `Recording` out.

pub mod zoo;
