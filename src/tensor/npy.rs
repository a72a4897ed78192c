//! NumPy `.npy` files: the form in which inputs and reference outputs come.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use npyz::{DType as NpyType, NpyFile, Order, TypeChar};

use super::{DType, HostTensor, TensorError};

/// Elements that a file may declare before it is refused: 4 GiB of `f32`.
pub const ELEMENTS_MAX: u64 = 1 << 30;

/// Reads a tensor from a `.npy` file.
///
/// # Errors
/// [`TensorError::File`] naming the file when it cannot be opened, is damaged, or holds a type that is not numeric.
pub fn read(path: &Path) -> Result<HostTensor, TensorError> {
    let error = |what: String| TensorError::File(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|e| error(e.to_string()))?;
    let npy = NpyFile::new(BufReader::new(file)).map_err(|e| error(format!("not a .npy file: {e}")))?;
    if npy.len() > ELEMENTS_MAX {
        return Err(error(format!("{} elements, at most {ELEMENTS_MAX} are read", npy.len())));
    }
    let shape: Vec<usize> = npy.shape().iter().map(|&d| d as usize).collect();
    let NpyType::Plain(kind) = npy.dtype() else {
        return Err(error("record arrays are not tensors".into()));
    };
    let fortran = npy.order() == Order::Fortran;
    let tensor = match (kind.type_char(), kind.size_field()) {
        (TypeChar::Bool, _) => collect(npy, DType::Bool, &shape, |v: bool| [u8::from(v)]),
        (TypeChar::Float, 4) => collect(npy, DType::F32, &shape, f32::to_le_bytes),
        (TypeChar::Float, 8) => collect(npy, DType::F64, &shape, f64::to_le_bytes),
        (TypeChar::Float, 2) => collect(npy, DType::F16, &shape, half::f16::to_le_bytes),
        (TypeChar::Int, 1) => collect(npy, DType::I8, &shape, i8::to_le_bytes),
        (TypeChar::Int, 2) => collect(npy, DType::I16, &shape, i16::to_le_bytes),
        (TypeChar::Int, 4) => collect(npy, DType::I32, &shape, i32::to_le_bytes),
        (TypeChar::Int, 8) => collect(npy, DType::I64, &shape, i64::to_le_bytes),
        (TypeChar::Uint, 1) => collect(npy, DType::U8, &shape, u8::to_le_bytes),
        (TypeChar::Uint, 2) => collect(npy, DType::U16, &shape, u16::to_le_bytes),
        (TypeChar::Uint, 4) => collect(npy, DType::U32, &shape, u32::to_le_bytes),
        (TypeChar::Uint, 8) => collect(npy, DType::U64, &shape, u64::to_le_bytes),
        _ => Err(format!("element type {kind} is not a number")),
    }
    .map_err(error)?;
    Ok(if fortran { row_major(tensor, &shape) } else { tensor })
}

fn collect<T: npyz::Deserialize, const N: usize>(
    npy: NpyFile<BufReader<File>>,
    dtype: DType,
    shape: &[usize],
    to_bytes: impl Fn(T) -> [u8; N],
) -> Result<HostTensor, String> {
    let mut bytes = Vec::new();
    for value in npy.data::<T>().map_err(|e| e.to_string())? {
        bytes.extend(to_bytes(value.map_err(|e| format!("damaged: {e}"))?));
    }
    HostTensor::new(dtype, shape, bytes).map_err(|e| e.to_string())
}

/// A column-major file holds the transposed tensor in row-major order.
fn row_major(tensor: HostTensor, shape: &[usize]) -> HostTensor {
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    let order: Vec<usize> = (0..shape.len()).rev().collect();
    let view = super::View::contiguous(0, &reversed).permuted(&order);
    tensor.gathered(&view)
}
