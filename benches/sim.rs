//! Speed of the simulated GPU: kernels that end in a second of processor time, and how the time of one grows with the
//! number of tenants. `cargo bench --bench sim [-- TENANTS...]`
//!
//! Each tenant has a stream. *Saturating*: it keeps two kernels in its stream, so that the device is never without work.
//! *Underloaded*: kernels come at random moments at three tenths of the rate that the saturated device reached. Kernels have
//! the sizes of an inference at batch 4: some fill the device, most do not, some wait for memory. *Device*: the same through
//! `SimDevice`, each tenant with a lane, in which it keeps two inferences of a network of the zoo.
//!
//! The exponent is that of a power law through the times of a kernel from 8 tenants on; beside it stands that of a logarithm's
//! growth over the same range.

use std::sync::Arc;
use std::time::Duration;

use cotenant::graph::{self, LoadOptions, ModelSource};
use cotenant::hal::sim::{
    BlockNeed, Blocks, Command, Done, Gpu, HostId, KernelCost, Profile, Roofline, SimDevice, SimOptions, Source,
    StreamId, Unit, VirtualClock, Work,
};
use cotenant::hal::{Clock, Device, LaneId, LaneSpec, RecordingId, Slice, Stage, Submission, Wait, WallClock};
use cotenant::tensor::{Nanos, TenantId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Kernels that end in one measurement.
const KERNELS: u64 = 300_000;

/// Measurements of each kind; the fastest counts, as what is slower was disturbed.
const REPEATS: usize = 3;

const TENANTS: [usize; 5] = [1, 8, 64, 512, 1000];

/// Part of the saturated device's rate at which an underloaded one gets kernels.
const UNDERLOAD: f64 = 0.3;

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

/// A device with tenants that submit one kernel of the mix after the other.
struct Tenants {
    gpu: Gpu,
    costs: Vec<KernelCost>,
    streams: Vec<StreamId>,
    hosts: Vec<HostId>,
    next: Vec<usize>,
    done: Vec<Done>,
}

impl Tenants {
    fn new(tenants: usize, queues: u32) -> Tenants {
        let mut profile = Profile::find("a100-80gb").expect("it comes with the program");
        profile.launch.queues = queues;
        let mut gpu = Gpu::new(Arc::new(profile));
        let context = gpu.plain_context().expect("the first one");
        Tenants {
            costs: kernels(),
            streams: (0..tenants).map(|_| gpu.stream(context, 0).expect("the context is there")).collect(),
            hosts: (0..tenants).map(|_| gpu.host()).collect(),
            next: vec![0; tenants],
            done: Vec::new(),
            gpu,
        }
    }

    fn submit(&mut self, at: usize) {
        let cost = self.costs[(at + self.next[at]) % self.costs.len()];
        self.next[at] += 1;
        self.gpu.submit(self.hosts[at], self.streams[at], Command::Kernel(cost), at as u64).expect("it fits");
    }

    /// Every tenant keeps two kernels in its stream; kernels that ended in a nanosecond.
    fn saturate(&mut self) -> f64 {
        let tenants = self.streams.len();
        (0..2 * tenants).for_each(|at| self.submit(at % tenants));
        let mut ended = 0;
        while ended < KERNELS {
            self.gpu.step().expect("work is left");
            let mut done = std::mem::take(&mut self.done);
            self.gpu.take_done(&mut done);
            for d in done.drain(..) {
                ended += 1;
                self.submit(d.tag as usize);
            }
            self.done = done;
        }
        ended as f64 / self.gpu.now().0 as f64
    }

    /// Kernels come at random moments, so many in a nanosecond.
    fn underload(&mut self, rate: f64) {
        let mut rng = StdRng::seed_from_u64(1);
        let mut at = 0.0;
        for _ in 0..KERNELS {
            at += -(1.0 - rng.random::<f64>()).ln() / rate;
            self.gpu.advance_to(Nanos(at as u64));
            self.gpu.take_done(&mut self.done);
            self.done.clear();
            let tenant = rng.random_range(0..self.streams.len());
            self.submit(tenant);
        }
        while self.gpu.step().is_some() {}
    }
}

/// Networks that the tenants of a simulated device run in turn.
const NETWORKS: [&str; 4] = ["mobilenet_v2", "resnet18", "keyword_spotting", "bert_tiny"];

/// A simulated device with tenants that keep two inferences each in their lanes.
struct Inferences {
    device: SimDevice,
    tenants: Vec<(LaneId, Submission)>,
}

impl Inferences {
    fn new(tenants: usize) -> Inferences {
        let profile = Profile::find("a100-80gb").expect("it comes with the program");
        let mut device = SimDevice::open(profile, VirtualClock::new(), SimOptions::default());
        let networks: Vec<Stages> = NETWORKS.iter().map(|name| Stages::new(&mut device, name)).collect();
        let lane = |device: &mut SimDevice| device.lane(&LaneSpec::default()).expect("lanes are of any number");
        let tenants =
            (0..tenants).map(|at| (lane(&mut device), networks[at % networks.len()].submission.clone())).collect();
        Inferences { device, tenants }
    }

    /// Runs until so many kernels ended.
    fn run(&mut self, kernels: u64) -> u64 {
        let submit = |device: &mut SimDevice, (lane, submission): &(LaneId, Submission)| {
            device.submit(*lane, submission.clone()).expect("there is room").0
        };
        let mut whose = std::collections::HashMap::new();
        for (at, tenant) in self.tenants.iter().enumerate().cycle().take(2 * self.tenants.len()) {
            whose.insert(submit(&mut self.device, tenant), at);
        }
        let mut done = Vec::new();
        while self.device.gpu().totals().kernels < kernels {
            self.device.poll(Wait::AtMost(Duration::MAX), &mut done).expect("a simulated device is never lost");
            for completion in done.drain(..) {
                let at = whose.remove(&completion.submission.0).expect("it was submitted");
                whose.insert(submit(&mut self.device, &self.tenants[at]), at);
            }
        }
        self.device.gpu().totals().kernels
    }
}

/// A network's launches, as the engine would submit them.
struct Stages {
    submission: Submission,
}

impl Stages {
    fn new(device: &mut SimDevice, name: &str) -> Stages {
        let graph = graph::load(&ModelSource::Zoo(name.into()), &LoadOptions::default()).expect("it is in the zoo");
        let compiled = graph::compile(&graph, device, TenantId(1)).expect("it fits");
        let recording: RecordingId = device.install(compiled.recording.clone(), &mut |_, _, _| {}).expect("it runs");
        let workers = device.caps().full_workers();
        let mut submission = Submission::default();
        for (operation, o) in (0..).zip(&compiled.recording.operations) {
            for (launch, l) in (0..).zip(&o.launches) {
                let slice = Slice {
                    recording,
                    operation,
                    launch,
                    tiles: 0..l.tiles,
                    workers: workers.min(l.tiles),
                    follows: false,
                };
                submission.stages.push(Stage::of(slice));
            }
        }
        Stages { submission }
    }
}

/// Time that this thread had a core, in ns, where the system says it; else the time of the wall clock.
fn processor_ns(wall: &dyn Clock) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_else(|| wall.now().0)
}

/// Nanoseconds of one kernel, by the fastest measurement.
fn time(wall: &dyn Clock, mut run: impl FnMut()) -> f64 {
    let one = |_| {
        let started = processor_ns(wall);
        run();
        (processor_ns(wall) - started) as f64 / KERNELS as f64
    };
    (0..REPEATS).map(one).fold(f64::INFINITY, f64::min)
}

/// The exponent of the power law that is closest to the points in logarithms.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(n, t)| (n.ln(), t.ln())).collect();
    let mean = |f: fn(&(f64, f64)) -> f64| logs.iter().map(f).sum::<f64>() / logs.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let (over, under) = logs.iter().fold((0.0, 0.0), |(o, u), p| (o + (p.0 - x) * (p.1 - y), u + (p.0 - x).powi(2)));
    over / under
}

/// Prints a line of the table and notes the point for the exponent.
fn show(points: &mut Vec<(f64, f64)>, n: usize, queues: u32, load: &str, ns: f64) {
    println!("{n:8} {queues:7} {load:>13} {:13.0} {ns:10.0}", 1e9 / ns);
    if n >= 8 {
        points.push((n as f64, ns));
    }
}

fn main() {
    let wall = WallClock::start();
    let chosen: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let tenants = if chosen.is_empty() { TENANTS.to_vec() } else { chosen };
    println!("{:>8} {:>7} {:>13} {:>13} {:>10}", "tenants", "queues", "load", "kernels/s", "ns/kernel");
    for queues in [8, 32, 1024] {
        let (mut full, mut light) = (Vec::new(), Vec::new());
        for &n in &tenants {
            let mut rate = 0.0;
            let saturating = time(&wall, || rate = Tenants::new(n, queues).saturate());
            show(&mut full, n, queues, "saturating", saturating);
            show(
                &mut light,
                n,
                queues,
                "underloaded",
                time(&wall, || Tenants::new(n, queues).underload(UNDERLOAD * rate)),
            );
        }
        exponents(&[("saturating", &full), ("underloaded", &light)]);
    }
    let mut through = Vec::new();
    for &n in &tenants {
        let mut ended = 0;
        let mut inferences: Vec<Inferences> = (0..REPEATS).map(|_| Inferences::new(n)).collect();
        let ns = time(&wall, || ended = inferences.pop().expect("one for each").run(KERNELS));
        show(&mut through, n, 8, "device", ns * KERNELS as f64 / ended as f64);
    }
    exponents(&[("device", &through)]);
}

fn exponents(loads: &[(&str, &Vec<(f64, f64)>)]) {
    for (load, points) in loads.iter().filter(|(_, points)| points.len() > 1) {
        let logarithm: Vec<_> = points.iter().map(|&(n, _)| (n, n.ln())).collect();
        println!("exponent, {load}: {:.2}; a logarithm's is {:.2}", exponent(points), exponent(&logarithm));
    }
}
