//! Dependencies between operations: what reads or overwrites what another one wrote or read, in words of the arena. Only
//! direct ones are kept.
//!
//! What an operation touches is what its host function touches and what its kernels touch: they differ where a layout
//! forces a copy, which the kernel reads and the host function does not.

use crate::hal::eval::extent;
use crate::hal::{Operation, TensorRef};

/// Tensors that the kernels of an operation read and write.
pub(super) struct Operands {
    pub(super) reads: Vec<TensorRef>,
    pub(super) writes: Vec<TensorRef>,
}

/// Sets [`Operation::deps`]; `operands` are of the same operations.
pub(super) fn dependencies(operations: &mut [Operation], operands: &[Operands]) {
    let touched: Vec<Touched> = operations.iter().zip(operands).map(|(o, of)| Touched::of(o, of)).collect();
    let words = operations.len().div_ceil(64);
    let mut before: Vec<Vec<u64>> = Vec::with_capacity(operations.len());
    for at in 0..operations.len() {
        let mut closure = vec![0u64; words];
        let mut deps = Vec::new();
        for earlier in (0..at).rev() {
            let known = closure[earlier / 64] >> (earlier % 64) & 1 == 1;
            if !known && touched[at].conflicts(&touched[earlier]) {
                deps.push(earlier as u32);
                closure[earlier / 64] |= 1 << (earlier % 64);
                for (word, more) in closure.iter_mut().zip(&before[earlier]) {
                    *word |= more;
                }
            }
        }
        deps.reverse();
        operations[at].deps = deps;
        before.push(closure);
    }
}

/// The words that an operation reads and writes, as ranges.
struct Touched {
    reads: Vec<(usize, usize)>,
    writes: Vec<(usize, usize)>,
}

impl Touched {
    fn of(operation: &Operation, operands: &Operands) -> Touched {
        let extents = |host: &[TensorRef], kernels: &[TensorRef]| host.iter().chain(kernels).map(extent).collect();
        Touched {
            reads: extents(&operation.inputs, &operands.reads),
            writes: extents(&operation.outputs, &operands.writes),
        }
    }

    fn conflicts(&self, earlier: &Touched) -> bool {
        let meet =
            |a: &[(usize, usize)], b: &[(usize, usize)]| a.iter().any(|x| b.iter().any(|y| x.0 < y.1 && y.0 < x.1));
        meet(&self.reads, &earlier.writes) || meet(&self.writes, &earlier.writes) || meet(&self.writes, &earlier.reads)
    }
}
