//! What follows a sum inside the same kernel: bias, residual, activation, as a chain over the sum and further operands.

use super::elementwise::{Evaluator, spread};
use super::{ELEMENTWISE_SCALARS_MAX, NoKernel, Operand, Space};
use crate::hal::Chain;
use crate::tensor::{DType, HostTensor, View};

/// Operands besides the sum that one epilogue reads at most.
pub const EPILOGUE_OPERANDS_MAX: usize = 4;

/// `y = chain(sum, x1, x2, …; s0, s1, …)` for every element of the output. The operands are the operator's last inputs
/// and broadcast to the output's shape; one of them may be the output's own memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Epilogue {
    /// What to compute; input 0 is the sum. Without steps, the sum itself.
    pub chain: Chain,
    /// The scalars that the chain uses.
    pub scalars: Vec<f32>,
    /// Operands besides the sum.
    pub n_operands: usize,
}

/// An epilogue's operands as a kernel takes them.
#[derive(Clone, Debug)]
pub(super) struct EpilogueOperands {
    /// Broadcast to the output's shape.
    pub(super) views: Vec<View>,
    /// Bit q: operand q lies in the weights.
    pub(super) in_weights: u32,
    /// The scalars, filled up with zeros.
    pub(super) scalars: [f32; ELEMENTWISE_SCALARS_MAX],
}

impl EpilogueOperands {
    /// Bit q: operand q depends on no axis but this one.
    pub(super) fn of_axis(&self, axis: usize) -> u32 {
        let of_axis =
            |view: &View| (0..view.strides.len()).all(|a| a == axis || view.strides[a] == 0 || view.shape[a] == 1);
        self.views.iter().enumerate().map(|(q, view)| u32::from(of_axis(view)) << q).sum()
    }
}

impl Epilogue {
    /// For an operator's kind: ` + relu`, or nothing.
    pub fn kind(&self) -> String {
        self.chain.steps.iter().map(|s| format!(" + {}", s.fragment.name)).collect()
    }

    /// Tensors that the chain reads: the sum and the operands.
    pub(super) fn inputs(&self) -> u32 {
        1 + self.n_operands as u32
    }

    /// Places the operator's last inputs.
    pub(super) fn place(&self, inputs: &[Operand], shape: &[usize]) -> Result<EpilogueOperands, NoKernel> {
        if self.n_operands > EPILOGUE_OPERANDS_MAX || self.scalars.len() > ELEMENTWISE_SCALARS_MAX {
            return Err(NoKernel(format!(
                "an epilogue of {} operands and {} scalars, kernels take {EPILOGUE_OPERANDS_MAX} and {ELEMENTWISE_SCALARS_MAX}",
                self.n_operands,
                self.scalars.len()
            )));
        }
        let operands = &inputs[inputs.len() - self.n_operands..];
        let mut views = Vec::new();
        let mut in_weights = 0;
        for (q, operand) in operands.iter().enumerate() {
            let view = operand.view.broadcast_to(shape);
            views.push(view.ok_or(NoKernel(format!("{:?} does not broadcast to {shape:?}", operand.view.shape)))?);
            in_weights |= u32::from(operand.space == Space::Weights) << q;
        }
        let mut scalars = [0.0; ELEMENTWISE_SCALARS_MAX];
        scalars[..self.scalars.len()].copy_from_slice(&self.scalars);
        Ok(EpilogueOperands { views, in_weights, scalars })
    }

    /// The output of `shape` from its sums in row-major order and the operands.
    pub(super) fn reference(&self, sums: &[f64], operands: &[HostTensor], shape: &[usize]) -> HostTensor {
        let words: Vec<Vec<u32>> = operands.iter().map(|t| t.to_device_words().expect("a device type")).collect();
        let positions: Vec<Option<Vec<usize>>> = operands.iter().map(|t| spread(t.shape(), shape)).collect();
        let mut chain = Evaluator::new(&self.chain, &self.scalars);
        let mut x = Vec::new();
        let values: Vec<u32> = sums
            .iter()
            .enumerate()
            .map(|(i, &sum)| {
                x.clear();
                x.push((sum as f32).to_bits());
                x.extend(words.iter().zip(&positions).map(|(w, p)| w[p.as_ref().map_or(i, |p| p[i])]));
                chain.word(&x)
            })
            .collect();
        HostTensor::from_device_words(DType::F32, shape, &values).expect("a device type")
    }
}
