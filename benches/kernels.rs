//! Times of single kernels against the device's own rate of multiply-adds. Prints one line per device and operator;
//! arguments select operators by a part of their name.

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::Duration;

use cotenant::hal::*;
use cotenant::kernel::*;
use cotenant::tensor::{DType, HostTensor, Nanos, TenantId, View};

#[derive(Debug)]
struct NoHost;

impl HostFn for NoHost {
    fn eval(&self, _inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        Err("kernels only".into())
    }
}

struct Case {
    name: &'static str,
    operator: Box<dyn Operator>,
    inputs: Vec<(Space, Vec<usize>)>,
    output: Vec<usize>,
}

fn cases() -> Vec<Case> {
    use Space::{Arena, Weights};
    let gemm = |name, m: usize, n: usize, k: usize, spaces: [Space; 2]| Case {
        name,
        operator: Box::new(Gemm { batch: vec![], m, n, k: vec![k], epilogue: Epilogue::default() }),
        inputs: vec![(spaces[0], vec![m, k]), (spaces[1], vec![k, n])],
        output: vec![m, n],
    };
    let conv = |name, [groups, ic, oc]: [usize; 3], side: usize, k: usize, stride: usize| {
        let conv = Conv {
            batch: 1,
            groups,
            ic,
            oc,
            input: [side, side],
            kernel: [k, k],
            stride: [stride, stride],
            dilation: [1, 1],
            pad_before: [k / 2, k / 2],
            pad_after: [k / 2, k / 2],
            epilogue: Epilogue::default(),
        };
        Case {
            name,
            inputs: vec![(Arena, vec![1, groups * ic, side, side]), (Weights, vec![groups, oc, ic, k, k])],
            output: conv.output_shape(),
            operator: Box::new(conv),
        }
    };
    vec![
        conv("conv3 64x56x56 -> 64", [1, 64, 64], 56, 3, 1),
        conv("conv3 128x28x28 -> 128", [1, 128, 128], 28, 3, 1),
        conv("conv3 3x224x224 -> 32 /2", [1, 3, 32], 224, 3, 2),
        conv("depthwise3 96x56x56", [96, 1, 1], 56, 3, 1),
        conv("depthwise5 96x28x28", [96, 1, 1], 28, 5, 1),
        gemm("matmul 1024", 1024, 1024, 1024, [Arena, Weights]),
        gemm("matmul 256", 256, 256, 256, [Arena, Weights]),
        gemm("matmul 196x512x128", 196, 512, 128, [Arena, Weights]),
        gemm("conv 1x1 128x196x512", 128, 196, 512, [Weights, Arena]),
        gemm("gemv 1x1000x2048", 1, 1000, 2048, [Arena, Weights]),
        gemm("matmul 32x128x128", 32, 128, 128, [Arena, Weights]),
    ]
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
        name: case.name.into(),
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
        name: case.name.into(),
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

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    for mut device in common::devices() {
        let device = device.as_mut();
        let name = device.caps().name.clone();
        if std::env::var("DEVICE").is_ok_and(|d| !name.contains(&d)) {
            continue;
        }
        let mut fma = 0.0f64;
        println!("{name}: {:.1?}", rates::measure(device).unwrap());
        println!("{:24} {:>9} {:>9} {:>8} {:>6} {:>8}", "", "min ms", "cpu ms", "GFLOP/s", "% fma", "first ms");
        for case in cases().iter().filter(|c| wanted.is_empty() || wanted.iter().any(|w| c.name.contains(w.as_str()))) {
            let prepared = prepare(device, case);
            let first = once(device, &prepared, 1);
            let times = ((0.02 / first) as usize).clamp(1, 20);
            let (mut best, mut runs) = (first, 0);
            let (mut spent, mut processor) = (0.0, 0.0);
            while runs < 5 || (spent < 1.0 && runs < 100) {
                if runs % 8 == 0 {
                    fma = fma.max(rates::measure(device).unwrap().fma_gflops);
                }
                let (started, used) = (device.clock().now(), processor_seconds());
                best = best.min(once(device, &prepared, times));
                processor += processor_seconds() - used;
                spent += device.clock().now().since(started).as_secs();
                runs += 1;
            }
            let gflops = case.operator.flops() as f64 / best / 1e9;
            println!(
                "{:24} {:9.3} {:9.3} {:8.2} {:6.1} {:8.0}  {}",
                case.name,
                best * 1e3,
                processor * 1e3 / (runs * times) as f64,
                gflops,
                gflops / fma * 100.0,
                (prepared.compile.as_secs() + first - best) * 1e3,
                prepared.label
            );
            device.uninstall(prepared.recording);
            prepared.buffers.into_iter().for_each(|b| device.free(b));
        }
    }
}
