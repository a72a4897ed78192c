//! Gathering along an axis (embedding tables among others), and the launch that all gathering operators share.

use std::sync::Arc;

use super::params::{KernelFile, params};
use super::stack::{Joint, Stacked, with_instances};
use super::walk::{LaneShape, Walk, coordinates, row_major};
use super::{
    CutAxis, Division, Io, KernelLaunch, NoKernel, Operand, Operator, RANK_MAX, Space, merge_axes, stride_word,
    tiles_of,
};
use crate::hal::{DeviceCaps, KernelSpec};
use crate::tensor::{DType, HostTensor, View, volume};

pub(super) const FILE: KernelFile = KernelFile {
    name: "gather",
    source: include_str!("../../shaders/gather.wgsl"),
    functions: &[],
    fields: GatherOp::FIELDS,
};

params! {
    struct GatherOp {
        runs: u32,
        x: u32,
        index: u32,
        y: u32,
        run_extent: u32,
        run_block: u32,
        run_step: u32,
        x_step: u32,
        index_step: u32,
        y_step: u32,
        component_step: u32,
        window_first: u32,
        window: u32,
        dims: [u32; RANK_MAX],
        x_strides: [u32; RANK_MAX],
        index_strides: [u32; RANK_MAX],
        y_strides: [u32; RANK_MAX],
        extents: [i32; RANK_MAX],
        component_strides: [u32; RANK_MAX],
    }
}

/// The rows of a table that one operand holds: tables beyond a device's binding limit are divided, and the operator of
/// each piece writes the outputs whose rows are in it. Every index is moved into the whole table first, so of pieces that
/// cover it exactly one holds its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableWindow {
    /// Row of the table that is row 0 of the operand.
    pub first: usize,
    /// Rows of the whole table, for negative and outlying indices.
    pub total: usize,
}

/// Along `axis` the elements that the indices (input 1, of any shape) name: `Gather` of ONNX.
///
/// A negative index counts from the end; one that is still outside is moved to the nearest end. Indices are i32 words,
/// or f32 (towards zero).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// The axis.
    pub axis: usize,
    /// Extents of the data (input 0), or of the piece that `window` describes.
    pub shape: Vec<usize>,
    /// Extents of the indices.
    pub index_shape: Vec<usize>,
    /// The data is a piece of a table along `axis`. Outputs of other rows are not written (zero in the reference).
    pub window: Option<TableWindow>,
}

impl Gather {
    /// Extents of the output: the indices' in place of the axis.
    pub fn output_shape(&self) -> Vec<usize> {
        [&self.shape[..self.axis], &self.index_shape, &self.shape[self.axis + 1..]].concat()
    }

    fn window(&self) -> TableWindow {
        self.window.unwrap_or(TableWindow { first: 0, total: self.shape[self.axis] })
    }
}

impl Operator for Gather {
    fn kind(&self) -> String {
        "gather".into()
    }

    fn flops(&self) -> u64 {
        0
    }

    fn lower(&self, caps: &DeviceCaps, io: Io) -> Result<Vec<KernelLaunch>, NoKernel> {
        let (x, index) = (&io.inputs[0].view, &io.inputs[1].view);
        let (outer, inner) = (self.axis, x.shape.len() - self.axis - 1);
        let held = x.shape[self.axis];
        let window = self.window();
        let shape = self.output_shape();
        let zeros = |n: usize| vec![0; n];
        gather_launches(
            caps,
            io,
            &Gathering {
                x: View {
                    offset: x.offset,
                    shape: shape.clone(),
                    strides: [&x.strides[..outer], &zeros(index.shape.len()), &x.strides[outer + 1..]].concat(),
                },
                index: View {
                    offset: index.offset,
                    shape,
                    strides: [&zeros(outer)[..], &index.strides, &zeros(inner)].concat(),
                },
                component_step: 0,
                components: vec![(window.total, x.strides[self.axis])],
                window: (window.first, held),
            },
        )
    }

    /// Windows of the table.
    fn divisions(&self) -> Vec<Division<'_>> {
        let TableWindow { first, total } = self.window();
        vec![Division {
            units: self.shape[self.axis],
            inputs: vec![Some(CutAxis::from_last(self.shape.len() - 1 - self.axis)), None],
            further: None,
            outputs: None,
            part: Box::new(move |units| {
                let window = Some(TableWindow { first: first + units.start, total });
                let mut part = Gather { window, ..self.clone() };
                part.shape[self.axis] = units.len();
                Box::new(part)
            }),
        }]
    }

    /// Rows of a table that all instances share, or what shared indices name in data of each; the indices of one instance
    /// know nothing of another's data.
    fn stacked(&self, n: usize, shared: &[bool]) -> Option<Stacked> {
        let output = self.output_shape();
        with_instances(n, &output, RANK_MAX)?;
        let in_front = |shape: &[usize]| [&[n], shape].concat();
        let (operator, inputs) = match shared {
            [true, false] if self.axis == 0 => (
                Gather { index_shape: in_front(&self.index_shape), ..self.clone() },
                vec![Joint::Shared, Joint::Leading(self.index_shape.clone())],
            ),
            [false, true] => (
                Gather { axis: self.axis + 1, shape: in_front(&self.shape), ..self.clone() },
                vec![Joint::Leading(self.shape.clone()), Joint::Shared],
            ),
            _ => return None,
        };
        Some(Stacked { operator: Arc::new(operator), inputs, outputs: vec![Joint::Leading(output)] })
    }

    fn tables(&self) -> &'static [usize] {
        &[0]
    }

    fn reference(&self, inputs: &[HostTensor]) -> Vec<HostTensor> {
        let x = inputs[0].to_device_words().expect("a device type");
        let index = inputs[1].to_i64();
        let window = self.window();
        let shape = self.output_shape();
        let words: Vec<u32> = (0..volume(&shape))
            .map(|i| {
                let mut at = coordinates(i, &shape);
                let inner = at.split_off(self.axis + self.index_shape.len());
                let which = at.split_off(self.axis);
                let row = resolve(index[row_major(&which, &self.index_shape)], window.total);
                match row.checked_sub(window.first) {
                    Some(row) if row < self.shape[self.axis] => {
                        at.push(row);
                        at.extend(inner);
                        x[row_major(&at, &self.shape)]
                    }
                    _ => 0,
                }
            })
            .collect();
        vec![HostTensor::from_device_words(inputs[0].dtype(), &shape, &words).expect("a device type")]
    }
}

/// The element that an index names: negative ones count from the end, others outside go to the nearest end.
pub(super) fn resolve(index: i64, extent: usize) -> usize {
    let extent = extent as i64;
    (if index < 0 { index + extent } else { index }).clamp(0, extent - 1) as usize
}

/// Whether indices of this type are float words.
///
/// # Errors
/// [`NoKernel`] for types that are no indices on devices.
pub(super) fn float_index(index: &Operand) -> Result<bool, NoKernel> {
    match index.dtype.device_word() {
        Some(DType::F32) => Ok(true),
        Some(DType::I32) => Ok(false),
        _ => Err(NoKernel(format!("indices of type {}", index.dtype))),
    }
}

/// What a gathering kernel does. Both views have the output's shape.
pub(super) struct Gathering {
    /// Where each output's element would be if all components of its index were zero.
    pub(super) x: View,
    /// Where the first component of each output's index is.
    pub(super) index: View,
    /// From a component of an index to the next, in words.
    pub(super) component_step: isize,
    /// What each component selects: extent and stride in `x`.
    pub(super) components: Vec<(usize, isize)>,
    /// Of component 0, the first element that is there and how many are.
    pub(super) window: (usize, usize),
}

/// The launch for `gathering`; input 0 holds the data and input 1 the indices.
pub(super) fn gather_launches(caps: &DeviceCaps, io: Io, gathering: &Gathering) -> Result<Vec<KernelLaunch>, NoKernel> {
    let y = &io.outputs[0].view;
    if y.volume() == 0 {
        return Ok(Vec::new());
    }
    let depth = gathering.components.len();
    if depth == 0 || depth > RANK_MAX {
        return Err(NoKernel(format!("indices of {depth} components, the kernel takes 1 to {RANK_MAX}")));
    }
    let mut extents = [1; RANK_MAX];
    let mut component_strides = [0; RANK_MAX];
    for (at, &(extent, stride)) in gathering.components.iter().enumerate() {
        extents[at] = i32::try_from(extent).map_err(|_| NoKernel(format!("an axis of {extent}")))?;
        if extent == 0 {
            return Err(NoKernel("indices into an empty axis".into()));
        }
        component_strides[at] = stride_word(stride);
    }
    let float = float_index(&io.inputs[1])?;
    let views = merge_axes(&[y.clone(), gathering.x.clone(), gathering.index.clone()]);
    let last = views[0].shape.len() - 1;
    let lane = LaneShape::of(caps);
    let walk = Walk::new(&views[0].shape, last, lane)?;
    let op = GatherOp {
        runs: walk.runs,
        x: views[1].offset as u32,
        index: views[2].offset as u32,
        y: views[0].offset as u32,
        run_extent: walk.run_extent,
        run_block: walk.run_block,
        run_step: walk.run_step,
        x_step: walk.step(&views[1]),
        index_step: walk.step(&views[2]),
        y_step: walk.step(&views[0]),
        component_step: stride_word(gathering.component_step),
        window_first: gathering.window.0 as u32,
        window: gathering.window.1 as u32,
        dims: walk.dims,
        x_strides: walk.strides(&views[1]),
        index_strides: walk.strides(&views[2]),
        y_strides: walk.strides(&views[0]),
        extents,
        component_strides,
    };
    let bit = |k: usize| u32::from(io.inputs[k].space == Space::Weights) << k;
    let kernel = KernelSpec {
        name: FILE.name,
        source: FILE.source,
        functions: FILE.functions,
        consts: vec![
            ("PER", lane.per),
            ("RANK", walk.rank),
            ("DEPTH", depth as u32),
            ("FLOAT_INDEX", u32::from(float)),
            ("SAME_INDEX", u32::from(views[2].strides[last] == 0)),
            ("IN_WEIGHTS", bit(0) | bit(1)),
        ],
        lanes: lane.lanes,
        chain: None,
    };
    Ok(vec![KernelLaunch {
        kernel: Arc::new(kernel),
        params: op.words(),
        tiles: tiles_of(walk.runs as usize, lane.lanes)?,
        tile_iterations: walk.iterations(lane, depth as u32),
    }])
}
