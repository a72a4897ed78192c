//! The simulated GPU against queueing theory: a server that one kernel fills, Poisson arrivals, and formulas that are exact.
//!
//! Every form is checked at utilisations 0.3, 0.6 and 0.8. With `COTENANT_FULL` set (`./test --full`) there are 10^6 requests and the
//! mean must be within 2 % of the formula. Otherwise there are 20,000, and the error of so few is allowed besides: four standard
//! errors, estimated from 40 batches. The figures are printed:
//!
//!     COTENANT_FULL=1 cargo test --release --test sim_closed_forms -- --nocapture --test-threads 1

use std::sync::Arc;

use cotenant::hal::sim::{
    BlockNeed, Blocks, Command, Done, Gpu, KernelCost, Profile, Roofline, Source, StreamId, Unit, Work,
};
use cotenant::tensor::Nanos;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const UTILISATIONS: [f64; 3] = [0.3, 0.6, 0.8];

/// Mean service time in ns: long enough that rounding to nanoseconds is nothing.
const SERVICE: f64 = 1e6;

/// Waves of a kernel that may be interrupted: a residual of a thousandth remains.
const WAVES: u32 = 1_000;

const BATCHES: usize = 40;

fn requests() -> usize {
    if std::env::var_os("COTENANT_FULL").is_some() { 1_000_000 } else { 20_000 }
}

/// How long a request takes.
#[derive(Clone, Copy, Debug)]
enum Service {
    Fixed,
    /// Exponential.
    Exponential,
    /// A fifth of the requests take three times as long as the mean, the others half of it.
    Mixed,
}

impl Service {
    fn draw(self, rng: &mut StdRng) -> f64 {
        match self {
            Service::Fixed => SERVICE,
            Service::Exponential => exponential(SERVICE, rng),
            Service::Mixed if rng.random_bool(0.2) => 3.0 * SERVICE,
            Service::Mixed => 0.5 * SERVICE,
        }
    }

    /// E[S²] / E[S]².
    fn second_moment(self) -> f64 {
        match self {
            Service::Fixed => 1.0,
            Service::Exponential => 2.0,
            Service::Mixed => 0.2 * 9.0 + 0.8 * 0.25,
        }
    }
}

fn exponential(mean: f64, rng: &mut StdRng) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

/// Requests of one kind.
struct Class<'a> {
    /// Mean time between arrivals in ns.
    gap: f64,
    /// The streams that take them in turn.
    streams: &'a [StreamId],
    /// The next request's kernel.
    kernel: &'a mut dyn FnMut(&mut StdRng) -> KernelCost,
}

/// Waiting time (to the beginning) and time in the system of the requests of one class, in order of arrival.
#[derive(Default)]
struct Times {
    wait: Vec<f64>,
    stay: Vec<f64>,
}

/// Runs `n` requests of all classes together, by Poisson arrivals.
fn simulate(gpu: &mut Gpu, classes: &mut [Class], n: usize, seed: u64) -> Vec<Times> {
    let mut rng = StdRng::seed_from_u64(seed);
    let host = gpu.host();
    let mut next: Vec<f64> = classes.iter().map(|c| exponential(c.gap, &mut rng)).collect();
    let mut counts = vec![0usize; classes.len()];
    let mut arrivals = Vec::with_capacity(n);
    let mut times: Vec<Times> = classes.iter().map(|_| Times::default()).collect();
    let mut done: Vec<Done> = Vec::new();
    let mut ended: Vec<Option<(f64, f64)>> = vec![None; n];
    for number in 0..n {
        let class = (0..next.len()).min_by(|a, b| next[*a].total_cmp(&next[*b])).expect("there is a class");
        let at = Nanos(next[class].round() as u64);
        gpu.advance_to(at);
        let c = &mut classes[class];
        let stream = c.streams[counts[class] % c.streams.len()];
        counts[class] += 1;
        next[class] += exponential(c.gap, &mut rng);
        let kernel = (c.kernel)(&mut rng);
        gpu.submit(host, stream, Command::Kernel(kernel), number as u64).expect("it fits");
        arrivals.push((class, at));
        gpu.take_done(&mut done);
        for d in done.drain(..) {
            ended[d.tag as usize] = Some((d.start.0 as f64, d.end.0 as f64));
        }
    }
    while gpu.step().is_some() {}
    gpu.take_done(&mut done);
    for d in done.drain(..) {
        ended[d.tag as usize] = Some((d.start.0 as f64, d.end.0 as f64));
    }
    for ((class, at), ended) in arrivals.into_iter().zip(ended) {
        let (start, end) = ended.expect("every request ends");
        times[class].wait.push(start - at.0 as f64);
        times[class].stay.push(end - at.0 as f64);
    }
    times
}

/// Compares a mean with the formula, after the first tenth as warm-up.
fn check(what: &str, utilisation: f64, values: &[f64], expected: f64) {
    let values = &values[values.len() / 10..];
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let size = values.len() / BATCHES;
    let batches: Vec<f64> = values.chunks_exact(size).map(|b| b.iter().sum::<f64>() / size as f64).collect();
    let spread = batches.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (batches.len() - 1) as f64;
    let error = (spread / batches.len() as f64).sqrt();
    let off = mean / expected - 1.0;
    let allowed = if values.len() > 500_000 / 3 { 0.02 } else { 0.02 + 4.0 * error / expected };
    println!(
        "{what:44} at {utilisation:.1}: {:9.4} of a service, formula {:9.4}, {:+6.2} % (standard error {:.2} %)",
        mean / SERVICE,
        expected / SERVICE,
        off * 100.0,
        error / expected * 100.0
    );
    assert!(
        off.abs() <= allowed,
        "{what} at {utilisation}: {mean}, expected {expected}: {off:+.4}, allowed {allowed:.4}"
    );
}

/// A GPU without overheads and a stream for each priority.
fn server(priorities: &[i32]) -> (Gpu, Vec<StreamId>) {
    let mut gpu = Gpu::new(Arc::new(Profile::bare(4)));
    let context = gpu.plain_context().expect("the first one");
    let streams = priorities.iter().map(|&p| gpu.stream(context, p).expect("the context is there")).collect();
    (gpu, streams)
}

/// `M/G/1`: W = λ E[S²] / (2 (1 − ρ)).
fn first_come_first_served(service: Service, seed: u64) {
    for rho in UTILISATIONS {
        let (mut gpu, streams) = server(&[0]);
        let mut kernel = |rng: &mut StdRng| KernelCost::fixed(service.draw(rng));
        let class = Class { gap: SERVICE / rho, streams: &streams, kernel: &mut kernel };
        let times = simulate(&mut gpu, &mut [class], requests(), seed);
        let expected = rho * SERVICE * service.second_moment() / (2.0 * (1.0 - rho));
        check(&format!("first come, first served, {service:?}: wait"), rho, &times[0].wait, expected);
    }
}

#[test]
fn m_d_1() {
    first_come_first_served(Service::Fixed, 1);
}

#[test]
fn m_g_1() {
    first_come_first_served(Service::Mixed, 2);
    first_come_first_served(Service::Exponential, 3);
}

/// Two classes of equal load; kernels of the second in so many waves.
fn two_classes(rho: f64, waves: u32, seed: u64) -> Vec<Times> {
    let (mut gpu, streams) = server(&[1, 0]);
    let mut urgent = |rng: &mut StdRng| KernelCost::fixed(Service::Mixed.draw(rng));
    let mut other = |rng: &mut StdRng| KernelCost::every_sm(Service::Mixed.draw(rng), waves);
    let gap = 2.0 * SERVICE / rho;
    let (first, second) = streams.split_at(1);
    let mut classes =
        [Class { gap, streams: first, kernel: &mut urgent }, Class { gap, streams: second, kernel: &mut other }];
    simulate(&mut gpu, &mut classes, requests(), seed)
}

/// W_hp = W0 / (1 − ρ_hp), W_be = W0 / ((1 − ρ_hp)(1 − ρ)) with W0 = Σ λ_i E[S_i²] / 2.
#[test]
fn priority_without_preemption() {
    for rho in UTILISATIONS {
        let times = two_classes(rho, 1, 4);
        let residual = rho * SERVICE * Service::Mixed.second_moment() / 2.0;
        let urgent = residual / (1.0 - rho / 2.0);
        check("priority, not preemptive, urgent: wait", rho, &times[0].wait, urgent);
        check("priority, not preemptive, other: wait", rho, &times[1].wait, urgent / (1.0 - rho));
    }
}

/// The urgent class sees a server of its own; the other one stays S / (1 − ρ_hp) + W0 / ((1 − ρ_hp)(1 − ρ)).
#[test]
fn priority_with_preemption() {
    for rho in UTILISATIONS {
        let times = two_classes(rho, WAVES, 5);
        let (second, high) = (Service::Mixed.second_moment(), rho / 2.0);
        let urgent = high * SERVICE * second / (2.0 * (1.0 - high));
        check("priority, preemptive, urgent: wait", rho, &times[0].wait, urgent);
        let residual = rho * SERVICE * second / 2.0;
        let other = SERVICE / (1.0 - high) + residual / ((1.0 - high) * (1.0 - rho));
        check("priority, preemptive, other: time", rho, &times[1].stay, other);
    }
}

/// E[T] = S / (1 − ρ), whatever the distribution: kernels of one block on one SM share it equally.
#[test]
fn processor_sharing() {
    for (service, seed) in [(Service::Mixed, 6), (Service::Fixed, 7)] {
        for rho in UTILISATIONS {
            let mut gpu = Gpu::new(Arc::new(Profile::bare(1)));
            let context = gpu.plain_context().expect("the first one");
            let streams: Vec<_> = (0..1024).map(|_| gpu.stream(context, 0).expect("the context is there")).collect();
            let mut kernel = |rng: &mut StdRng| KernelCost {
                source: Source::Given,
                blocks: Blocks::Count(1),
                need: BlockNeed::Of { threads: 32, registers: 16, shared_bytes: 0 },
                work: Work::Roofline(Roofline {
                    unit: Unit::Fp32,
                    // One operation in a picosecond.
                    flops: service.draw(rng) * 1e3,
                    efficiency: 1.0,
                    dram_bytes: 0.0,
                    reused_bytes: 0.0,
                    working_set: 0,
                }),
                workers: None,
            };
            let class = Class { gap: SERVICE / rho, streams: &streams, kernel: &mut kernel };
            let times = simulate(&mut gpu, &mut [class], requests(), seed);
            let what = format!("processor sharing, {service:?}: time");
            check(&what, rho, &times[0].stay, SERVICE / (1.0 - rho));
        }
    }
}

/// Urgent requests wait for the rest of an atom: at most one, in the mean A ρ_be / 2.
#[test]
fn head_of_line_residual() {
    const ATOMS: u32 = 10;
    let atom = SERVICE / f64::from(ATOMS);
    for rho in UTILISATIONS {
        let (mut gpu, streams) = server(&[1, 0]);
        let mut urgent = |_: &mut StdRng| KernelCost::fixed(SERVICE / 1_000.0);
        let mut other = |_: &mut StdRng| KernelCost::every_sm(SERVICE, ATOMS);
        let (first, second) = streams.split_at(1);
        let mut classes = [
            Class { gap: SERVICE, streams: first, kernel: &mut urgent },
            Class { gap: SERVICE / rho, streams: second, kernel: &mut other },
        ];
        let times = simulate(&mut gpu, &mut classes, requests(), 8);
        // Urgent requests take a thousandth of the time themselves, and wait for each other.
        let own = 0.001;
        let expected = (own * SERVICE / 1_000.0 / 2.0 + rho * atom / 2.0) / (1.0 - own);
        check("head of line: wait", rho, &times[0].wait, expected);
        let quiet = times[0].wait.iter().copied().fold(0.0, f64::max);
        assert!(quiet <= atom + 10.0 * SERVICE / 1_000.0, "an urgent request waited {quiet}, an atom is {atom}");
    }
}

/// A kernel cut into n parts takes n − 1 gaps more, or n launches where these take longer than the parts.
#[test]
fn cutting_costs_gaps_and_launches() {
    for (parts, host_us, expected) in [
        (1u32, 2.0, 2.0 + 1_000.0),
        (10, 2.0, 2.0 + 1_000.0 + 9.0 * 1.5),
        (10, 200.0, 10.0 * 200.0 + 100.0),
        (1_000, 2.0, 2.0 + 1_000.0 + 999.0 * 1.5),
        (1_000, 4.0, 1_000.0 * 4.0 + 1.0),
    ] {
        let mut profile = Profile::bare(4);
        (profile.launch.host_us, profile.launch.gap_us) = (host_us, 1.5);
        let mut gpu = Gpu::new(Arc::new(profile));
        let context = gpu.plain_context().expect("the first one");
        let stream = gpu.stream(context, 0).expect("the context is there");
        let host = gpu.host();
        for part in 0..parts {
            let kernel = KernelCost::fixed(SERVICE / f64::from(parts));
            gpu.submit(host, stream, Command::Kernel(kernel), u64::from(part)).expect("it fits");
        }
        while gpu.step().is_some() {}
        let got = gpu.now().0 as f64 / 1e3;
        assert!((got - expected).abs() < 0.01, "{parts} parts: {got} µs, expected {expected}");
    }
}
