//! `cotenant calibrate`: measures a device and writes its simulated twin, which `--device sim:FILE` opens.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::device::DeviceArg;
use super::error::CliError;
use super::model::{ShapeArgs, source};
use super::report::{Report, progress, to_json};
use super::table::{Table, number};
use crate::engine::calibrate::{CalibrateError, CalibrateStage, calibrate};
use crate::engine::device;
use crate::engine::run::load::tenant_graph;
use crate::engine::scenario::Scenario;
use crate::graph::{Graph, load};
use crate::hal::WallClock;
use crate::timeline::{DeviceInfo, perfetto};

/// Models whose kernels are timed where none are named: the kinds of layers that there are, small and middling.
const MODELS: [&str; 7] = ["mobilenet_v2", "resnet18", "bert_tiny", "lstm", "dlrm", "keyword_spotting", "inception_v3"];

/// Measure a device and write its simulated twin
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Models whose kernels are timed; without any, a set of built-in ones
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// Also time the kernels of this scenario's models
    #[arg(long, value_name = "SCENARIO")]
    scenario: Option<PathBuf>,
    /// The profile to write
    #[arg(long, value_name = "PROFILE.toml")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceArg,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Calibrated {
    device: DeviceInfo,
    out: PathBuf,
    fma_gflops: f64,
    copy_gbs: f64,
    host_us: f64,
    gap_us: f64,
    kernels: usize,
}

/// Measures.
///
/// # Errors
/// [`CliError`]: what is wrong with the arguments, a model or the device. No part of a file is left behind.
pub fn run(args: &Args) -> Result<Calibrated, CliError> {
    super::run::writable("--out", &args.out)?;
    args.device.only_one()?;
    let models = models(args)?;
    let mut device = device::open(&args.device.device, WallClock::start())?;
    let name = args.out.file_stem().map_or("twin".into(), |stem| stem.to_string_lossy().into_owned());
    let bar = progress(models.len() + 1);
    let profile = calibrate(&mut *device, &name, &models, &mut |stage| match stage {
        CalibrateStage::Rates => bar.set_message("rates of the device"),
        CalibrateStage::Model(at, model) => {
            bar.set_position(at as u64 + 1);
            bar.set_message(model.to_string());
        }
    });
    bar.finish_and_clear();
    let profile = profile.map_err(|e| match e {
        CalibrateError::NoKernels { .. } => CliError::Input(e.to_string()),
        _ => CliError::Failed(e.to_string()),
    })?;
    let text = profile.to_toml();
    perfetto::replace_file(&args.out, |out| out.write_all(text.as_bytes()))
        .map_err(|e| CliError::Failed(format!("--out {}: {e}", args.out.display())))?;
    let caps = device.caps();
    Ok(Calibrated {
        device: DeviceInfo { backend: caps.backend.into(), name: caps.name.clone(), driver: caps.driver.clone() },
        out: args.out.clone(),
        fma_gflops: profile.compute.fp32_tflops * 1e3,
        copy_gbs: profile.memory.gbs,
        host_us: profile.launch.host_us,
        gap_us: profile.launch.gap_us,
        kernels: profile.kernels.len(),
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
            models.push((tenant.name.clone(), Arc::new(graph)));
        }
    }
    Ok(models)
}

impl Report for Calibrated {
    fn json(&self) -> serde_json::Result<String> {
        to_json(self)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} ({}, {}), measured\n", self.device.name, self.device.backend, self.device.driver)?;
        let mut table = Table::new(&["FMA GFLOP/s", "copy GB/s", "host µs/launch", "gap µs/launch", "kernels"]);
        let figures = [self.fma_gflops, self.copy_gbs, self.host_us, self.gap_us].map(|v| number(Some(v)));
        table.row(figures.into_iter().chain([self.kernels.to_string()]));
        table.print(out)?;
        let path = self.out.display();
        writeln!(out, "\ntwin: {path}. Try: cotenant run SCENARIO --device {} --twin {path}", self.device.name)
    }
}
