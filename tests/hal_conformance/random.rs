//! Random programs: several tenants' random graphs of products and elementwise operators over memory that is used again,
//! cut at random into slices, stages, submissions and lanes. Bits are those of the uncut run, numbers those of the
//! operators' references.

use cotenant::hal::{Device, LaneSpec, Slice, Stage, Submission};
use cotenant::kernel::fragments;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::program::{
    Loaded, Program, Tensor, affine, assert_fine, assert_words, binary, matmul, read_words, stages, wait,
};
use super::stages::random_cut;
use super::suite::{Case, Need};

pub const CASES: &[Case] =
    &[Case { name: "random programs, cut at random", needs: &[Need::Results], check: random_programs }];

/// Programs of one run; each with a seed of its own, which a failure names.
const SEEDS: u64 = 24;

/// Extents of axes: one, odd, more than a tile.
const EXTENTS: &[usize] = &[1, 3, 17, 33, 80];

/// Relative to a tensor's largest magnitude; sums of up to 80 products, ten operators deep.
const TOLERANCE: f64 = 1e-3;

fn random_programs(device: &mut dyn Device) {
    let lanes: Vec<_> = (0..device.caps().lanes_max.clamp(2, 4))
        .map(|k| device.lane(&LaneSpec { priority: k as i32, ..LaneSpec::default() }).unwrap())
        .collect();
    for seed in 0..SEEDS {
        let rng = &mut StdRng::seed_from_u64(seed);
        let n_tenants = rng.random_range(1..5);
        let programs: Vec<Program> = (0..n_tenants).map(|tenant| random_program(tenant, rng)).collect();
        let loaded: Vec<Loaded> = programs.iter().map(|p| p.load(device)).collect();
        for tenant in &loaded {
            device.submit(lanes[0], stages(tenant.stages())).unwrap();
        }
        wait(device, loaded.len()).iter().for_each(assert_fine);
        let uncut: Vec<Vec<u32>> = loaded.iter().map(|l| read_words(device, l.arena())).collect();
        for (words, program) in uncut.iter().zip(&programs) {
            assert_near(words, &program.expected(), &format!("seed {seed}, {}, uncut", program.tenant));
        }
        for round in 0..2 {
            run_cut(device, &lanes, &loaded, rng);
            for (tenant, uncut) in loaded.iter().zip(&uncut) {
                let words = read_words(device, tenant.arena());
                assert_words(&words, uncut, &format!("seed {seed}, {}, cut {round}", tenant.program.tenant));
            }
        }
        loaded.iter().for_each(|l| l.unload(device));
    }
}

/// A graph over a few matrices in memory that are read and overwritten again and again. All values stay within [-1, 1].
fn random_program(tenant: u32, rng: &mut StdRng) -> Program {
    let mut program = Program::new(tenant);
    let mut places: Vec<(Tensor, [usize; 2])> = Vec::new();
    let mut weights: Vec<(Tensor, [usize; 2])> = Vec::new();
    for k in 0..rng.random_range(3..8) {
        let shape = [*EXTENTS.choose(rng).unwrap(), *EXTENTS.choose(rng).unwrap()];
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| rng.random_range(-1.0..1.0)).collect();
        match k % 3 {
            2 => weights.push((program.weight(&shape, &values), shape)),
            _ => places.push((program.tensor(&shape, &values), shape)),
        }
    }
    for _ in 0..rng.random_range(3..12) {
        let all: Vec<_> = places.iter().chain(&weights).copied().collect();
        let (a, [m, k]) = *all.choose(rng).unwrap();
        let (b, b_shape) = *all.choose(rng).unwrap();
        let product = b_shape[0] == k && rng.random_range(0..2) == 0;
        let shape = if product { [m, b_shape[1]] } else { [m, k] };
        let fits = |place: &&(Tensor, [usize; 2])| place.1 == shape && !(product && [a, b].contains(&place.0));
        let old = places.iter().filter(fits).copied().collect::<Vec<_>>();
        let output = match old.choose(rng) {
            Some((place, _)) if rng.random_range(0..3) > 0 => *place,
            _ => {
                let new = program.output(&shape);
                places.push((new, shape));
                new
            }
        };
        let broadcasts = (0..2).all(|axis| b_shape[axis] == shape[axis] || b_shape[axis] == 1);
        // An operand that is repeated may not be overwritten while it is read.
        let harmless = b_shape == shape || b != output;
        if product {
            program.push(matmul(m, b_shape[1], k, 1.0 / k as f32), &[a, b], output);
        } else if broadcasts && harmless {
            let fragment = [fragments::MUL, fragments::MAX_F32, fragments::MIN_F32][rng.random_range(0..3)];
            program.push(binary(fragment, &shape), &[a, b], output);
        } else {
            let scale = rng.random_range(-0.9..0.9f32);
            program.push(affine(&shape, scale, 1.0 - scale.abs()), &[a], output);
        }
    }
    program
}

/// A program being cut: of each operation, the launch that is next and what is left of it.
struct Progress<'a> {
    loaded: &'a Loaded,
    launch: Vec<usize>,
    left: Vec<Vec<Slice>>,
    begun: bool,
}

impl<'a> Progress<'a> {
    fn new(loaded: &'a Loaded, rng: &mut StdRng) -> Progress<'a> {
        let n = loaded.recording.operations.len();
        let left = (0..n).map(|operation| random_cut(loaded, operation, 0, rng)).collect();
        Progress { loaded, launch: vec![0; n], left, begun: false }
    }

    fn is_complete(&self, operation: usize) -> bool {
        self.launch[operation] == self.loaded.recording.operations[operation].launches.len()
    }

    fn is_done(&self) -> bool {
        (0..self.left.len()).all(|operation| self.is_complete(operation))
    }

    /// Some slices of operations whose dependencies are complete.
    fn stage(&mut self, rng: &mut StdRng) -> Vec<Slice> {
        let ready: Vec<usize> = (0..self.left.len())
            .filter(|&o| !self.is_complete(o))
            .filter(|&o| self.loaded.recording.operations[o].deps.iter().all(|&d| self.is_complete(d as usize)))
            .collect();
        let mut slices = Vec::new();
        for &operation in &ready {
            let n = rng.random_range(0..=self.left[operation].len());
            slices.extend(self.left[operation].drain(..n));
        }
        for operation in ready {
            if self.left[operation].is_empty() {
                self.launch[operation] += 1;
                if !self.is_complete(operation) {
                    self.left[operation] = random_cut(self.loaded, operation, self.launch[operation], rng);
                }
            }
        }
        slices
    }
}

/// Runs all programs from their beginning. Between waits a tenant keeps to a lane, because lanes run in any order.
fn run_cut(device: &mut dyn Device, lanes: &[cotenant::hal::LaneId], loaded: &[Loaded], rng: &mut StdRng) {
    let mut programs: Vec<Progress> = loaded.iter().map(|l| Progress::new(l, rng)).collect();
    while !programs.iter().all(Progress::is_done) {
        let lane_of: Vec<usize> = programs.iter().map(|_| rng.random_range(0..lanes.len())).collect();
        let n = rng.random_range(1..8);
        for _ in 0..n {
            let lane = rng.random_range(0..lanes.len());
            let mut submission = Submission { timed: rng.random(), ..Submission::default() };
            for (program, _) in programs.iter_mut().zip(&lane_of).filter(|(_, at)| **at == lane) {
                if !std::mem::replace(&mut program.begun, true) {
                    submission.uploads.push(program.loaded.reset());
                }
            }
            for _ in 0..rng.random_range(0..5) {
                let here = programs.iter_mut().zip(&lane_of).filter(|(_, at)| **at == lane);
                let mut slices: Vec<Slice> = here.flat_map(|(program, _)| program.stage(rng)).collect();
                slices.shuffle(rng);
                submission.stages.push(Stage { slices });
            }
            device.submit(lanes[lane], submission).unwrap();
        }
        wait(device, n).iter().for_each(assert_fine);
    }
}

/// Poison is poison, and numbers are near.
fn assert_near(got: &[u32], expected: &[u32], what: &str) {
    for (at, (g, e)) in got.iter().zip(expected).enumerate() {
        let (gf, ef) = (f64::from(f32::from_bits(*g)), f64::from(f32::from_bits(*e)));
        let near = if ef.is_nan() { g == e } else { (gf - ef).abs() <= TOLERANCE * ef.abs().max(0.01) };
        assert!(near, "{what}: word {at} is {gf}, expected {ef}");
    }
}
