//! Tensors in host memory: dense, row-major, little-endian bytes.

use super::{DType, View, show_shape, volume};

/// A dense row-major tensor in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// What can be wrong with a tensor that came from outside.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum TensorError {
    /// The data does not fill the shape.
    #[error("{dtype} tensor of shape {} needs {needed} bytes, {found} were given", show_shape(.shape))]
    Length {
        /// Declared element type.
        dtype: DType,
        /// Declared shape.
        shape: Vec<usize>,
        /// Bytes that the shape needs.
        needed: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// A 64-bit integer does not fit the 32 bits that devices hold.
    #[error("value {value} at element {index} is outside the 32-bit range that devices hold")]
    Range {
        /// The value.
        value: i64,
        /// Its row-major index.
        index: usize,
    },
    /// Devices do not hold this element type.
    #[error("element type {0} is not held on devices")]
    NotOnDevice(DType),
    /// A file is not a tensor that we can read.
    #[error("{0}")]
    File(String),
}

impl HostTensor {
    /// From raw little-endian bytes.
    ///
    /// # Errors
    /// [`TensorError::Length`] when the bytes do not fill the shape exactly.
    pub fn new(dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Result<HostTensor, TensorError> {
        let needed = shape.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
        if needed != bytes.len() {
            return Err(TensorError::Length { dtype, shape: shape.to_vec(), needed, found: bytes.len() });
        }
        Ok(HostTensor { dtype, shape: shape.to_vec(), bytes })
    }

    /// All elements zero (false).
    pub fn zeros(dtype: DType, shape: &[usize]) -> HostTensor {
        HostTensor { dtype, shape: shape.to_vec(), bytes: vec![0; volume(shape) * dtype.size()] }
    }

    /// From `f32` values; panics if their number is not the volume of the shape.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> HostTensor {
        assert_eq!(volume(shape), values.len(), "values fill the shape");
        HostTensor { dtype: DType::F32, shape: shape.to_vec(), bytes: bytemuck::cast_slice(values).to_vec() }
    }

    /// From `i64` values; panics if their number is not the volume of the shape.
    pub fn from_i64(shape: &[usize], values: &[i64]) -> HostTensor {
        assert_eq!(volume(shape), values.len(), "values fill the shape");
        HostTensor { dtype: DType::I64, shape: shape.to_vec(), bytes: bytemuck::cast_slice(values).to_vec() }
    }

    /// From `i32` values; panics if their number is not the volume of the shape.
    pub fn from_i32(shape: &[usize], values: &[i32]) -> HostTensor {
        assert_eq!(volume(shape), values.len(), "values fill the shape");
        HostTensor { dtype: DType::I32, shape: shape.to_vec(), bytes: bytemuck::cast_slice(values).to_vec() }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn volume(&self) -> usize {
        volume(&self.shape)
    }

    /// Row-major little-endian bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same elements under another shape of equal volume.
    pub fn reshaped(mut self, shape: &[usize]) -> HostTensor {
        assert_eq!(volume(shape), self.volume(), "a reshape keeps the volume");
        self.shape = shape.to_vec();
        self
    }

    /// The elements as `f32`, converting from any type.
    pub fn to_f32(&self) -> Vec<f32> {
        if self.dtype == DType::F32 {
            return bytemuck::pod_collect_to_vec(&self.bytes);
        }
        self.to_f64().into_iter().map(|v| v as f32).collect()
    }

    /// The elements as `f64`, converting from any type.
    pub fn to_f64(&self) -> Vec<f64> {
        let b = &self.bytes;
        match self.dtype {
            DType::Bool | DType::U8 => b.iter().map(|&v| v as f64).collect(),
            DType::I8 => b.iter().map(|&v| v as i8 as f64).collect(),
            DType::U16 => words::<2>(b).map(|w| u16::from_le_bytes(w) as f64).collect(),
            DType::I16 => words::<2>(b).map(|w| i16::from_le_bytes(w) as f64).collect(),
            DType::F16 => words::<2>(b).map(|w| half::f16::from_le_bytes(w).to_f64()).collect(),
            DType::U32 => words::<4>(b).map(|w| u32::from_le_bytes(w) as f64).collect(),
            DType::I32 => words::<4>(b).map(|w| i32::from_le_bytes(w) as f64).collect(),
            DType::F32 => words::<4>(b).map(|w| f32::from_le_bytes(w) as f64).collect(),
            DType::U64 => words::<8>(b).map(|w| u64::from_le_bytes(w) as f64).collect(),
            DType::I64 => words::<8>(b).map(|w| i64::from_le_bytes(w) as f64).collect(),
            DType::F64 => words::<8>(b).map(f64::from_le_bytes).collect(),
        }
    }

    /// The elements as `i64`, converting from any type (floats truncate).
    pub fn to_i64(&self) -> Vec<i64> {
        let b = &self.bytes;
        match self.dtype {
            DType::U64 => words::<8>(b).map(|w| u64::from_le_bytes(w) as i64).collect(),
            DType::I64 => words::<8>(b).map(i64::from_le_bytes).collect(),
            _ => self.to_f64().into_iter().map(|v| v as i64).collect(),
        }
    }

    /// The elements as the 32-bit words that devices hold ([`DType::device_word`]), row-major.
    ///
    /// # Errors
    /// [`TensorError::Range`] for an `i64` that does not fit, [`TensorError::NotOnDevice`] for other types.
    pub fn to_device_words(&self) -> Result<Vec<u32>, TensorError> {
        match self.dtype {
            DType::F32 | DType::I32 => Ok(bytemuck::pod_collect_to_vec(&self.bytes)),
            DType::Bool => Ok(self.bytes.iter().map(|&b| u32::from(b != 0)).collect()),
            DType::I64 => self
                .to_i64()
                .into_iter()
                .enumerate()
                .map(|(index, value)| {
                    i32::try_from(value).map(|v| v as u32).map_err(|_| TensorError::Range { value, index })
                })
                .collect(),
            other => Err(TensorError::NotOnDevice(other)),
        }
    }

    /// The reverse of [`HostTensor::to_device_words`].
    ///
    /// # Errors
    /// [`TensorError::NotOnDevice`] for types that devices do not hold, [`TensorError::Length`] for a wrong number.
    pub fn from_device_words(dtype: DType, shape: &[usize], device_words: &[u32]) -> Result<HostTensor, TensorError> {
        let bytes = match dtype {
            DType::F32 | DType::I32 => bytemuck::cast_slice(device_words).to_vec(),
            DType::Bool => device_words.iter().map(|&w| u8::from(w != 0)).collect(),
            DType::I64 => device_words.iter().flat_map(|&w| i64::from(w as i32).to_le_bytes()).collect(),
            other => return Err(TensorError::NotOnDevice(other)),
        };
        HostTensor::new(dtype, shape, bytes)
    }

    /// The elements that `view` (over this tensor's elements) names, as a dense tensor.
    pub fn gathered(&self, view: &View) -> HostTensor {
        let size = self.dtype.size();
        if view.volume() > 0 && view.is_contiguous() {
            let bytes = self.bytes[view.offset * size..][..view.volume() * size].to_vec();
            return HostTensor { dtype: self.dtype, shape: view.shape.clone(), bytes };
        }
        let mut bytes = Vec::with_capacity(view.volume() * size);
        for at in view.positions() {
            bytes.extend_from_slice(&self.bytes[at * size..(at + 1) * size]);
        }
        HostTensor { dtype: self.dtype, shape: view.shape.clone(), bytes }
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.chunks_exact(N).map(|c| c.try_into().expect("chunks have N bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_bit_integers_are_checked_on_their_way_to_a_device() {
        let fits = HostTensor::from_i64(&[2], &[-5, i64::from(i32::MAX)]);
        let there = fits.to_device_words().unwrap();
        assert_eq!(HostTensor::from_device_words(DType::I64, &[2], &there).unwrap(), fits);
        let large = HostTensor::from_i64(&[2], &[0, 1 << 31]);
        assert_eq!(large.to_device_words(), Err(TensorError::Range { value: 1 << 31, index: 1 }));
    }

    #[test]
    fn bytes_must_fill_the_shape() {
        assert!(HostTensor::new(DType::F32, &[2], vec![0; 7]).is_err());
        assert!(HostTensor::new(DType::F32, &[usize::MAX, 2], vec![0; 8]).is_err());
        assert_eq!(HostTensor::new(DType::F32, &[0, 3], vec![]).unwrap().volume(), 0);
    }
}
