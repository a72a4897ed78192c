//! Operators on the CPU: the oracle of every device, the numbers behind a simulated one, and the way the rare operator
//! runs that has no kernel yet.

use std::fmt;

use crate::tensor::{DType, HostTensor};

use super::{HalError, Operation, TensorRef};

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
    let call = std::panic::AssertUnwindSafe(|| operation.host.eval(inputs));
    let outputs =
        std::panic::catch_unwind(call).map_err(|_| failed("its function panicked".into()))?.map_err(&failed)?;
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

/// Reads a tensor out of a buffer's words.
///
/// # Errors
/// A sentence when the type is not held on devices.
pub fn gather(tensor: &TensorRef, words: &[u32]) -> Result<HostTensor, String> {
    let picked: Vec<u32> = tensor.view.positions().map(|at| words[at]).collect();
    HostTensor::from_device_words(tensor.dtype, &tensor.view.shape, &picked).map_err(|e| e.to_string())
}

/// Writes a tensor into a buffer's words.
///
/// # Errors
/// A sentence when a value does not fit the device's type.
pub fn scatter(tensor: &TensorRef, value: &HostTensor, words: &mut [u32]) -> Result<(), String> {
    let from = value.to_device_words().map_err(|e| e.to_string())?;
    for (at, word) in tensor.view.positions().zip(from) {
        words[at] = word;
    }
    Ok(())
}

/// True where a device can hold tensors of this type at all.
pub fn holds(dtype: DType) -> bool {
    dtype.device_word().is_some()
}
