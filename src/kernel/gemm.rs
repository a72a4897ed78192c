//! Batched matrix products of any layout, with an epilogue. Every contraction of two tensors arrives here: dense
//! layers, attention, 1x1 convolutions of stride one.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::{
    ELEMENTWISE_SCALARS_MAX, EPILOGUE_OPERANDS_MAX, Epilogue, Io, KernelLaunch, NoKernel, Operator, Space, dims_words,
    merge_axes, stride_word, stride_words,
};
use crate::hal::{DeviceCaps, DeviceKind, KernelSpec};
use crate::tensor::{HostTensor, View, volume};

/// Batch axes at most, after neighbours are merged.
pub const GEMM_BATCH_AXES_MAX: usize = 4;

/// Iterations of a tile that are allowed: below lavapipe's 65,535, with room for the walk over tiles.
pub(super) const TILE_ITERATIONS_MAX: usize = 60_000;

/// Iterations that a sum may take, with room for the rest of its tile.
const SUM_ITERATIONS_MAX: usize = TILE_ITERATIONS_MAX - 1_000;

/// Steps of a sum in one iteration of its loop, where the sum would otherwise take more iterations than a device may do;
/// tiles are small then, because all operands of the steps are loaded first.
const LONG_SUM_STEPS: usize = 16;

pub(super) const FILE: KernelFile =
    KernelFile { name: "gemm", source: include_str!("../../shaders/gemm.wgsl"), fields: GemmOp::FIELDS };

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

/// A tile's shape: rows, and columns of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Config {
    rm: u32,
    rn: u32,
}

/// How an operand is read: the values of the constants `WIDE_A` and `WIDE_B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loads {
    Words = 0,
    PairsAlongK = 1,
    PairsAlongOuter = 2,
}

/// The product as the kernel sees it: views cut into their parts.
struct Problem {
    m: usize,
    n: usize,
    k: [usize; 2],
    /// Batch parts of c, a, b and the epilogue's operands, merged.
    batch: Vec<View>,
    a: Matrix,
    b: Matrix,
    c: Matrix,
    x: Vec<Matrix>,
}

/// Strides of a matrix whose sums run along up to two axes; the epilogue's operands and c have none.
#[derive(Clone, Copy, Debug)]
struct Matrix {
    /// Along m for a, c and x; along n for b.
    outer: isize,
    /// Along n, for c and x.
    inner: isize,
    k: [isize; 2],
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
        let long = iterations(1) > SUM_ITERATIONS_MAX;
        let steps = match long {
            true => LONG_SUM_STEPS,
            false if loads_pairs(caps) && k1.is_multiple_of(2) => 2,
            false => 1,
        };
        if iterations(steps) > SUM_ITERATIONS_MAX {
            return Err(NoKernel(format!("a sum of {k0} x {k1} products is too long for one tile")));
        }
        let config = problem.config(caps, lanes, long);
        let sg = shared_rows(caps, lanes, config.rm);
        let [wide_a, wide_b] = problem.loads(caps, config, sg, steps);
        let in_weights = |space| u32::from(space == Space::Weights);
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            consts: vec![
                ("RM", config.rm),
                ("RN", config.rn),
                ("K_AXES", if k0 == 1 { 1 } else { 2 }),
                ("KU", steps as u32),
                ("TAIL", u32::from(!k1.is_multiple_of(steps))),
                ("SG", sg),
                ("WIDE_A", wide_a as u32),
                ("WIDE_B", wide_b as u32),
                ("A_WEIGHTS", in_weights(spaces[0])),
                ("B_WEIGHTS", in_weights(spaces[1])),
                ("INPUTS", self.epilogue.inputs()),
                ("X_WEIGHTS", operands.in_weights),
            ],
            lanes,
            chain: Some(self.epilogue.chain.clone()),
        };
        let batch = volume(&problem.batch[0].shape);
        let columns = (config.rn * lanes) as usize;
        let (tiles_m, tiles_n) = (problem.m.div_ceil(config.rm as usize), problem.n.div_ceil(columns));
        let tiles = tiles_m * tiles_n * batch;
        let panel = panel_tiles(k0 * k1 * columns, tiles_n);
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: problem.params(panel, operands.scalars).words(),
            tiles: u32::try_from(tiles).map_err(|_| NoKernel(format!("{tiles} tiles are too many")))?,
            tile_iterations: iterations(steps) as u32 + config.rm * (config.rn + 1),
        }])
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

    fn problem(&self, io: Io, x: &[View]) -> Result<Problem, NoKernel> {
        let nb = self.batch.len();
        let (a, b, c) = (&io.inputs[0].view, &io.inputs[1].view, &io.outputs[0].view);
        let with = |tail: &[usize]| self.batch.iter().chain(tail).copied().collect::<Vec<usize>>();
        let fits = |view: &View, shape: Vec<usize>| {
            let view = view.broadcast_to(&shape);
            view.ok_or_else(|| NoKernel(format!("an operand does not have the shape {shape:?}")))
        };
        let a = fits(a, with(&[&[self.m], self.k.as_slice()].concat()))?;
        let b = fits(b, with(&[self.k.as_slice(), &[self.n]].concat()))?;
        let nk = self.k.len();
        let part = |view: &View, axes: std::ops::Range<usize>| View {
            offset: view.offset,
            shape: view.shape[axes.clone()].to_vec(),
            strides: view.strides[axes].to_vec(),
        };
        let k = merge_axes(&[part(&a, nb + 1..nb + 1 + nk), part(&b, nb..nb + nk)]);
        if k[0].shape.len() > 2 {
            return Err(NoKernel(format!(
                "sums over {} axes that cannot be merged, the kernel walks 2",
                k[0].shape.len()
            )));
        }
        let pair = |view: &View| match view.strides[..] {
            [inner] => [0, inner],
            [outer, inner] => [outer, inner],
            _ => [0, 0],
        };
        let [k0, k1] = dims_words::<2>(&k[0]).map(|d| d as usize);
        let plain = |view: &View| Matrix { outer: view.strides[nb], inner: view.strides[nb + 1], k: [0, 0] };
        let all: Vec<&View> = [c, &a, &b].into_iter().chain(x).collect();
        let batch = merge_axes(&all.iter().map(|view| part(view, 0..nb)).collect::<Vec<_>>());
        let problem = Problem {
            m: self.m,
            n: self.n,
            k: [k0, k1],
            a: Matrix { outer: a.strides[nb], inner: 0, k: pair(&k[0]) },
            b: Matrix { outer: b.strides[nb + nk], inner: 0, k: pair(&k[1]) },
            c: plain(c),
            x: x.iter().map(plain).collect(),
            batch,
        }
        .with_batch_in_rows();
        let rank = problem.batch[0].shape.len();
        if rank > GEMM_BATCH_AXES_MAX {
            return Err(NoKernel(format!(
                "{rank} batch axes that cannot be merged, the kernel walks {GEMM_BATCH_AXES_MAX}"
            )));
        }
        let sizes = [problem.m, problem.n, k0, k1];
        if sizes.iter().any(|&size| u32::try_from(size).is_err()) {
            return Err(NoKernel(format!("extents of {sizes:?} are too large")));
        }
        Ok(problem)
    }
}

impl Problem {
    /// The last batch axis becomes rows where B does not depend on it and rows continue, or columns likewise.
    fn with_batch_in_rows(mut self) -> Problem {
        let [batch_c, batch_a, batch_b, batch_x @ ..] = self.batch.as_slice() else { return self };
        let stride = |view: &View| *view.strides.last().expect("merged views have axes");
        let extent = *batch_c.shape.last().expect("merged views have axes");
        let continues = |outer: isize, size: usize, view: &View| outer * size as isize == stride(view);
        let rows = stride(batch_b) == 0
            && continues(self.a.outer, self.m, batch_a)
            && continues(self.c.outer, self.m, batch_c)
            && self.x.iter().zip(batch_x).all(|(x, view)| continues(x.outer, self.m, view));
        let columns = stride(batch_a) == 0
            && continues(self.b.outer, self.n, batch_b)
            && continues(self.c.inner, self.n, batch_c)
            && self.x.iter().zip(batch_x).all(|(x, view)| continues(x.inner, self.n, view));
        if extent == 1 || !(rows || columns) {
            return self;
        }
        *(if rows { &mut self.m } else { &mut self.n }) *= extent;
        for view in &mut self.batch {
            view.shape.pop();
            view.strides.pop();
            if view.shape.is_empty() {
                view.shape.push(1);
                view.strides.push(0);
            }
        }
        self
    }

    /// Computes the transpose instead: C^T = B^T A^T.
    fn swap(&mut self) {
        std::mem::swap(&mut self.m, &mut self.n);
        std::mem::swap(&mut self.a, &mut self.b);
        self.batch.swap(1, 2);
        for matrix in std::iter::once(&mut self.c).chain(&mut self.x) {
            std::mem::swap(&mut matrix.outer, &mut matrix.inner);
        }
    }

    /// True where lanes should walk the rows of C: they should lie side by side in memory, and there should be enough.
    fn prefers_swap(&self, caps: &DeviceCaps) -> bool {
        let lanes = lanes(caps) as usize;
        match (self.m >= lanes, self.n >= lanes) {
            (true, false) => true,
            (false, true) => false,
            _ => self.c.outer == 1 && self.c.inner != 1,
        }
    }

    /// Measured on both software devices: more sums per load are faster, up to 128; with more, lavapipe compiles a tile
    /// for seconds. Few columns take smaller tiles; a row or two take no rows that nobody asked for and more columns.
    fn config(&self, caps: &DeviceCaps, lanes: u32, long: bool) -> Config {
        let n_max = (self.n as u32).div_ceil(lanes);
        if long {
            return Config { rm: (self.m as u32).min(8), rn: 1 };
        }
        if self.m <= 4 {
            let rn = (n_max / 4).clamp(1, 8);
            return Config { rm: self.m as u32, rn: 1 << rn.ilog2() };
        }
        if self.m <= 8 {
            return Config { rm: 8, rn: n_max.next_power_of_two().min(4) };
        }
        let rn = if n_max > 4 && (caps.subgroup == Some(4) || loads_pairs(caps)) { 8 } else { 4 };
        Config { rm: 16, rn: n_max.next_power_of_two().min(rn) }
    }

    /// How a and b are read by a tile that takes `steps` of the sum at once.
    fn loads(&self, caps: &DeviceCaps, config: Config, sg: u32, steps: usize) -> [Loads; 2] {
        let [k0, k1] = self.k;
        let even = |stride: isize, extent: usize| extent == 1 || stride % 2 == 0;
        let loads = |matrix: &Matrix, extent: usize, batch: &View, along_outer: bool| {
            let batches = batch.offset % 2 == 0 && batch.shape.iter().zip(&batch.strides).all(|(&n, &s)| even(s, n));
            let along_k = steps.is_multiple_of(2) && k1.is_multiple_of(steps);
            if !loads_pairs(caps) || !batches || !even(matrix.k[0], k0) {
                Loads::Words
            } else if along_k && matrix.k[1] == 1 && even(matrix.outer, extent) {
                Loads::PairsAlongK
            } else if along_outer && matrix.outer == 1 && extent.is_multiple_of(2) && even(matrix.k[1], k1) {
                Loads::PairsAlongOuter
            } else {
                Loads::Words
            }
        };
        let a = match sg {
            0 => Loads::Words,
            _ => loads(&self.a, self.m, &self.batch[1], config.rm.is_multiple_of(2 * sg)),
        };
        [a, loads(&self.b, self.n, &self.batch[2], config.rn.is_multiple_of(2))]
    }

    fn params(&self, panel: u32, s: [f32; ELEMENTWISE_SCALARS_MAX]) -> GemmOp {
        let mut op = GemmOp {
            m: self.m as u32,
            n: self.n as u32,
            k0: self.k[0] as u32,
            k1: self.k[1] as u32,
            panel,
            a: self.batch[1].offset as u32,
            a_m: stride_word(self.a.outer),
            a_k0: stride_word(self.a.k[0]),
            a_k1: stride_word(self.a.k[1]),
            b: self.batch[2].offset as u32,
            b_k0: stride_word(self.b.k[0]),
            b_k1: stride_word(self.b.k[1]),
            b_n: stride_word(self.b.outer),
            c: self.batch[0].offset as u32,
            c_m: stride_word(self.c.outer),
            c_n: stride_word(self.c.inner),
            batch: dims_words(&self.batch[0]),
            a_batch: stride_words(&self.batch[1]),
            b_batch: stride_words(&self.batch[2]),
            c_batch: stride_words(&self.batch[0]),
            x: [0; EPILOGUE_OPERANDS_MAX],
            x_m: [0; EPILOGUE_OPERANDS_MAX],
            x_n: [0; EPILOGUE_OPERANDS_MAX],
            x_batch: [[0; GEMM_BATCH_AXES_MAX]; EPILOGUE_OPERANDS_MAX],
            s,
        };
        for (q, (matrix, batch)) in self.x.iter().zip(&self.batch[3..]).enumerate() {
            op.x[q] = batch.offset as u32;
            op.x_m[q] = stride_word(matrix.outer);
            op.x_n[q] = stride_word(matrix.inner);
            op.x_batch[q] = stride_words(batch);
        }
        op
    }
}

/// Invocations of a workgroup that compute-heavy kernels take.
pub(super) fn lanes(caps: &DeviceCaps) -> u32 {
    let wanted = if caps.kind == DeviceKind::SoftwareGpu { 8 } else { 64 };
    wanted.min(caps.limits.invocations_max)
}

/// True where a load of two words, as a 64-bit integer, costs no more than one of a word. Measured on lavapipe only.
pub(super) fn loads_pairs(caps: &DeviceCaps) -> bool {
    caps.int64 && caps.kind == DeviceKind::SoftwareGpu
}

/// Columns of tiles that are computed together, row by row, when each reads `words` of the lanes' operand: as many as
/// stay in a core's cache.
pub(super) fn panel_tiles(words: usize, tiles_n: usize) -> u32 {
    const PANEL_WORDS: usize = 64 << 10;
    (PANEL_WORDS / words.max(1)).clamp(1, tiles_n.max(1)) as u32
}

/// Lanes that share the rows of a tile by broadcast, or zero. Only software devices are known to number the lanes of
/// their subgroups in order, and only there is a load so dear.
pub(super) fn shared_rows(caps: &DeviceCaps, lanes: u32, rows: u32) -> u32 {
    match caps.subgroup {
        Some(width)
            if caps.kind == DeviceKind::SoftwareGpu && lanes.is_multiple_of(width) && rows.is_multiple_of(width) =>
        {
            width
        }
        _ => 0,
    }
}
