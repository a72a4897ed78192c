//! `cotenant demo`: four built-in tenants on the best device, for a few seconds; a table, a trace, and where to go next.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::device::DeviceArg;
use super::error::CliError;
use super::report::{Report, to_json};
use super::run::{Files, print, run_traced, seconds, status};
use crate::engine::demo;
use crate::engine::run::RunOptions;
use crate::engine::scenario::Length;
use crate::timeline::ClockKind;
use crate::timeline::metrics::RunMetrics;

/// See several models share this machine's best device
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(flatten)]
    device: DeviceArg,
    /// Length after warm-up
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    seconds: f64,
    /// Where the trace goes
    #[arg(long, value_name = "FILE", default_value = "cotenant-demo.trace.json")]
    trace: PathBuf,
    /// Draw four tenths of a second from the middle of the run
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The answer.
#[derive(Debug)]
pub struct Demo {
    metrics: RunMetrics,
    trace: PathBuf,
    /// It was left to the program which device, and there was none.
    settled: bool,
}

/// Runs the demo.
///
/// # Errors
/// [`CliError`]: what is wrong with the arguments or the device.
pub fn run(args: &Args) -> Result<Demo, CliError> {
    args.device.only_one()?;
    let scenario = demo::scenario(Length::Duration(seconds("--seconds", args.seconds)?))?;
    let options = RunOptions { device: Some(args.device.device.clone()), ..RunOptions::default() };
    let files = Files { trace: Some(args.trace.clone()), svg: args.svg.clone() };
    let (metrics, _) = run_traced(&scenario, options, &files)?;
    let settled = args.device.device == "auto" && metrics.clock == ClockKind::Virtual;
    Ok(Demo { metrics, trace: args.trace.clone(), settled })
}

impl Report for Demo {
    fn json(&self) -> serde_json::Result<String> {
        to_json(&self.metrics)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.settled {
            writeln!(
                out,
                "No GPU was found, not even a software one, so this is a simulation: what {} would do.",
                self.metrics.device.name
            )?;
            writeln!(
                out,
                "A software GPU is enough for a real one (Debian: apt-get install mesa-vulkan-drivers libvulkan1).\n"
            )?;
        }
        print(&self.metrics, out)?;
        writeln!(
            out,
            "\"alone ms\" is the latency of a lone request; ANTT is the mean slowdown against it, STP the sum of the speeds"
        )?;
        writeln!(out, "against it. Waiting counts, behind other models and behind a model's own requests alike.\n")?;
        writeln!(
            out,
            "The trace is in {}: open it with cotenant-app or at ui.perfetto.dev. Next:",
            self.trace.display()
        )?;
        writeln!(out, "  cotenant devices                    what this machine has")?;
        writeln!(out, "  cotenant inspect zoo:mobilenet_v2   what a model becomes")?;
        writeln!(out, "  cotenant run --policy help          who is served next")?;
        writeln!(out, "  cotenant run SCENARIO.toml          your own tenants")
    }

    fn status(&self) -> u8 {
        status(&self.metrics)
    }
}
