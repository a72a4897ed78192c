//! The interleaver on devices: whatever schedule a search or a rewrite makes, outputs keep every bit; the device's clock serves as a
//! cost model; stages composed online are right and take no memory.

mod common;
#[path = "common/net.rs"]
mod net;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cotenant::graph::{self, Graph, LoadOptions, ModelSource, import};
use cotenant::hal::reference::ReferenceDevice;
use cotenant::hal::sim::{Profile, SimDevice, SimOptions, VirtualClock};
use cotenant::hal::{BufferId, Device, LaneId, LaneSpec, Recording, RecordingId, Submission, Wait, WallClock, eval};
use cotenant::interleave::cost::{
    Cached, CostModel, DeviceRunner, Estimated, LearnOptions, Learned, MeasureOptions, Measured,
};
use cotenant::interleave::online::{Composed, Composer, OnlineLimits, Ready};
use cotenant::interleave::rewrite::{Border, Divide, Join, Onto, Place, Rewrite, Split, Way};
use cotenant::interleave::search::{Budget, SEARCHES, open};
use cotenant::interleave::{Machine, Problem, Schedule, Stage, StoredSchedule, synthetic};
use cotenant::tensor::{HostTensor, TenantId};
use net::Net;
use rand::Rng;
use rand::rngs::StdRng;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

// SAFETY: everything is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more.
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Models on a device, with inputs.
struct Tenants {
    recordings: Vec<Arc<Recording>>,
    ids: Vec<RecordingId>,
    buffers: Vec<BufferId>,
    inputs: Vec<Vec<HostTensor>>,
    lane: LaneId,
}

impl Tenants {
    fn load(device: &mut dyn Device, graphs: &[Graph], rng: &mut StdRng) -> Tenants {
        let lane = device.lane(&LaneSpec::default()).unwrap();
        let mut tenants = Tenants { recordings: vec![], ids: vec![], buffers: vec![], inputs: vec![], lane };
        for (at, graph) in (1..).zip(graphs) {
            device.pool(TenantId(at));
            let compiled = graph::compile(graph, device, TenantId(at)).unwrap();
            tenants.ids.push(device.install(compiled.recording.clone(), &mut |_, _, _| {}).unwrap());
            let input = |(_, t): &(String, cotenant::hal::TensorRef)| common::random(t.dtype, &t.view.shape, rng);
            tenants.inputs.push(compiled.recording.inputs.iter().map(input).collect());
            tenants.recordings.push(compiled.recording);
            tenants.buffers.extend(compiled.buffers);
        }
        tenants
    }

    fn problem(&self, device: &dyn Device) -> Problem {
        Problem::new(&self.recordings, device.caps(), Machine::of(device.caps()), &|_, _, _| None).unwrap()
    }

    /// The words of all outputs after a round; lanes run one after another, as nothing depends on their order.
    fn run(&self, device: &mut dyn Device, problem: &Problem, schedule: &Schedule) -> Vec<Vec<u8>> {
        let mut uploads = Vec::new();
        for (recording, inputs) in self.recordings.iter().zip(&self.inputs) {
            // What an earlier round computed is gone.
            let outputs = recording.outputs.iter().map(|(_, t)| eval::region(t));
            uploads.extend(outputs.map(|region| (region, vec![0xa5; region.bytes as usize])));
            let values = recording.inputs.iter().zip(inputs);
            uploads.extend(values.map(|((_, t), value)| (eval::region(t), eval::encode(t, value).unwrap())));
        }
        let reads = self.recordings.iter().flat_map(|r| &r.outputs).map(|(_, t)| eval::region(t)).collect();
        let stages = schedule.stages(problem, &self.ids).concat();
        device.submit(self.lane, Submission { uploads, stages, reads, ..Submission::default() }).unwrap();
        let mut done = Vec::new();
        while done.is_empty() {
            device.poll(Wait::AtMost(Duration::from_secs(60)), &mut done).unwrap();
        }
        let completion = done.pop().unwrap();
        assert!(completion.error.is_none() && completion.failed.is_empty(), "{completion:?}");
        completion.reads
    }

    fn unload(self, device: &mut dyn Device) {
        self.ids.into_iter().for_each(|id| device.uninstall(id));
        self.buffers.into_iter().for_each(|buffer| device.free(buffer));
    }
}

/// A network of branches that meet again, at random; some layouts force copies, which only kernels read.
fn random_graph(rng: &mut StdRng) -> Graph {
    let (rows, columns) = (rng.random_range(1..40), rng.random_range(1..70));
    let mut net = Net::new(17);
    let mut values = vec![net.input(&[rows, columns])];
    for _ in 0..rng.random_range(1..12) {
        let from = |rng: &mut StdRng, values: &[String]| {
            values[values.len() - 1 - rng.random_range(0..values.len().min(3))].clone()
        };
        let a = from(rng, &values);
        let made = match rng.random_range(0..8) {
            0 => net.node("Relu", &[&a], vec![]),
            1 => net.node("Softmax", &[&a], vec![]),
            2 => {
                let b = from(rng, &values);
                net.node("Add", &[&a, &b], vec![])
            }
            3 => {
                let b = from(rng, &values);
                net.node("Mul", &[&a, &b], vec![])
            }
            // A value in several concatenations lies in one of them.
            4 => {
                let b = from(rng, &values);
                let both = net.node("Concat", &[&a, &b], vec![net::int("axis", 1)]);
                let weight = common::random(cotenant::tensor::DType::F32, &[2 * columns, columns], rng);
                let weight = net.constant(&weight);
                net.node("MatMul", &[&both, &weight], vec![])
            }
            // A transposed tensor has no strides under another shape.
            5 => {
                let turned = net.node("Transpose", &[&a], vec![]);
                let shape = net.list(&[rows as i64, columns as i64]);
                net.node("Reshape", &[&turned, &shape], vec![])
            }
            _ => {
                let weight = common::random(cotenant::tensor::DType::F32, &[columns, columns], rng);
                let weight = net.constant(&weight);
                net.node("MatMul", &[&a, &weight], vec![])
            }
        };
        values.push(made);
    }
    net.output(&values[values.len() - 1].clone());
    import::proto(net.finish(), None, "random", &LoadOptions::default()).unwrap()
}

fn zoo(name: &str, dims: &[(&str, usize)]) -> Graph {
    let dims: BTreeMap<String, usize> = dims.iter().map(|(n, d)| ((*n).into(), *d)).collect();
    graph::load(&ModelSource::Zoo(name.into()), &LoadOptions { dims, ..LoadOptions::default() }).unwrap()
}

/// A right schedule somewhere between the others: a few random rewrites of one of them.
fn rewritten(problem: &Problem, mut schedule: Schedule, rng: &mut StdRng) -> Schedule {
    for _ in 0..60 {
        let stage = rng.random_range(0..schedule.lanes[0].len());
        let at = Place { lane: 0, stage, chain: rng.random_range(0..3), piece: rng.random_range(0..3) };
        let chain = if rng.random() { None } else { Some(rng.random_range(0..3)) };
        let rewrite: Box<dyn Rewrite> = match rng.random_range(0..4) {
            0 => {
                let to = if rng.random() { Onto::SameStage } else { Onto::NextStage };
                Box::new(Split { at, keep: rng.random_range(1..9), to, chain })
            }
            1 => {
                let way = if rng.random() { Way::Later } else { Way::Earlier };
                Box::new(Border { lane: 0, stage, chain: at.chain, pieces: rng.random_range(1..4), way, onto: chain })
            }
            2 => Box::new(Join { lane: 0, stage }),
            _ => Box::new(Divide { lane: 0, stage, at: rng.random_range(0.0..1.0) }),
        };
        if let Some(changed) = rewrite.apply(problem, &schedule) {
            schedule = changed;
        }
    }
    schedule
}

fn outputs_keep_every_bit(device: &mut dyn Device, graphs: &[Graph], prepares: bool, rng: &mut StdRng) {
    let tenants = Tenants::load(device, graphs, rng);
    let problem = tenants.problem(device);
    let expected = tenants.run(device, &problem, &Schedule::sequential(&problem));
    let mut schedules = vec![
        ("breadth-first".to_owned(), Schedule::breadth_first(&problem)),
        ("side by side".to_owned(), Schedule::side_by_side(&problem)),
        ("lanes".to_owned(), Schedule::lane_per_tenant(&problem)),
    ];
    let clock = device.clock();
    for entry in SEARCHES {
        let mut search = open(entry.name, rng.random()).unwrap();
        let budget = Budget::evaluations(300, clock.clone());
        let found = search.search(&problem, &mut Estimated::new(), &budget).unwrap();
        schedules.push((entry.name.into(), found.schedule));
    }
    for round in 0..4 {
        let from = if round % 2 == 0 { Schedule::sequential(&problem) } else { Schedule::side_by_side(&problem) };
        schedules.push((format!("rewritten {round}"), rewritten(&problem, from, rng)));
    }
    for (name, schedule) in schedules {
        schedule.check(&problem).unwrap();
        let text = StoredSchedule::new(&problem, schedule).to_string();
        let stored: StoredSchedule = text.parse().unwrap();
        let replayed = stored.open(&problem).unwrap();
        if prepares {
            device.prepare(&replayed.stages(&problem, &tenants.ids).concat()).unwrap();
        }
        let got = tenants.run(device, &problem, replayed);
        assert!(got == expected, "{name} on {} changed bits:\n{text}", device.caps().name);
    }
    tenants.unload(device);
}

#[test]
fn random_graphs_keep_every_bit_under_any_schedule() {
    let mut device = ReferenceDevice::open(WallClock::start());
    for seed in 0..12 {
        let mut rng = common::rng(seed);
        let graphs: Vec<Graph> = (0..rng.random_range(1..5)).map(|_| random_graph(&mut rng)).collect();
        outputs_keep_every_bit(&mut device, &graphs, false, &mut rng);
    }
}

#[test]
fn networks_keep_every_bit_under_any_schedule() {
    let mut device = ReferenceDevice::open(WallClock::start());
    let graphs = [zoo("keyword_spotting", &[]), zoo("lstm", &[("T", 3)]), zoo("attention_2x9x8", &[])];
    outputs_keep_every_bit(&mut device, &graphs, false, &mut common::rng(31));
}

#[test]
fn kernels_keep_every_bit_under_any_schedule() {
    for mut device in common::devices() {
        let rng = &mut common::rng(32);
        // One set of stages is compiled to co-kernels elsewhere (tests/cokernels); here slices run as they are.
        let graphs = [random_graph(rng), zoo("keyword_spotting", &[]), random_graph(rng)];
        outputs_keep_every_bit(device.as_mut(), &graphs, false, rng);
        for _ in 0..4 {
            let graphs = [random_graph(rng), random_graph(rng), random_graph(rng)];
            outputs_keep_every_bit(device.as_mut(), &graphs, false, rng);
        }
    }
}

#[test]
fn a_search_s_schedule_keeps_every_bit_as_co_kernels() {
    for mut device in common::devices() {
        let rng = &mut common::rng(33);
        let graphs = [zoo("softmax_64x33", &[]), zoo("add_1000", &[]), zoo("matmul_64", &[])];
        outputs_keep_every_bit(device.as_mut(), &graphs, true, rng);
    }
}

fn simulated(profile: &str) -> SimDevice {
    SimDevice::open(Profile::find(profile).unwrap(), VirtualClock::new(), SimOptions::default())
}

#[test]
fn a_simulated_device_measures_and_teaches() {
    let mut device = simulated("v100-sxm2");
    let rng = &mut common::rng(34);
    let graphs = [zoo("keyword_spotting", &[]), zoo("lstm", &[("T", 3)]), zoo("mobilenet_v2", &[])];
    let tenants = Tenants::load(&mut device, &graphs, rng);
    let problem = tenants.problem(&device);
    let clock = device.clock();
    let lanes: Vec<LaneId> = (0..3).map(|_| device.lane(&LaneSpec::default()).unwrap()).collect();
    let runner = DeviceRunner::new(&mut device, lanes, tenants.ids.clone());
    let mut measured = Cached::new(Measured::new(runner, MeasureOptions::virtual_time()), 10_000);
    let ns = |cost: &mut dyn CostModel, schedule: &Schedule| cost.schedule(&problem, schedule).unwrap().ns;
    let sequential = ns(&mut measured, &Schedule::sequential(&problem));
    let side_by_side = ns(&mut measured, &Schedule::side_by_side(&problem));
    assert!(side_by_side < sequential, "{side_by_side} {sequential}");
    for entry in SEARCHES {
        let mut search = open(entry.name, 1).unwrap();
        let budget = Budget::evaluations(60, clock.clone());
        let found = search.search(&problem, &mut measured, &budget).unwrap();
        found.schedule.check(&problem).unwrap();
        assert!(found.ns <= side_by_side, "{}", entry.name);
        assert_eq!(ns(&mut measured, &found.schedule), found.ns, "virtual time has no spread");
    }
    let options = LearnOptions { measurements_max: 150, ..LearnOptions::default() };
    let mut learned = Learned::new(measured, options);
    for schedule in [Schedule::sequential(&problem), Schedule::breadth_first(&problem)] {
        ns(&mut learned, &schedule);
    }
    let report = learned.report();
    println!("learned on {}: {report:?}", "v100-sxm2");
    assert!(report.measured <= 150 && report.predicted > 0);
    assert!(report.relative_error.unwrap() < report.counted_relative_error.unwrap(), "{report:?}");
}

#[test]
fn composing_a_stage_takes_no_memory() {
    for machine in [synthetic::co_kernels(), synthetic::streams()] {
        let mut problem = synthetic::mixed(64, 50, 3);
        problem.machine = machine.clone();
        let limits = OnlineLimits::default();
        let mut composer = Composer::new(machine, limits);
        (0..).zip(&problem.models).for_each(|(tenant, model)| composer.insert(tenant, model));
        let mut out = Composed::with_limits(&limits);
        let ids: Vec<RecordingId> = (0..64).map(RecordingId).collect();
        let mut slices = Vec::with_capacity(limits.pieces_max);
        let ready = |tenant| Ready { tenant, launch: 0, tile: 0, launches: 50, weight: 1.0 };
        let mut all: Vec<Ready> = (0..64).map(ready).collect();
        let mut stages: Vec<Stage> = Vec::new();
        let mut rng = common::rng(35);
        while !all.is_empty() {
            let before = ALLOCATIONS.with(Cell::get);
            composer.compose(&all, &mut out);
            slices.clear();
            composer.slices(&out, &ids, &mut slices);
            assert_eq!(ALLOCATIONS.with(Cell::get), before);
            for piece in &out.pieces {
                let at = all.iter_mut().find(|r| r.tenant == piece.tenant).unwrap();
                let whole = piece.end == problem.launch(piece.tenant, piece.launch).tiles;
                (at.launch, at.tile) = if whole { (piece.launch + 1, 0) } else { (piece.launch, piece.end) };
                at.launches = 50 - at.launch;
            }
            all.retain(|r| r.launches > 0);
            all.iter_mut().for_each(|r| r.weight = rng.random_range(0.1..4.0));
            assert_eq!(slices.len(), out.pieces.len());
            stages.push(out.stage());
        }
        assert_eq!(Schedule::of(stages).check(&problem), Ok(()));
    }
}
