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
        given: None,
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
                follows: false,
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

/// What was measured of one case: its network, its shares of the device's multiply-adds, and whether these bound it.
struct Line {
    network: &'static str,
    count: usize,
    /// By the fastest run.
    share: f64,
    /// By processor time, which other processes disturb less; it cannot see imbalance between cores.
    share_by_processor: f64,
    seconds: f64,
    compute_bound: bool,
}

fn measure(device: &mut dyn Device, case: &Case, meter: &mut Meter) -> Line {
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
        meter.sample(device, Nanos(0)).unwrap();
    }
    let rates = meter.rates();
    let flops = case.operator.flops() as f64;
    let gflops = flops / best / 1e9;
    let share = gflops / rates.fma_gflops;
    let processor = processor / (runs * times) as f64;
    let share_by_processor = flops / processor / 1e9 / rates.fma_gflops;
    let compute_bound = flops / case.bytes() as f64 > rates.fma_gflops / rates.copy_gbs;
    println!(
        "{:34} {:3} {:9.3} {:9.3} {:8.2} {:6.1} {:6.1} {:4} {:8.0}  {}",
        format!("{} {}", case.network, case.name),
        case.count,
        best * 1e3,
        processor * 1e3,
        gflops,
        share * 100.0,
        share_by_processor * 100.0,
        if compute_bound { "yes" } else { "no" },
        (prepared.compile.as_secs() + first - best) * 1e3,
        prepared.label
    );
    device.uninstall(prepared.recording);
    prepared.buffers.into_iter().for_each(|b| device.free(b));
    Line { network: case.network, count: case.count, share, share_by_processor, seconds: best, compute_bound }
}

/// Per network: the geometric mean of the compute-bound operators' shares, each as often as the network has it, and the
/// time of all operators together.
fn summarise(lines: &[Line]) {
    let mut networks: Vec<&str> = lines.iter().map(|l| l.network).collect();
    networks.dedup();
    for network in networks {
        let of_it = || lines.iter().filter(|l| l.network == network);
        let bound = || of_it().filter(|l| l.compute_bound);
        let n: usize = bound().map(|l| l.count).sum();
        let geomean = |share: fn(&Line) -> f64| {
            let sum: f64 = bound().map(|l| share(l).ln() * l.count as f64).sum();
            (sum / n as f64).exp() * 100.0
        };
        let ms: f64 = of_it().map(|l| l.seconds * l.count as f64 * 1e3).sum();
        println!(
            "{network}: geomean {:.1} %, by processor time {:.1} %, over {n} compute-bound operators; all {ms:.1} ms",
            geomean(|l| l.share),
            geomean(|l| l.share_by_processor)
        );
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let chosen = |c: &Case| wanted.iter().any(|w| c.name.contains(w.as_str()) || c.network.contains(w.as_str()));
    for mut device in common::devices() {
        let device = device.as_mut();
        let name = device.caps().name.clone();
        if std::env::var("DEVICE").is_ok_and(|d| !name.contains(&d)) {
            continue;
        }
        let mut meter = Meter::new(device).unwrap();
        (0..8).for_each(|_| meter.sample(device, Nanos(0)).unwrap());
        println!("{name}: {:.1?}", meter.rates());
        println!(
            "{:34} {:>3} {:>9} {:>9} {:>8} {:>6} {:>6} {:>4} {:>8}",
            "", "n", "min ms", "cpu ms", "GFLOP/s", "% fma", "% cpu", "comp", "first ms"
        );
        let lines: Vec<Line> = cases::all()
            .iter()
            .filter(|case| wanted.is_empty() || chosen(case))
            .map(|case| measure(device, case, &mut meter))
            .collect();
        summarise(&lines);
        println!("{name}: {:.1?}", meter.rates());
        meter.release(device);
    }
}
