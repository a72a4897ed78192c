//! Recorded kernels on a V100: the lists that Orion published, alone and in pairs of an inference tenant whose requests
//! come in time and a training tenant that never pauses.
//!
//! Alone, a list must take what its kernels sum to. In pairs, the order of the inference tenant's p99 must be the published one
//! (Orion, EuroSys'24, inference beside training): temporal sharing worst, then streams, then streams with priorities, and
//! everything above an idle GPU.

use std::path::Path;
use std::sync::Arc;

use super::super::document::{Grid, Part, Section};
use super::super::plot::{Axis, Mark, Plot, Series};
use super::super::stats::quantile;
use super::super::{Options, Outcome, Progress, ReproError, Row, Source};
use super::NAME;
use super::replay::{Replayed, Sharing, costs, replay};
use crate::hal::sim::{KernelCost, Profile, SimError};
use crate::predict::profile::recorded::{RecordedKernel, read_list};
use crate::service::arrival::ArrivalSpec;
use crate::tensor::Nanos;
use crate::timeline::interval::Interval;

/// Where the lists and the recorded gaps are.
pub const SOURCE: Source = Source { folder: "orion", from: "eth-easl/orion (MIT) on GitHub" };

/// Lists of inference and of one training iteration after the first. Those of first iterations hold no times.
const INFERENCE: [&str; 3] = ["resnet50_4_fwd", "mobilenetv2_4_fwd", "bert_2_fwd"];
const TRAINING: [&str; 7] = [
    "resnet50_32_fb1",
    "resnet101_32_fb1",
    "mobilenetv2_64_fb1",
    "bert_8_fb1",
    "transformer_xl_8_fb1",
    "mobilenetv2_32_fb1",
    "mobilenetv2_96_fb1",
];

/// Training lists of pairs: the first of [`TRAINING`], as Orion's experiments have them.
const BESIDE: usize = 5;

/// An inference tenant of pairs.
struct Tenant {
    name: &'static str,
    list: &'static str,
    /// Requests per second of a Poisson process; none: the gaps recorded from an autonomous-driving stack.
    rate_rps: Option<f64>,
}

const TENANTS: [Tenant; 3] = [
    Tenant { name: "ResNet50, Poisson 15/s", list: "resnet50_4_fwd", rate_rps: Some(15.0) },
    Tenant { name: "MobileNetV2, Poisson 40/s", list: "mobilenetv2_4_fwd", rate_rps: Some(40.0) },
    Tenant { name: "ResNet50, Apollo gaps", list: "resnet50_4_fwd", rate_rps: None },
];

/// Ways of sharing from best to worst by the published order.
const ORDER: [Sharing; 4] = [Sharing::Alone, Sharing::PriorityStreams, Sharing::Streams, Sharing::Temporal];

/// Seeds of each pair.
const SEEDS: u64 = 3;

const SOLO: &str = "V100 kernel lists (Orion): largest difference of the solo time from the sum of the list, %";
const SOLO_BAND: [Option<f64>; 2] = [None, Some(10.0)];
const PAIRS: &str =
    "V100 pairs (Orion): pairs whose p99 is in the published order temporal > streams > priority streams";

const SURE: &str = "V100 pairs (Orion): pairs in that order whose 95 % intervals of p99 do not even touch";

/// A pair and the p99 of each way of sharing, over seeds.
struct Pair {
    tenant: &'static str,
    training: &'static str,
    p99_ms: [Interval; ORDER.len()],
    /// Iterations per second of the training tenant.
    iterations_ps: [f64; ORDER.len()],
}

impl Pair {
    /// Each way's p99 is above that of the one before, the first that shares being compared with none.
    fn is_ordered(&self) -> bool {
        self.p99_ms.windows(2).skip(1).all(|w| w[1].mean > w[0].mean)
    }

    /// The same, and the intervals do not touch.
    fn is_ordered_with_confidence(&self) -> bool {
        self.p99_ms.windows(2).skip(1).all(|w| w[1].low > w[0].high)
    }
}

/// Runs the rung.
///
/// # Errors
/// [`ReproError`] where a list is damaged.
pub fn run(options: &Options, progress: Progress<'_>) -> Result<Outcome, ReproError> {
    let pairs = if options.subset { 2 } else { TENANTS.len() * BESIDE };
    let all = [Some(pairs as f64); 2];
    let folder = match SOURCE.find(&options.data) {
        Ok(folder) => folder,
        Err(why) => {
            let rows = vec![Row::skipped(NAME, SOLO, SOLO_BAND, &why), Row::skipped(NAME, PAIRS, all, &why)];
            return Ok(Outcome { rows, sections: Vec::new() });
        }
    };
    let profile = Arc::new(Profile::find("v100-sxm2")?);
    progress("V100 kernel lists: alone");
    let mut solo = Grid::new(&["list", "kernels", "sum ms", "simulated ms", "difference %"]);
    let mut worst = 0.0f64;
    for name in INFERENCE.iter().chain(&TRAINING) {
        let list = list(&folder, name)?;
        let sum_ms = list.iter().map(|k| k.ns as f64).sum::<f64>() / 1e6;
        let got_ms = alone_ms(&profile, &list)?;
        let off = (got_ms / sum_ms - 1.0) * 100.0;
        worst = worst.max(off.abs());
        solo.row([
            name.to_string(),
            list.len().to_string(),
            format!("{sum_ms:.2}"),
            format!("{got_ms:.2}"),
            format!("{off:+.1}"),
        ]);
    }
    let compared = compare(options, &profile, &folder, progress)?;
    let ordered = compared.iter().filter(|p| p.is_ordered()).count();
    let sure = compared.iter().filter(|p| p.is_ordered_with_confidence()).count();
    let note = format!("{} requests of each of {SEEDS} seeds from {} on", options.requests, options.seed);
    let lists = format!("{} lists, launches and gaps included", INFERENCE.len() + TRAINING.len());
    let mut order = Row::banded(NAME, PAIRS, ordered as f64, all, note.clone());
    order.published = Some(pairs as f64);
    let rows =
        vec![Row::banded(NAME, SOLO, worst, SOLO_BAND, lists), order, Row::information(NAME, SURE, sure as f64, note)];
    Ok(Outcome { rows, sections: vec![section(options, solo, &compared)] })
}

fn list(folder: &Path, name: &str) -> Result<Vec<RecordedKernel>, ReproError> {
    Ok(read_list(&folder.join("kernels").join(name))?)
}

/// One request on an idle GPU, launches included.
fn alone_ms(profile: &Arc<Profile>, list: &[RecordedKernel]) -> Result<f64, ReproError> {
    let costs = costs(list, profile);
    let got = replay(profile, &costs, std::iter::once(Nanos(0)), &costs, Sharing::Alone, 1)?;
    Ok(got.elapsed.0 as f64 / 1e6)
}

fn compare(
    options: &Options,
    profile: &Arc<Profile>,
    folder: &Path,
    progress: Progress<'_>,
) -> Result<Vec<Pair>, ReproError> {
    let mut pairs = Vec::new();
    for tenant in &TENANTS {
        let first = costs(&list(folder, tenant.list)?, profile);
        let alone = over_seeds(options, tenant, folder, |arrivals| {
            replay(profile, &first, arrivals, &first, Sharing::Alone, options.requests)
        })?;
        for training in &TRAINING[..BESIDE] {
            if options.subset && (tenant.rate_rps.is_none() || *training != TRAINING[0]) {
                continue;
            }
            let second: Vec<KernelCost> = costs(&list(folder, training)?, profile);
            let (mut p99_ms, mut iterations_ps) = ([alone.0; ORDER.len()], [0.0; ORDER.len()]);
            for (at, sharing) in ORDER.into_iter().enumerate().skip(1) {
                progress(&format!("V100 pairs: {} beside {training}, {sharing:?}", tenant.name));
                (p99_ms[at], iterations_ps[at]) = over_seeds(options, tenant, folder, |arrivals| {
                    replay(profile, &first, arrivals, &second, sharing, options.requests)
                })?;
            }
            pairs.push(Pair { tenant: tenant.name, training, p99_ms, iterations_ps });
        }
    }
    Ok(pairs)
}

/// The interval of p99 over seeds, and the mean of the iterations per second.
fn over_seeds(
    options: &Options,
    tenant: &Tenant,
    folder: &Path,
    run: impl Fn(&mut dyn Iterator<Item = Nanos>) -> Result<Replayed, SimError>,
) -> Result<(Interval, f64), ReproError> {
    let spec = match tenant.rate_rps {
        Some(rate_rps) => ArrivalSpec::Poisson { rate_rps },
        None => ArrivalSpec::Trace { file: "apollo_inter_arrival_times.json".into(), scale: 1.0 },
    };
    let (mut p99s, mut rates) = (Vec::new(), Vec::new());
    for seed in options.seed..options.seed + SEEDS {
        let Some(mut arrivals) = spec.arrivals(folder, seed, 0)? else { unreachable!("it is no closed loop") };
        // A trace knows no seed: each begins at another place of it.
        let skipped = if tenant.rate_rps.is_none() { (seed % 1000) as usize * TRACE_STEP } else { 0 };
        let begin = skipped.checked_sub(1).and_then(|n| arrivals.nth(n)).unwrap_or_default();
        let got = run(&mut arrivals.map(|at| at.since(begin)))?;
        // The first tenth is left out, as queues are empty when the run begins.
        let counted: Vec<f64> = got.latencies.iter().skip(got.latencies.len() / 10).map(|l| l.0 as f64 / 1e6).collect();
        p99s.push(quantile(&counted, 0.99));
        rates.push(got.iterations as f64 / (got.elapsed.0 as f64 / 1e9));
    }
    let interval = Interval::of(&p99s).unwrap_or(Interval { mean: f64::NAN, low: f64::NAN, high: f64::NAN, seeds: 0 });
    Ok((interval, rates.iter().sum::<f64>() / rates.len() as f64))
}

/// Gaps of the trace from the beginning of one seed to that of the next.
const TRACE_STEP: usize = 997;

fn section(options: &Options, solo: Grid, pairs: &[Pair]) -> Section {
    let mut grid = Grid::new(&["inference", "training", "alone", "priority streams", "streams", "temporal", "order"]);
    let mut work = Grid::new(&["inference", "training", "priority streams", "streams", "temporal"]);
    for p in pairs {
        let cell = |i: &Interval| format!("{:.1} ±{:.1}", i.mean, i.half());
        let names = [p.tenant.to_string(), p.training.to_string()];
        let order = if p.is_ordered() { "as published" } else { "other" };
        grid.row(names.clone().into_iter().chain(p.p99_ms.iter().map(cell)).chain([order.to_string()]));
        work.row(names.into_iter().chain(p.iterations_ps[1..].iter().map(|v| format!("{v:.2}"))));
    }
    let text = |t: String| Part::Text(t);
    let parts = vec![
        text(
            "Measurements: the kernel lists of Orion (eth-easl/orion, MIT): for a V100, the kernels of an inference or a training \
             iteration in order of issue, with the SMs that their blocks would fill and their duration. They run on the simulated \
             `v100-sxm2`, each kernel in as many waves as its SMs need; launches of the host, gaps between dependent kernels \
             and the leftover block scheduler are the simulated GPU's. Lists of first training iterations hold no times and \
             are left out."
                .into(),
        ),
        text(
            "Alone, a list takes its sum, the launch of its first kernel, and the gaps between dependent kernels, which weigh most where \
             kernels are short:"
                .into(),
        ),
        Part::Table(solo),
        text(format!(
            "Pairs: an inference tenant with requests in time beside a training tenant that never pauses (`src/repro/validation/replay.rs`). \
             p99 of the inference tenant in ms, {} requests for each of {SEEDS} seeds, the first tenth left out, with 95 % \
             confidence over the seeds. The published order (Orion, EuroSys'24) is temporal sharing (one request or iteration at a \
             time, requests first), where a request waits for an iteration of the other, above streams, where it waits for kernels, \
             above streams with priorities, where it waits for blocks. \
             The lists hold no bytes, so that tenants disturb each other through SMs only.",
            options.requests
        )),
        Part::Table(grid),
        text("Iterations per second of the training tenant meanwhile:".into()),
        Part::Table(work),
        Part::Picture { name: "validation-pairs", plot: plot(pairs) },
    ];
    Section { title: "Recorded kernels of two tenants".into(), parts }
}

fn plot(pairs: &[Pair]) -> Plot {
    let names = ["alone", "priority streams", "streams", "temporal"];
    let series = names.into_iter().enumerate().map(|(at, name)| Series {
        name: name.into(),
        mark: Mark::Dots,
        colour: at,
        points: pairs.iter().enumerate().map(|(i, p)| (i as f64 + 1.0, p.p99_ms[at].mean)).collect(),
    });
    Plot {
        title: "p99 of the inference tenant by pair, in the order of the table".into(),
        x: Axis { label: "pair".into(), logarithmic: false },
        y: Axis { label: "p99, ms".into(), logarithmic: true },
        series: series.collect(),
    }
}
