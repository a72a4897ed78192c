//! `cotenant bench`: the steady-state latency of one inference, upload and read-back included, beside what the device
//! reaches with nothing in the way, measured in the same call.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::case::{self, Case};
use super::device::DeviceArg;
use super::error::CliError;
use super::model::{self, ShapeArgs};
use super::report::{Report, progress, to_json};
use super::table::{Table, number};
use crate::engine::run::{inputs, output_sha256};
use crate::engine::{Engine, TenantSpec, device};
use crate::graph::{Graph, load};
use crate::hal::{Device, WallClock};
use crate::kernel::rates::Meter;
use crate::tensor::{HostTensor, Nanos, Share};
use crate::timeline::DeviceInfo;

/// Inferences before the first that is timed.
const WARM_UP_RUNS: usize = 3;

/// Most inferences that can be asked for.
const RUNS_MAX: usize = 1_000_000;

/// Measure the steady-state latency of one inference
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// An ONNX file, zoo:NAME, or a case folder, which gives shapes and inputs
    #[arg(value_name = "MODEL|CASE")]
    model: String,
    #[command(flatten)]
    shapes: ShapeArgs,
    #[command(flatten)]
    device: DeviceArg,
    /// Timed inferences
    #[arg(long, value_name = "R", default_value_t = 20)]
    runs: usize,
    /// Percentage of the device's workers that each launch may use
    #[arg(long, value_name = "PCT", default_value_t = 100.0)]
    share: f64,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Bench {
    model: String,
    device: DeviceInfo,
    share: f64,
    cpu_nodes: usize,
    /// The device computes: without that, times are those of the engine alone and there are no rates.
    computes: bool,
    output_sha256: Option<String>,
    runs: usize,
    median_ms: f64,
    min_ms: f64,
    launches: usize,
    gflop: f64,
    gflops: Option<f64>,
    device_peak_gflops: Option<f64>,
    device_sustained_gflops: Option<f64>,
    device_copy_gbs: Option<f64>,
}

/// Measures.
///
/// # Errors
/// [`CliError`]: what is wrong with the arguments, the model or the device.
pub fn run(args: &Args) -> Result<Bench, CliError> {
    if !(1..=RUNS_MAX).contains(&args.runs) {
        return Err(CliError::Input(format!("--runs {}: allowed is 1 to {RUNS_MAX}", args.runs)));
    }
    let share = Share::from_percent(args.share)
        .ok_or_else(|| CliError::Input(format!("--share {}: allowed is above 0 to 100", args.share)))?;
    let (graph, given) = model(args)?;
    let clock = WallClock::start();
    args.device.only_one()?;
    let device = device::open(&args.device.device, clock)?;
    let mut yardstick = match device.caps().runs_kernels() {
        true => Some(Yardstick::new(&args.device.device, clock)?),
        false => None,
    };
    let computes = device.caps().computes();
    let engine = Engine::builder().start_on(device)?;
    let spec = TenantSpec { share, ..TenantSpec::new(&args.model, "") };
    let tenant = engine.load_graph(spec, Arc::new(graph), &mut |_| {})?;
    let inputs = given.unwrap_or_else(|| inputs::drawn(&tenant.inputs(), 0));
    let bar = progress(args.runs);
    let mut times = Vec::with_capacity(args.runs);
    let mut first = Vec::new();
    for run in 0..WARM_UP_RUNS + args.runs {
        let begin = engine.now();
        let response = tenant.infer(inputs.clone())?.wait()?;
        let time = engine.now().since(begin);
        if run == 0 {
            first = response.outputs;
        }
        if let Some(yardstick) = &mut yardstick {
            yardstick.between_runs(run, WARM_UP_RUNS + args.runs, time)?;
        }
        if run >= WARM_UP_RUNS {
            times.push(time);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let rates = yardstick.as_ref().map(|yardstick| yardstick.meter.rates());
    times.sort_unstable();
    let median_ms = times[times.len() / 2].as_ms();
    let recording = tenant.recording();
    let gflop = recording.operations.iter().map(|o| o.flops).sum::<u64>() as f64 / 1e9;
    Ok(Bench {
        model: args.model.clone(),
        device: engine.device_info(),
        share: args.share,
        cpu_nodes: recording.cpu_nodes(),
        computes,
        output_sha256: computes.then(|| output_sha256(&first)),
        runs: args.runs,
        median_ms,
        min_ms: times.first().copied().map_or(0.0, Nanos::as_ms),
        launches: recording.launches(),
        gflop,
        gflops: (computes && median_ms > 0.0).then(|| gflop / (median_ms / 1e3)),
        device_peak_gflops: rates.map(|r| r.fma_gflops),
        device_sustained_gflops: yardstick.map(|yardstick| yardstick.meter.sustained_gflops()),
        device_copy_gbs: rates.map(|r| r.copy_gbs),
    })
}

/// Windows in which the device's own rates are taken, spread over the runs.
const RATE_WINDOWS: usize = 32;

/// The longest window; shorter ones are as long as the run before, so that both suffer alike from what else runs.
const RATE_WINDOW_MAX: Nanos = Nanos(100_000_000);

/// The device's own rates, taken between runs on a logical device of its own, when the engine has nothing to do.
struct Yardstick {
    device: Box<dyn Device>,
    meter: Meter,
}

impl Yardstick {
    fn new(spec: &str, clock: WallClock) -> Result<Yardstick, CliError> {
        let mut device = device::open(spec, clock)?;
        let meter = Meter::new(device.as_mut())?;
        Ok(Yardstick { device, meter })
    }

    /// Takes the windows that are due after run number `run` of `runs`, which took `time`.
    fn between_runs(&mut self, run: usize, runs: usize, time: Nanos) -> Result<(), CliError> {
        for _ in run * RATE_WINDOWS / runs..(run + 1) * RATE_WINDOWS / runs {
            self.meter.sample(self.device.as_mut(), time.min(RATE_WINDOW_MAX))?;
        }
        Ok(())
    }
}

/// The graph and, for a case, the inputs of its first set.
fn model(args: &Args) -> Result<(Graph, Option<Vec<HostTensor>>), CliError> {
    if !Case::is_case(&args.model) {
        return Ok((load(&model::source(&args.model)?, &args.shapes.options()?)?, None));
    }
    if !args.shapes.is_empty() {
        let what = format!("{}: a case folder gives the shapes; leave --dim and --shape out", args.model);
        return Err(CliError::Input(what));
    }
    let case = Case::open(Path::new(&args.model))?;
    let set = case.set(".")?;
    let graph = case.load(&set)?;
    let inputs = case::request(&graph, &set.inputs);
    Ok((graph, Some(inputs)))
}

impl Report for Bench {
    fn json(&self) -> serde_json::Result<String> {
        to_json(self)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} on {} ({}, {})\n", self.model, self.device.name, self.device.backend, self.device.driver)?;
        let mut table = Table::new(&["figure", "value"]);
        let mut row = |name: &str, value: String| table.row([name.into(), value]);
        row("median", format!("{:.3} ms", self.median_ms));
        row("fastest", format!("{:.3} ms", self.min_ms));
        row("runs", self.runs.to_string());
        row("share", format!("{}%", self.share));
        row("launches", self.launches.to_string());
        row("CPU nodes", self.cpu_nodes.to_string());
        row("arithmetic", format!("{:.4} GFLOP", self.gflop));
        row("rate", format!("{} GFLOP/s", number(self.gflops)));
        row("device, multiply-adds", format!("{} GFLOP/s", number(self.device_peak_gflops)));
        row("device, median of the call", format!("{} GFLOP/s", number(self.device_sustained_gflops)));
        row("device, copies", format!("{} GB/s", number(self.device_copy_gbs)));
        table.print(out)?;
        match &self.output_sha256 {
            Some(sha256) => writeln!(out, "\nfirst output  sha256 {sha256}"),
            None => writeln!(out, "\nthis device computes nothing: the times are those of the engine alone"),
        }
    }
}
