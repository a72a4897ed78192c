//! Runs an operator on operands that lie in memory in any order: permuted, reversed, with gaps.

use cotenant::hal::{Device, DeviceCaps};
use cotenant::kernel::harness::{HarnessError, Placement, run};
use cotenant::kernel::{Io, KernelLaunch, NoKernel, Operand, Operator};
use cotenant::tensor::{DType, HostTensor, View};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// How a tensor lies in memory: the order of its axes, which of them run backwards, and the step along each.
#[derive(Clone, Debug)]
pub struct Arrangement {
    order: Vec<usize>,
    reversed: Vec<bool>,
    step: Vec<usize>,
}

impl Arrangement {
    /// As it is.
    pub fn dense(rank: usize) -> Arrangement {
        Arrangement { order: (0..rank).collect(), reversed: vec![false; rank], step: vec![1; rank] }
    }

    /// Any order; some axes run backwards, some have gaps.
    pub fn random(rank: usize, rng: &mut StdRng) -> Arrangement {
        let mut order: Vec<usize> = (0..rank).collect();
        order.shuffle(rng);
        let reversed = (0..rank).map(|_| rng.random_range(0..3) == 0).collect();
        let step = (0..rank).map(|_| rng.random_range(1..3)).collect();
        Arrangement { order, reversed, step }
    }

    /// Extents in memory of a tensor of this shape.
    fn stored_shape(&self, shape: &[usize]) -> Vec<usize> {
        self.order.iter().map(|&axis| shape[axis] * self.step[axis]).collect()
    }

    /// The tensor's elements among those of its memory.
    fn view(&self, memory: &View, shape: &[usize]) -> View {
        let mut back = vec![0; self.order.len()];
        for (at, &axis) in self.order.iter().enumerate() {
            back[axis] = at;
        }
        let mut view = memory.permuted(&back);
        for (axis, &len) in shape.iter().enumerate() {
            let step = self.step[axis];
            view = if self.reversed[axis] && len > 0 {
                view.sliced(axis, (len - 1) * step, len, -(step as isize))
            } else {
                view.sliced(axis, 0, len, step as isize)
            };
        }
        view
    }

    /// What memory holds: the tensor's elements in their places, copies of the first in the gaps.
    fn stored(&self, tensor: &HostTensor) -> HostTensor {
        let shape = self.stored_shape(tensor.shape());
        let mut words = vec![0; cotenant::tensor::volume(&shape)];
        let view = self.view(&View::contiguous(0, &shape), tensor.shape());
        for (at, word) in view.positions().zip(tensor.to_device_words().expect("a device type")) {
            words[at] = word;
        }
        HostTensor::from_device_words(tensor.dtype(), &shape, &words).expect("a device type")
    }
}

/// An operator whose operands the harness stores otherwise than the operator sees them.
#[derive(Debug)]
struct Arranged<'a> {
    operator: &'a dyn Operator,
    inputs: Vec<(Arrangement, Vec<usize>)>,
    outputs: Vec<(Arrangement, Vec<usize>)>,
}

impl Operator for Arranged<'_> {
    fn kind(&self) -> String {
        self.operator.kind()
    }

    fn flops(&self) -> u64 {
        self.operator.flops()
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let seen = |operands: &[Operand], arranged: &[(Arrangement, Vec<usize>)]| -> Vec<Operand> {
            let pairs = operands.iter().zip(arranged);
            pairs.map(|(o, (a, shape))| Operand { view: a.view(&o.view, shape), ..o.clone() }).collect()
        };
        let (inputs, outputs) = (seen(io.inputs, &self.inputs), seen(io.outputs, &self.outputs));
        self.operator.lower(caps, Io { inputs: &inputs, outputs: &outputs })
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        self.operator.reference(inputs)
    }
}

/// Runs `operator` on `inputs` with operands arranged so; the results are dense.
pub fn run_arranged(
    device: &mut dyn Device,
    operator: &dyn Operator,
    inputs: &[(&HostTensor, Arrangement)],
    outputs: &[(DType, Vec<usize>, Arrangement)],
    placement: Placement,
) -> Result<Vec<HostTensor>, HarnessError> {
    let stored: Vec<HostTensor> = inputs.iter().map(|(t, a)| a.stored(t)).collect();
    let out: Vec<(DType, Vec<usize>)> = outputs.iter().map(|(d, shape, a)| (*d, a.stored_shape(shape))).collect();
    let arranged = Arranged {
        operator,
        inputs: inputs.iter().map(|(t, a)| (a.clone(), t.shape().to_vec())).collect(),
        outputs: outputs.iter().map(|(_, shape, a)| (a.clone(), shape.clone())).collect(),
    };
    let results = run(device, &arranged, &stored, &out, placement)?;
    let pairs = results.iter().zip(outputs);
    Ok(pairs
        .map(|(memory, (_, shape, a))| memory.gathered(&a.view(&View::contiguous(0, memory.shape()), shape)))
        .collect())
}
