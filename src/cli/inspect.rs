//! `cotenant inspect`: what a model becomes on a device: operators, shapes, arithmetic, launches, memory, and which nodes
//! run on the CPU and why. `zoo:` lists the built-in models.

use std::io::{self, Write};

use clap::Args as ClapArgs;
use serde::Serialize;

use super::device::DeviceArg;
use super::error::CliError;
use super::model::{self, ShapeArgs};
use super::report::{Report, device_info, to_json};
use super::table::{Table, bytes, si};
use crate::graph::{Graph, Port, compile, load, zoo};
use crate::hal::{CostSource, Recording};
use crate::tensor::{TenantId, show_shape};
use crate::timeline::{ClockKind, DeviceInfo};

/// Show what a model becomes: operators, shapes, FLOPs, memory, launches, CPU nodes
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// An ONNX file, or zoo:NAME (`zoo:` lists the names)
    model: String,
    #[command(flatten)]
    shapes: ShapeArgs,
    #[command(flatten)]
    device: DeviceArg,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Inspected {
    /// The names behind `zoo:`.
    Zoo {
        /// Every entry.
        zoo: Vec<ZooRow>,
    },
    /// A model on a device.
    Model(Box<Model>),
}

/// A built-in model.
#[derive(Debug, Serialize)]
pub struct ZooRow {
    name: String,
    pattern: Option<String>,
    summary: &'static str,
    inputs: &'static [&'static str],
    parameters: u64,
}

/// A model on a device.
#[derive(Debug, Serialize)]
pub struct Model {
    model: String,
    device: DeviceInfo,
    inputs: Vec<PortRow>,
    outputs: Vec<PortRow>,
    nodes: Vec<NodeRow>,
    totals: Totals,
}

#[derive(Debug, Serialize)]
struct PortRow {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct NodeRow {
    name: String,
    op: String,
    #[serde(rename = "where")]
    place: &'static str,
    shape: Vec<usize>,
    flops: u64,
    bytes: u64,
    launches: usize,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Totals {
    flops: u64,
    bytes: u64,
    weight_bytes: u64,
    arena_bytes: u64,
    arena_bytes_without_reuse: u64,
    launches: usize,
    cpu_nodes: usize,
    /// On a simulated device, where it knows from what launches take.
    cost_source: Option<String>,
}

/// Loads and compiles the model.
///
/// # Errors
/// [`CliError`]: what is wrong with the name, the shapes, the model or the device.
pub fn run(args: &Args) -> Result<Inspected, CliError> {
    if args.model == "zoo:" {
        return Ok(Inspected::Zoo { zoo: zoo::list().iter().map(zoo_row).collect() });
    }
    let source = model::source(&args.model)?;
    let graph = load(&source, &args.shapes.options()?)?;
    let mut device = args.device.open()?;
    let compiled = compile(&graph, device.as_mut(), TenantId(0))?;
    let cost_source = match device.clock().kind() {
        // There installing is quick, and no kernel is compiled.
        ClockKind::Virtual => {
            let id = device.install(compiled.recording.clone(), &mut |_, _, _| {})?;
            CostSource::names(&device.cost_sources(id))
        }
        ClockKind::Wall => None,
    };
    let nodes = nodes(&compiled.recording);
    let totals = Totals {
        flops: nodes.iter().map(|n| n.flops).sum(),
        bytes: nodes.iter().map(|n| n.bytes).sum(),
        weight_bytes: compiled.memory.weight_bytes,
        arena_bytes: compiled.memory.arena_bytes,
        arena_bytes_without_reuse: compiled.memory.arena_bytes_without_reuse,
        launches: compiled.recording.launches(),
        cpu_nodes: compiled.recording.cpu_nodes(),
        cost_source,
    };
    Ok(Inspected::Model(Box::new(Model {
        model: args.model.clone(),
        device: device_info(device.caps()),
        inputs: graph.input_ports().into_iter().map(port_row).collect(),
        outputs: outputs(&graph),
        nodes,
        totals,
    })))
}

fn zoo_row(entry: &'static zoo::Entry) -> ZooRow {
    ZooRow {
        name: format!("zoo:{}", entry.name),
        pattern: entry.pattern(),
        summary: entry.summary,
        inputs: entry.inputs,
        parameters: entry.parameters,
    }
}

fn outputs(graph: &Graph) -> Vec<PortRow> {
    graph.output_ports().into_iter().map(port_row).collect()
}

fn port_row(port: Port) -> PortRow {
    PortRow { name: port.name, dtype: port.dtype.to_string(), shape: port.shape }
}

fn nodes(recording: &Recording) -> Vec<NodeRow> {
    let row = |operation: &crate::hal::Operation| NodeRow {
        name: operation.name.clone(),
        op: operation.kind.clone(),
        place: if operation.on_cpu() { "cpu" } else { "device" },
        shape: operation.outputs.first().map(|t| t.view.shape.clone()).unwrap_or_default(),
        flops: operation.flops,
        bytes: operation.bytes,
        launches: operation.launches.len(),
        reason: operation.reason.clone(),
    };
    recording.operations.iter().map(row).collect()
}

impl Report for Inspected {
    fn json(&self) -> serde_json::Result<String> {
        to_json(self)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Inspected::Zoo { zoo } => zoo_text(zoo, out),
            Inspected::Model(model) => model.text(out),
        }
    }
}

fn zoo_text(rows: &[ZooRow], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&["name", "weights", "inputs", "what"]);
    for row in rows {
        let what = match &row.pattern {
            Some(pattern) => format!("{} ({pattern})", row.summary),
            None => row.summary.into(),
        };
        table.row([row.name.clone(), si(row.parameters as f64), row.inputs.join(", "), what]);
    }
    table.print(out)
}

impl Model {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} on {} ({})\n", self.model, self.device.name, self.device.backend)?;
        for (what, ports) in [("input", &self.inputs), ("output", &self.outputs)] {
            for port in ports {
                writeln!(out, "{what:6}  {}  {} {}", port.name, port.dtype, show_shape(&port.shape))?;
            }
        }
        writeln!(out)?;
        let mut table = Table::new(&["node", "operator", "where", "shape", "FLOP", "bytes", "launches"]);
        for node in &self.nodes {
            table.row([
                node.name.clone(),
                node.op.clone(),
                node.place.into(),
                show_shape(&node.shape),
                si(node.flops as f64),
                bytes(node.bytes),
                node.launches.to_string(),
            ]);
        }
        table.print(out)?;
        let t = &self.totals;
        writeln!(out)?;
        writeln!(out, "arithmetic  {}FLOP in {} launches", spaced(si(t.flops as f64)), t.launches)?;
        writeln!(out, "weights     {}", bytes(t.weight_bytes))?;
        let (with, without) = (bytes(t.arena_bytes), bytes(t.arena_bytes_without_reuse));
        writeln!(out, "arena       {with}, without reuse {without}")?;
        if let Some(source) = &t.cost_source {
            writeln!(out, "simulated   with costs from {source}")?;
        }
        writeln!(out, "CPU nodes   {}", t.cpu_nodes)?;
        for node in self.nodes.iter().filter(|n| n.place == "cpu") {
            writeln!(out, "  {} ({}): {}", node.name, node.op, node.reason.as_deref().unwrap_or("it has no kernel"))?;
        }
        Ok(())
    }
}

/// `1.25 G` as `1.25 G`, `17` as `17 `: so that a unit can follow.
fn spaced(text: String) -> String {
    if text.ends_with(char::is_alphabetic) { text } else { text + " " }
}
