//! `cotenant conformance`: the tests that come with ONNX, on a device.
//!
//! A folder per test: `model.onnx` and `test_data_set_0/input_0.pb`, `output_0.pb` …. Whether a test is supported is
//! decided before anything is executed: types that we hold, an importer that takes the model. What runs must be right.

mod proto;
mod shape_like;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::case;
use super::compare::close;
use super::device::DeviceArg;
use super::error::CliError;
use super::onnx_head::OnnxHead;
use super::report::{Report, progress, to_json};
use super::table::Table;
use crate::engine::{Engine, Pending, TenantSpec};
use crate::graph::{Graph, GraphError, LoadOptions, ModelSource, load};
use crate::tensor::HostTensor;
use crate::timeline::DeviceInfo;

/// The tolerances of ONNX's own backend tests.
const RTOL: f64 = 1e-3;
const ATOL: f64 = 1e-7;

/// Run the ONNX backend tests in a folder
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// A folder of tests, each a folder with model.onnx and test_data_set_*/; or one test
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only tests whose name contains this
    #[arg(long, value_name = "SUBSTRING")]
    filter: Option<String>,
    #[command(flatten)]
    device: DeviceArg,
}

/// The answer for one device.
#[derive(Debug, Serialize)]
pub struct OnDevice {
    device: DeviceInfo,
    passed: usize,
    passed_on_device: usize,
    failed: usize,
    unsupported: usize,
    failures: Vec<Failure>,
    unsupported_ops: BTreeMap<String, usize>,
    unsupported_tests: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Failure {
    test: String,
    reason: String,
}

/// How a test ended.
#[derive(Debug)]
enum Outcome {
    /// True: with at least one launch and nothing on the CPU.
    Passed(bool),
    Failed(String),
    Unsupported {
        operators: Vec<String>,
        reason: String,
    },
}

/// The answer: a device, or each of several.
#[derive(Debug)]
pub struct Conformance {
    all: bool,
    devices: Vec<OnDevice>,
}

/// Runs the tests.
///
/// # Errors
/// [`CliError`] where no device opens or the folder holds no test; failures of tests are in the report.
pub fn run(args: &Args) -> Result<Conformance, CliError> {
    let tests = tests(&args.folder, args.filter.as_deref().unwrap_or(""))?;
    let specs = args.device.each();
    let bar = progress(tests.len() * specs.len());
    let mut devices = Vec::new();
    for spec in specs {
        let engine = Engine::open(&spec)?;
        let mut on = OnDevice::new(engine.device_info());
        for test in &tests {
            let name = name(test);
            bar.set_message(name.clone());
            on.count(name, run_test(test, &engine));
            bar.inc(1);
        }
        devices.push(on);
    }
    bar.finish_and_clear();
    Ok(Conformance { all: args.device.is_all(), devices })
}

/// The test folders, by name.
fn tests(folder: &Path, filter: &str) -> Result<Vec<PathBuf>, CliError> {
    let bad = |what: &str| CliError::Input(format!("{}: {what}", folder.display()));
    if folder.join("model.onnx").is_file() {
        return Ok(vec![folder.into()]);
    }
    let entries = fs::read_dir(folder).map_err(|e| bad(&format!("cannot be read: {e}")))?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut tests: Vec<PathBuf> = folders.filter(|path| path.join("model.onnx").is_file()).collect();
    if tests.is_empty() {
        return Err(bad("it holds no test; allowed is a folder of folders with model.onnx and test_data_set_0"));
    }
    tests.retain(|path| name(path).contains(filter));
    if tests.is_empty() {
        return Err(CliError::Input(format!(
            "--filter {filter:?}: no test of {} has this in its name",
            folder.display()
        )));
    }
    tests.sort();
    Ok(tests)
}

fn name(test: &Path) -> String {
    test.file_name().map_or_else(|| test.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn run_test(test: &Path, engine: &Engine) -> Outcome {
    let head = match OnnxHead::read(&test.join("model.onnx")) {
        Ok(head) => head,
        Err(e) => return Outcome::Failed(e.to_string()),
    };
    let mut on_device = true;
    let mut sets = 0;
    while test.join(format!("test_data_set_{sets}")).is_dir() {
        match run_set(test, &test.join(format!("test_data_set_{sets}")), &head, engine) {
            Outcome::Passed(this) => on_device &= this,
            other => return other,
        }
        sets += 1;
    }
    match sets {
        0 => Outcome::Failed("it has no test_data_set_0".into()),
        _ => Outcome::Passed(on_device),
    }
}

fn run_set(test: &Path, set: &Path, head: &OnnxHead, engine: &Engine) -> Outcome {
    let prepared =
        data(set, head).and_then(|(inputs, outputs)| Ok((Arc::new(graph(test, head, &inputs)?), inputs, outputs)));
    let (graph, inputs, outputs) = match prepared {
        Ok(prepared) => prepared,
        Err(unsupported) => return unsupported,
    };
    let tenant = match engine.load_graph(TenantSpec::new(&name(test), ""), graph.clone(), &mut |_| {}) {
        Ok(tenant) => tenant,
        Err(e) => return Outcome::Failed(e.to_string()),
    };
    let on_device = tenant.recording().launches() > 0 && tenant.recording().cpu_nodes() == 0;
    let got = tenant.infer(case::request(&graph, &inputs)).and_then(Pending::wait);
    match got.map_err(|e| e.to_string()).and_then(|got| compare(&graph, &got.outputs, &outputs)) {
        Ok(()) => Outcome::Passed(on_device),
        Err(reason) => Outcome::Failed(reason),
    }
}

fn compare(graph: &Graph, got: &[HostTensor], expected: &[HostTensor]) -> Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{} outputs, expected {}", got.len(), expected.len()));
    }
    for ((name, got), expected) in graph.output_names.iter().zip(got).zip(expected) {
        close(got, expected, RTOL, ATOL).map_err(|what| format!("output {name:?}: {what}"))?;
    }
    Ok(())
}

/// Inputs and outputs of a set, or why they cannot be held.
fn data(set: &Path, head: &OnnxHead) -> Result<(Vec<HostTensor>, Vec<HostTensor>), Outcome> {
    let unsupported = |reason: String| Outcome::Unsupported { operators: operators(head), reason };
    let read = |kind: &str, ports: &[&super::onnx_head::PortHead]| {
        let one = |(k, port): (usize, &&super::onnx_head::PortHead)| {
            let what = |reason: &str| format!("{kind} {:?}: {reason}", port.name);
            if port.dtype().is_none() {
                return Err(unsupported(what("not a tensor of an element type that we hold")));
            }
            proto::read(&set.join(format!("{kind}_{k}.pb"))).map_err(|e| Outcome::Failed(what(&e)))
        };
        ports.iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()
    };
    let outputs: Vec<_> = head.outputs().iter().collect();
    Ok((read("input", &head.inputs())?, read("output", &outputs)?))
}

/// The model at the shapes of the data: as it is, else with the inputs bound that decide shapes, else with all that may.
fn graph(test: &Path, head: &OnnxHead, inputs: &[HostTensor]) -> Result<Graph, Outcome> {
    let source = ModelSource::File(test.join("model.onnx"));
    let named = head.inputs().into_iter().map(|port| port.name.clone()).zip(inputs);
    let shapes = named.map(|(name, tensor)| (name, tensor.shape().to_vec())).collect();
    let mut options = LoadOptions { shapes, ..LoadOptions::default() };
    let mut last = match load(&source, &options) {
        Ok(graph) => return Ok(graph),
        Err(error) => error,
    };
    for constants in [shape_like::by_operator(head, inputs), shape_like::by_type(head, inputs)] {
        if constants.is_empty() || constants == options.constants {
            continue;
        }
        options.constants = constants;
        last = match load(&source, &options) {
            Ok(graph) => return Ok(graph),
            Err(error) => error,
        };
    }
    let operators = match &last {
        GraphError::Operator { operator, .. } => vec![operator.clone()],
        _ => operators(head),
    };
    Err(Outcome::Unsupported { operators, reason: last.to_string() })
}

/// The operators of a model, each once.
fn operators(head: &OnnxHead) -> Vec<String> {
    let mut names: Vec<String> = head.nodes().iter().map(|node| node.op_type.clone()).collect();
    names.sort();
    names.dedup();
    names
}

impl OnDevice {
    fn new(device: DeviceInfo) -> OnDevice {
        OnDevice {
            device,
            passed: 0,
            passed_on_device: 0,
            failed: 0,
            unsupported: 0,
            failures: Vec::new(),
            unsupported_ops: BTreeMap::new(),
            unsupported_tests: Vec::new(),
        }
    }

    fn count(&mut self, test: String, outcome: Outcome) {
        match outcome {
            Outcome::Passed(on_device) => {
                self.passed += 1;
                self.passed_on_device += usize::from(on_device);
            }
            Outcome::Failed(reason) => {
                self.failed += 1;
                self.failures.push(Failure { test, reason });
            }
            Outcome::Unsupported { operators, reason } => {
                self.unsupported += 1;
                for operator in operators {
                    *self.unsupported_ops.entry(operator).or_default() += 1;
                }
                self.unsupported_tests.push(Failure { test, reason });
            }
        }
    }
}

impl Report for Conformance {
    fn json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct All<'a> {
            devices: &'a [OnDevice],
        }
        match self.devices.as_slice() {
            [one] if !self.all => to_json(one),
            devices => to_json(&All { devices }),
        }
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for on in &self.devices {
            for failure in &on.failures {
                writeln!(out, "FAIL {}: {}", failure.test, failure.reason)?;
            }
            let mut operators: Vec<_> = on.unsupported_ops.iter().collect();
            operators.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
            let mut table = Table::new(&["operators of unsupported tests", "tests"]);
            for (name, count) in operators {
                table.row([name.clone(), count.to_string()]);
            }
            table.print(out)?;
        }
        let mut table = Table::new(&["device", "passed", "all on device", "failed", "unsupported"]);
        for on in &self.devices {
            let counts = [on.passed, on.passed_on_device, on.failed, on.unsupported];
            table.row([on.device.name.clone()].into_iter().chain(counts.map(|n| n.to_string())));
        }
        writeln!(out)?;
        table.print(out)
    }

    fn status(&self) -> u8 {
        u8::from(self.devices.iter().any(|on| on.failed > 0))
    }
}
