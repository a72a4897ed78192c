//! A device's own rates, measured with two plain kernels: multiply-adds per second and bytes copied per second. They are
//! what other kernels are compared with, in one process and moments apart, because software devices share their machine.

use std::sync::Arc;
use std::time::Duration;

use super::gemm::lanes;
use super::harness::NoHost;
use super::params::{KernelFile, params};
use crate::hal::{
    BufferId, Device, HalError, KernelSpec, LaneSpec, Launch, Operation, Recording, Slice, Stage, Submission, Wait,
};
use crate::tensor::TenantId;

/// Submissions of each kernel; the fastest counts.
const RUNS: u32 = 8;
/// Time after which a submission counts as lost.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) const FMA_FILE: KernelFile =
    KernelFile { name: "fma_rate", source: include_str!("../../shaders/fma_rate.wgsl"), fields: FmaRateOp::FIELDS };
pub(super) const COPY_FILE: KernelFile =
    KernelFile { name: "copy_rate", source: include_str!("../../shaders/copy_rate.wgsl"), fields: CopyRateOp::FIELDS };

params! {
    struct FmaRateOp {
        y: u32,
        n: u32,
        m: f32,
    }
}

params! {
    struct CopyRateOp {
        x: u32,
        y: u32,
    }
}

/// What a device reaches with nothing in the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Billions of floating-point operations per second in a loop of multiply-adds.
    pub fma_gflops: f64,
    /// Billions of bytes per second, read and written, in a copy of large arrays.
    pub copy_gbs: f64,
}

/// Measures `device`; takes about a second on a slow software device.
///
/// # Errors
/// [`HalError`] of memory or of a lost device; [`HalError::Kernel`] on a device that runs no kernels in that time.
pub fn measure(device: &mut dyn Device) -> Result<Rates, HalError> {
    let lanes = lanes(device.caps());
    let units = device.caps().compute_units.unwrap_or(128);
    // 3000 steps: below the loop limit of software devices with several tiles a worker.
    let (steps, per) = (3000, 8);
    // Long enough that every core of a software device is awake for most of it: short runs read half the rate.
    let fma_tiles = units * 128;
    let fma = Work {
        kernel: spec(FMA_FILE, lanes, vec![]),
        params: FmaRateOp { y: 0, n: steps, m: 0.5 }.words(),
        tiles: fma_tiles,
        iterations: steps,
        words: fma_tiles * lanes,
    };
    let copy_words = 1 << 21;
    let copy = Work {
        kernel: spec(COPY_FILE, lanes, vec![("PER", per)]),
        params: CopyRateOp { x: 0, y: copy_words }.words(),
        tiles: copy_words / (lanes * per),
        iterations: per,
        words: 2 * copy_words,
    };
    let operations = 96.0 * f64::from(steps) * f64::from(fma_tiles) * f64::from(lanes);
    let bytes = 8.0 * f64::from(copy_words);
    Ok(Rates { fma_gflops: operations / fastest(device, fma)?, copy_gbs: bytes / fastest(device, copy)? })
}

/// One launch over a buffer of its own.
struct Work {
    kernel: KernelSpec,
    params: Vec<u32>,
    tiles: u32,
    iterations: u32,
    words: u32,
}

fn spec(file: KernelFile, lanes: u32, consts: Vec<(&'static str, u32)>) -> KernelSpec {
    KernelSpec { name: file.name, source: file.source, consts, lanes, chain: None }
}

/// Nanoseconds of the fastest run.
fn fastest(device: &mut dyn Device, work: Work) -> Result<f64, HalError> {
    let tenant = TenantId(u32::MAX);
    let arena = device.alloc(tenant, u64::from(work.words) * 4)?;
    let weights = match device.alloc(tenant, 4) {
        Ok(weights) => weights,
        Err(e) => {
            device.free(arena);
            return Err(e);
        }
    };
    let result = run(device, &work, arena, weights);
    device.free(arena);
    device.free(weights);
    result
}

fn run(device: &mut dyn Device, work: &Work, arena: BufferId, weights: BufferId) -> Result<f64, HalError> {
    let launch = Launch {
        kernel: Arc::new(work.kernel.clone()),
        params: work.params.clone(),
        tiles: work.tiles,
        workers: work.tiles,
        tile_iterations: work.iterations,
        weights,
    };
    let operation = Operation {
        name: work.kernel.name.into(),
        kind: work.kernel.name.into(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        deps: Vec::new(),
        launches: vec![launch],
        host: Arc::new(NoHost),
        flops: 0,
        bytes: 0,
        reason: None,
        given: None,
    };
    let recording = Recording {
        name: "rates".into(),
        tenant: TenantId(u32::MAX),
        arena,
        operations: vec![operation],
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    let id = device.install(Arc::new(recording), &mut |_, _, _| {})?;
    let lane = device.lane(&LaneSpec::default())?;
    let workers = work.tiles.min(device.caps().limits.workers_max);
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let slice = Slice { recording: id, operation: 0, launch: 0, tiles: 0..work.tiles, workers };
        let start = device.clock().now();
        device.submit(lane, Submission { stages: vec![Stage::of(slice)], ..Submission::default() })?;
        let mut done = Vec::new();
        while done.is_empty() {
            if device.clock().now().0 - start.0 > TIMEOUT.as_nanos() as u64 {
                let reason = format!("nothing after {TIMEOUT:?}");
                return Err(HalError::Kernel { kernel: work.kernel.label(), reason });
            }
            device.poll(Wait::AtMost(TIMEOUT), &mut done)?;
        }
        if let Some(error) = done.remove(0).error {
            return Err(error);
        }
        best = best.min((device.clock().now().0 - start.0) as f64);
    }
    device.uninstall(id);
    Ok(best)
}
