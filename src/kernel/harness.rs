//! Runs one operator on a device, for tests and measurements: operands are placed with gaps, so that a kernel that
//! strays outside its operands is seen.

use std::sync::Arc;
use std::time::Duration;

use super::{Io, Operand, Operator, Space};
use crate::hal::{
    BufferId, Device, HalError, HostFn, LaneSpec, Launch, Operation, Recording, Region, Slice, Stage, Submission,
    TensorRef, Wait,
};
use crate::tensor::{DType, HostTensor, TenantId, View};

/// Words between operands, filled with [`POISON`]. Even, so that kernels that load pairs of words get to do so.
const GAP: usize = 38;
/// What lies around operands: a NaN with a pattern of its own, so that reading it shows in results.
const POISON: u32 = 0x7fc0_dead;

/// How an operator's inputs are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Bit k: input k lies in the weights.
    pub weights: u32,
    /// Cut each launch into this many tile ranges (at least one).
    pub slices: u32,
    /// Workers of each range; `None` for as many as there are tiles.
    pub workers: Option<u32>,
}

impl Default for Placement {
    fn default() -> Placement {
        Placement { weights: 0, slices: 1, workers: None }
    }
}

/// What went wrong with a run.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] HalError),
    /// There is no kernel for these operands.
    #[error(transparent)]
    NoKernel(#[from] super::NoKernel),
    /// A kernel wrote outside its output.
    #[error("word {at} beside the output was overwritten with {found:#x}")]
    Strayed {
        /// Position in the arena.
        at: usize,
        /// What lies there now.
        found: u32,
    },
}

/// Runs `operator` on dense `inputs`; the outputs have these types and shapes.
///
/// # Errors
/// [`HarnessError`]; also when the kernel wrote outside its outputs.
pub fn run(
    device: &mut dyn Device,
    operator: &dyn Operator,
    inputs: &[HostTensor],
    outputs: &[(DType, Vec<usize>)],
    placement: Placement,
) -> Result<Vec<HostTensor>, HarnessError> {
    run_views(device, operator, inputs, outputs, &[], placement)
}

/// As [`run`], with operands that lie in memory with their axes in other orders: `orders` has one entry per input and
/// output (missing ones are row-major), the axes from the outermost in memory to the innermost. The operator sees them
/// as strided views in their own order of axes.
///
/// # Errors
/// As [`run`].
pub fn run_views(
    device: &mut dyn Device,
    operator: &dyn Operator,
    inputs: &[HostTensor],
    outputs: &[(DType, Vec<usize>)],
    orders: &[&[usize]],
    placement: Placement,
) -> Result<Vec<HostTensor>, HarnessError> {
    let tenant = TenantId(u32::MAX);
    let mut images = [vec![POISON; GAP], vec![POISON; GAP]];
    let mut orders = orders.iter();
    let mut place = |space: Space, tensor: &HostTensor| {
        let image = &mut images[space as usize];
        let dense = View::contiguous(0, tensor.shape());
        let order = orders.next().map_or_else(|| (0..dense.shape.len()).collect(), |order| order.to_vec());
        let in_memory = tensor.gathered(&dense.permuted(&order));
        let view = View::contiguous(image.len(), in_memory.shape());
        image.extend(in_memory.to_device_words().expect("a device type"));
        image.extend([POISON; GAP]);
        let back: Vec<usize> =
            (0..order.len()).map(|axis| order.iter().position(|&o| o == axis).expect("an order of axes")).collect();
        Operand { space, view: view.permuted(&back), dtype: tensor.dtype() }
    };
    let input_operands: Vec<Operand> = inputs
        .iter()
        .enumerate()
        .map(|(k, t)| place(if placement.weights >> k & 1 == 1 { Space::Weights } else { Space::Arena }, t))
        .collect();
    let output_operands: Vec<Operand> =
        outputs.iter().map(|(dtype, shape)| place(Space::Arena, &HostTensor::zeros(*dtype, shape))).collect();
    let [weights_image, arena_image] = images;
    let weights = upload(device, tenant, &weights_image)?;
    let arena = upload(device, tenant, &arena_image)?;
    let io = Io { inputs: &input_operands, outputs: &output_operands };
    let launches = operator.lower(device.caps(), io)?;
    let in_buffer = |o: &Operand| TensorRef {
        buffer: if o.space == Space::Weights { weights } else { arena },
        view: o.view.clone(),
        dtype: o.dtype,
        wide: false,
    };
    let operation = Operation {
        name: "operator".into(),
        kind: operator.kind(),
        inputs: input_operands.iter().map(in_buffer).collect(),
        outputs: output_operands.iter().map(in_buffer).collect(),
        deps: Vec::new(),
        launches: launches
            .into_iter()
            .map(|l| Launch {
                kernel: l.kernel,
                params: l.params,
                tiles: l.tiles,
                workers: l.tiles,
                tile_iterations: l.tile_iterations,
                weights,
            })
            .collect(),
        host: Arc::new(NoHost),
        flops: operator.flops(),
        bytes: 0,
        reason: None,
        given: None,
    };
    let recording = Arc::new(Recording {
        name: "harness".into(),
        tenant,
        arena,
        operations: vec![operation],
        inputs: Vec::new(),
        outputs: Vec::new(),
    });
    let result = execute(device, &recording, arena_image.len(), placement);
    device.free(weights);
    device.free(arena);
    check_surroundings(&arena_image, &result?, &output_operands)
}

fn upload(device: &mut dyn Device, tenant: TenantId, words: &[u32]) -> Result<BufferId, HalError> {
    let bytes = bytemuck::cast_slice(words);
    let buffer = device.alloc(tenant, bytes.len() as u64)?;
    device.write(Region { buffer, offset: 0, bytes: bytes.len() as u64 }, bytes)?;
    Ok(buffer)
}

fn execute(
    device: &mut dyn Device,
    recording: &Arc<Recording>,
    arena_words: usize,
    placement: Placement,
) -> Result<Vec<u32>, HalError> {
    let id = device.install(recording.clone(), &mut |_, _, _| {})?;
    let lane = device.lane(&LaneSpec::default())?;
    let mut stages = Vec::new();
    for (at, launch) in (0..).zip(&recording.operations[0].launches) {
        let per_slice = launch.tiles.div_ceil(placement.slices.max(1)).max(1);
        let mut first = 0;
        while first < launch.tiles {
            let end = launch.tiles.min(first + per_slice);
            let least = device.caps().quirks.loop_iterations_max.map_or(1, |max| {
                let tiles = (max / (launch.tile_iterations + 2)).max(1);
                (end - first).div_ceil(tiles)
            });
            let workers = placement.workers.unwrap_or(end - first).clamp(least, end - first).min(65_535);
            let tiles = first..end;
            stages.push(Stage::of(Slice { recording: id, operation: 0, launch: at, tiles, workers, follows: false }));
            first = end;
        }
    }
    device.submit(lane, Submission { stages, ..Submission::default() })?;
    let mut done = Vec::new();
    while done.is_empty() {
        device.poll(Wait::AtMost(Duration::from_secs(60)), &mut done)?;
    }
    let region = Region { buffer: recording.arena, offset: 0, bytes: arena_words as u64 * 4 };
    let bytes = device.read(region)?;
    device.uninstall(id);
    Ok(bytemuck::pod_collect_to_vec(&bytes))
}

fn check_surroundings(before: &[u32], after: &[u32], outputs: &[Operand]) -> Result<Vec<HostTensor>, HarnessError> {
    let mut expected = after.to_vec();
    for (at, word) in expected.iter_mut().enumerate() {
        if !outputs.iter().any(|o| (o.view.extent().0..o.view.extent().1).contains(&at)) {
            *word = before[at];
        }
    }
    if let Some(at) = (0..after.len()).find(|&at| expected[at] != after[at]) {
        return Err(HarnessError::Strayed { at, found: after[at] });
    }
    let tensors = outputs.iter().map(|o| {
        let picked: Vec<u32> = o.view.positions().map(|at| after[at]).collect();
        HostTensor::from_device_words(o.dtype, &o.view.shape, &picked).expect("a device type")
    });
    Ok(tensors.collect())
}

/// The harness only runs kernels.
#[derive(Debug)]
pub(super) struct NoHost;

impl HostFn for NoHost {
    fn eval(&self, _inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        Err("the harness runs kernels only".into())
    }
}
