//! Speed of the simulated GPU: kernels that end in a second of processor time, and how the time of one grows with the
//! number of tenants. `cargo bench --bench sim`
//!
//! Each tenant has a stream and keeps two kernels in it, so that the device is never without work. Kernels have the
//! sizes of an inference at batch 4: some fill the device, most do not, some wait for memory.

use std::sync::Arc;

use cotenant::hal::sim::{
    BlockNeed, Blocks, Command, Done, Gpu, KernelCost, Profile, Roofline, Source, StreamId, Unit, Work,
};
use cotenant::hal::{Clock, WallClock};

/// Kernels that end in one measurement.
const KERNELS: u64 = 1_000_000;

/// A mix of kernels that a tenant goes through.
fn kernels() -> Vec<KernelCost> {
    let kernel = |blocks: u32, registers: u32, mflops: f64, mbytes: f64| KernelCost {
        source: Source::Given,
        blocks: Blocks::Count(blocks),
        need: BlockNeed::Of { threads: 256, registers, shared_bytes: 16 << 10 },
        work: Work::Roofline(Roofline {
            unit: Unit::Fp32,
            flops: mflops * 1e6 / f64::from(blocks),
            efficiency: 0.8,
            dram_bytes: mbytes * 1e6 / f64::from(blocks),
            reused_bytes: mbytes * 5e5 / f64::from(blocks),
            working_set: (mbytes * 1e6) as u64,
        }),
        workers: None,
    };
    vec![
        kernel(392, 64, 925.0, 4.0),
        kernel(98, 96, 411.0, 2.0),
        kernel(784, 32, 6.4, 19.0),
        kernel(49, 128, 231.0, 3.0),
        kernel(1568, 32, 3.2, 12.8),
        kernel(25, 64, 102.0, 2.5),
        kernel(3000, 48, 1800.0, 30.0),
    ]
}

/// Runs until `KERNELS` ended and returns the seconds that it took.
fn run(tenants: usize, queues: u32, wall: &dyn Clock) -> f64 {
    let mut profile = Profile::find("a100-80gb").expect("it comes with the program");
    profile.launch.queues = queues;
    let mut gpu = Gpu::new(Arc::new(profile));
    let context = gpu.plain_context().expect("the first one");
    let costs = kernels();
    let streams: Vec<StreamId> = (0..tenants).map(|_| gpu.stream(context, 0).expect("the context is there")).collect();
    let hosts: Vec<_> = (0..tenants).map(|_| gpu.host()).collect();
    let mut next = vec![0usize; tenants];
    let mut submit = |gpu: &mut Gpu, at: usize| {
        let cost = costs[(at + next[at]) % costs.len()];
        next[at] += 1;
        gpu.submit(hosts[at], streams[at], Command::Kernel(cost), at as u64).expect("it fits");
    };
    (0..2 * tenants).for_each(|at| submit(&mut gpu, at % tenants));
    let mut done: Vec<Done> = Vec::new();
    let mut ended = 0;
    let started = wall.now();
    while ended < KERNELS {
        gpu.step().expect("work is left");
        gpu.take_done(&mut done);
        for d in done.drain(..) {
            ended += 1;
            submit(&mut gpu, d.tag as usize);
        }
    }
    wall.now().since(started).as_secs() * KERNELS as f64 / ended as f64
}

fn main() {
    let wall = WallClock::start();
    println!("{:>8} {:>8} {:>14} {:>10} {:>10}", "tenants", "queues", "kernels/s", "ns/kernel", "exponent");
    for queues in [32, 1024] {
        let mut first: Option<(f64, f64)> = None;
        for tenants in [1, 8, 32, 100, 320, 1000] {
            let seconds = (0..3).map(|_| run(tenants, queues, &wall)).fold(f64::INFINITY, f64::min);
            let exponent = match first {
                Some((n, s)) if tenants > 8 => format!("{:10.2}", (seconds / s).ln() / (tenants as f64 / n).ln()),
                _ => format!("{:>10}", "-"),
            };
            if tenants == 8 {
                first = Some((tenants as f64, seconds));
            }
            let each = seconds / KERNELS as f64;
            println!("{tenants:8} {queues:8} {:14.0} {:10.0} {exponent}", 1.0 / each, each * 1e9);
        }
    }
}
