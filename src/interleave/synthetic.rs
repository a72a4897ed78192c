//! Problems made up from a seed, for tests and benchmarks: random models of the sizes and shapes that networks have.
//!
//! Kernels are drawn from a small set for each model, as networks repeat their layers; launches need one or a few of those
//! shortly before them; most are short, some are long (log-normal times).

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, LogNormal};

use super::{ChainForm, LaunchInfo, Machine, Model, Problem};
use crate::hal::Cut;

/// Kernels of all models together.
const KERNELS: u32 = 24;

/// A software device of two cores that stops loops, as measured in `docs/PERFORMANCE.md`.
pub fn co_kernels() -> Machine {
    Machine {
        units: 2,
        slots: 2,
        workers_max: 65_535,
        lanes: 2,
        chains: ChainForm::CoKernel { iterations_max: Some(21_844), kernels_max: 48, body_ns: 1_500.0 },
        gflops: 16.0,
        gbs: 6.0,
        dispatch_ns: 40_000.0,
        submission_ns: 150_000.0,
        gap_ns: 500.0,
    }
}

/// A GPU of 80 units with streams.
pub fn streams() -> Machine {
    Machine {
        units: 80,
        slots: 320,
        workers_max: 65_535,
        lanes: 8,
        chains: ChainForm::Streams { streams: 8, launch_ns: 5_000.0, join_ns: 4_500.0 },
        gflops: 11_000.0,
        gbs: 800.0,
        dispatch_ns: 1_500.0,
        submission_ns: 20_000.0,
        gap_ns: 1_200.0,
    }
}

/// `tenants` models of `launches` launches each on [`co_kernels`].
pub fn mixed(tenants: usize, launches: usize, seed: u64) -> Problem {
    let mut rng = StdRng::seed_from_u64(seed);
    let machine = co_kernels();
    let models = (0..tenants)
        .map(|at| {
            let model = random_model(launches, &machine, &mut rng);
            Model { name: format!("synthetic {at}"), ..model }
        })
        .collect();
    Problem { models, machine, kernels: kernel_names() }
}

/// A model for each length, whose launches need the one before; each has eight tiles and takes 8 µs by one worker.
pub fn chains(lengths: &[usize]) -> Problem {
    let launch = |at: usize| LaunchInfo {
        operation: at as u32,
        launch: 0,
        tiles: 8,
        kernel: at as u32 % KERNELS,
        tile_iterations: 10,
        deps: at.checked_sub(1).map(|before| before as u32).into_iter().collect(),
        cuts: vec![Cut { tiles: 0..8, workers: 8 }],
        flops: 64_000.0,
        bytes: 1_000.0,
        alone_ns: 4_000.0,
        worker_ns: 8_000.0,
    };
    let models = (0..)
        .zip(lengths)
        .map(|(at, &n): (usize, _)| Model { name: format!("chain {at}"), launches: (0..n).map(launch).collect() })
        .collect();
    Problem { models, machine: co_kernels(), kernels: kernel_names() }
}

fn kernel_names() -> Vec<String> {
    (0..KERNELS).map(|k| format!("kernel {k}")).collect()
}

fn random_model(launches: usize, machine: &Machine, rng: &mut StdRng) -> Model {
    let own: Vec<u32> = (0..rng.random_range(2..8)).map(|_| rng.random_range(0..KERNELS)).collect();
    let branches = rng.random_range(1..4);
    let micros = LogNormal::new(rng.random_range(1.0f64..3.5), 1.2).expect("a finite spread");
    let mut model = Model { name: String::new(), launches: Vec::with_capacity(launches) };
    for at in 0..launches {
        let worker_ns = 1e3 * micros.sample(rng).clamp(0.5, 20_000.0);
        let tiles = rng.random_range(1..65).min((worker_ns / 200.0) as u32 + 1);
        let workers = tiles.min(8);
        // As many iterations as take half a microsecond each, but no tile beyond the bound.
        let tile_iterations = (worker_ns / 500.0 / f64::from(tiles)).min(20_000.0) as u32;
        let together = f64::from(tiles.min(machine.units));
        let worker_tiles_max =
            machine.iterations_max().map_or(u32::MAX, |bound| (bound / (tile_iterations + 1)).max(1));
        let mut cuts = Vec::new();
        let mut first = 0;
        while first < tiles {
            let n = (tiles - first).min(workers.saturating_mul(worker_tiles_max));
            cuts.push(Cut { tiles: first..first + n, workers: workers.min(n) });
            first += n;
        }
        model.launches.push(LaunchInfo {
            operation: at as u32,
            launch: 0,
            tiles,
            kernel: own[(at + usize::from(rng.random_range(0..10) == 0)) % own.len()],
            tile_iterations,
            deps: dependencies(at, branches, rng),
            cuts,
            flops: worker_ns * machine.gflops / f64::from(machine.slots),
            bytes: worker_ns * 0.5,
            alone_ns: worker_ns / together,
            worker_ns,
        });
    }
    model
}

/// The launch before, or the one before in a branch; now and then where branches meet.
fn dependencies(at: usize, branches: usize, rng: &mut StdRng) -> Vec<u32> {
    let before = |distance: usize| at.checked_sub(distance).map(|d| d as u32);
    let mut deps: Vec<u32> = match rng.random_range(0..4) {
        0 => (1..=branches).filter_map(before).collect(),
        _ => before(branches.min(at.max(1))).into_iter().collect(),
    };
    deps.sort_unstable();
    deps.dedup();
    deps
}
