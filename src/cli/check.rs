//! `cotenant check`: runs case folders on a device and compares their outputs with the stored ones.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::case::{self, Case, Set};
use super::compare::distance;
use super::device::DeviceArg;
use super::error::CliError;
use super::report::{Report, progress, to_json};
use super::table::{Table, number};
use crate::engine::{Engine, TenantSpec};
use crate::tensor::show_shape;
use crate::timeline::DeviceInfo;

/// Relative error that passes where neither `--limit` nor `meta.json` says otherwise.
const LIMIT: f64 = 1e-3;

/// Run models on stored inputs and compare with stored outputs
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Folders with model.onnx, input_0.npy …, output_0.npy …, and perhaps alt/ and meta.json
    #[arg(required = true, value_name = "CASE")]
    cases: Vec<PathBuf>,
    #[command(flatten)]
    device: DeviceArg,
    /// Relative error that passes where meta.json has no max_rel_error [default: 0.001]
    #[arg(long, value_name = "E")]
    limit: Option<f64>,
}

/// The answer for one device.
#[derive(Debug, Serialize)]
pub struct OnDevice {
    device: DeviceInfo,
    cases: Vec<Row>,
    passed: usize,
    failed: usize,
}

/// A case and set.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    set: &'static str,
    outputs: Vec<Output>,
    limit: f64,
    cpu_nodes: Option<usize>,
    pass: bool,
    error: Option<String>,
    #[serde(skip)]
    bad_input: bool,
}

#[derive(Debug, Serialize)]
struct Output {
    name: String,
    shape: Vec<usize>,
    max_abs_err: f64,
    rel_err: f64,
}

/// The answer: a device, or each of several.
#[derive(Debug)]
pub struct Checked {
    all: bool,
    devices: Vec<OnDevice>,
}

/// Checks every case on every device asked for.
///
/// # Errors
/// [`CliError`] where no device opens or the limit makes no sense; what is wrong with a case is in its row.
pub fn run(args: &Args) -> Result<Checked, CliError> {
    if let Some(limit) = args.limit.filter(|limit| !(*limit > 0.0 && limit.is_finite())) {
        return Err(CliError::Input(format!("--limit {limit}: allowed is a number above 0")));
    }
    let specs = args.device.each();
    let bar = progress(specs.len() * args.cases.len());
    let mut devices = Vec::new();
    for spec in specs {
        let engine = Engine::open(&spec)?;
        let mut rows = Vec::new();
        for folder in &args.cases {
            bar.set_message(format!("{} on {}", folder.display(), engine.caps().name));
            rows.extend(check_case(folder, &engine, args.limit.unwrap_or(LIMIT)));
            bar.inc(1);
        }
        let passed = rows.iter().filter(|row| row.pass).count();
        let failed = rows.len() - passed;
        devices.push(OnDevice { device: engine.device_info(), cases: rows, passed, failed });
    }
    bar.finish_and_clear();
    Ok(Checked { all: args.device.is_all(), devices })
}

fn check_case(folder: &Path, engine: &Engine, limit: f64) -> Vec<Row> {
    let row = |set, limit| Row {
        model: name(folder),
        set,
        outputs: Vec::new(),
        limit,
        cpu_nodes: None,
        pass: false,
        error: None,
        bad_input: false,
    };
    let case = match Case::open(folder) {
        Ok(case) => case,
        Err(e) => return vec![row(".", limit).failed(&e)],
    };
    let limit = case.limit.unwrap_or(limit);
    let check = |name| {
        let mut row = row(name, limit);
        match case.set(name).and_then(|set| check_set(&case, &set, engine, &mut row)) {
            Ok(()) => row,
            Err(e) => row.failed(&e),
        }
    };
    case.sets().into_iter().map(check).collect()
}

/// What a case is called: its folder's own name.
fn name(folder: &Path) -> String {
    let absolute = folder.canonicalize().unwrap_or_else(|_| folder.into());
    absolute.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn check_set(case: &Case, set: &Set, engine: &Engine, row: &mut Row) -> Result<(), CliError> {
    let graph = Arc::new(case.load(set)?);
    let tenant = engine.load_graph(TenantSpec::new(&row.model, ""), graph.clone(), &mut |_| {})?;
    row.cpu_nodes = Some(tenant.recording().cpu_nodes());
    let outputs = tenant.infer(case::request(&graph, &set.inputs))?.wait()?.outputs;
    if outputs.len() != set.outputs.len() {
        let what = format!("it has {} outputs, {} are stored", outputs.len(), set.outputs.len());
        return Err(CliError::Input(format!("{}: {what}", case.folder.display())));
    }
    let mut wrong = Vec::new();
    for ((port, got), reference) in graph.output_ports().iter().zip(&outputs).zip(&set.outputs) {
        match distance(got, reference) {
            Ok(d) => {
                if let Some(apart) = d.apart {
                    wrong.push(format!("output {:?} is {apart}", port.name));
                } else if d.relative > row.limit {
                    wrong.push(format!(
                        "output {:?} is off by {:.3e}, allowed is {:.1e}",
                        port.name, d.relative, row.limit
                    ));
                }
                let shape = got.shape().to_vec();
                row.outputs.push(Output {
                    name: port.name.clone(),
                    shape,
                    max_abs_err: d.max_abs,
                    rel_err: d.relative,
                });
            }
            Err(what) => wrong.push(format!("output {:?}: {what}", port.name)),
        }
    }
    row.pass = wrong.is_empty();
    row.error = (!row.pass).then(|| wrong.join("; "));
    Ok(())
}

impl Row {
    fn failed(mut self, e: &CliError) -> Row {
        self.bad_input = matches!(e, CliError::Input(_));
        self.error = Some(e.to_string());
        self
    }

    /// The worst output's relative error.
    fn worst(&self) -> Option<f64> {
        self.outputs.iter().map(|o| o.rel_err).reduce(f64::max)
    }

    /// One word for tables: the worst error, or what happened instead.
    fn outcome(&self) -> String {
        match (self.pass, self.worst()) {
            (true, worst) => worst.map_or(number(None), error),
            (false, Some(worst)) => format!("{} FAIL", error(worst)),
            (false, None) => "error".into(),
        }
    }
}

/// An error as tables show it; the largest number there is stands for one that has no size.
fn error(value: f64) -> String {
    if value == f64::MAX { "no number".into() } else { number(Some(value)) }
}

impl Report for Checked {
    fn json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct All<'a> {
            devices: &'a [OnDevice],
            differences: Vec<Difference<'a>>,
            passed: usize,
            failed: usize,
        }
        match self.devices.as_slice() {
            [one] if !self.all => to_json(one),
            devices => {
                let sum = |count: fn(&OnDevice) -> usize| devices.iter().map(count).sum();
                let (passed, failed) = (sum(|d| d.passed), sum(|d| d.failed));
                to_json(&All { devices, differences: self.differences(), passed, failed })
            }
        }
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for on in &self.devices {
            writeln!(out, "{} ({}, {})", on.device.name, on.device.backend, on.device.driver)?;
            let mut table =
                Table::new(&["case", "set", "output", "shape", "max abs", "rel err", "limit", "CPU nodes", ""]);
            for row in &on.cases {
                let verdict = if row.pass { "pass" } else { "FAIL" };
                let cpu = row.cpu_nodes.map_or("-".into(), |n| n.to_string());
                let head = [row.model.clone(), row.set.into()];
                let tail = [number(Some(row.limit)), cpu, verdict.into()];
                if row.outputs.is_empty() {
                    let none = ["-", "-", "-", "-"].map(String::from);
                    table.row(head.iter().chain(&none).chain(&tail).cloned());
                }
                for o in &row.outputs {
                    let cells = [o.name.clone(), show_shape(&o.shape), error(o.max_abs_err), error(o.rel_err)];
                    table.row(head.iter().chain(&cells).chain(&tail).cloned());
                }
            }
            table.print(out)?;
            for row in on.cases.iter().filter(|row| !row.pass) {
                writeln!(out, "FAIL {} ({}): {}", row.model, row.set, row.error.as_deref().unwrap_or(""))?;
            }
            writeln!(out, "{} passed, {} failed\n", on.passed, on.failed)?;
        }
        self.print_differences(out)
    }

    fn complaint(&self) -> Option<String> {
        let bad = self.devices.iter().flat_map(|d| &d.cases).find(|row| row.bad_input)?;
        bad.error.clone()
    }

    fn status(&self) -> u8 {
        let rows = || self.devices.iter().flat_map(|d| &d.cases);
        match (rows().any(|row| row.bad_input), rows().all(|row| row.pass)) {
            (true, _) => 2,
            (false, false) => 1,
            (false, true) => 0,
        }
    }
}

/// A case whose outcome is not the same on all devices.
#[derive(Debug, Serialize)]
struct Difference<'a> {
    model: &'a str,
    set: &'static str,
    /// Per device, in their order.
    pass: Vec<bool>,
    /// Per device, the worst relative error; null where there were no outputs.
    rel_err: Vec<Option<f64>>,
    #[serde(skip)]
    outcomes: Vec<String>,
}

impl Checked {
    /// Where devices differ. Cases are in one order on all.
    fn differences(&self) -> Vec<Difference<'_>> {
        let [first, _, ..] = self.devices.as_slice() else { return Vec::new() };
        let differs = |(at, row): &(usize, &Row)| {
            let same = |d: &OnDevice| d.cases[*at].worst() == row.worst() && d.cases[*at].pass == row.pass;
            !self.devices.iter().all(same)
        };
        let difference = |(at, row): (usize, &'_ Row)| Difference {
            model: &first.cases[at].model,
            set: row.set,
            pass: self.devices.iter().map(|d| d.cases[at].pass).collect(),
            rel_err: self.devices.iter().map(|d| d.cases[at].worst()).collect(),
            outcomes: self.devices.iter().map(|d| d.cases[at].outcome()).collect(),
        };
        first.cases.iter().enumerate().filter(differs).map(difference).collect()
    }

    fn print_differences(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.devices.len() < 2 {
            return Ok(());
        }
        let mut header = vec!["case", "set"];
        header.extend(self.devices.iter().map(|d| d.device.name.as_str()));
        let mut table = Table::new(&header);
        for d in self.differences() {
            table.row([d.model.to_string(), d.set.into()].into_iter().chain(d.outcomes));
        }
        if table.is_empty() {
            return writeln!(out, "no device differs from another");
        }
        writeln!(out, "where devices differ, worst relative error:")?;
        table.print(out)
    }
}
