//! `cotenant interleave`: a schedule for one round of all tenants of a scenario, measured against what is done without.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args as ClapArgs;
use indicatif::ProgressBar;

use super::device::DeviceArg;
use super::error::CliError;
use super::report::{Report, progress, to_json};
use super::run::{Files, writable};
use super::table::{Table, number};
use crate::engine::interleaving::{
    CostKind, InterleaveOptions, InterleaveReport, InterleaveStage, Participant, interleave,
};
use crate::engine::run::inputs;
use crate::engine::run::load::tenant_graph;
use crate::engine::scenario::Scenario;
use crate::interleave::StoredSchedule;
use crate::tensor::Nanos;
use crate::timeline::{ClockKind, perfetto, svg};

/// Find a schedule for one round of all tenants, against sequential and naive baselines
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// A scenario file; its tenants take part with one request each
    scenario: PathBuf,
    /// Instead of the scenario's device
    #[arg(long, short, value_name = "DEVICE")]
    device: Option<String>,
    /// The search
    #[arg(long, value_name = "SEARCH", default_value = "greedy")]
    search: String,
    /// What the search minimises: times counted from those of single launches, measured ones of whole schedules, or counted ones
    /// corrected by measured stages [counted, measured, learned]
    #[arg(long, value_name = "COST", default_value_t)]
    cost: CostKind,
    /// Schedules and stages that the search may cost [default: 2000, or 40 with --cost measured]
    #[arg(long, value_name = "N")]
    budget: Option<u64>,
    /// Instead of the scenario's seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Paired rounds of the measurement
    #[arg(long, value_name = "R", default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Lanes of the schedule at most: on wgpu each is a logical device. `run --schedule` takes schedules of one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    lanes: Option<u32>,
    /// Bind each tenant's memory on its own, for tenants that do not trust each other
    #[arg(long)]
    isolated: bool,
    /// Measure this stored schedule instead of looking for one
    #[arg(long, value_name = "F", conflicts_with = "lanes")]
    schedule: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
    /// Write the schedule here, to be given to --schedule again
    #[arg(long, value_name = "F")]
    out: Option<PathBuf>,
}

/// The answer.
#[derive(Debug)]
pub struct Interleaved {
    report: InterleaveReport,
    out: Option<PathBuf>,
}

/// Looks for a schedule and measures it.
///
/// # Errors
/// [`CliError`]: what is wrong with the scenario, its models, the stored schedule or the device.
pub fn run(args: &Args) -> Result<Interleaved, CliError> {
    let scenario = Scenario::load(&args.scenario)?;
    let device = DeviceArg { device: args.device.clone().unwrap_or_else(|| scenario.device.clone()) };
    device.only_one()?;
    let seed = args.seed.unwrap_or(scenario.seed);
    for (option, path) in [("--out", &args.out), ("--trace", &args.files.trace), ("--svg", &args.files.svg)] {
        if let Some(path) = path {
            writable(option, path)?;
        }
    }
    let stored = args.schedule.as_deref().map(read_schedule).transpose()?;
    let mut participants = Vec::with_capacity(scenario.tenants.len());
    for at in 0..scenario.tenants.len() {
        let (graph, given) = tenant_graph(&scenario, at)?;
        let inputs = given.unwrap_or_else(|| inputs::drawn(&graph.input_ports(), seed));
        participants.push(Participant { name: scenario.tenants[at].name.clone(), graph: Arc::new(graph), inputs });
    }
    let options = InterleaveOptions {
        device: device.device,
        search: args.search.clone(),
        cost: args.cost,
        evaluations: args.budget.unwrap_or(args.cost.evaluations()),
        seed,
        rounds: args.rounds as usize,
        lanes_max: args.lanes.map(|n| n as usize),
        isolated: args.isolated,
        stored,
        drawn: args.files.trace.is_some() || args.files.svg.is_some(),
    };
    let bar = progress(1);
    let report = interleave(&participants, &options, &mut |stage| show(&bar, &stage))?;
    bar.finish_and_clear();
    if let Some(path) = &args.out {
        let text = serde_json::to_string_pretty(&report.schedule)
            .map_err(|e| CliError::Failed(format!("the schedule is no JSON: {e}")))?;
        perfetto::replace_file(path, |out| out.write_all(text.as_bytes()))
            .map_err(|e| CliError::Failed(format!("--out {}: {e}", path.display())))?;
    }
    draw(&report, &args.files)?;
    Ok(Interleaved { report, out: args.out.clone() })
}

/// Writes the files of the timed rounds.
fn draw(report: &InterleaveReport, files: &Files) -> Result<(), CliError> {
    let Some(timeline) = &report.timeline else {
        if files.trace.is_some() || files.svg.is_some() {
            tracing::warn!("the device tells no times of launches, so there is no trace");
        }
        return Ok(());
    };
    let end = timeline.bounds().map_or(Nanos(0), |(_, end)| end);
    let failed =
        |option: &str, path: &Path, e: io::Error| CliError::Failed(format!("{option} {}: {e}", path.display()));
    if let Some(path) = &files.trace {
        perfetto::write_file(timeline, path).map_err(|e| failed("--trace", path, e))?;
    }
    if let Some(path) = &files.svg {
        let picture = svg::render(timeline, Nanos(0)..end);
        perfetto::replace_file(path, |out| out.write_all(picture.as_bytes())).map_err(|e| failed("--svg", path, e))?;
    }
    Ok(())
}

/// Reads a schedule that `--out` wrote.
pub(super) fn read_schedule(path: &Path) -> Result<StoredSchedule, CliError> {
    let bad = |what: String| CliError::Input(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| bad(format!("{e}; allowed is a file that `interleave --out` wrote")))
}

fn show(bar: &ProgressBar, stage: &InterleaveStage) {
    match stage {
        InterleaveStage::Loading => bar.set_message("loading"),
        InterleaveStage::Launches(tenant) => bar.set_message(format!("measuring the launches of {tenant}")),
        InterleaveStage::Form(form) => bar.set_message(format!("preparing {form}")),
        InterleaveStage::Rounds(done, all) => {
            bar.set_length(*all as u64);
            bar.set_position(*done as u64);
            bar.set_message("rounds");
        }
    }
}

impl Report for Interleaved {
    fn json(&self) -> serde_json::Result<String> {
        to_json(&self.report)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let r = &self.report;
        let clock = if r.clock == ClockKind::Virtual { "simulated" } else { "measured" };
        writeln!(out, "{} ({clock}), one request of each of {} tenants\n", r.device.name, r.tenants.len())?;
        let mut table = Table::new(&["round", "ms", "over best"]);
        let rows = [
            ("sequential", Some(r.sequential_ms)),
            ("sequential, one worker", r.single_worker_ms),
            ("naive interleaving", Some(r.naive_ms)),
            ("a device per tenant", Some(r.per_device_ms)),
            ("best", Some(r.best_ms)),
            ("bound", Some(r.bound_ms)),
            ("bound by peak rates", Some(r.peak_bound_ms)),
        ];
        for (name, ms) in rows.into_iter().filter_map(|(name, ms)| Some((name, ms?))) {
            table.row([name.into(), number(Some(ms)), number(Some(ms / r.best_ms))]);
        }
        table.print(out)?;
        writeln!(
            out,
            "\nbest: {} ({} lanes, {} stages); {:.3} of {} ({:.3} to {:.3} in {} paired rounds), {:.2} times as fast as sequential",
            r.form,
            r.lanes,
            r.stages,
            r.ratio,
            r.fastest_baseline,
            r.ratio_interval[0],
            r.ratio_interval[1],
            r.rounds,
            r.speedup
        )?;
        writeln!(out, "outputs are equal bit for bit under all {} forms; {} CPU nodes", r.forms.len(), r.cpu_nodes)?;
        if let (Some(n), Some(error), Some(counted)) = (r.stages_measured, r.cost_error, r.counted_error) {
            let (error, counted) = (error * 100.0, counted * 100.0);
            writeln!(
                out,
                "learned from {n} stages, each predicted first: off by {error:.0} % (median), counting by {counted:.0} %"
            )?;
        }
        if let Some(path) = &self.out {
            writeln!(out, "the schedule is in {}", path.display())?;
        }
        Ok(())
    }
}
