//! A kernel's latency against its occupancy: for each kernel that REEF published for an MI50, the simulated GPU runs as many
//! blocks on every compute unit as each measured level has, and the order of the levels must be that of the measurements.
//!
//! What the prediction knows of a kernel: threads of a block, shared memory of a block, blocks, and the latency of the
//! whole kernel, which gives the work of a block. What it does not know: registers, instructions, traffic.
//!
//! One number of the profile was changed after these data had been seen: the resident waves from which on a compute unit is
//! busy. So others are tried as well, the one that was assumed before among them, and reported beside it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::super::document::{Grid, Part, Section};
use super::super::plot::{Axis, Mark, Plot, Series};
use super::super::stats::{median, quantile, share, spearman};
use super::super::{Options, Outcome, Progress, ReproError, Row, Source};
use super::NAME;
use crate::hal::sim::{
    BlockNeed, Blocks, Command, Gpu, KernelCost, Profile, Roofline, SimError, Source as CostSource, Unit, Work,
};

/// Where the models are.
pub const SOURCE: Source =
    Source { folder: "reef/resource", from: "SJTU-IPADS/reef-artifacts (Apache-2.0), folder resource, on GitHub" };

const METRIC: &str = "MI50 kernels (REEF): median rank correlation of latency over occupancy levels";
const BAND: [Option<f64>; 2] = [Some(0.9), Some(1.0)];

const BEFORE: &str =
    "MI50 kernels (REEF): the same with 8 waves that saturate a compute unit, as assumed before the data were seen";
const HIGH: &str = "MI50 kernels (REEF): kernels with a rank correlation of at least 0.9, %";
const HIGH_OF_CLEAR: &str = "MI50 kernels (REEF): the same of kernels with levels clearly apart, %";
const ABSOLUTE: &str = "MI50 kernels (REEF): median error of the latency of a level, %";

/// What the measured latencies are multiples of, in µs.
const TICK_US: f64 = 2.0;

/// What the measured latency of an empty kernel is, in µs: the shortest of the data are 10 to 14. It moves all levels of a
/// kernel alike.
const EMPTY_US: f64 = 12.0;

/// Waves that are tried as those which saturate a compute unit, and what was assumed before.
const WAVES_TRIED: [u32; 5] = [1, 2, 4, 8, 16];
const WAVES_BEFORE: u32 = 8;

/// Work of a block before it is known, in floating-point operations.
const TRIAL_FLOPS: f64 = 1e6;

/// Largest accepted file in bytes, blocks of a kernel and levels.
const FILE_BYTES_MAX: u64 = 16 << 20;
const BLOCKS_MAX: u64 = 1 << 20;
const LEVELS_MAX: usize = 64;

/// `MODEL.json`, as far as it is used.
#[derive(Deserialize)]
struct ModelFile {
    kernels: Vec<LaunchFile>,
    #[serde(default)]
    shared_memory: HashMap<String, u32>,
}

#[derive(Deserialize)]
struct LaunchFile {
    name: String,
    /// Blocks and threads, three dimensions each.
    launch_params: [u32; 6],
}

/// `MODEL.profile.json`, as far as it is used.
#[derive(Deserialize)]
struct ProfileFile {
    kernel_latency: BTreeMap<String, LatencyFile>,
}

#[derive(Deserialize)]
struct LatencyFile {
    total_latency: f64,
    latency: Vec<f64>,
}

/// A kernel with its measurements in µs.
#[derive(Clone, Debug)]
struct Kernel {
    model: String,
    blocks: u32,
    need: BlockNeed,
    total_us: f64,
    /// With 1, 2, … blocks on every compute unit.
    levels_us: Vec<f64>,
}

/// What became of a kernel.
#[derive(Clone)]
struct Compared {
    kernel: Kernel,
    predicted_us: Vec<f64>,
    /// None where the measurements or the predictions are all equal.
    correlation: Option<f64>,
}

impl Compared {
    /// Measured levels differ, so that there is an order.
    fn has_order(&self) -> bool {
        self.range_us() > 0.0
    }

    fn range_us(&self) -> f64 {
        let levels = || self.kernel.levels_us.iter().copied();
        levels().fold(f64::NEG_INFINITY, f64::max) - levels().fold(f64::INFINITY, f64::min)
    }

    /// A prediction without order, where there is one, explains nothing of it.
    fn score(&self) -> f64 {
        self.correlation.unwrap_or(0.0)
    }
}

/// Runs the rung.
///
/// # Errors
/// [`ReproError`] where a file is damaged.
pub fn run(options: &Options, progress: Progress<'_>) -> Result<Outcome, ReproError> {
    let folder = match SOURCE.find(&options.data) {
        Ok(folder) => folder,
        Err(why) => return Ok(Outcome { rows: vec![Row::skipped(NAME, METRIC, BAND, &why)], sections: Vec::new() }),
    };
    let profile = Profile::find("mi50")?;
    let mut all = Vec::new();
    for model in models(&folder)? {
        all.extend(kernels(&folder, &model)?);
    }
    let mut tries = Vec::new();
    for waves in WAVES_TRIED {
        progress(&format!("MI50 kernels: latency against occupancy, {waves} waves saturate"));
        tries.push((waves, compare(&profile, waves, &all)?));
    }
    let shipped = profile.compute.saturating_warps;
    let compared = match tries.iter().find(|(waves, _)| *waves == shipped) {
        Some((_, compared)) => compared.clone(),
        None => compare(&profile, shipped, &all)?,
    };
    Ok(outcome(&compared, &tries))
}

/// Runs all kernels where `waves` waves saturate a compute unit.
fn compare(profile: &Profile, waves: u32, kernels: &[Kernel]) -> Result<Vec<Compared>, ReproError> {
    let mut profile = profile.clone();
    profile.compute.saturating_warps = waves;
    let profile = Arc::new(profile);
    let mut compared = Vec::new();
    for kernel in kernels {
        let predicted_us = predict(&profile, kernel)?;
        let correlation = spearman(&predicted_us, &kernel.levels_us);
        compared.push(Compared { kernel: kernel.clone(), predicted_us, correlation });
    }
    Ok(compared)
}

/// The folders of models, in order.
fn models(folder: &Path) -> Result<Vec<String>, ReproError> {
    let failed = |e: std::io::Error| ReproError::Json { file: folder.into(), what: e.to_string() };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn json<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<T, ReproError> {
    let failed = |what: String| ReproError::Json { file: file.into(), what };
    let bytes = fs::metadata(file).map_err(|e| failed(e.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(failed(format!("{bytes} bytes, allowed is at most {FILE_BYTES_MAX}")));
    }
    let text = fs::read(file).map_err(|e| failed(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| failed(e.to_string()))
}

/// The kernels of a model; each counts once, however often it is launched.
fn kernels(folder: &Path, model: &str) -> Result<Vec<Kernel>, ReproError> {
    let file = |ending: &str| -> PathBuf { folder.join(model).join(format!("{model}{ending}")) };
    let launches: ModelFile = json(&file(".json"))?;
    let measured: ProfileFile = json(&file(".profile.json"))?;
    let refuse = |kernel: &str, what: &str| {
        Err(ReproError::Json { file: file(".profile.json"), what: format!("kernel {kernel}: {what}") })
    };
    let mut kernels = Vec::new();
    for (name, latency) in measured.kernel_latency {
        let Some(launch) = launches.kernels.iter().find(|k| k.name == name) else {
            return refuse(&name, "it is not launched by the model");
        };
        let product = |dims: &[u32]| dims.iter().map(|d| u64::from(*d)).product::<u64>();
        let (blocks, threads) = (product(&launch.launch_params[..3]), product(&launch.launch_params[3..]));
        if !(1..=BLOCKS_MAX).contains(&blocks) || !(1..=1024).contains(&threads) {
            return refuse(
                &name,
                &format!("{blocks} blocks of {threads} threads; allowed are 1 to {BLOCKS_MAX} of 1 to 1024"),
            );
        }
        let levels = latency.latency;
        let times = || levels.iter().chain([&latency.total_latency]);
        if !(1..=LEVELS_MAX).contains(&levels.len()) || times().any(|t| !t.is_finite() || *t <= 0.0) {
            return refuse(&name, &format!("latencies must be positive, and 1 to {LEVELS_MAX}"));
        }
        let shared_bytes = launches.shared_memory.get(&name).copied().unwrap_or(0);
        // The compiler's choice of registers is not published; it would bound the occupancy of some.
        let need = BlockNeed::Of { threads: threads as u32, registers: 1, shared_bytes };
        let model = model.to_string();
        kernels.push(Kernel { model, blocks: blocks as u32, need, total_us: latency.total_latency, levels_us: levels });
    }
    Ok(kernels)
}

/// The latency at each level in µs.
fn predict(profile: &Arc<Profile>, kernel: &Kernel) -> Result<Vec<f64>, SimError> {
    let resident = profile.sm.blocks_per_sm(&kernel.need).max(1);
    let trial_us = run_us(profile, kernel, kernel.blocks, TRIAL_FLOPS)?;
    let flops = TRIAL_FLOPS * (kernel.total_us - EMPTY_US).max(TICK_US / 2.0) / trial_us;
    let level = |at: usize| {
        // More than reside at once were not run by the measurement either: its blocks stay where they are.
        let per_unit = (at as u32 + 1).min(resident);
        Ok(EMPTY_US + run_us(profile, kernel, profile.compute.sms * per_unit, flops)?)
    };
    (0..kernel.levels_us.len()).map(level).collect()
}

/// How long `blocks` blocks of so much work each take alone on the GPU.
fn run_us(profile: &Arc<Profile>, kernel: &Kernel, blocks: u32, flops: f64) -> Result<f64, SimError> {
    let work = Work::Roofline(Roofline {
        unit: Unit::Fp32,
        flops,
        efficiency: 1.0,
        dram_bytes: 0.0,
        reused_bytes: 0.0,
        working_set: 0,
    });
    let cost =
        KernelCost { source: CostSource::Given, blocks: Blocks::Count(blocks), need: kernel.need, work, workers: None };
    let mut gpu = Gpu::new(profile.clone());
    let context = gpu.plain_context()?;
    let (host, stream) = (gpu.host(), gpu.stream(context, 0)?);
    gpu.submit(host, stream, Command::Kernel(cost), 0)?;
    while gpu.step().is_some() {}
    let mut done = Vec::new();
    gpu.take_done(&mut done);
    Ok(done.iter().map(|d| d.end.since(d.start).0 as f64 / 1e3).sum())
}

/// Scores of the kernels that have an order and for which `of` holds.
fn scores(compared: &[Compared], of: impl Fn(&Compared) -> bool) -> Vec<f64> {
    compared.iter().filter(|c| c.has_order() && of(c)).map(Compared::score).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// What was tried, and what the profile has.
fn outcome(compared: &[Compared], tries: &[(u32, Vec<Compared>)]) -> Outcome {
    let all = scores(compared, |_| true);
    let before = tries.iter().find(|(waves, _)| *waves == WAVES_BEFORE).map(|(_, c)| scores(c, |_| true));
    let clear = scores(compared, |c| c.range_us() > 2.0 * TICK_US);
    let high = |v: &[f64]| 100.0 * share(v, |r| r >= 0.9);
    let absolute: Vec<f64> = compared
        .iter()
        .flat_map(|c| c.predicted_us.iter().zip(&c.kernel.levels_us))
        .map(|(p, m)| 100.0 * (p / m - 1.0).abs())
        .collect();
    let without = compared.iter().filter(|c| !c.has_order()).count();
    let note = format!("{} kernels with levels that differ, of {}; {without} have none", all.len(), compared.len());
    let of_clear = format!("{} kernels whose levels differ by more than two ticks of the clock", clear.len());
    let rows = vec![
        Row::banded(NAME, METRIC, median(&all), BAND, note.clone()),
        Row::information(NAME, BEFORE, median(&before.unwrap_or_default()), note.clone()),
        Row::information(NAME, HIGH, high(&all), note),
        Row::information(NAME, HIGH_OF_CLEAR, high(&clear), of_clear),
        Row::information(
            NAME,
            ABSOLUTE,
            median(&absolute),
            "from the latency of the whole kernel and its launch dimensions".into(),
        ),
    ];
    Outcome { rows, sections: vec![section(compared, tries)] }
}

fn section(compared: &[Compared], tries: &[(u32, Vec<Compared>)]) -> Section {
    let mut waves = Grid::new(&["waves", "mean", "median", "at least 0.9 %"]);
    for (tried, compared) in tries {
        let all = scores(compared, |_| true);
        let cells = [mean(&all), median(&all)].map(|v| format!("{v:.3}"));
        let high = format!("{:.0}", 100.0 * share(&all, |r| r >= 0.9));
        waves.row([tried.to_string()].into_iter().chain(cells).chain([high]));
    }
    let mut grid = Grid::new(&[
        "model",
        "kernels",
        "levels differ",
        "median",
        "p25",
        "at least 0.9 %",
        "clearly apart",
        "at least 0.9 %",
    ]);
    let mut names: Vec<&str> = compared.iter().map(|c| c.kernel.model.as_str()).collect();
    names.dedup();
    for model in names.into_iter().chain(["all"]) {
        let of: Vec<&Compared> = compared.iter().filter(|c| model == "all" || c.kernel.model == model).collect();
        let scores: Vec<f64> = of.iter().filter(|c| c.has_order()).map(|c| c.score()).collect();
        let clear: Vec<f64> = of.iter().filter(|c| c.range_us() > 2.0 * TICK_US).map(|c| c.score()).collect();
        let cell = |v: f64| if v.is_nan() { "-".into() } else { format!("{v:.2}") };
        let part = |v: &[f64]| if v.is_empty() { "-".into() } else { format!("{:.0}", 100.0 * share(v, |r| r >= 0.9)) };
        grid.row([
            model.to_string(),
            of.len().to_string(),
            scores.len().to_string(),
            cell(median(&scores)),
            cell(quantile(&scores, 0.25)),
            part(&scores),
            clear.len().to_string(),
            part(&clear),
        ]);
    }
    let text = |t: &str| Part::Text(t.into());
    let parts = vec![
        text(
            "Measurements: the kernels that REEF published for an MI50 (SJTU-IPADS/reef-artifacts, Apache-2.0), compiled by TVM, with \
             launch dimensions, shared memory and the latency with 1, 2, … blocks on every compute unit, in steps of 2 µs.",
        ),
        text(
            "Prediction: the simulated `mi50` runs as many blocks; threads and shared memory of a block say how many can reside at once \
             (further levels cost no more), and the work of a block follows from the latency of the whole kernel. Registers \
             are not published, so that kernels which they bound are predicted to go on rising. Ranks are Spearman's. Kernels whose \
             levels are all equal have no order and are left out; a prediction without order counts as 0. Many small kernels differ by \
             one tick of the clock, where ranks are chance: those whose levels differ by more than two ticks are shown beside.",
        ),
        text(
            "What the data had a part in: the resident waves from which on a compute unit computes at its full rate \
             (`saturating_warps` of `profiles/mi50.toml`). The profile has four, a wave for each SIMD; eight was assumed before these data were \
             looked at. They tell little between one and four, and the band is kept with eight as well. The latency of an empty kernel, 12 µs, \
             is read off the shortest ones; it moves all levels of a kernel alike, so that ranks know it through the work of a block only.",
        ),
        Part::Table(waves),
        text("By model, with four:"),
        Part::Table(grid),
        Part::Picture { name: "validation-occupancy", plot: curves(compared) },
    ];
    Section { title: "Latency of a kernel against its occupancy".into(), parts }
}

/// Of some models the kernel whose levels differ most, measured and predicted.
fn curves(compared: &[Compared]) -> Plot {
    let mut series = Vec::new();
    for (colour, model) in ["inception", "resnet18", "vgg", "densenet", "alexnet"].into_iter().enumerate() {
        let of_model = compared.iter().filter(|c| c.kernel.model == model && c.kernel.levels_us.len() >= 6);
        let Some(most) = of_model.max_by(|a, b| a.range_us().total_cmp(&b.range_us())) else { continue };
        let points = |us: &[f64]| us.iter().enumerate().map(|(at, us)| (at as f64 + 1.0, *us)).collect();
        series.push(Series { name: model.into(), mark: Mark::Dots, colour, points: points(&most.kernel.levels_us) });
        series.push(Series { name: String::new(), mark: Mark::Line, colour, points: points(&most.predicted_us) });
    }
    Plot {
        title: "Of each model the kernel whose latency differs most: measured (dots) and predicted (lines)".into(),
        x: Axis { label: "blocks on every compute unit".into(), logarithmic: false },
        y: Axis { label: "latency, µs".into(), logarithmic: true },
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(threads: u32, shared_bytes: u32, levels: usize) -> Kernel {
        Kernel {
            model: "m".into(),
            blocks: 120,
            need: BlockNeed::Of { threads, registers: 1, shared_bytes },
            total_us: 52.0,
            levels_us: vec![1.0; levels],
        }
    }

    #[test]
    fn latency_rises_until_no_more_blocks_reside() {
        let profile = Arc::new(Profile::find("mi50").unwrap());
        // Twelve kilobytes of 64: five blocks reside.
        let us = predict(&profile, &kernel(512, 12_000, 8)).unwrap();
        assert!(us[..5].windows(2).all(|w| w[1] > w[0]) && us[4..].windows(2).all(|w| w[1] == w[0]), "{us:?}");
        // The whole kernel has two blocks for each unit.
        assert!((us[1] - 52.0).abs() < 0.1, "{us:?}");
    }

    #[test]
    fn damage_names_the_file_and_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("m");
        fs::create_dir(&folder).unwrap();
        let check = |launches: &str, profile: &str, words: &[&str]| {
            fs::write(folder.join("m.json"), launches).unwrap();
            fs::write(folder.join("m.profile.json"), profile).unwrap();
            let message = kernels(dir.path(), "m").unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{word:?} is not in {message}");
            }
        };
        let launches = r#"{"kernels": [{"name": "k", "launch_params": [2, 1, 1, 64, 1, 1]}]}"#;
        check("{", "{}", &["m.json", "line 1"]);
        check(launches, "{}", &["m.profile.json", "kernel_latency"]);
        check(
            launches,
            r#"{"kernel_latency": {"x": {"total_latency": 1, "latency": [1]}}}"#,
            &["kernel x", "not launched"],
        );
        check(launches, r#"{"kernel_latency": {"k": {"total_latency": 1, "latency": []}}}"#, &["kernel k", "1 to 64"]);
        check(
            launches,
            r#"{"kernel_latency": {"k": {"total_latency": -1, "latency": [1]}}}"#,
            &["kernel k", "positive"],
        );
        let huge = launches.replace("64", "2000");
        check(&huge, r#"{"kernel_latency": {"k": {"total_latency": 1, "latency": [1]}}}"#, &["2000 threads"]);
    }
}
