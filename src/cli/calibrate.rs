//! `cotenant calibrate`: measures a device and writes its simulated twin, which `--device sim:FILE` opens and
//! `cotenant run --twin FILE` compares with the device.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::date::today;
use super::device::DeviceArg;
use super::error::CliError;
use super::model::{ShapeArgs, source};
use super::report::{Report, device_info, progress, to_json};
use super::table::{Table, number};
use crate::engine::calibrate::{CalibrateError, CalibrateStage, Plan, ROUNDS, calibrate};
use crate::engine::device;
use crate::engine::run::load::tenant_graph;
use crate::engine::scenario::Scenario;
use crate::graph::{Graph, load};
use crate::hal::WallClock;
use crate::hal::sim::Profile;
use crate::timeline::{DeviceInfo, perfetto};

/// Models whose kernels are timed where none are named: the kinds of layers that there are, small and middling.
const MODELS: [&str; 7] = ["mobilenet_v2", "resnet18", "bert_tiny", "lstm", "dlrm", "keyword_spotting", "inception_v3"];

/// Rounds with `--quick`.
const ROUNDS_QUICK: usize = 2;

/// Measure a device and write its simulated twin
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Models whose kernels are timed; without any, and without a scenario, a set of built-in ones
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// Also time the kernels of this scenario's models
    #[arg(long, value_name = "SCENARIO")]
    scenario: Option<PathBuf>,
    /// The profile to write
    #[arg(long, value_name = "PROFILE.toml")]
    out: PathBuf,
    /// Measure everything twice only: for trying it out
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    device: DeviceArg,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Measured {
    device: DeviceInfo,
    out: PathBuf,
    date: String,
    models: Vec<String>,
    /// Kernels with a time of their own.
    kernels: usize,
    figures: Vec<Quantity>,
}

/// A number of the profile.
#[derive(Debug, Serialize)]
struct Quantity {
    /// Its field.
    field: &'static str,
    /// What it is.
    what: &'static str,
    value: f64,
    /// Where it is from.
    source: String,
}

/// Measures.
///
/// # Errors
/// [`CliError`]: what is wrong with the arguments, a model or the device. No part of a file is left behind, and a file that
/// was there stays as it was.
pub fn run(args: &Args) -> Result<Measured, CliError> {
    super::run::writable("--out", &args.out)?;
    if args.out.extension().is_none_or(|e| e != "toml") {
        let what = format!("--out {}: allowed is a name that ends in .toml", args.out.display());
        return Err(CliError::Input(what));
    }
    args.device.only_one()?;
    let models = models(args)?;
    let mut device = device::open(&args.device.device, WallClock::start())?;
    let name = args.out.file_stem().map_or("twin".into(), |stem| stem.to_string_lossy().into_owned());
    let date = today();
    let bar = progress(models.len() + 2);
    let rounds = if args.quick { ROUNDS_QUICK } else { ROUNDS };
    let plan = Plan { name: &name, date: &date, models: &models, rounds };
    let calibrated = calibrate(&mut *device, &plan, &mut |stage| match stage {
        CalibrateStage::Rates => bar.set_message("rates of arithmetic and copies"),
        CalibrateStage::Overheads => {
            bar.set_position(1);
            bar.set_message("submissions, copies, the engine");
        }
        CalibrateStage::Model(at, model) => {
            bar.set_position(at as u64 + 2);
            bar.set_message(format!("kernels of {model}"));
        }
    });
    bar.finish_and_clear();
    let calibrated = calibrated.map_err(|e| match e {
        CalibrateError::NoKernels { .. } => CliError::Input(format!("--device: {e}")),
        CalibrateError::Model { model, source } => {
            let model = format!("{model}: ");
            match CliError::from(*source) {
                CliError::Input(what) => CliError::Input(model + &what),
                other => CliError::Failed(model + &other.to_string()),
            }
        }
        _ => CliError::Failed(e.to_string()),
    })?;
    let text = calibrated.to_toml();
    // What could not be read again would be no twin.
    Profile::parse(&args.out.display().to_string(), &text).map_err(|e| CliError::Failed(e.to_string()))?;
    perfetto::replace_file(&args.out, |out| out.write_all(text.as_bytes()))
        .map_err(|e| CliError::Failed(format!("--out {}: {e}", args.out.display())))?;
    let p = &calibrated.profile;
    let rows = [
        ("compute.fp32_tflops", "multiply-adds, TFLOP/s", p.compute.fp32_tflops),
        ("compute.achievable", "part of it that kernels reach", p.compute.achievable),
        ("memory.gbs", "copies on the device, GB/s", p.memory.gbs),
        ("memory.achievable", "part of it that kernels reach", p.memory.achievable),
        ("launch.submit_us", "host, a submission, µs", p.launch.submit_us),
        ("launch.encode_us", "host, a launch, µs", p.launch.encode_us),
        ("launch.gap_us", "device, a launch, µs", p.launch.gap_us),
        ("launch.begin_us", "device, a submission, µs", p.launch.begin_us),
        ("launch.notice_us", "until the host knows the end, µs", p.launch.notice_us),
        ("copy.to_device_gbs", "uploads, GB/s", p.copy.to_device_gbs),
        ("copy.to_host_gbs", "reads, GB/s", p.copy.to_host_gbs),
        ("copy.latency_us", "a copy beside its bytes, µs", p.copy.latency_us),
        ("cpu.operator_us", "an operator on the CPU, µs", p.cpu.operator_us),
        ("cpu.gflops", "arithmetic on the CPU, one thread, GFLOP/s", p.cpu.gflops),
        ("cpu.gbs", "bytes on the CPU, one thread, GB/s", p.cpu.gbs),
    ];
    let source = |field| calibrated.sources.get(field).cloned().unwrap_or_default();
    Ok(Measured {
        device: device_info(device.caps()),
        out: args.out.clone(),
        date,
        models: models.into_iter().map(|(name, _)| name).collect(),
        kernels: p.kernels.len(),
        figures: rows.map(|(field, what, value)| Quantity { field, what, value, source: source(field) }).into(),
    })
}

fn models(args: &Args) -> Result<Vec<(String, Arc<Graph>)>, CliError> {
    let mut models = Vec::new();
    let named: Vec<String> = match (args.models.is_empty(), &args.scenario) {
        (true, None) => MODELS.iter().map(|name| format!("zoo:{name}")).collect(),
        _ => args.models.clone(),
    };
    for name in named {
        let graph = load(&source(&name)?, &ShapeArgs::default().options()?)?;
        models.push((name, Arc::new(graph)));
    }
    if let Some(path) = &args.scenario {
        let scenario = Scenario::load(path)?;
        for (at, tenant) in scenario.tenants.iter().enumerate() {
            let (graph, _) = tenant_graph(&scenario, at)?;
            models.push((tenant.model.to_string(), Arc::new(graph)));
        }
    }
    Ok(models)
}

impl Report for Measured {
    fn json(&self) -> serde_json::Result<String> {
        to_json(self)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let device = &self.device;
        writeln!(out, "{} ({}, {}), measured on {}\n", device.name, device.backend, device.driver, self.date)?;
        let mut table = Table::new(&["what", "value", "from"]);
        for figure in &self.figures {
            table.row([figure.what.into(), number(Some(figure.value)), figure.source.clone()]);
        }
        table.print(out)?;
        let (kernels, models, path) = (self.kernels, self.models.len(), self.out.display());
        writeln!(
            out,
            "\n{kernels} kernels of {models} models have a time of their own; all others are counted at these rates"
        )?;
        writeln!(out, "not measured: clock, memory size, caches, power (so no energy)")?;
        writeln!(out, "twin: {path}. Next: cotenant run SCENARIO --device \"wgpu:{}\" --twin {path}", device.name)
    }
}
