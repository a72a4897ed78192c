//! What a profile's numbers may be. Whatever passes here can be simulated: no division by zero, no time that is not a
//! number, no set of SMs beyond what sets hold.

use serde::Deserialize;

use super::profile::{CALIBRATION_FORMAT, Profile};
use super::sm_set::SMS_MAX;

/// Memory slices of a GPU with MIG.
pub(super) const MIG_MEMORY_SLICES: u32 = 8;

/// Compute slices of a GPU with MIG.
pub(super) const MIG_COMPUTE_SLICES: u32 = 7;

/// Longest time that a field of a profile may give, in ns: a thousand seconds.
const NS_MAX: f64 = 1e12;

type Problem = (&'static str, String);

/// Checks every field.
///
/// # Errors
/// The field with its section, and what is wrong.
pub(super) fn check(p: &Profile) -> Result<(), Problem> {
    let s = &p.sm;
    for (field, value, max) in [
        ("compute.sms", p.compute.sms, SMS_MAX),
        ("compute.saturating_warps", p.compute.saturating_warps, 1 << 16),
        ("sm.blocks", s.blocks, 1 << 16),
        ("sm.warp", s.warp, if s.threads == 0 { 1 } else { s.threads }),
        ("sm.register_granule", s.register_granule, 1 << 16),
        ("sm.warp_granule", s.warp_granule, 64),
        ("sm.shared_granule", s.shared_granule, 1 << 16),
        ("launch.queues", p.launch.queues, 1 << 16),
        ("launch.grids_max", p.launch.grids_max, 1 << 16),
        ("copy.engines", p.copy.engines, 64),
        ("cpu.threads", p.cpu.threads, 1 << 10),
        ("sharing.priority_levels", p.sharing.priority_levels, 1 << 16),
        ("device.storage_buffers_max", p.device.storage_buffers_max, u32::MAX),
        ("device.invocations_max", p.device.invocations_max, u32::MAX),
        ("device.workers_max", p.device.workers_max, u32::MAX),
    ] {
        if value == 0 || value > max {
            return Err((field, format!("found {value}, allowed is 1 to {max}")));
        }
    }
    if s.threads > 1 << 20 {
        return Err(("sm.threads", format!("found {}, allowed is 0 (no limit) to {}", s.threads, 1 << 20)));
    }
    let c = &p.compute;
    for (field, value) in [
        ("compute.clock_mhz", c.clock_mhz.unwrap_or(1.0)),
        ("compute.fp32_tflops", c.fp32_tflops),
        ("compute.tf32_tflops", c.tf32_tflops.unwrap_or(1.0)),
        ("compute.fp16_tflops", c.fp16_tflops.unwrap_or(1.0)),
        ("memory.gib", p.memory.gib.unwrap_or(1.0)),
        ("memory.gbs", p.memory.gbs),
        ("memory.sm_gbs", p.memory.sm_gbs),
        ("memory.l2_mib", p.memory.l2_mib.unwrap_or(1.0)),
        ("copy.to_device_gbs", p.copy.to_device_gbs),
        ("copy.to_host_gbs", p.copy.to_host_gbs),
        ("cpu.gflops", p.cpu.gflops),
        ("cpu.gbs", p.cpu.gbs),
        ("power.busy_w", p.power.as_ref().map_or(1.0, |p| p.busy_w)),
    ] {
        if !(value > 0.0 && value <= 1e9) {
            return Err((field, format!("found {value}, allowed is more than 0, at most 1e9")));
        }
    }
    for (field, value) in [
        ("compute.achievable", c.achievable),
        ("memory.achievable", p.memory.achievable),
        ("copy.pageable", p.copy.pageable),
    ] {
        if !(value > 0.0 && value <= 1.0) {
            return Err((field, format!("found {value}, allowed is more than 0, at most 1")));
        }
    }
    times(p)?;
    mig(p)
}

fn times(p: &Profile) -> Result<(), Problem> {
    for (field, value, unit_ns) in [
        ("launch.host_us", p.launch.host_us, 1e3),
        ("launch.submit_us", p.launch.submit_us, 1e3),
        ("launch.encode_us", p.launch.encode_us, 1e3),
        ("launch.begin_us", p.launch.begin_us, 1e3),
        ("launch.notice_us", p.launch.notice_us, 1e3),
        ("launch.gap_us", p.launch.gap_us, 1e3),
        ("launch.graph_us", p.launch.graph_us, 1e3),
        ("launch.graph_node_us", p.launch.graph_node_us, 1e3),
        ("launch.event_us", p.launch.event_us, 1e3),
        ("launch.block_floor_us", p.launch.block_floor_us, 1e3),
        ("copy.latency_us", p.copy.latency_us, 1e3),
        ("copy.host_us", p.copy.host_us, 1e3),
        ("cpu.operator_us", p.cpu.operator_us, 1e3),
        ("sharing.switch_us", p.sharing.switch_us, 1e3),
        ("sharing.mps_change_ms", p.sharing.mps_change_ms, 1e6),
        ("sharing.green_change_ms", p.sharing.green_change_ms, 1e6),
        ("sharing.mig_change_ms", p.sharing.mig_change_ms, 1e6),
        ("power.idle_w", p.power.as_ref().map_or(0.0, |p| p.idle_w), 1.0),
    ] {
        if !(value >= 0.0 && value * unit_ns <= NS_MAX) {
            return Err((field, format!("found {value}, allowed is 0 to {}", NS_MAX / unit_ns)));
        }
    }
    if !(p.sharing.time_slice_us >= 1.0 && p.sharing.time_slice_us * 1e3 <= NS_MAX) {
        let reason = format!("found {}, allowed is 1 to {}", p.sharing.time_slice_us, NS_MAX / 1e3);
        return Err(("sharing.time_slice_us", reason));
    }
    match p.kernels.iter().find(|k| !(k.ns > 0.0 && k.ns <= NS_MAX)) {
        Some(k) => {
            Err(("kernel.ns", format!("found {} for {:?}, allowed is more than 0, at most {NS_MAX}", k.ns, k.key)))
        }
        None => Ok(()),
    }
}

fn mig(p: &Profile) -> Result<(), Problem> {
    for m in &p.mig {
        if m.sms == 0 || m.sms > p.compute.sms {
            return Err(("mig.sms", format!("{}: found {}, allowed is 1 to {}", m.name, m.sms, p.compute.sms)));
        }
        if m.compute == 0 || m.compute > MIG_COMPUTE_SLICES {
            return Err((
                "mig.compute",
                format!("{}: found {}, allowed is 1 to {MIG_COMPUTE_SLICES}", m.name, m.compute),
            ));
        }
        if m.memory == 0 || m.memory > MIG_MEMORY_SLICES {
            return Err(("mig.memory", format!("{}: found {}, allowed is 1 to {MIG_MEMORY_SLICES}", m.name, m.memory)));
        }
        if m.starts.is_empty() || m.starts.iter().any(|&s| s + m.memory > MIG_MEMORY_SLICES) {
            let last = MIG_MEMORY_SLICES - m.memory;
            return Err(("mig.starts", format!("{}: found {:?}, allowed is 0 to {last}", m.name, m.starts)));
        }
    }
    Ok(())
}

/// Whether `calibrate` wrote a profile in the layout that this program reads. A profile without the mark was made by hand or by
/// a program that wrote none; its fields say which.
///
/// # Errors
/// The field, and what to do.
pub(super) fn format(text: &str) -> Result<(), Problem> {
    #[derive(Deserialize)]
    struct Marked {
        calibration: Option<Mark>,
    }
    #[derive(Deserialize)]
    struct Mark {
        format: u32,
    }
    let found = toml::from_str::<Marked>(text).ok().and_then(|marked| marked.calibration).map(|mark| mark.format);
    match found.filter(|format| *format != CALIBRATION_FORMAT) {
        Some(format) => {
            let reason =
                format!("found {format}, this program reads {CALIBRATION_FORMAT}: run `cotenant calibrate` again");
            Err(("calibration.format", reason))
        }
        None => Ok(()),
    }
}

/// The field at which reading stopped, with its section, and the reason.
pub(super) fn place(text: &str, error: &toml::de::Error) -> (String, String) {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..at).unwrap_or_default();
    // What is missing in a section is reported at its head.
    let up_to_line = at + text[at..].find('\n').unwrap_or(text.len() - at);
    let section = text[..up_to_line].lines().rev().find_map(|l| l.trim().strip_prefix('[')).map(|l| {
        let name = l.trim_start_matches('[').split(']').next().unwrap_or_default();
        name.to_string()
    });
    let line_from = before.rfind('\n').map_or(0, |n| n + 1);
    let line = text[line_from..].lines().next().unwrap_or_default();
    let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.is_empty());
    let field = match (section, key) {
        (Some(section), Some(key)) => format!("{section}.{key}"),
        (Some(section), None) => section,
        (None, Some(key)) => key.to_string(),
        (None, None) => format!("line {}", before.lines().count().max(1)),
    };
    (field, error.message().to_string())
}
