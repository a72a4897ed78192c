//! Tensors between tract and us.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use crate::tensor::{DType, HostTensor};

/// Our element type for tract's, or `None` for strings, quantised and other types that we do not carry.
pub fn dtype(dt: DatumType) -> Option<DType> {
    Some(match dt {
        DatumType::Bool => DType::Bool,
        DatumType::U8 => DType::U8,
        DatumType::U16 => DType::U16,
        DatumType::U32 => DType::U32,
        DatumType::U64 => DType::U64,
        DatumType::I8 => DType::I8,
        DatumType::I16 => DType::I16,
        DatumType::I32 => DType::I32,
        // Shape arithmetic: concrete once all inputs are.
        DatumType::I64 | DatumType::TDim => DType::I64,
        DatumType::F16 => DType::F16,
        DatumType::F32 => DType::F32,
        DatumType::F64 => DType::F64,
        _ => return None,
    })
}

/// tract's element type for ours.
pub fn datum_type(dtype: DType) -> DatumType {
    match dtype {
        DType::Bool => DatumType::Bool,
        DType::U8 => DatumType::U8,
        DType::U16 => DatumType::U16,
        DType::U32 => DatumType::U32,
        DType::U64 => DatumType::U64,
        DType::I8 => DatumType::I8,
        DType::I16 => DatumType::I16,
        DType::I32 => DatumType::I32,
        DType::I64 => DatumType::I64,
        DType::F16 => DatumType::F16,
        DType::F32 => DatumType::F32,
        DType::F64 => DatumType::F64,
    }
}

/// A copy in tract's form.
///
/// # Errors
/// What tract says of the bytes.
pub fn to_tract(tensor: &HostTensor) -> TractResult<Tensor> {
    // SAFETY: the bytes fill the shape exactly, which `HostTensor` guarantees, and every bit pattern of these types is a
    // value (truth values are bytes 0 and 1).
    unsafe { Tensor::from_raw_dt(datum_type(tensor.dtype()), tensor.shape(), tensor.bytes()) }
}

/// A copy in our form.
///
/// # Errors
/// For element types that we do not carry.
pub fn from_tract(tensor: &Tensor) -> TractResult<HostTensor> {
    let dt = tensor.datum_type();
    let dtype = dtype(dt).with_context(|| format!("element type {dt:?} is not supported"))?;
    let plain =
        if dt == DatumType::TDim { tensor.cast_to_dt(DatumType::I64)? } else { std::borrow::Cow::Borrowed(tensor) };
    Ok(HostTensor::new(dtype, plain.shape(), plain.as_bytes().to_vec())?)
}
