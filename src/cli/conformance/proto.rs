//! Tensors of the ONNX backend tests: one `TensorProto` per file.

use std::fs;
use std::path::Path;

use prost::Message;
use tract_onnx::pb::TensorProto;

use crate::cli::onnx_head::element_type;
use crate::tensor::{DType, HostTensor};

/// Reads a tensor.
///
/// # Errors
/// A sentence for files that are no tensor and element types that we do not hold.
pub fn read(path: &Path) -> Result<HostTensor, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    decode(&TensorProto::decode(bytes.as_slice()).map_err(|e| format!("not a tensor: {e}"))?)
}

fn decode(proto: &TensorProto) -> Result<HostTensor, String> {
    let dtype = element_type(proto.data_type).ok_or_else(|| type_name(proto.data_type))?;
    let dims = proto.dims.iter().map(|&d| usize::try_from(d));
    let shape: Vec<usize> = dims.collect::<Result<_, _>>().map_err(|_| "a negative extent".to_string())?;
    let bytes = if proto.raw_data.is_empty() { fields(proto, dtype) } else { proto.raw_data.clone() };
    HostTensor::new(dtype, &shape, bytes).map_err(|e| e.to_string())
}

/// The typed fields in which small tensors are stored, as little-endian bytes.
fn fields(proto: &TensorProto, dtype: DType) -> Vec<u8> {
    let narrow = |n: usize| proto.int32_data.iter().flat_map(|v| v.to_le_bytes()[..n].to_vec()).collect();
    match dtype {
        DType::F32 => bytemuck::cast_slice(&proto.float_data).to_vec(),
        DType::F64 => bytemuck::cast_slice(&proto.double_data).to_vec(),
        DType::I64 => bytemuck::cast_slice(&proto.int64_data).to_vec(),
        DType::U64 => bytemuck::cast_slice(&proto.uint64_data).to_vec(),
        DType::U32 => proto.uint64_data.iter().flat_map(|v| (*v as u32).to_le_bytes()).collect(),
        DType::I32 => bytemuck::cast_slice(&proto.int32_data).to_vec(),
        DType::I16 | DType::U16 | DType::F16 => narrow(2),
        DType::I8 | DType::U8 | DType::Bool => narrow(1),
    }
}

/// The name of an element type that we do not hold.
fn type_name(number: i32) -> String {
    const NAMES: [(i32, &str); 12] = [
        (8, "string"),
        (14, "complex64"),
        (15, "complex128"),
        (16, "bfloat16"),
        (17, "float8e4m3fn"),
        (18, "float8e4m3fnuz"),
        (19, "float8e5m2"),
        (20, "float8e5m2fnuz"),
        (21, "uint4"),
        (22, "int4"),
        (23, "float4e2m1"),
        (0, "undefined"),
    ];
    let name = NAMES.iter().find(|(n, _)| *n == number).map_or_else(|| number.to_string(), |(_, name)| (*name).into());
    format!("element type {name} is not held")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_storing_values_are_read() {
        let raw =
            TensorProto { data_type: 7, dims: vec![1], raw_data: vec![5, 0, 0, 0, 0, 0, 0, 0], ..Default::default() };
        assert_eq!(decode(&raw).unwrap(), HostTensor::from_i64(&[1], &[5]));
        let typed = TensorProto { data_type: 9, dims: vec![2], int32_data: vec![1, 0], ..Default::default() };
        assert_eq!(decode(&typed).unwrap().bytes(), [1, 0]);
        let half = TensorProto { data_type: 10, dims: vec![1], int32_data: vec![0x3c00], ..Default::default() };
        assert_eq!(decode(&half).unwrap().to_f64(), [1.0]);
    }

    #[test]
    fn damage_is_an_error() {
        let short = TensorProto { data_type: 1, dims: vec![3], float_data: vec![1.0], ..Default::default() };
        assert!(decode(&short).unwrap_err().contains("12 bytes"));
        let negative = TensorProto { data_type: 1, dims: vec![-1], ..Default::default() };
        assert!(decode(&negative).is_err());
        let float8 = TensorProto { data_type: 17, dims: vec![1], ..Default::default() };
        assert!(decode(&float8).unwrap_err().contains("float8e4m3fn"));
    }
}
