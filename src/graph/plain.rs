//! The plain reference of a kernel as the CPU function of its node: the reference device computes with it, and a CPU node
//! that has a kernel for other devices.

use std::sync::Arc;

use super::fuse::copied;
use super::view::{ViewOp, apply_all};
use crate::hal::HostFn;
use crate::kernel::Operator;
use crate::tensor::{DType, HostTensor, View, volume};

/// An operator between the views of its node.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) operator: Arc<dyn Operator>,
    /// From each argument to the operand.
    pub(super) inputs: Vec<Vec<ViewOp>>,
    pub(super) outputs: Vec<PlainOutput>,
}

/// A value that is computed.
#[derive(Debug)]
pub(super) struct PlainOutput {
    /// From the value to what the operator writes.
    pub(super) views: Vec<ViewOp>,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
}

impl HostFn for Plain {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        let operands: Vec<HostTensor> = inputs.iter().zip(&self.inputs).map(|(t, views)| copied(t, views)).collect();
        let results = self.operator.reference(&operands);
        if results.len() != self.outputs.len() {
            return Err(format!("{} outputs, its reference gives {}", self.outputs.len(), results.len()));
        }
        results.iter().zip(&self.outputs).map(|(result, output)| output.value(result)).collect()
    }
}

impl PlainOutput {
    /// The value of which `result` is what the operator wrote.
    fn value(&self, result: &HostTensor) -> Result<HostTensor, String> {
        if result.volume() != volume(&self.shape) {
            return Err(format!("an output {:?}, its reference gives {:?}", self.shape, result.shape()));
        }
        if self.views.is_empty() && result.dtype() == self.dtype {
            return Ok(result.clone().reshaped(&self.shape));
        }
        let written = result.to_device_words().map_err(|e| e.to_string())?;
        let whole = View::contiguous(0, &self.shape);
        let view = apply_all(&self.views, &whole).map_err(|_| "its output views need a copy".to_string())?;
        let mut words = vec![0; written.len()];
        for (at, word) in view.positions().zip(written) {
            words[at] = word;
        }
        HostTensor::from_device_words(self.dtype, &self.shape, &words).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Reduce, Reducer};

    #[test]
    fn views_lead_to_the_operand_and_back_from_the_result() {
        // Maxima of the columns of a transposed matrix, written into a value of another shape.
        let operator =
            Reduce { reducer: Reducer::Max, shape: vec![3, 2], axes: vec![0], dtype: DType::F32, in_range: true };
        let plain = Plain {
            operator: Arc::new(operator),
            inputs: vec![vec![ViewOp::Permute(vec![1, 0])]],
            outputs: vec![PlainOutput {
                views: vec![ViewOp::RemoveAxis(0), ViewOp::Slice { axis: 0, start: 1, len: 2, step: -1 }],
                dtype: DType::F32,
                shape: vec![1, 2],
            }],
        };
        let x = HostTensor::from_f32(&[2, 3], &[1.0, 5.0, f32::NEG_INFINITY, 2.0, f32::NAN, 3.0]);
        let y = plain.eval(&[x]).unwrap()[0].to_f32();
        assert!(y[0].is_nan() && y[1] == 5.0, "{y:?}");
    }
}
