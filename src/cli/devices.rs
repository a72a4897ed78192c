//! `cotenant devices`: every device of this machine with its capabilities (the survey's Table II), limits and quirks,
//! those that can be simulated, and the backends that this build lacks, with the reason.

use std::io::{self, Write};

use clap::Args as ClapArgs;
use serde::Serialize;

use super::error::CliError;
use super::report::{Report, to_json};
use super::table::{Table, bytes, yes};
use crate::engine::device;
use crate::hal::sim::{PROFILES, Profile};
use crate::hal::{DeviceCaps, WallClock};

/// Every device of this machine, with what it can do
#[derive(ClapArgs, Debug)]
pub struct Args {}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Devices {
    devices: Vec<DeviceCaps>,
    simulated: Vec<Simulated>,
    unavailable: Vec<Absent>,
}

/// A device that is not here but can be simulated.
#[derive(Debug, Serialize)]
struct Simulated {
    device: String,
    description: String,
}

#[derive(Debug, Serialize)]
struct Absent {
    backend: &'static str,
    reason: String,
}

/// Finds them.
///
/// # Errors
/// [`CliError::Unavailable`] for an adapter that is found and cannot be opened.
pub fn run(_args: &Args) -> Result<Devices, CliError> {
    let mut found: Vec<DeviceCaps> = Vec::new();
    let clock = WallClock::start();
    for device in device::open_all(clock).into_iter().chain([device::open("null", clock)]) {
        found.push(device?.caps().clone());
    }
    let mut unavailable = Vec::new();
    if !found.iter().any(|caps| caps.backend == "wgpu") {
        let reason = device::open("wgpu", clock).err().map_or(String::new(), |e| e.to_string());
        unavailable.push(Absent { backend: "wgpu", reason });
    }
    let reason = device::open("cuda", clock).err().map_or(String::new(), |e| e.to_string());
    unavailable.push(Absent { backend: "cuda", reason });
    let mut simulated = Vec::new();
    for (name, _) in PROFILES {
        let profile = Profile::find(name).map_err(|e| CliError::Input(e.to_string()))?;
        simulated.push(Simulated { device: format!("sim:{name}"), description: profile.description });
    }
    Ok(Devices { devices: found, simulated, unavailable })
}

impl Report for Devices {
    fn json(&self) -> serde_json::Result<String> {
        to_json(self)
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut names = Table::new(&["#", "backend", "name", "driver", "kind"]);
        for (at, caps) in self.devices.iter().enumerate() {
            let kind = word(&caps.kind);
            names.row([at.to_string(), caps.backend.into(), caps.name.clone(), caps.driver.clone(), kind]);
        }
        names.print(out)?;
        writeln!(out)?;
        let numbers: Vec<String> = (0..self.devices.len()).map(|at| format!("#{at}")).collect();
        let mut columns = vec!["capability"];
        columns.extend(numbers.iter().map(String::as_str));
        let mut table = Table::new(&columns);
        for (name, show) in ROWS {
            table.row([name.to_string()].into_iter().chain(self.devices.iter().map(show)));
        }
        table.print(out)?;
        writeln!(out)?;
        let mut simulated = Table::new(&["simulated", "what it is"]);
        for s in &self.simulated {
            simulated.row([s.device.clone(), s.description.clone()]);
        }
        simulated.print(out)?;
        writeln!(out)?;
        for absent in &self.unavailable {
            writeln!(out, "{}: {}", absent.backend, absent.reason)?;
        }
        Ok(())
    }
}

/// A capability: what it is called and how a device's value is shown.
type Row = (&'static str, fn(&DeviceCaps) -> String);

/// The survey's Table II first, then what kernels must know.
const ROWS: &[Row] = &[
    ("partition type", |c| word(&c.partition)),
    ("partitions at once", |c| some(c.partitions_max, "unlimited")),
    ("SM isolation", |c| yes(c.sm_isolation)),
    ("bandwidth isolation", |c| yes(c.bandwidth_isolation)),
    ("performance QoS", |c| yes(c.performance_qos)),
    ("reconfiguration", |c| c.reconfiguration.into()),
    ("preemption", |c| word(&c.preemption)),
    ("priority levels", |c| c.priority_levels.to_string()),
    ("lanes at once", |c| if c.lanes_max == u32::MAX { "unlimited".into() } else { c.lanes_max.to_string() }),
    ("compute units", |c| some(c.compute_units, "unknown")),
    ("subgroup", |c| some(c.subgroup, "-")),
    ("timestamps", |c| yes(c.timestamps)),
    ("f16", |c| yes(c.f16)),
    ("64-bit integers", |c| yes(c.int64)),
    ("binding", |c| bytes(c.limits.binding_bytes_max)),
    ("storage buffers", |c| c.limits.storage_buffers_max.to_string()),
    ("invocations", |c| c.limits.invocations_max.to_string()),
    ("workgroup memory", |c| bytes(u64::from(c.limits.workgroup_bytes_max))),
    ("workgroups", |c| c.limits.workers_max.to_string()),
    ("quirks", quirks),
];

fn quirks(caps: &DeviceCaps) -> String {
    let mut quirks = Vec::new();
    if let Some(n) = caps.quirks.loop_iterations_max {
        quirks.push(format!("leaves loops after {n} iterations"));
    }
    if caps.quirks.slow_pipelines {
        quirks.push("slow pipeline creation".into());
    }
    if caps.quirks.compiles_at_dispatch {
        quirks.push("compiles at the first dispatch".into());
    }
    if quirks.is_empty() { "-".into() } else { quirks.join(", ") }
}

fn some(value: Option<u32>, none: &str) -> String {
    value.map_or_else(|| none.into(), |v| v.to_string())
}

/// The word by which JSON names a value.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default()
}
