//! Elementwise chains: any composition of scalar functions over tensors that broadcast against each other, as one
//! kernel. The chain is a value; the linker composes its code from one-function files.

use std::sync::Arc;

use super::fragments::{Function, function};
use super::params::{KernelFile, params};
use super::stack::{Stacked, with_instances};
use super::{
    CutAxis, Division, Io, KernelLaunch, NoKernel, Operator, RANK_MAX, Space, dims_words, merge_axes, stride_words,
    tiles_of,
};
use crate::hal::{Chain, ChainArg, DeviceCaps, KernelSpec};
use crate::tensor::{DType, HostTensor, View, volume};

/// Tensors that one chain reads at most.
pub const ELEMENTWISE_INPUTS_MAX: usize = 8;
/// Scalars that one chain carries at most.
pub const ELEMENTWISE_SCALARS_MAX: usize = 8;

const LANES: u32 = 64;
const PER: u32 = 4;

pub(super) const FILE: KernelFile = KernelFile {
    name: "elementwise",
    source: include_str!("../../shaders/elementwise.wgsl"),
    functions: &[],
    fields: ElementwiseOp::FIELDS,
};

params! {
    struct ElementwiseOp {
        n: u32,
        y: u32,
        dims: [u32; RANK_MAX],
        y_strides: [u32; RANK_MAX],
        x: [u32; ELEMENTWISE_INPUTS_MAX],
        x_strides: [[u32; RANK_MAX]; ELEMENTWISE_INPUTS_MAX],
        s: [f32; ELEMENTWISE_SCALARS_MAX],
    }
}

/// `y = chain(x0, x1, …; s0, s1, …)` for every element of the output's shape; inputs broadcast to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Elementwise {
    /// What to compute.
    pub chain: Chain,
    /// The scalars that the chain uses.
    pub scalars: Vec<f32>,
    /// Extents of the output.
    pub shape: Vec<usize>,
    /// Type of the output.
    pub dtype: DType,
}

impl Operator for Elementwise {
    fn kind(&self) -> String {
        let names: Vec<&str> = self.chain.steps.iter().map(|s| s.fragment.name).collect();
        if names.is_empty() { "copy".into() } else { names.join("+") }
    }

    fn flops(&self) -> u64 {
        (volume(&self.shape) * self.chain.steps.len()) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let n_inputs = io.inputs.len();
        if n_inputs > ELEMENTWISE_INPUTS_MAX || self.scalars.len() > ELEMENTWISE_SCALARS_MAX {
            return Err(NoKernel(format!(
                "a chain of {n_inputs} tensors and {} scalars, the kernel takes {ELEMENTWISE_INPUTS_MAX} and {ELEMENTWISE_SCALARS_MAX}",
                self.scalars.len()
            )));
        }
        let n = volume(&self.shape);
        if n == 0 {
            return Ok(Vec::new());
        }
        let mut views = vec![io.outputs[0].view.clone()];
        for input in io.inputs {
            let view = input.view.broadcast_to(&self.shape);
            views.push(view.ok_or(NoKernel(format!("{:?} does not broadcast to {:?}", input.view.shape, self.shape)))?);
        }
        let views = merge_axes(&views);
        let rank = views[0].shape.len();
        if rank > RANK_MAX {
            return Err(NoKernel(format!("{rank} axes that cannot be merged, the kernel walks {RANK_MAX}")));
        }
        let mut op = ElementwiseOp {
            n: u32::try_from(n).map_err(|_| NoKernel(format!("{n} elements are too many")))?,
            y: views[0].offset as u32,
            dims: dims_words(&views[0]),
            y_strides: stride_words(&views[0]),
            x: [0; ELEMENTWISE_INPUTS_MAX],
            x_strides: [[0; RANK_MAX]; ELEMENTWISE_INPUTS_MAX],
            s: [0.0; ELEMENTWISE_SCALARS_MAX],
        };
        let mut in_weights = 0;
        for (k, (view, input)) in views[1..].iter().zip(io.inputs).enumerate() {
            op.x[k] = view.offset as u32;
            op.x_strides[k] = stride_words(view);
            in_weights |= u32::from(input.space == Space::Weights) << k;
        }
        op.s[..self.scalars.len()].copy_from_slice(&self.scalars);
        let lanes = LANES.min(caps.limits.invocations_max);
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("PER", PER),
                ("RANK", rank as u32),
                ("INPUTS", n_inputs.max(1) as u32),
                ("IN_WEIGHTS", in_weights),
            ],
            lanes,
            chain: Some(self.chain.clone()),
        };
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: tiles_of(n, lanes * PER)?,
            tile_iterations: PER,
        }])
    }

    /// Any axis of the output.
    fn divisions(&self) -> Vec<Division<'_>> {
        let along = |axis: usize| {
            let cut = Some(CutAxis::from_last(self.shape.len() - 1 - axis));
            Division {
                units: self.shape[axis],
                inputs: Vec::new(),
                further: cut,
                outputs: cut,
                part: Box::new(move |units| {
                    let mut part = self.clone();
                    part.shape[axis] = units.len();
                    Box::new(part)
                }),
            }
        };
        (0..self.shape.len()).map(along).collect()
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let operator = Elementwise { shape: with_instances(n, &self.shape, RANK_MAX)?, ..self.clone() };
        let read = self.chain.steps.iter().flat_map(|s| &s.args).filter_map(|arg| match arg {
            ChainArg::Input(i) => Some(usize::from(*i) + 1),
            _ => None,
        });
        // A chain without steps is a copy of its only input.
        let inputs = std::iter::repeat_n(self.shape.clone(), read.max().unwrap_or(1));
        Some(Stacked::leading(operator, inputs, [self.shape.clone()]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let words: Vec<Vec<u32>> = inputs.iter().map(|t| t.to_device_words().expect("a device type")).collect();
        let positions: Vec<Option<Vec<usize>>> = inputs.iter().map(|t| spread(t.shape(), &self.shape)).collect();
        let mut chain = Evaluator::new(&self.chain, &self.scalars);
        let mut x = vec![0; inputs.len()];
        let out: Vec<u32> = (0..volume(&self.shape))
            .map(|i| {
                for ((x, words), positions) in x.iter_mut().zip(&words).zip(&positions) {
                    *x = words[positions.as_ref().map_or(i, |p| p[i])];
                }
                chain.word(&x)
            })
            .collect();
        vec![HostTensor::from_device_words(self.dtype, &self.shape, &out).expect("a device type")]
    }
}

/// Which element of a dense tensor of shape `from` stands at each place of `to`; `None` where all stay where they are.
pub(super) fn spread(from: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    let view = View::contiguous(0, from).broadcast_to(to).expect("operands broadcast");
    (!view.is_contiguous()).then(|| view.positions().collect())
}

/// A chain as plain functions, element by element.
pub(super) struct Evaluator<'a> {
    steps: Vec<(Function, &'a [ChainArg])>,
    scalars: &'a [f32],
    results: Vec<u32>,
    args: Vec<u32>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(chain: &'a Chain, scalars: &'a [f32]) -> Evaluator<'a> {
        let steps = chain.steps.iter().map(|s| (function(s.fragment.name), s.args.as_slice())).collect();
        Evaluator { steps, scalars, results: Vec::new(), args: Vec::new() }
    }

    /// The chain of one element's words.
    pub(super) fn word(&mut self, x: &[u32]) -> u32 {
        self.results.clear();
        for (function, args) in &self.steps {
            self.args.clear();
            self.args.extend(args.iter().map(|arg| match *arg {
                ChainArg::Input(i) => x[usize::from(i)],
                ChainArg::Scalar(i) => self.scalars[usize::from(i)].to_bits(),
                ChainArg::Step(i) => self.results[usize::from(i)],
            }));
            self.results.push(function(&self.args));
        }
        self.results.last().copied().unwrap_or_else(|| x[0])
    }
}
