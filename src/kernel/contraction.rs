//! The operators that sum products and end in an epilogue, as the graph layer sees them.

use super::{Conv, Epilogue, Gemm, Operator};

/// A sum of products with an epilogue that the graph layer may extend.
#[derive(Clone, Debug)]
pub enum Contraction {
    /// A batched matrix product.
    Gemm(Gemm),
    /// A convolution, of each channel alone or of groups of them.
    Conv(Conv),
}

impl Contraction {
    /// The operator.
    pub fn operator(&self) -> &dyn Operator {
        match self {
            Contraction::Gemm(op) => op,
            Contraction::Conv(op) => op,
        }
    }

    /// Operands of the sum; those of the epilogue follow.
    pub fn n_operands(&self) -> usize {
        2
    }

    /// What follows the sum, element by element.
    pub fn epilogue_mut(&mut self) -> &mut Epilogue {
        match self {
            Contraction::Gemm(op) => &mut op.epilogue,
            Contraction::Conv(op) => &mut op.epilogue,
        }
    }
}
