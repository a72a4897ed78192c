//! `cotenant run`: the tenants of a scenario file on a device, under a policy; metrics and a trace.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use indicatif::ProgressBar;
use serde::Serialize;

use super::compare::distance;
use super::device::DeviceArg;
use super::error::CliError;
use super::interleave::read_schedule;
use super::report::{Report, progress, to_json};
use super::seeds::{self, Seeds};
use super::table::{Table, number};
use super::twin::{self, TwinError};
use crate::engine::LoadStage;
use crate::engine::run::{RunOptions, RunReport, RunStage, scenario};
use crate::engine::scenario::{Length, PolicySpec, Scenario};
use crate::service::policy::POLICIES;
use crate::tensor::{HostTensor, Nanos};
use crate::timeline::metrics::{RunMetrics, TenantMetrics};
use crate::timeline::{ClockKind, Timeline, perfetto, svg};

/// Events that a trace keeps; of longer runs the last ones.
const TRACE_EVENTS_MAX: usize = 1_000_000;

/// Run a scenario: tenants, arrivals, a policy; metrics
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// A scenario file
    #[arg(required_unless_present = "policy")]
    scenario: Option<PathBuf>,
    /// Instead of the scenario's device; `all` runs it on each
    #[arg(long, short, value_name = "DEVICE")]
    device: Option<String>,
    /// Instead of the scenario's policy; `help` lists them
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Instead of the scenario's seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run with this many seeds, one after another, and give confidence intervals [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: Option<u32>,
    /// Also run on this simulated twin (a profile that `calibrate` wrote) and give its error per tenant, over five seeds
    /// unless --seeds says how many
    #[arg(long, value_name = "PROFILE.toml")]
    twin: Option<String>,
    /// Submit the tenants' requests as this schedule says (`interleave --lanes 1 --out F`) whenever exactly its tenants have
    /// requests that have not begun; may be given several times
    #[arg(long, value_name = "F")]
    schedule: Vec<PathBuf>,
    #[command(flatten)]
    files: Files,
    /// Compute real outputs on simulated devices too; all others always do
    #[arg(long)]
    numerics: bool,
}

/// The files that a run may leave.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct Files {
    /// Write what happened as a trace, for ui.perfetto.dev and the app
    #[arg(long, value_name = "OUT.json")]
    pub trace: Option<PathBuf>,
    /// Draw it: of a run four tenths of a second from its middle
    #[arg(long, value_name = "OUT.svg")]
    pub svg: Option<PathBuf>,
}

/// The answer.
#[derive(Debug)]
pub enum Ran {
    /// The names of the policies.
    Policies,
    /// Metrics of a device, or of each of several.
    Devices {
        /// Whether each of several was asked for.
        all: bool,
        /// Per device, one for each seed.
        metrics: Vec<Vec<RunMetrics>>,
        /// How far the twin is from what it was made after.
        twins: Vec<TwinError>,
        /// How far the outputs of devices are from those of the first one.
        differences: Vec<Difference>,
        /// What else it left.
        files: Files,
    },
}

/// How far the first output of a tenant on one device is from that on the first device.
#[derive(Debug, Serialize)]
pub struct Difference {
    tenant: String,
    device: String,
    against: String,
    /// Largest absolute difference over the largest magnitude, as `check` measures it.
    rel_err: Option<f64>,
    /// Why there is no figure.
    error: Option<String>,
}

/// Runs the scenario.
///
/// # Errors
/// [`CliError`]: what is wrong with the scenario, its models or the device.
pub fn run(args: &Args) -> Result<Ran, CliError> {
    if args.policy.as_deref() == Some("help") {
        return Ok(Ran::Policies);
    }
    let Some(path) = &args.scenario else {
        return Err(CliError::Input("SCENARIO is missing: allowed is the path of a scenario file".into()));
    };
    let scenario = Scenario::load(path)?;
    for warning in scenario.warnings() {
        tracing::warn!("{warning}");
    }
    let device = DeviceArg { device: args.device.clone().unwrap_or_else(|| scenario.device.clone()) };
    let files_wanted = args.files.trace.is_some() || args.files.svg.is_some();
    if device.is_all() && files_wanted {
        let what = "--trace and --svg show one device; choose one instead of all";
        return Err(CliError::Input(what.into()));
    }
    let seeds = args.seeds.unwrap_or(1);
    if seeds > 1 && files_wanted {
        return Err(CliError::Input("--trace and --svg show one run; choose one seed".into()));
    }
    let twin = match &args.twin {
        Some(_) if device.is_all() => {
            return Err(CliError::Input("--twin compares one device with its twin; choose one instead of all".into()));
        }
        Some(twin) => Some(twin::check(twin, &device.device)?),
        None => None,
    };
    let policy = args.policy.as_ref().filter(|name| **name != scenario.policy.name);
    let options = RunOptions {
        policy: policy.map(|name| PolicySpec { name: name.clone(), options: toml::Table::new() }),
        numerics: args.numerics,
        schedules: args.schedule.iter().map(|path| read_schedule(path)).collect::<Result<_, _>>()?,
        ..RunOptions::default()
    };
    let first = args.seed.unwrap_or(scenario.seed);
    let mut metrics: Vec<Vec<RunMetrics>> = Vec::new();
    let mut first_outputs: Vec<Vec<Option<HostTensor>>> = Vec::new();
    // The scenario's own device keeps its place in the file for messages.
    let own = args.device.is_none() && !device.is_all();
    let devices = if own { vec![None] } else { device.each().into_iter().map(Some).collect() };
    let each_seed = || (0..u64::from(seeds)).map(|k| first.wrapping_add(k));
    for spec in devices {
        let mut seeds = Vec::new();
        for seed in each_seed() {
            let options = RunOptions { device: spec.clone(), seed: Some(seed), ..options.clone() };
            let (metrics, outputs) = run_traced(&scenario, options, &args.files)?;
            if seeds.is_empty() {
                first_outputs.push(outputs);
            }
            seeds.push(metrics);
        }
        metrics.push(seeds);
    }
    let differences = differences(&metrics, &first_outputs);
    let mut twins = Vec::new();
    if let Some(profile) = twin {
        // The files show the device.
        let options = RunOptions { device: Some(device.device.clone()), ..options };
        let seeds_min = if args.seeds.is_some() { 1 } else { twin::SEEDS };
        let (mut simulated, errors) = twin::compare(&scenario, &options, &profile, &metrics[0], seeds_min)?;
        simulated.truncate(metrics[0].len());
        twins = errors;
        metrics.push(simulated);
    }
    let all = device.is_all() || args.twin.is_some();
    Ok(Ran::Devices { all, metrics, twins, differences, files: args.files.clone() })
}

/// Compares every device's outputs with those of the first one.
fn differences(metrics: &[Vec<RunMetrics>], outputs: &[Vec<Option<HostTensor>>]) -> Vec<Difference> {
    let names: Vec<&str> = metrics.iter().filter_map(|seeds| Some(seeds.first()?.device.name.as_str())).collect();
    let mut all = Vec::new();
    for at in 1..outputs.len() {
        for (k, tenant) in metrics[0][0].tenants.iter().enumerate() {
            let compared = match (&outputs[at][k], &outputs[0][k]) {
                (Some(got), Some(reference)) => distance(got, reference).map(|d| d.relative),
                _ => Err("its request failed".into()),
            };
            let (rel_err, error) = compared.map_or_else(|what| (None, Some(what)), |e| (Some(e), None));
            let (device, against) = (names[at].to_string(), names[0].to_string());
            all.push(Difference { tenant: tenant.name.clone(), device, against, rel_err, error });
        }
    }
    all
}

/// Runs a scenario on one device and writes the files that are wanted.
///
/// # Errors
/// [`CliError`]; no part of a file is left behind.
pub fn run_traced(
    scenario: &Scenario,
    options: RunOptions,
    files: &Files,
) -> Result<(RunMetrics, Vec<Option<HostTensor>>), CliError> {
    let wanted = [("--trace", &files.trace), ("--svg", &files.svg)];
    let wanted: Vec<(&str, &Path)> = wanted.iter().filter_map(|(o, path)| Some((*o, path.as_deref()?))).collect();
    for (option, path) in &wanted {
        writable(option, path)?;
    }
    if let [(_, one), (_, other)] = wanted.as_slice()
        && one == other
    {
        let what = format!("--trace and --svg are both {}; give each a file of its own", one.display());
        return Err(CliError::Input(what));
    }
    let events_max = if wanted.is_empty() { None } else { Some(TRACE_EVENTS_MAX) };
    let options = RunOptions { timeline_events_max: events_max, ..options };
    let bar = progress(0);
    let report = self::scenario(scenario, &options, &mut |stage| show(&bar, scenario, stage));
    bar.finish_and_clear();
    let RunReport { metrics, timeline, policy_fault, first_outputs, .. } = report?;
    if let Some(fault) = policy_fault {
        tracing::warn!(
            "policy {}: {} decisions were refused; the first: {fault}",
            metrics.policy,
            metrics.policy_faults
        );
    }
    for (option, path) in wanted {
        let Some(timeline) = &timeline else { break };
        let written = match option {
            "--trace" => perfetto::write_file(timeline, path),
            _ => perfetto::replace_file(path, |out| out.write_all(picture(timeline, &metrics).as_bytes())),
        };
        written.map_err(|e| CliError::Failed(format!("{option} {}: {e}", path.display())))?;
        if option == "--trace" && timeline.dropped() > 0 {
            let (kept, dropped) = (timeline.len(), timeline.dropped());
            tracing::warn!("{} keeps the last {kept} events; {dropped} were dropped", path.display());
        }
    }
    Ok((metrics, first_outputs))
}

/// Whether a file can be made here, asked before the work and not after it.
pub fn writable(option: &str, path: &Path) -> Result<(), CliError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() || !folder.is_dir() {
        let what = if path.is_dir() { "a folder" } else { "its folder does not exist" };
        return Err(CliError::Input(format!("{option} {}: {what}; allowed is a new or an old file", path.display())));
    }
    match tempfile::Builder::new().prefix(".cotenant").tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(e) => Err(CliError::Input(format!("{option} {}: its folder takes no files: {e}", path.display()))),
    }
}

/// Four tenths of a second from the middle of the measured part, which is the last.
fn picture(timeline: &Timeline, metrics: &RunMetrics) -> String {
    let end = timeline.bounds().map_or(Nanos(0), |(_, end)| end);
    let start = end.since(Nanos::from_ms(metrics.elapsed_ms / 2.0));
    svg::render(timeline, start..start + Nanos::from_ms(400.0))
}

fn show(bar: &ProgressBar, scenario: &Scenario, stage: RunStage) {
    match stage {
        RunStage::Loading { tenant, tenant_idx, stage } => {
            bar.set_length(scenario.tenants.len() as u64);
            bar.set_position(tenant_idx as u64);
            bar.set_message(match stage {
                LoadStage::Reading => format!("reading {tenant}"),
                LoadStage::Compiling { done, total, kernel } => {
                    format!("{tenant}: pipeline {done} of {total}, {kernel}")
                }
            });
        }
        RunStage::WarmingUp { tenant } => bar.set_message(format!("{tenant} alone")),
        RunStage::Running { elapsed } => {
            bar.set_message("running, ms");
            if let Length::Duration(whole) = scenario.length {
                bar.set_length(whole.as_ms() as u64);
                bar.set_position(elapsed.as_ms().min(whole.as_ms()) as u64);
            }
        }
    }
}

impl Report for Ran {
    fn json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Policy {
            name: &'static str,
            summary: &'static str,
            options: &'static [&'static str],
        }
        #[derive(Serialize)]
        struct All<'a, T> {
            devices: Vec<T>,
            differences: &'a [Difference],
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            twin: &'a [TwinError],
        }
        match self {
            Ran::Policies => {
                let policy = |p: &'static crate::service::policy::PolicyEntry| Policy {
                    name: p.name,
                    summary: p.summary,
                    options: p.options,
                };
                to_json(&POLICIES.iter().map(policy).collect::<Vec<_>>())
            }
            Ran::Devices { all, metrics, differences, twins: twin, .. } => {
                let devices = metrics.iter().map(|seeds| Seeds::of(seeds)).collect::<Result<Vec<_>, _>>()?;
                match (all, metrics.iter().all(|seeds| seeds.len() == 1)) {
                    (false, true) => to_json(&metrics[0][0]),
                    (false, false) => to_json(&devices[0]),
                    (true, true) => {
                        to_json(&All { devices: metrics.iter().map(|seeds| &seeds[0]).collect(), differences, twin })
                    }
                    (true, false) => to_json(&All { devices, differences, twin }),
                }
            }
        }
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Ran::Policies => {
                let mut table = Table::new(&["policy", "what it does", "options"]);
                for p in POLICIES {
                    let options = if p.options.is_empty() { "-".into() } else { p.options.join(", ") };
                    table.row([p.name.into(), p.summary.into(), options]);
                }
                table.print(out)
            }
            Ran::Devices { metrics, differences, twins, files, .. } => {
                for seeds in metrics {
                    for metrics in seeds {
                        print(metrics, out)?;
                    }
                    if seeds.len() > 1 {
                        seeds::print(seeds, out)?;
                    }
                }
                if let [_, _, ..] = metrics.as_slice() {
                    print_devices(metrics, out)?;
                    print_differences(differences, out)?;
                    twin::print(twins, out)?;
                }
                if let Some(path) = &files.trace {
                    writeln!(out, "trace: {} (open it at ui.perfetto.dev)", path.display())?;
                }
                if let Some(path) = &files.svg {
                    writeln!(out, "picture: {}", path.display())?;
                }
                Ok(())
            }
        }
    }

    fn status(&self) -> u8 {
        match self {
            Ran::Policies => 0,
            Ran::Devices { metrics, .. } => metrics.iter().flatten().map(status).max().unwrap_or(0),
        }
    }
}

/// Requests that failed, or whose outputs were not those of the tenant alone, are a requirement that was not met.
pub fn status(metrics: &RunMetrics) -> u8 {
    u8::from(metrics.tenants.iter().any(|t| t.failed > 0 || t.mismatched > 0))
}

/// The tables of one run.
///
/// # Errors
/// What `out` reports.
pub fn print(metrics: &RunMetrics, out: &mut dyn Write) -> io::Result<()> {
    let device = &metrics.device;
    let measured = match metrics.clock {
        ClockKind::Wall => "measured",
        ClockKind::Virtual => "simulated",
    };
    writeln!(
        out,
        "{} ({}, {}), policy {}, seed {}",
        device.name, device.backend, device.driver, metrics.policy, metrics.seed
    )?;
    writeln!(out, "{measured} over {:.1} s\n", metrics.elapsed_ms / 1e3)?;
    // Where simulated times are from stands beside them.
    let simulated = metrics.clock == ClockKind::Virtual;
    let mut columns = vec![
        "tenant",
        "model",
        "requests",
        "done",
        "rejected",
        "failed",
        "req/s",
        "alone ms",
        "mean ms",
        "p50",
        "p95",
        "p99",
        "max",
        "SLO ms",
        "in SLO",
        "CPU nodes",
    ];
    columns.extend(simulated.then_some("costs from"));
    let mut table = Table::new(&columns);
    for t in &metrics.tenants {
        let source = simulated.then(|| t.cost_source.clone().unwrap_or_else(|| "-".into()));
        table.row(tenant_row(t).into_iter().chain(source));
    }
    table.print(out)?;
    let t = &metrics.totals;
    writeln!(out)?;
    let mut totals = Table::new(&[
        "completed",
        "req/s",
        "in SLO/s",
        "ANTT",
        "STP",
        "fairness",
        "Jain",
        "preemption p99 ms",
        "J/request",
        "device busy",
    ]);
    let busy = t.utilization.map_or("-".into(), |u| format!("{:.0}%", u * 100.0));
    let figures = [
        Some(t.throughput_rps),
        Some(t.goodput_rps),
        t.antt,
        t.stp,
        t.fairness,
        t.jain,
        t.preemption_ms.p99,
        t.energy_j_per_request,
    ]
    .map(number);
    totals.row([t.completed.to_string()].into_iter().chain(figures).chain([busy]));
    totals.print(out)?;
    match metrics.rounds {
        Some(0) => writeln!(
            out,
            "\nthe stored schedules were never used: exactly the tenants of one must have requests that have not begun"
        )?,
        Some(n) => writeln!(out, "\n{n} rounds by a stored schedule")?,
        None => {}
    }
    writeln!(out)
}

fn tenant_row(t: &TenantMetrics) -> Vec<String> {
    let counts = [t.requests, t.completed, t.rejected, t.failed].map(|n| n.to_string());
    let l = &t.latency_ms;
    let times = [Some(t.throughput_rps), t.solo_latency_ms, l.mean, l.p50, l.p95, l.p99, l.max].map(number);
    let kept = if t.requests == 0 { "-".into() } else { format!("{:.0}%", t.slo_attainment * 100.0) };
    let promise = [number(Some(t.slo_ms)), kept, t.cpu_nodes.to_string()];
    [t.name.clone(), t.model.clone()].into_iter().chain(counts).chain(times).chain(promise).collect()
}

/// Several devices side by side.
fn print_devices(all: &[Vec<RunMetrics>], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&["device", "completed", "req/s", "in SLO/s", "ANTT", "STP", "fairness"]);
    for metrics in all.iter().filter_map(|seeds| seeds.first()) {
        let t = &metrics.totals;
        let figures = [Some(t.throughput_rps), Some(t.goodput_rps), t.antt, t.stp, t.fairness].map(number);
        table.row([metrics.device.name.clone(), t.completed.to_string()].into_iter().chain(figures));
    }
    table.print(out)?;
    writeln!(out)
}

/// Where devices differ.
fn print_differences(differences: &[Difference], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = differences.first() else { return Ok(()) };
    writeln!(out, "first outputs against {}, relative error:", first.against)?;
    let mut table = Table::new(&["tenant", "device", "rel err"]);
    for d in differences {
        let figure = d.error.clone().unwrap_or_else(|| number(d.rel_err));
        table.row([d.tenant.clone(), d.device.clone(), figure]);
    }
    table.print(out)?;
    writeln!(out)
}

/// A length of time from seconds on the command line.
///
/// # Errors
/// [`CliError::Input`] naming the option.
pub fn seconds(option: &str, value: f64) -> Result<Nanos, CliError> {
    const SECONDS_MAX: f64 = 86_400.0;
    if value > 0.0 && value <= SECONDS_MAX {
        return Ok(Nanos::from_secs(value));
    }
    Err(CliError::Input(format!("{option} {value}: allowed is above 0 to {SECONDS_MAX}")))
}
