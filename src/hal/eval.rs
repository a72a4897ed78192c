//! Operators on the CPU: the oracle of every device, the numbers behind a simulated one, and the way the rare operator
//! runs that has no kernel yet.

use std::fmt;

use crate::tensor::HostTensor;

use super::{HalError, Operation, Region, TensorRef, caught};

/// A function of host tensors: what an operator computes.
pub trait HostFn: Send + Sync + fmt::Debug {
    /// Computes the outputs; types and shapes are those that the operation declares.
    ///
    /// # Errors
    /// A sentence for people when the operator cannot be computed on these values.
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String>;
}

/// Runs `operation` on tensors that the caller read from its inputs, and checks that the outputs are as declared.
///
/// # Errors
/// [`HalError::Host`] when the function fails, panics, or answers with other types or shapes than declared.
pub fn eval(operation: &Operation, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, HalError> {
    let failed = |reason: String| HalError::Host { operator: operation.name.clone(), reason };
    // The function may come from a library that panics on values it does not expect: that ends this tenant's request,
    // not the process.
    let outputs = caught(|| operation.host.eval(inputs))
        .map_err(|text| failed(format!("its function panicked: {text}")))?
        .map_err(&failed)?;
    if outputs.len() != operation.outputs.len() {
        return Err(failed(format!("{} outputs were declared, {} computed", operation.outputs.len(), outputs.len())));
    }
    for (declared, got) in operation.outputs.iter().zip(&outputs) {
        if declared.view.shape != got.shape() || declared.dtype != got.dtype() {
            return Err(failed(format!(
                "an output is {} {:?}, declared {} {:?}",
                got.dtype(),
                got.shape(),
                declared.dtype,
                declared.view.shape
            )));
        }
    }
    Ok(outputs)
}

/// The words of its buffer that a tensor lies in: first, and one past the last.
pub fn extent(tensor: &TensorRef) -> (usize, usize) {
    match tensor.is_packed() {
        false => tensor.view.extent(),
        true => (tensor.view.offset, tensor.view.offset + packed_words(tensor)),
    }
}

/// The bytes of its buffer that a tensor lies in.
pub fn region(tensor: &TensorRef) -> Region {
    let (from, to) = extent(tensor);
    Region { buffer: tensor.buffer, offset: from as u64 * 4, bytes: (to - from) as u64 * 4 }
}

/// Reads a tensor out of the words of its [`extent`].
///
/// Types that devices hold have a word per element; others, and wide integers, lie packed, as raw bytes, for CPU nodes
/// only.
///
/// # Errors
/// A sentence when the words do not make such a tensor.
pub fn gather(tensor: &TensorRef, words: &[u32]) -> Result<HostTensor, String> {
    let shape = &tensor.view.shape;
    let value = match tensor.is_packed() {
        false => {
            let (from, _) = tensor.view.extent();
            let picked: Vec<u32> = tensor.view.positions().map(|at| words[at - from]).collect();
            HostTensor::from_device_words(tensor.dtype, shape, &picked)
        }
        true => {
            let n = tensor.view.volume() * tensor.dtype.size();
            HostTensor::new(tensor.dtype, shape, bytemuck::cast_slice::<u32, u8>(words)[..n].to_vec())
        }
    };
    value.map_err(|e| e.to_string())
}

/// Writes a tensor into the words of its [`extent`].
///
/// # Errors
/// A sentence when a value does not fit the device's type.
pub fn scatter(tensor: &TensorRef, value: &HostTensor, words: &mut [u32]) -> Result<(), String> {
    if tensor.is_packed() {
        bytemuck::cast_slice_mut::<u32, u8>(words)[..value.bytes().len()].copy_from_slice(value.bytes());
        return Ok(());
    }
    let (from, _) = tensor.view.extent();
    let values = value.to_device_words().map_err(|e| e.to_string())?;
    for (at, word) in tensor.view.positions().zip(values) {
        words[at - from] = word;
    }
    Ok(())
}

/// A dense tensor as the bytes of its [`region`]: what an upload carries.
///
/// # Errors
/// A sentence when a value does not fit the device's type.
pub fn encode(tensor: &TensorRef, value: &HostTensor) -> Result<Vec<u8>, String> {
    let (from, to) = extent(tensor);
    let mut words = vec![0u32; to - from];
    scatter(tensor, value, &mut words)?;
    Ok(bytemuck::cast_slice(&words).to_vec())
}

/// The tensor in the bytes of its [`region`]: what a read brings.
///
/// # Errors
/// A sentence when the bytes do not make such a tensor.
pub fn decode(tensor: &TensorRef, bytes: &[u8]) -> Result<HostTensor, String> {
    gather(tensor, &bytemuck::pod_collect_to_vec::<u8, u32>(bytes))
}

fn packed_words(tensor: &TensorRef) -> usize {
    (tensor.view.volume() * tensor.dtype.size()).div_ceil(4)
}
