//! A device's own rates, measured with two plain kernels: multiply-adds per second and bytes copied per second. They are
//! what other kernels are compared with, in one process and moments apart, because software devices share their machine.

use std::sync::Arc;
use std::time::Duration;

use super::harness::NoHost;
use super::params::{KernelFile, params};
use super::tiling::lanes;
use crate::hal::{
    BufferId, Device, HalError, KernelSpec, LaneId, LaneSpec, Launch, Operation, Recording, RecordingId, Slice, Stage,
    Submission, Wait,
};
use crate::tensor::{Nanos, TenantId};

/// Submissions of each kernel in [`measure`]; the fastest counts.
const RUNS: u32 = 8;
/// Time after which a submission counts as lost.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) const FMA_FILE: KernelFile = KernelFile {
    name: "fma_rate",
    source: include_str!("../../shaders/fma_rate.wgsl"),
    functions: &[],
    fields: FmaRateOp::FIELDS,
};
pub(super) const COPY_FILE: KernelFile = KernelFile {
    name: "copy_rate",
    source: include_str!("../../shaders/copy_rate.wgsl"),
    functions: &[],
    fields: CopyRateOp::FIELDS,
};

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
    /// Billions of floating-point operations per second in a loop of multiply-adds, one step of 48 sums an iteration.
    /// Unrolled, the loop is 1.6 times as fast on lavapipe and 3.7 times on SwiftShader, which both store what a loop
    /// changes in every iteration; docs/PERFORMANCE.md says more.
    pub fma_gflops: f64,
    /// Billions of bytes per second, read and written, in a copy of large arrays.
    pub copy_gbs: f64,
}

/// Measures `device`; takes about a second on a slow software device.
///
/// # Errors
/// [`HalError`] of memory or of a lost device; [`HalError::Kernel`] on a device that runs no kernels in that time.
pub fn measure(device: &mut dyn Device) -> Result<Rates, HalError> {
    let mut meter = Meter::new(device)?;
    let result = (0..RUNS).try_for_each(|_| meter.sample(device, Nanos(0)));
    let rates = meter.rates();
    meter.release(device);
    result.map(|()| rates)
}

/// Measures a device's rates whenever it is asked to: a machine that others share is rarely free, so figures that are to
/// be compared with other measurements are taken between them.
#[derive(Debug)]
pub struct Meter {
    fma: Prepared,
    copy: Prepared,
    /// Billions of multiply-adds' operations per second, by window.
    windows: Vec<f64>,
}

/// One launch over a buffer of its own, ready to be submitted.
#[derive(Debug)]
struct Prepared {
    kernel: String,
    buffers: [BufferId; 2],
    recording: RecordingId,
    lane: LaneId,
    tiles: u32,
    workers: u32,
    /// Operations or bytes of a run.
    amount: f64,
    /// Fewest nanoseconds that a run took.
    best: f64,
}

impl Meter {
    /// Prepares both kernels on `device`.
    ///
    /// # Errors
    /// [`HalError`] of memory or of the kernels.
    pub fn new(device: &mut dyn Device) -> Result<Meter, HalError> {
        let lanes = lanes(device.caps());
        let units = device.caps().compute_units.unwrap_or(128);
        // 3000 steps: below the loop limit of software devices with several tiles a worker.
        let (steps, per) = (3000, 8);
        // Long enough that every core of a software device is awake for most of it: short runs read half the rate.
        let fma_tiles = units * 128;
        let copy_words = 1 << 21;
        let fma = Work {
            kernel: spec(FMA_FILE, lanes, vec![]),
            params: FmaRateOp { y: 0, n: steps, m: 0.5 }.words(),
            tiles: fma_tiles,
            iterations: steps,
            words: fma_tiles * lanes,
            amount: 96.0 * f64::from(steps) * f64::from(fma_tiles) * f64::from(lanes),
        };
        let copy = Work {
            kernel: spec(COPY_FILE, lanes, vec![("PER", per)]),
            params: CopyRateOp { x: 0, y: copy_words }.words(),
            tiles: copy_words / (lanes * per),
            iterations: per,
            words: 2 * copy_words,
            amount: 8.0 * f64::from(copy_words),
        };
        let fma = Prepared::new(device, fma)?;
        match Prepared::new(device, copy) {
            Ok(copy) => Ok(Meter { fma, copy, windows: Vec::new() }),
            Err(e) => {
                fma.release(device);
                Err(e)
            }
        }
    }

    /// One window: copies once, and multiplies and adds until at least `window` has passed, on the device that this was
    /// prepared for.
    ///
    /// # Errors
    /// [`HalError`] of a lost device; [`HalError::Kernel`] where nothing finishes in time.
    pub fn sample(&mut self, device: &mut dyn Device, window: Nanos) -> Result<(), HalError> {
        self.copy.run(device)?;
        let start = device.clock().now();
        let mut runs = 0.0;
        while runs == 0.0 || device.clock().now().since(start) < window {
            self.fma.run(device)?;
            runs += 1.0;
        }
        self.windows.push(runs * self.fma.amount / device.clock().now().since(start).0 as f64);
        Ok(())
    }

    /// The fastest run of each so far; zero before the first sample.
    pub fn rates(&self) -> Rates {
        Rates { fma_gflops: self.fma.amount / self.fma.best, copy_gbs: self.copy.amount / self.copy.best }
    }

    /// The median window's rate of multiply-adds, in billions of operations per second: what the device had to give in
    /// that time, where others share it. Zero before the first sample.
    pub fn sustained_gflops(&self) -> f64 {
        let mut windows = self.windows.clone();
        windows.sort_unstable_by(f64::total_cmp);
        windows.get(windows.len() / 2).copied().unwrap_or(0.0)
    }

    /// Frees what it holds on the device.
    pub fn release(self, device: &mut dyn Device) {
        self.fma.release(device);
        self.copy.release(device);
    }
}

/// A launch that is to be prepared.
struct Work {
    kernel: KernelSpec,
    params: Vec<u32>,
    tiles: u32,
    iterations: u32,
    words: u32,
    amount: f64,
}

fn spec(file: KernelFile, lanes: u32, consts: Vec<(&'static str, u32)>) -> KernelSpec {
    KernelSpec { name: file.name, source: file.source, functions: file.functions, consts, lanes, chain: None }
}

impl Prepared {
    fn new(device: &mut dyn Device, work: Work) -> Result<Prepared, HalError> {
        let tenant = TenantId(u32::MAX);
        let arena = device.alloc(tenant, u64::from(work.words) * 4)?;
        let weights = device.alloc(tenant, 4).inspect_err(|_| device.free(arena))?;
        let (kernel, tiles) = (work.kernel.label(), work.tiles);
        let amount = work.amount;
        let installed = device
            .install(Arc::new(recording(work, arena, weights)), &mut |_, _, _| {})
            .and_then(|recording| Ok((recording, device.lane(&LaneSpec::default())?)));
        let (recording, lane) = installed.inspect_err(|_| {
            device.free(arena);
            device.free(weights);
        })?;
        let workers = tiles.min(device.caps().limits.workers_max);
        Ok(Prepared { kernel, buffers: [arena, weights], recording, lane, tiles, workers, amount, best: f64::INFINITY })
    }

    fn run(&mut self, device: &mut dyn Device) -> Result<(), HalError> {
        let slice = Slice {
            recording: self.recording,
            operation: 0,
            launch: 0,
            tiles: 0..self.tiles,
            workers: self.workers,
            follows: false,
        };
        let start = device.clock().now();
        device.submit(self.lane, Submission { stages: vec![Stage::of(slice)], ..Submission::default() })?;
        let mut done = Vec::new();
        while done.is_empty() {
            if device.clock().now().0 - start.0 > TIMEOUT.as_nanos() as u64 {
                let reason = format!("nothing after {TIMEOUT:?}");
                return Err(HalError::Kernel { kernel: self.kernel.clone(), reason });
            }
            device.poll(Wait::AtMost(TIMEOUT), &mut done)?;
        }
        if let Some(error) = done.remove(0).error {
            return Err(error);
        }
        self.best = self.best.min((device.clock().now().0 - start.0) as f64);
        Ok(())
    }

    fn release(self, device: &mut dyn Device) {
        device.uninstall(self.recording);
        self.buffers.into_iter().for_each(|buffer| device.free(buffer));
    }
}

fn recording(work: Work, arena: BufferId, weights: BufferId) -> Recording {
    let name = work.kernel.name;
    let launch = Launch {
        kernel: Arc::new(work.kernel),
        params: work.params,
        tiles: work.tiles,
        workers: work.tiles,
        tile_iterations: work.iterations,
        weights,
    };
    let operation = Operation {
        name: name.into(),
        kind: name.into(),
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
    Recording {
        name: "rates".into(),
        tenant: TenantId(u32::MAX),
        arena,
        operations: vec![operation],
        inputs: Vec::new(),
        outputs: Vec::new(),
    }
}
