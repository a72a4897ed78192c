//! Convolutions over one or two axes: grouped, dilated, strided, padded, with an epilogue. A convolution of each channel
//! with a kernel of its own takes another kernel ([`super::depthwise`]); the graph lowers 1x1 convolutions of stride one
//! to [`super::Gemm`], which merges batch and pixels, though this kernel computes them too.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::stack::{Joint, Stacked};
use super::tiling::{Loads, TILE_ITERATIONS_MAX, Tiled, is_even_along, lanes, loads_pairs, panel_tiles};
use super::{
    CutAxis, Division, ELEMENTWISE_SCALARS_MAX, EPILOGUE_OPERANDS_MAX, Epilogue, Io, KernelLaunch, NoKernel, Operator,
    Space, depthwise, stride_words,
};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{HostTensor, View, volume};

/// Axes of packed weights from the outermost in memory to the innermost, as axes of `[groups, oc, ic, kh, kw]`: output
/// channels lie side by side, because a tile reads a run of them for each product.
pub const CONV_PACKED_ORDER: [usize; 5] = [0, 3, 4, 2, 1];

pub(super) const FILE: KernelFile = KernelFile {
    name: "conv",
    source: include_str!("../../shaders/conv.wgsl"),
    functions: &[],
    fields: ConvOp::FIELDS,
};

params! {
    struct ConvOp {
        batch: u32,
        groups: u32,
        ic: u32,
        oc: u32,
        h: u32,
        w: u32,
        oh: u32,
        ow: u32,
        kh: u32,
        kw: u32,
        sh: u32,
        sw: u32,
        dh: u32,
        dw: u32,
        ph: u32,
        pw: u32,
        panel: u32,
        x: u32,
        x_strides: [u32; 4],
        wt: u32,
        w_strides: [u32; 5],
        y: u32,
        y_strides: [u32; 4],
        e: [u32; EPILOGUE_OPERANDS_MAX],
        e_strides: [[u32; 4]; EPILOGUE_OPERANDS_MAX],
        s: [f32; ELEMENTWISE_SCALARS_MAX],
    }
}

/// `y = epilogue(x * w)`, inputs `[x, w, operands of the epilogue..]`: x `[batch, groups * ic, h, w]`, w `[groups, oc,
/// ic, kh, kw]`, output `[batch, groups * oc, oh, ow]`. With one spatial axis, h and kh are one. All views may have any
/// strides; weights in the order of [`CONV_PACKED_ORDER`] are the fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Extent of the batch.
    pub batch: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Input channels of a group.
    pub ic: usize,
    /// Output channels of a group.
    pub oc: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps between neighbouring outputs.
    pub stride: [usize; 2],
    /// Steps between neighbouring taps.
    pub dilation: [usize; 2],
    /// Zeros before the first row and column.
    pub pad_before: [usize; 2],
    /// Zeros after the last row and column.
    pub pad_after: [usize; 2],
    /// What follows the sum.
    pub epilogue: Epilogue,
}

impl Operator for Conv {
    fn kind(&self) -> String {
        let [kh, kw] = self.kernel;
        let name = if self.is_depthwise() { "depthwise" } else { "conv" };
        format!("{name} {kh}x{kw}{}", self.epilogue.kind())
    }

    fn flops(&self) -> u64 {
        let products = self.ic * self.kernel[0] * self.kernel[1];
        (volume(&self.output_shape()) * (2 * products + self.epilogue.chain.steps.len())) as u64
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let shape = self.output_shape();
        if volume(&shape) == 0 {
            return Ok(Vec::new());
        }
        let x = &io.inputs[0].view;
        let wt = &io.inputs[1].view;
        let [kh, kw] = self.kernel;
        let wanted = [
            vec![self.batch, self.groups * self.ic, self.input[0], self.input[1]],
            vec![self.groups, self.oc, self.ic, kh, kw],
        ];
        if x.shape != wanted[0] || wt.shape != wanted[1] {
            return Err(NoKernel(format!("operands of shapes {:?} and {:?}, not {wanted:?}", x.shape, wt.shape)));
        }
        if volume(&x.shape) == 0 || volume(&wt.shape) == 0 {
            return Err(NoKernel("a convolution of nothing".into()));
        }
        let operands = self.epilogue.place(&io.inputs[2..], &shape)?;
        if self.is_depthwise() {
            return depthwise::lower(self, caps, io, &operands);
        }
        let lanes = lanes(caps);
        let pixels = self.batch * shape[2] * shape[3];
        let steps = [2, 3].into_iter().find(|&s| loads_pairs(caps) && self.ic.is_multiple_of(s)).unwrap_or(1);
        let tiled = Tiled {
            m: self.oc,
            n: pixels,
            k: kh * kw * self.ic,
            batch: self.groups,
            a: if pairs_of_channels(wt) { Loads::PairsAlongOuter } else { Loads::Words },
            b: Loads::Words,
            is_long: false,
        };
        let tiling = tiled.tiling(caps, lanes);
        let columns = (tiling.rn * lanes) as usize;
        let x_channels = if tiling.straight { operands.of_axis(1) } else { 0 };
        let in_weights = |k: usize| u32::from(io.inputs[k].space == Space::Weights);
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("RM", tiling.rm),
                ("RN", tiling.rn),
                ("KU", steps as u32),
                ("SG", tiling.sg),
                ("WIDE", u32::from(tiling.a == Loads::PairsAlongOuter)),
                ("STRAIGHT", u32::from(tiling.straight)),
                ("IN_WEIGHTS", in_weights(0)),
                ("W_WEIGHTS", in_weights(1)),
                ("INPUTS", self.epilogue.inputs()),
                ("X_WEIGHTS", operands.in_weights),
                ("X_CHANNELS", x_channels),
            ],
            lanes,
            chain: Some(self.epilogue.chain.clone()),
        };
        let iterations = kh * kw * (1 + self.ic / steps) + (tiling.rn * (tiling.rm + 2)) as usize;
        if iterations > TILE_ITERATIONS_MAX {
            return Err(NoKernel(format!("a sum of {} products is too long for one tile", kh * kw * self.ic)));
        }
        let tiles = tiling.tiles(self.oc, pixels, lanes) * self.groups;
        let mut op = ConvOp {
            batch: self.batch as u32,
            groups: self.groups as u32,
            ic: self.ic as u32,
            oc: self.oc as u32,
            h: self.input[0] as u32,
            w: self.input[1] as u32,
            oh: shape[2] as u32,
            ow: shape[3] as u32,
            kh: kh as u32,
            kw: kw as u32,
            sh: self.stride[0] as u32,
            sw: self.stride[1] as u32,
            dh: self.dilation[0] as u32,
            dw: self.dilation[1] as u32,
            ph: self.pad_before[0] as u32,
            pw: self.pad_before[1] as u32,
            panel: panel_tiles(self.ic * columns * self.stride[0] * self.stride[1], pixels.div_ceil(columns)),
            x: x.offset as u32,
            x_strides: stride_words(x),
            wt: wt.offset as u32,
            w_strides: stride_words(wt),
            y: io.outputs[0].view.offset as u32,
            y_strides: stride_words(&io.outputs[0].view),
            e: [0; EPILOGUE_OPERANDS_MAX],
            e_strides: [[0; 4]; EPILOGUE_OPERANDS_MAX],
            s: operands.scalars,
        };
        for (q, view) in operands.views.iter().enumerate() {
            op.e[q] = view.offset as u32;
            op.e_strides[q] = stride_words(view);
        }
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: u32::try_from(tiles).map_err(|_| NoKernel(format!("{tiles} tiles are too many")))?,
            tile_iterations: iterations as u32,
        }])
    }

    /// Output channels, or whole groups where there are several. Not the channels made of a single one: one of them
    /// alone would be a depthwise convolution, whose kernel sums in another order.
    fn divisions(&self) -> Vec<Division<'_>> {
        let channels = |per_unit| Some(CutAxis { from_last: 2, per_unit });
        vec![match self.groups {
            1 if self.ic == 1 => return Vec::new(),
            1 => Division {
                units: self.oc,
                inputs: vec![None, Some(CutAxis::from_last(3))],
                further: channels(1),
                outputs: channels(1),
                part: Box::new(|units| Box::new(Conv { oc: units.len(), ..self.clone() })),
            },
            groups => Division {
                units: groups,
                inputs: vec![channels(self.ic), Some(CutAxis::from_last(4))],
                further: channels(self.oc),
                outputs: channels(self.oc),
                part: Box::new(|units| Box::new(Conv { groups: units.len(), ..self.clone() })),
            },
        }]
    }

    fn stacked(&self, n: usize, _shared: &[bool]) -> Option<Stacked> {
        let operator = Conv { batch: n * self.batch, ..self.clone() };
        let x = vec![self.batch, self.groups * self.ic, self.input[0], self.input[1]];
        let further = std::iter::repeat_n(Joint::First(self.output_shape()), self.epilogue.n_operands);
        Some(Stacked {
            operator: Arc::new(operator),
            inputs: [Joint::First(x), Joint::Shared].into_iter().chain(further).collect(),
            outputs: vec![Joint::First(self.output_shape())],
        })
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let (x, wt) = (inputs[0].to_f64(), inputs[1].to_f64());
        let shape = self.output_shape();
        let [h, w] = self.input;
        let [kh, kw] = self.kernel;
        let mut sums = Vec::with_capacity(volume(&shape));
        for b in 0..self.batch {
            for channel in 0..self.groups * self.oc {
                let group = channel / self.oc;
                for i in 0..shape[2] {
                    for j in 0..shape[3] {
                        let mut sum = 0.0;
                        for c in 0..self.ic {
                            let image = (b * self.groups + group) * self.ic + c;
                            for u in 0..kh {
                                let Some(row) = self.place(0, i, u) else { continue };
                                for v in 0..kw {
                                    let Some(column) = self.place(1, j, v) else { continue };
                                    sum += wt[((channel * self.ic + c) * kh + u) * kw + v]
                                        * x[(image * h + row) * w + column];
                                }
                            }
                        }
                        sums.push(sum);
                    }
                }
            }
        }
        vec![self.epilogue.reference(&sums, &inputs[2..], &shape)]
    }
}

/// True where the output channels of weights `[groups, oc, ic, kh, kw]` lie in memory as pairs that begin at even words.
fn pairs_of_channels(weights: &View) -> bool {
    let even = |axis: usize| is_even_along(weights.strides[axis], weights.shape[axis]);
    let together = weights.strides[1] == 1 && weights.shape[1].is_multiple_of(2);
    together && weights.offset.is_multiple_of(2) && [0, 2, 3, 4].into_iter().all(even)
}

impl Conv {
    /// `[batch, channels, height, width]` of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        let extent = |axis: usize| {
            let padded = self.input[axis] + self.pad_before[axis] + self.pad_after[axis];
            let reach = self.dilation[axis] * self.kernel[axis].saturating_sub(1) + 1;
            if padded < reach { 0 } else { (padded - reach) / self.stride[axis] + 1 }
        };
        vec![self.batch, self.groups * self.oc, extent(0), extent(1)]
    }

    /// True where each channel has a kernel of its own.
    pub fn is_depthwise(&self) -> bool {
        self.ic == 1 && self.oc == 1
    }

    /// The weights `[groups, oc, ic, kh, kw]` in the order in which the kernel reads them fastest; read them through
    /// [`Conv::packed_view`].
    pub fn pack(&self, weights: &HostTensor) -> HostTensor {
        let shape = [self.groups, self.oc, self.ic, self.kernel[0], self.kernel[1]];
        weights.gathered(&View::contiguous(0, &shape).permuted(&CONV_PACKED_ORDER))
    }

    /// Packed weights that begin at `offset`, as `[groups, oc, ic, kh, kw]`.
    pub fn packed_view(&self, offset: usize) -> View {
        let shape = [self.groups, self.oc, self.ic, self.kernel[0], self.kernel[1]];
        let in_memory: Vec<usize> = CONV_PACKED_ORDER.iter().map(|&axis| shape[axis]).collect();
        let back = [0, 1, 2, 3, 4].map(|axis| CONV_PACKED_ORDER.iter().position(|&o| o == axis).expect("an order"));
        View::contiguous(offset, &in_memory).permuted(&back)
    }

    /// Where output `at` finds its tap in the input, unless that is padding.
    fn place(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        let padded = at * self.stride[axis] + tap * self.dilation[axis];
        padded.checked_sub(self.pad_before[axis]).filter(|&place| place < self.input[axis])
    }
}
