//! Resizing by nearest, linear or cubic interpolation along up to four axes: a separable gather. Which elements each
//! output takes and with which weights depends on shapes and attributes only, so it is computed once, when a model is
//! loaded ([`Resize::tables`]), and is an input of the kernel like a convolution's weights.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::tiling::lanes;
use super::window::tile_iterations;
use super::{
    Io, KernelLaunch, NoKernel, Operator, ResizeAxis, ResizeMode, Space, dims_words, merge_axes, stride_word,
    stride_words, tiles_of,
};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{DType, HostTensor, View, volume};

/// Axes that one launch resizes.
const AXES_MAX: usize = 4;
/// Other axes that it walks, after merging.
const OUTER_MAX: usize = 4;
/// Elements along the other axes that one lane computes at most: they share the tables' entries.
const PER: usize = 4;

pub(super) const FILE: KernelFile = KernelFile {
    name: "resize",
    source: include_str!("../../shaders/resize.wgsl"),
    functions: &[],
    fields: ResizeOp::FIELDS,
};

params! {
    struct ResizeOp {
        items: u32,
        places: u32,
        outer: u32,
        outside: f32,
        outer_dims: [u32; OUTER_MAX],
        x: u32,
        x_outer: [u32; OUTER_MAX],
        x_strides: [u32; AXES_MAX],
        y: u32,
        y_outer: [u32; OUTER_MAX],
        y_strides: [u32; AXES_MAX],
        extent: [u32; AXES_MAX],
        first: [u32; AXES_MAX],
        taps: [u32; AXES_MAX],
        indices: u32,
        indices_stride: u32,
        amounts: u32,
        amounts_stride: u32,
    }
}

/// Resizes some axes of a tensor. Inputs: the tensor, then [`Resize::tables`].
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// How values between elements come about.
    pub mode: ResizeMode,
    /// Extents of the input.
    pub input: Vec<usize>,
    /// The axes that change; each at most once.
    pub axes: Vec<ResizeAxis>,
    /// The value of outputs whose place is marked as outside of the input.
    pub outside: f32,
}

impl Resize {
    /// Extents of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        let mut shape = self.input.clone();
        for axis in &self.axes {
            shape[axis.axis] = axis.output;
        }
        shape
    }

    /// The constant inputs that follow the tensor: indices (i32; -1 for outside) and, unless elements are only
    /// picked, weights (f32). Both are flat: axis by axis, place by place, tap by tap.
    pub fn tables(&self) -> Vec<HostTensor> {
        let (mut indices, mut weights) = (Vec::new(), Vec::new());
        for axis in &self.axes {
            for place in 0..axis.output {
                match axis.taps(self.mode, self.input[axis.axis], place) {
                    Some(taps) => {
                        indices.extend(taps.iter().map(|t| t.0 as i32));
                        weights.extend(taps.iter().map(|t| t.1 as f32));
                    }
                    None => {
                        let n = axis.n_taps(self.mode);
                        indices.extend(vec![-1; n]);
                        weights.extend(vec![0.0; n]);
                    }
                }
            }
        }
        let mut tables = vec![HostTensor::from_i32(&[indices.len()], &indices)];
        if !self.picks() {
            tables.push(HostTensor::from_f32(&[weights.len()], &weights));
        }
        tables
    }

    /// Nearest elements are copied, whatever their type.
    fn picks(&self) -> bool {
        matches!(self.mode, ResizeMode::Nearest(_))
    }

    /// The view with the axes that stay merged in front (a view of those alone) and strides of those that change.
    fn split(&self, view: &View) -> (View, [u32; AXES_MAX]) {
        let mut outer = View { offset: view.offset, shape: Vec::new(), strides: Vec::new() };
        for axis in 0..view.shape.len() {
            if self.axes.iter().all(|a| a.axis != axis) {
                outer.shape.push(view.shape[axis]);
                outer.strides.push(view.strides[axis]);
            }
        }
        let mut strides = [0; AXES_MAX];
        for (word, axis) in strides[AXES_MAX - self.axes.len()..].iter_mut().zip(&self.axes) {
            *word = stride_word(view.strides[axis.axis]);
        }
        (outer, strides)
    }

    fn check(&self, io: Io) -> Result<(), NoKernel> {
        let (input, output) = (&io.inputs[0], &io.outputs[0]);
        if self.axes.is_empty() || self.axes.len() > AXES_MAX {
            return Err(NoKernel(format!("{} resized axes, the kernel takes 1 to {AXES_MAX}", self.axes.len())));
        }
        let known = if self.picks() { input.dtype.device_word().is_some() } else { input.dtype == DType::F32 };
        if !known || output.dtype != input.dtype {
            return Err(NoKernel(format!("resizing of {}: f32, or device words for nearest", input.dtype)));
        }
        if input.view.shape != self.input || output.view.shape != self.output_shape() {
            let found = (&input.view.shape, &output.view.shape);
            return Err(NoKernel(format!("resizing of {found:?}, declared {:?}", (&self.input, self.output_shape()))));
        }
        if io.inputs.len() != if self.picks() { 2 } else { 3 } {
            return Err(NoKernel(format!("{} inputs, resizing takes the tensor and its tables", io.inputs.len())));
        }
        Ok(())
    }
}

impl Operator for Resize {
    fn kind(&self) -> String {
        let mode = match self.mode {
            ResizeMode::Nearest(_) => "nearest",
            ResizeMode::Linear { .. } => "linear",
            ResizeMode::Cubic { .. } => "cubic",
        };
        format!("resize {mode}")
    }

    fn flops(&self) -> u64 {
        let taps: usize = self.axes.iter().map(|a| a.n_taps(self.mode)).product();
        if self.picks() { 0 } else { (volume(&self.output_shape()) * taps * 2) as u64 }
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        self.check(io)?;
        let (input, output) = (&io.inputs[0], &io.outputs[0]);
        if output.view.volume() == 0 {
            return Ok(Vec::new());
        }
        if input.view.volume() == 0 {
            return Err(NoKernel("resizing of an empty tensor to one with elements".into()));
        }
        let (x, x_strides) = self.split(&input.view);
        let (y, y_strides) = self.split(&output.view);
        let merged = merge_axes(&[x, y]);
        let (x, y) = (&merged[0], &merged[1]);
        if x.shape.len() > OUTER_MAX {
            return Err(NoKernel(format!("{} other axes, the kernel walks {OUTER_MAX}", x.shape.len())));
        }
        let skipped = AXES_MAX - self.axes.len();
        let (mut extent, mut first, mut taps) = ([1; AXES_MAX], [0; AXES_MAX], [1; AXES_MAX]);
        let mut entries = 0;
        for (axis, at) in self.axes.iter().zip(skipped..) {
            (extent[at], first[at]) = (axis.output as u32, entries);
            taps[at] = axis.n_taps(self.mode) as u32;
            entries += extent[at] * taps[at];
        }
        let places: usize = self.axes.iter().map(|a| a.output).product();
        let per = x.volume().min(PER);
        let items = places * x.volume().div_ceil(per);
        let (indices, amounts) = (&io.inputs[1].view, io.inputs.get(2).map(|t| &t.view));
        let op = ResizeOp {
            items: tiles_of(items, 1)?,
            places: places as u32,
            outer: x.volume() as u32,
            outside: self.outside,
            outer_dims: dims_words(x),
            x: x.offset as u32,
            x_outer: stride_words(x),
            x_strides,
            y: y.offset as u32,
            y_outer: stride_words(y),
            y_strides,
            extent,
            first,
            taps,
            indices: indices.offset as u32,
            indices_stride: stride_word(indices.strides[0]),
            amounts: amounts.map_or(0, |v| v.offset as u32),
            amounts_stride: amounts.map_or(0, |v| stride_word(v.strides[0])),
        };
        let lanes = lanes(caps);
        let in_weights = |k: usize| u32::from(io.inputs.get(k).is_some_and(|o| o.space == Space::Weights));
        let kernel = KernelSpec {
            name: FILE.name,
            source: FILE.source,
            functions: FILE.functions,
            consts: vec![
                ("PER", per as u32),
                ("OUTER_RANK", x.shape.len() as u32),
                ("AXES", self.axes.len() as u32),
                ("WEIGHTED", u32::from(!self.picks())),
                ("X_IN_WEIGHTS", in_weights(0)),
                ("INDICES_IN_WEIGHTS", in_weights(1)),
                ("AMOUNTS_IN_WEIGHTS", in_weights(2)),
            ],
            lanes,
            chain: None,
        };
        let iterations = taps.iter().fold(0, |inner, &n| u64::from(n) * (inner + 1) + 1) + 2 * per as u64;
        Ok(vec![KernelLaunch {
            kernel: Arc::new(kernel),
            params: op.words(),
            tiles: tiles_of(items, lanes)?,
            tile_iterations: tile_iterations(iterations)?,
        }])
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let mut shape = self.input.clone();
        let mut values: Vec<Option<f64>> = inputs[0].to_f64().into_iter().map(Some).collect();
        for axis in &self.axes {
            let inner: usize = shape[axis.axis + 1..].iter().product();
            let outer: usize = shape[..axis.axis].iter().product();
            let len = shape[axis.axis];
            let mut resized = Vec::with_capacity(outer * axis.output * inner);
            for o in 0..outer {
                for place in 0..axis.output {
                    let taps = axis.taps(self.mode, len, place);
                    for i in 0..inner {
                        let at = |index: usize| values[(o * len + index) * inner + i];
                        resized.push(taps.as_ref().and_then(|taps| {
                            let terms = taps.iter().filter(|t| t.1 != 0.0);
                            terms.map(|t| at(t.0).map(|v| if self.picks() { v } else { v * t.1 })).sum()
                        }));
                    }
                }
            }
            shape[axis.axis] = axis.output;
            values = resized;
        }
        let values: Vec<f64> = values.into_iter().map(|v| v.unwrap_or(f64::from(self.outside))).collect();
        vec![match inputs[0].dtype() {
            DType::F32 => HostTensor::from_f32(&shape, &values.iter().map(|&v| v as f32).collect::<Vec<_>>()),
            dtype => {
                let words: Vec<u32> = values.iter().map(|&v| v as i64 as u32).collect();
                HostTensor::from_device_words(dtype, &shape, &words).expect("a device type")
            }
        }]
    }
}
