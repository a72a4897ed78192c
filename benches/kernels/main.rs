//! Times of single kernels against the device's own rate of multiply-adds. Prints one line per device and operator, and
//! for each network the geometric mean over its compute-bound operators; arguments select operators by a part of their
//! name (`resnet50` selects all of that network).

mod cases;
#[path = "../../tests/common/mod.rs"]
mod common;

use cases::Case;

use std::sync::Arc;
use std::time::Duration;

use cotenant::hal::*;
use cotenant::kernel::rates::Meter;
use cotenant::kernel::*;
use cotenant::tensor::{DType, HostTensor, Nanos, TenantId, View};

#[derive(Debug)]
struct NoHost;

impl HostFn for NoHost {
    fn eval(&self, _inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        Err("kernels only".into())
    }
}

/// A compiled operator on a device.
struct Prepared {
    recording: RecordingId,
    launches: Vec<u32>,
    lane: LaneId,
    compile: Nanos,
    label: String,
    buffers: [BufferId; 2],
}

fn prepare(device: &mut dyn Device, case: &Case) -> Prepared {
    let tenant = TenantId(0);
    let mut sizes = [4usize, 4];
    let mut place = |space: Space, shape: &[usize]| {
        let offset = sizes[space as usize];
        sizes[space as usize] += shape.iter().product::<usize>() + 16;
        Operand { space, view: View::contiguous(offset, shape), dtype: DType::F32 }
    };
    let mut inputs: Vec<Operand> = case.inputs.iter().map(|(s, shape)| place(*s, shape)).collect();
    if inputs[1].view.shape.len() == 5 {
        // Convolution weights are packed when a model is loaded.
        let view = &inputs[1].view;
        let in_memory: Vec<usize> = CONV_PACKED_ORDER.iter().map(|&axis| view.shape[axis]).collect();
        inputs[1].view = View::contiguous(view.offset, &in_memory).permuted(&[0, 4, 3, 1, 2]);
    }
    let outputs = vec![place(Space::Arena, &case.output)];
    let buffers = sizes.map(|words| {
        let buffer = device.alloc(tenant, words as u64 * 4).unwrap();
        let values: Vec<f32> = (0..words).map(|i| (i % 17) as f32 * 0.1).collect();
        device.write(Region { buffer, offset: 0, bytes: words as u64 * 4 }, bytemuck::cast_slice(&values)).unwrap();
        buffer
    });
    let launches: Vec<KernelLaunch> =
        case.operator.lower(device.caps(), Io { inputs: &inputs, outputs: &outputs }).unwrap();
    let label = launches.iter().map(|l| format!("{} x{}", l.kernel.label(), l.tiles)).collect();
    let operation = Operation {
        name: case.name.clone(),
        kind: case.operator.kind(),
        inputs: vec![],
        outputs: vec![],
        deps: vec![],
        launches: launches
            .iter()
            .map(|l| Launch {
                kernel: l.kernel.clone(),
                params: l.params.clone(),
                tiles: l.tiles,
                workers: l.tiles,
                tile_iterations: l.tile_iterations,
                weights: buffers[0],
            })
            .collect(),
        host: Arc::new(NoHost),
        flops: 0,
        bytes: 0,
        reason: None,
    };
    let recording = Recording {
        name: case.name.clone(),
        tenant,
        arena: buffers[1],
        operations: vec![operation],
        inputs: vec![],
        outputs: vec![],
    };
    let started = device.clock().now();
    let recording = device.install(Arc::new(recording), &mut |_, _, _| {}).unwrap();
    let compile = device.clock().now().since(started);
    let lane = device.lane(&LaneSpec::default()).unwrap();
    Prepared { recording, launches: launches.iter().map(|l| l.tiles).collect(), lane, compile, label, buffers }
}

/// Seconds of one submission that runs the operator `times` times.
fn once(device: &mut dyn Device, prepared: &Prepared, times: usize) -> f64 {
    let mut stages = Vec::new();
    for _ in 0..times {
        for (launch, &tiles) in (0..).zip(&prepared.launches) {
            let workers = tiles.min(4096);
            stages.push(Stage::of(Slice {
                recording: prepared.recording,
                operation: 0,
                launch,
                tiles: 0..tiles,
                workers,
            }));
        }
    }
    let start = device.clock().now();
    device.submit(prepared.lane, Submission { stages, ..Submission::default() }).unwrap();
    let mut done = Vec::new();
    while done.is_empty() {
        device.poll(Wait::AtMost(Duration::from_secs(60)), &mut done).unwrap();
    }
    (done[0].finished.0 - start.0) as f64 / 1e9 / times as f64
}

/// Seconds of processor time that this process has used, per core of the software devices; zero where unknown.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (ticks(11) + ticks(12)) / 100.0 / cores as f64
}

/// The device's own multiply-adds: by the clock, and by the processor time that they took.
struct Yardstick {
    meter: Meter,
    operations: f64,
    processor: f64,
}

impl Yardstick {
    fn new(device: &mut dyn Device) -> Yardstick {
        let mut yardstick = Yardstick { meter: Meter::new(device).unwrap(), operations: 0.0, processor: 0.0 };
        (0..4).for_each(|_| yardstick.sample(device));
        yardstick
    }

    fn sample(&mut self, device: &mut dyn Device) {
        self.meter.sample(device, Nanos(0)).unwrap();
        let used = processor_seconds();
        self.operations += self.meter.multiply_adds(device, Nanos(100_000_000)).unwrap();
        self.processor += processor_seconds() - used;
    }

    fn gflops_by_processor(&self) -> f64 {
        self.operations / self.processor / 1e9
    }
}

/// What was measured of one case.
struct Line<'a> {
    case: &'a Case,
    /// Seconds of the fastest run.
    best: f64,
    /// Seconds of processor time of a run, which other processes disturb less; it cannot see imbalance between cores.
    processor: f64,
    /// Seconds of compilation and of what else the first run took.
    first: f64,
    label: String,
}

impl Line<'_> {
    fn flops(&self) -> f64 {
        self.case.operator.flops() as f64
    }

    fn share(&self, yardstick: &Yardstick) -> f64 {
        self.flops() / self.best / 1e9 / yardstick.meter.rates().fma_gflops
    }

    fn share_by_processor(&self, yardstick: &Yardstick) -> f64 {
        self.flops() / self.processor / 1e9 / yardstick.gflops_by_processor()
    }

    /// True where the device multiplies and adds for longer than it copies.
    fn is_compute_bound(&self, yardstick: &Yardstick) -> bool {
        let rates = yardstick.meter.rates();
        self.flops() / self.case.bytes() as f64 > rates.fma_gflops / rates.copy_gbs
    }

    fn print(&self, yardstick: &Yardstick) {
        println!(
            "{:34} {:3} {:9.3} {:9.3} {:8.2} {:6.1} {:6.1} {:4} {:8.0}  {}",
            format!("{} {}", self.case.network, self.case.name),
            self.case.count,
            self.best * 1e3,
            self.processor * 1e3,
            self.flops() / self.best / 1e9,
            self.share(yardstick) * 100.0,
            self.share_by_processor(yardstick) * 100.0,
            if self.is_compute_bound(yardstick) { "yes" } else { "no" },
            self.first * 1e3,
            self.label
        );
    }
}

fn measure<'a>(device: &mut dyn Device, case: &'a Case, yardstick: &mut Yardstick) -> Line<'a> {
    let prepared = prepare(device, case);
    let first = once(device, &prepared, 1);
    let times = ((0.02 / first) as usize).clamp(1, 20);
    let (mut best, mut runs) = (first, 0);
    let (mut spent, mut processor) = (0.0, 0.0);
    while runs < 5 || (spent < 0.6 && runs < 100) {
        let (started, used) = (device.clock().now(), processor_seconds());
        best = best.min(once(device, &prepared, times));
        processor += processor_seconds() - used;
        spent += device.clock().now().since(started).as_secs();
        runs += 1;
    }
    yardstick.sample(device);
    device.uninstall(prepared.recording);
    prepared.buffers.into_iter().for_each(|b| device.free(b));
    Line {
        case,
        best,
        processor: processor / (runs * times) as f64,
        first: prepared.compile.as_secs() + first - best,
        label: prepared.label,
    }
}

/// Per network: the geometric means of the compute-bound operators' shares, each as often as the network has it, and the
/// time of all operators together.
fn summarise(lines: &[Line], yardstick: &Yardstick) {
    let mut networks: Vec<&str> = lines.iter().map(|l| l.case.network).collect();
    networks.dedup();
    for network in networks {
        let of_it = || lines.iter().filter(|l| l.case.network == network);
        let bound = || of_it().filter(|l| l.is_compute_bound(yardstick));
        let n: usize = bound().map(|l| l.case.count).sum();
        let geomean = |share: fn(&Line, &Yardstick) -> f64| {
            let sum: f64 = bound().map(|l| share(l, yardstick).ln() * l.case.count as f64).sum();
            (sum / n as f64).exp() * 100.0
        };
        let ms: f64 = of_it().map(|l| l.best * l.case.count as f64 * 1e3).sum();
        println!(
            "{network}: geomean {:.1} %, by processor time {:.1} %, over {n} compute-bound operators; all {ms:.1} ms",
            geomean(Line::share),
            geomean(Line::share_by_processor)
        );
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let chosen = |c: &Case| wanted.iter().any(|w| c.name.contains(w.as_str()) || c.network.contains(w.as_str()));
    let mut cases = cases::all();
    cases.retain(|case| wanted.is_empty() || chosen(case));
    for mut device in common::devices() {
        let device = device.as_mut();
        let name = device.caps().name.clone();
        if std::env::var("DEVICE").is_ok_and(|d| !name.contains(&d)) {
            continue;
        }
        let mut yardstick = Yardstick::new(device);
        let mut lines = Vec::new();
        for case in &cases {
            eprintln!("{name}: {} {}", case.network, case.name);
            lines.push(measure(device, case, &mut yardstick));
        }
        println!(
            "{name}: {:.1?}, by processor time {:.1} GFLOP/s",
            yardstick.meter.rates(),
            yardstick.gflops_by_processor()
        );
        println!(
            "{:34} {:>3} {:>9} {:>9} {:>8} {:>6} {:>6} {:>4} {:>8}",
            "", "n", "min ms", "cpu ms", "GFLOP/s", "% fma", "% cpu", "comp", "first ms"
        );
        lines.iter().for_each(|line| line.print(&yardstick));
        summarise(&lines, &yardstick);
        yardstick.meter.release(device);
    }
}
