//! Batched matrix products of any layout, with an epilogue. Every contraction of two tensors arrives here: dense
//! layers, attention, 1x1 convolutions of stride one.

mod problem;

use std::ops::Range;
use std::sync::Arc;

use super::params::{KernelFile, params};
use super::stack::{Stacked, with_instances};
use super::tiling::{Loads, TILE_ITERATIONS_MAX, Tiled, lanes, loads_pairs, panel_tiles};
use super::{
    CutAxis, Division, ELEMENTWISE_SCALARS_MAX, EPILOGUE_OPERANDS_MAX, Epilogue, Io, KernelLaunch, NoKernel, Operator,
    Space,
};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{HostTensor, volume};

/// Batch axes at most, after neighbours are merged.
pub const GEMM_BATCH_AXES_MAX: usize = 4;

/// Steps of a sum in one iteration of its loop, where the sum would otherwise take more iterations than a device may do.
const LONG_SUM_STEPS: usize = 16;

pub(super) const FILE: KernelFile = KernelFile {
    name: "gemm",
    source: include_str!("../../shaders/gemm.wgsl"),
    functions: &[],
    fields: GemmOp::FIELDS,
};

params! {
    struct GemmOp {
        m: u32,
        n: u32,
        k0: u32,
        k1: u32,
        panel: u32,
        a: u32,
        a_m: u32,
        a_k0: u32,
        a_k1: u32,
        b: u32,
        b_k0: u32,
        b_k1: u32,
        b_n: u32,
        c: u32,
        c_m: u32,
        c_n: u32,
        batch: [u32; GEMM_BATCH_AXES_MAX],
        a_batch: [u32; GEMM_BATCH_AXES_MAX],
        b_batch: [u32; GEMM_BATCH_AXES_MAX],
        c_batch: [u32; GEMM_BATCH_AXES_MAX],
        x: [u32; EPILOGUE_OPERANDS_MAX],
        x_m: [u32; EPILOGUE_OPERANDS_MAX],
        x_n: [u32; EPILOGUE_OPERANDS_MAX],
        x_batch: [[u32; GEMM_BATCH_AXES_MAX]; EPILOGUE_OPERANDS_MAX],
        s: [f32; ELEMENTWISE_SCALARS_MAX],
    }
}

/// `C[batch.., m, n] = epilogue(Σ A[batch.., m, k..] · B[batch.., k.., n])`, inputs `[A, B, operands of the epilogue..]`.
///
/// Inputs are views in this order of axes, with any strides (zero where an operand does not depend on a batch axis).
/// A 1x1 convolution of stride one is `A = weights [oc, ic]`, `B = x [n, ic, h * w]`, batch `[n]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Extents of the axes that A, B and C share.
    pub batch: Vec<usize>,
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Extents of the one or two axes that are summed over.
    pub k: Vec<usize>,
    /// What follows the sum.
    pub epilogue: Epilogue,
}

impl Operator for Gemm {
    fn kind(&self) -> String {
        let k = volume(&self.k);
        let batch = if self.batch.is_empty() { String::new() } else { format!("{}x", volume(&self.batch)) };
        format!("gemm {batch}{}x{}x{k}{}", self.m, self.n, self.epilogue.kind())
    }

    fn flops(&self) -> u64 {
        let outputs = volume(&self.batch) * self.m * self.n;
        (outputs * (2 * volume(&self.k) + self.epilogue.chain.steps.len())) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let shape = self.output_shape();
        if volume(&shape) == 0 {
            return Ok(Vec::new());
        }
        let operands = self.epilogue.place(&io.inputs[2..], &shape)?;
        let mut problem = self.problem(io, &operands.views)?;
        let mut spaces = [io.inputs[0].space, io.inputs[1].space];
        if problem.prefers_swap(caps) {
            problem.swap();
            spaces.swap(0, 1);
        }
        let lanes = lanes(caps);
        let [k0, k1] = problem.k;
        let iterations = |steps: usize| k0 * (k1.div_ceil(steps) + 1);
        let is_long = iterations(1) > TILE_ITERATIONS_MAX;
        let steps = match is_long {
            true => LONG_SUM_STEPS,
            false if loads_pairs(caps) && k1.is_multiple_of(2) => 2,
            false => 1,
        };
        if iterations(steps) > TILE_ITERATIONS_MAX {
            return Err(NoKernel(format!("a sum of {k0} x {k1} products is too long for one tile")));
        }
        let batch = volume(&problem.batch[0].shape);
        let [a, b] = problem.loads(steps);
        let tiled = Tiled { m: problem.m, n: problem.n, k: k0 * k1, batch, a, b, is_long };
        let tiling = tiled.tiling(caps, lanes);
        let wide_c = tiling.straight && tiling.b == Loads::PairsAlongOuter && problem.stores_pairs();
        let [x_rows, x_columns] = if tiling.straight { problem.constant_operands() } else { [0, 0] };
        let in_weights = |space| u32::from(space == Space::Weights);
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("RM", tiling.rm),
                ("RN", tiling.rn),
                ("K_AXES", if k0 == 1 { 1 } else { 2 }),
                ("KU", steps as u32),
                ("TAIL", u32::from(!k1.is_multiple_of(steps))),
                ("SG", tiling.sg),
                ("WIDE_A", tiling.a as u32),
                ("WIDE_B", tiling.b as u32),
                ("WIDE_C", u32::from(wide_c)),
                ("STRAIGHT", u32::from(tiling.straight)),
                ("A_WEIGHTS", in_weights(spaces[0])),
                ("B_WEIGHTS", in_weights(spaces[1])),
                ("INPUTS", self.epilogue.inputs()),
                ("X_WEIGHTS", operands.in_weights),
                ("X_ROWS", x_rows),
                ("X_COLUMNS", x_columns),
            ],
            lanes,
            chain: Some(self.epilogue.chain.clone()),
        };
        let columns = (tiling.rn * lanes) as usize;
        let tiles_n = problem.n.div_ceil(columns);
        let tiles = tiling.tiles(problem.m, problem.n, lanes) * batch;
        let panel = panel_tiles(k0 * k1 * columns, tiles_n);
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: problem.params(panel, operands.scalars).words(),
            tiles: u32::try_from(tiles).map_err(|_| NoKernel(format!("{tiles} tiles are too many")))?,
            tile_iterations: iterations(steps) as u32 + tiling.rm * (tiling.rn + 1),
        }])
    }

    /// Columns, rows, batches: whatever the constant has and no sum runs over.
    fn divisions(&self) -> Vec<Division<'_>> {
        let sums = self.k.len();
        let columns = Division {
            units: self.n,
            inputs: vec![None, Some(CutAxis::from_last(0))],
            further: Some(CutAxis::from_last(0)),
            outputs: Some(CutAxis::from_last(0)),
            part: Box::new(|units| Box::new(Gemm { n: units.len(), ..self.clone() })),
        };
        let rows = Division {
            units: self.m,
            inputs: vec![Some(CutAxis::from_last(sums)), None],
            further: Some(CutAxis::from_last(1)),
            outputs: Some(CutAxis::from_last(1)),
            part: Box::new(|units| Box::new(Gemm { m: units.len(), ..self.clone() })),
        };
        let batches = self.batch.iter().enumerate().map(|(axis, &extent)| {
            let after = self.batch.len() - 1 - axis;
            let operand = Some(CutAxis::from_last(after + 1 + sums));
            let result = Some(CutAxis::from_last(after + 2));
            Division {
                units: extent,
                inputs: vec![operand, operand],
                further: result,
                outputs: result,
                part: Box::new(move |units: Range<usize>| {
                    let mut part = self.clone();
                    part.batch[axis] = units.len();
                    Box::new(part)
                }),
            }
        });
        [columns, rows].into_iter().chain(batches).collect()
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let operator = Gemm { batch: with_instances(n, &self.batch, GEMM_BATCH_AXES_MAX)?, ..self.clone() };
        let operand = |tail: &[&[usize]]| [self.batch.clone(), tail.concat()].concat();
        let (a, b) = (operand(&[&[self.m], &self.k]), operand(&[&self.k, &[self.n]]));
        let further = std::iter::repeat_n(self.output_shape(), self.epilogue.n_operands);
        Some(Stacked::leading(operator, [a, b].into_iter().chain(further), [self.output_shape()]))
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let (m, n, k) = (self.m, self.n, volume(&self.k));
        let (a, b) = (inputs[0].to_f64(), inputs[1].to_f64());
        let mut sums = Vec::new();
        for batch in 0..volume(&self.batch) {
            for i in 0..m {
                for j in 0..n {
                    let products = (0..k).map(|l| a[(batch * m + i) * k + l] * b[(batch * k + l) * n + j]);
                    sums.push(products.sum::<f64>());
                }
            }
        }
        vec![self.epilogue.reference(&sums, &inputs[2..], &self.output_shape())]
    }
}

impl Gemm {
    fn output_shape(&self) -> Vec<usize> {
        let mut shape = self.batch.clone();
        shape.extend([self.m, self.n]);
        shape
    }
}
