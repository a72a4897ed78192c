//! A matrix product as its kernel sees it: the views of its operands cut into rows, columns, summed axes and batches, and
//! what follows from their strides.

use super::{GEMM_BATCH_AXES_MAX, Gemm, GemmOp};
use crate::hal::DeviceCaps;
use crate::kernel::tiling::{Loads, is_even, is_even_along, lanes};
use crate::kernel::{
    ELEMENTWISE_SCALARS_MAX, EPILOGUE_OPERANDS_MAX, Io, NoKernel, dims_words, merge_axes, stride_word, stride_words,
};
use crate::tensor::View;

/// The product as the kernel sees it: views cut into their parts.
pub(super) struct Problem {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: [usize; 2],
    /// Batch parts of c, a, b and the epilogue's operands, merged.
    pub(super) batch: Vec<View>,
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

impl Gemm {
    /// The product of placed operands, `x` those of the epilogue.
    pub(super) fn problem(&self, io: Io, x: &[View]) -> Result<Problem, NoKernel> {
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
    pub(super) fn swap(&mut self) {
        std::mem::swap(&mut self.m, &mut self.n);
        std::mem::swap(&mut self.a, &mut self.b);
        self.batch.swap(1, 2);
        for matrix in std::iter::once(&mut self.c).chain(&mut self.x) {
            std::mem::swap(&mut matrix.outer, &mut matrix.inner);
        }
    }

    /// True where lanes should walk the rows of C: they should lie side by side in memory, and there should be enough.
    pub(super) fn prefers_swap(&self, caps: &DeviceCaps) -> bool {
        let lanes = lanes(caps) as usize;
        match (self.m >= lanes, self.n >= lanes) {
            (true, false) => true,
            (false, true) => false,
            _ => self.c.outer == 1 && self.c.inner != 1,
        }
    }

    /// How a and b can be read by tiles that take `steps` of the sum at once.
    pub(super) fn loads(&self, steps: usize) -> [Loads; 2] {
        let [k0, k1] = self.k;
        let loads = |matrix: &Matrix, extent: usize, batch: &View| {
            let along_k = steps.is_multiple_of(2) && k1.is_multiple_of(steps);
            if !is_even(batch) || !is_even_along(matrix.k[0], k0) {
                Loads::Words
            } else if along_k && matrix.k[1] == 1 && is_even_along(matrix.outer, extent) {
                Loads::PairsAlongK
            } else if matrix.outer == 1 && extent.is_multiple_of(2) && is_even_along(matrix.k[1], k1) {
                Loads::PairsAlongOuter
            } else {
                Loads::Words
            }
        };
        [loads(&self.a, self.m, &self.batch[1]), loads(&self.b, self.n, &self.batch[2])]
    }

    /// True where c's neighbours along n can be stored as pairs.
    pub(super) fn stores_pairs(&self) -> bool {
        self.c.inner == 1 && is_even(&self.batch[0]) && is_even_along(self.c.outer, self.m)
    }

    /// Bit q of the first: operand q of the epilogue does not depend on n; of the second: on m.
    pub(super) fn constant_operands(&self) -> [u32; 2] {
        let mask =
            |constant: fn(&Matrix) -> bool| self.x.iter().enumerate().map(|(q, x)| u32::from(constant(x)) << q).sum();
        [mask(|x| x.inner == 0), mask(|x| x.inner != 0 && x.outer == 0)]
    }

    pub(super) fn params(&self, panel: u32, s: [f32; ELEMENTWISE_SCALARS_MAX]) -> GemmOp {
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
