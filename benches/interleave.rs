//! The interleaver's own time: decisions online, searches at scale, and how good the quick search is.
//! `cargo bench --bench interleave [-- online|scale|quality]`
//!
//! *Online*: 64 tenants with launches ready; time of composing one stage and its slices, and allocations meanwhile. *Scale*: greedy
//! search of 64 tenants from 1,000 to 100,000 launches in all; the exponent is that of a power law through its times. *Quality*:
//! greedy against annealing with a long budget, by the counted cost, on mixes of several sizes.
//!
//! Problems are synthetic (`src/interleave/synthetic.rs`). Times are of the clock on one core; the machine should have nothing
//! else to do.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cotenant::hal::{Clock, RecordingId, Slice, WallClock};
use cotenant::interleave::cost::{CostModel, Estimated};
use cotenant::interleave::online::{Composed, Composer, OnlineLimits, Ready};
use cotenant::interleave::search::{Annealing, Budget, Found, Greedy, Search};
use cotenant::interleave::{Machine, Problem, Schedule, synthetic};

/// Counts allocations.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
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

/// Stages composed in one measurement.
const STAGES: usize = 200_000;

/// Evaluations of the long budget.
const LONG: u64 = 30_000;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    if wants("online") {
        online("co-kernels", synthetic::co_kernels());
        online("streams", synthetic::streams());
    }
    if wants("scale") {
        scale();
    }
    if wants("quality") {
        quality("co-kernels", synthetic::co_kernels());
        quality("streams", synthetic::streams());
    }
}

fn with_machine(mut problem: Problem, machine: &Machine) -> Problem {
    problem.machine = machine.clone();
    problem
}

fn online(name: &str, machine: Machine) {
    let problem = with_machine(synthetic::mixed(64, 300, 1), &machine);
    let limits = OnlineLimits::default();
    let mut composer = Composer::new(machine, limits);
    (0..).zip(&problem.models).for_each(|(tenant, model)| composer.insert(tenant, model));
    let mut out = Composed::with_limits(&limits);
    let recordings: Vec<RecordingId> = (0..64).map(RecordingId).collect();
    let mut slices: Vec<Slice> = Vec::with_capacity(limits.pieces_max);
    let ready = |tenant| Ready { tenant, launch: 0, tile: 0, launches: 300, weight: 1.0 + tenant as f32 };
    let mut all: Vec<Ready> = (0..64).map(ready).collect();
    let clock = WallClock::start();
    let mut times: Vec<u64> = Vec::with_capacity(STAGES);
    let mut pieces = 0;
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..STAGES {
        let began = clock.now();
        composer.compose(black_box(&all), &mut out);
        slices.clear();
        composer.slices(&out, &recordings, &mut slices);
        times.push(clock.now().since(began).0);
        black_box(&slices);
        pieces += out.pieces.len();
        for piece in &out.pieces {
            let at = &mut all[piece.tenant as usize];
            let whole = piece.end == problem.launch(piece.tenant, piece.launch).tiles;
            (at.launch, at.tile) = if whole { ((piece.launch + 1) % 300, 0) } else { (piece.launch, piece.end) };
            at.launches = 300 - at.launch;
        }
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize] as f64 / 1e3;
    println!(
        "online, {name}: 64 tenants ready, {:.1} pieces a stage: p50 {:.2} us, p99 {:.2} us, p99.9 {:.2} us, {allocations} allocations in {STAGES} stages",
        pieces as f64 / STAGES as f64,
        at(0.5),
        at(0.99),
        at(0.999),
    );
}

fn search(search: &mut dyn Search, problem: &Problem, evaluations: u64) -> Found {
    let budget = Budget::evaluations(evaluations, Arc::new(WallClock::start()));
    search.search(problem, &mut Estimated::new(), &budget).expect("counting does not fail")
}

fn scale() {
    for (name, machine) in [("co-kernels", synthetic::co_kernels()), ("streams", synthetic::streams())] {
        let mut points = Vec::new();
        for launches in [1_000, 3_000, 10_000, 19_200, 30_000, 100_000] {
            let problem = with_machine(synthetic::mixed(64, launches / 64, 7), &machine);
            let found = (0..3).map(|_| search(&mut Greedy::default(), &problem, u64::MAX));
            let found = found.min_by(|a, b| a.seconds.total_cmp(&b.seconds)).expect("three runs");
            let bound = problem.bound_ns();
            println!(
                "scale, {name}: 64 x {:4} launches: {:.4} s, {} schedules tried, {:.3} of the lower bound",
                launches / 64,
                found.seconds,
                found.evaluations,
                found.ns / bound
            );
            points.push((problem.launches() as f64, found.seconds));
        }
        println!("scale, {name}: time grows with an exponent of {:.3}", exponent(&points));
    }
}

/// The slope of a line through the logarithms.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let (mx, my) = logs.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0 / n, a.1 + b.1 / n));
    let covariance: f64 = logs.iter().map(|(x, y)| (x - mx) * (y - my)).sum();
    covariance / logs.iter().map(|(x, _)| (x - mx).powi(2)).sum::<f64>()
}

fn quality(name: &str, machine: Machine) {
    println!("quality, {name}: ms by the counted cost; annealing has {LONG} evaluations");
    for (tenants, launches) in [(2, 60), (4, 60), (8, 60), (8, 150), (16, 60), (64, 30)] {
        for seed in 0..2 {
            let problem = with_machine(synthetic::mixed(tenants, launches, 100 + seed), &machine);
            let greedy = search(&mut Greedy::default(), &problem, u64::MAX);
            let annealed = search(&mut Annealing::new(seed), &problem, LONG);
            let ns = |schedule: &Schedule| Estimated::new().schedule(&problem, schedule).expect("counted").ns;
            println!(
                "  {tenants:2} x {launches:3}: sequential {:8.2}, side by side {:8.2}, greedy {:8.2} ({:.3} s), annealing {:8.2} ({:.1} s), greedy / annealing {:.3}, greedy / bound {:.3}",
                ns(&Schedule::sequential(&problem)) / 1e6,
                ns(&Schedule::side_by_side(&problem)) / 1e6,
                greedy.ns / 1e6,
                greedy.seconds,
                annealed.ns / 1e6,
                annealed.seconds,
                greedy.ns / annealed.ns,
                greedy.ns / problem.bound_ns(),
            );
        }
    }
}
