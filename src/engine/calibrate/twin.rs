//! What was measured as a profile, with the source of every number beside it.
//!
//! A device whose units are cores runs one launch at a time on all of them, and has one queue. Numbers that say so are not
//! measured but follow from that; their comments say it.

use std::collections::BTreeMap;

use super::Plan;
use super::cpu::CpuCost;
use super::figure::Figure;
use super::host::EngineCost;
use super::kernels::{Kernel, Kernels};
use super::submissions::Handover;
use crate::hal::sim::{
    CALIBRATION_FORMAT, Calibration, Compute, Copies, DeviceLimits, Kind, Launches, MeasuredKernel, Memory, Profile,
    SharingCosts, SmLimits,
};
use crate::hal::{Device, DeviceCaps, DeviceKind};
use crate::kernel::rates::Rates;

/// All measurements.
pub(super) struct Measured {
    pub(super) rates: Rates,
    pub(super) handover: Handover,
    pub(super) engine: EngineCost,
    pub(super) cpu: CpuCost,
    pub(super) kernels: Kernels,
}

/// A calibrated device.
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// Its twin.
    pub profile: Profile,
    /// Where each number is from, by its field with the section: `memory.gbs`.
    pub sources: BTreeMap<&'static str, String>,
}

impl Calibrated {
    /// The text of the profile's file, each number with its source in a comment beside it.
    pub fn to_toml(&self) -> String {
        let mut text = format!("# {}\n", self.profile.description);
        let mut section = String::new();
        for line in self.profile.to_toml().lines() {
            text.push_str(line);
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_start_matches('[').trim_end_matches(']').to_string();
            } else if let Some((key, _)) = line.split_once(" = ")
                && let Some(source) = self.sources.get(format!("{section}.{key}").as_str())
            {
                text.push_str(" # ");
                text.push_str(source);
            }
            text.push('\n');
        }
        text
    }
}

/// The parts of its rates that a device reaches with kernels.
struct Reached {
    compute: Option<f64>,
    memory: Option<f64>,
    kernels: usize,
}

impl Reached {
    /// Kernels that the rate of multiply-adds bounds reach together so much of it, the others so much of the rate of copies.
    fn of(kernels: &Kernels, rates: Rates) -> Reached {
        let (mut compute, mut memory) = ([0.0, 0.0], [0.0, 0.0]);
        let known = kernels.values().filter(|k| k.flops + k.bytes > 0.0);
        for kernel in known.clone() {
            let (by_flops, by_bytes) = (kernel.flops / rates.fma_gflops, kernel.bytes / rates.copy_gbs);
            let [ideal, real] = if by_flops >= by_bytes { &mut compute } else { &mut memory };
            *ideal += by_flops.max(by_bytes);
            *real += time(kernel).median;
        }
        let part = |[ideal, real]: [f64; 2]| (real > 0.0).then(|| (ideal / real).clamp(1e-6, 1.0));
        Reached { compute: part(compute), memory: part(memory), kernels: known.count() }
    }
}

/// The time of a kernel: the median over the launches that have this content.
fn time(kernel: &Kernel) -> Figure {
    let middle = Figure::of(kernel.ns.iter().map(|f| f.median).collect());
    let spread = kernel.ns.iter().map(|f| f.spread).fold(middle.spread, f64::max);
    Figure { spread, samples: kernel.ns.iter().map(|f| f.samples).sum(), ..middle }
}

/// The profile of `device`.
pub(super) fn describe(device: &dyn Device, plan: &Plan, measured: &Measured) -> Calibrated {
    let caps = device.caps();
    let Measured { rates, handover, engine, cpu, kernels } = measured;
    let reached = Reached::of(kernels, *rates);
    let us = |figure: &Figure| figure.median / 1e3;
    let profile = Profile {
        name: plan.name.into(),
        description: format!("{} ({}), measured by cotenant calibrate", caps.name, caps.driver),
        compute: Compute {
            sms: caps.compute_units.unwrap_or(1).clamp(1, 256),
            clock_mhz: None,
            fp32_tflops: rates.fma_gflops / 1e3,
            tf32_tflops: None,
            fp16_tflops: None,
            achievable: reached.compute.unwrap_or(1.0),
            saturating_warps: 1,
        },
        sm: core(caps),
        memory: Memory {
            gib: None,
            gbs: rates.copy_gbs,
            achievable: reached.memory.unwrap_or(1.0),
            sm_gbs: rates.copy_gbs,
            l2_mib: None,
        },
        launch: Launches {
            host_us: 0.0,
            submit_us: us(&handover.submit_ns) + us(&engine.request_ns),
            encode_us: us(&handover.encode_ns) + us(&engine.operator_ns),
            begin_us: us(&handover.between_ns),
            notice_us: us(&handover.notice()),
            gap_us: us(&handover.dispatch_ns),
            graph_us: 0.0,
            graph_node_us: 0.0,
            event_us: 0.0,
            block_floor_us: 0.0,
            queues: 1,
            grids_max: 1,
        },
        copy: Copies {
            to_device_gbs: handover.to_device_gbs.median,
            to_host_gbs: handover.to_host_gbs.median,
            pageable: 1.0,
            latency_us: us(&handover.copy()),
            host_us: 0.0,
            engines: 1,
        },
        sharing: SharingCosts {
            time_slice_us: 2000.0,
            switch_us: 0.0,
            mps_clients_max: 0,
            mps_change_ms: 0.0,
            green_granule: 0,
            green_change_ms: 0.0,
            mig_change_ms: 0.0,
            priority_levels: 1,
        },
        mig: Vec::new(),
        cpu: cpu.host_cpu(),
        power: None,
        device: limits(caps),
        calibration: Some(Calibration {
            format: CALIBRATION_FORMAT,
            backend: caps.backend.into(),
            device: caps.name.clone(),
            driver: caps.driver.clone(),
            date: plan.date.into(),
            models: plan.models.iter().map(|(name, _)| name.clone()).collect(),
        }),
        kernels: kernels.iter().map(|(key, kernel)| entry(key, kernel)).collect(),
    };
    Calibrated { profile, sources: sources(plan, measured, &reached) }
}

fn entry(key: &str, kernel: &Kernel) -> MeasuredKernel {
    let figure = time(kernel);
    let rounded = |value: f64, unit: f64| (value / unit).round() * unit;
    MeasuredKernel {
        key: key.into(),
        ns: rounded(figure.median, 1.0).max(1.0),
        workers: kernel.workers,
        samples: figure.samples as u32,
        spread: (figure.spread * 1e3).round() / 1e3,
    }
}

/// A core runs one workgroup at a time.
fn core(caps: &DeviceCaps) -> SmLimits {
    SmLimits {
        threads: caps.limits.invocations_max.max(1024),
        blocks: 1,
        warp: caps.subgroup.unwrap_or(8),
        registers: 0,
        register_granule: 1,
        warp_granule: 1,
        shared_bytes: 0,
        shared_granule: 1,
        shared_reserved: 0,
    }
}

fn limits(caps: &DeviceCaps) -> DeviceLimits {
    let limits = &caps.limits;
    DeviceLimits {
        kind: match caps.kind {
            DeviceKind::DiscreteGpu => Kind::Discrete,
            DeviceKind::IntegratedGpu => Kind::Integrated,
            _ => Kind::Software,
        },
        binding_bytes_max: limits.binding_bytes_max,
        storage_buffers_max: limits.storage_buffers_max,
        invocations_max: limits.invocations_max,
        workers_max: limits.workers_max,
        subgroup: caps.subgroup,
        f16: caps.f16,
        int64: caps.int64,
        loop_iterations_max: caps.quirks.loop_iterations_max,
        slow_pipelines: caps.quirks.slow_pipelines,
    }
}

/// The source of each number.
fn sources(plan: &Plan, measured: &Measured, reached: &Reached) -> BTreeMap<&'static str, String> {
    let Measured { handover, engine, cpu, .. } = measured;
    let day = format!("measured {}", plan.date);
    let by = |figure: &Figure| format!("{day}: {figure}");
    let both = |driver: &Figure, engine: &Figure| {
        let (driver_us, engine_us) = (driver.median / 1e3, engine.median / 1e3);
        format!("{day}: {driver_us:.2} of the driver ({driver}) and {engine_us:.2} of the engine ({engine})")
    };
    let reached_by = |part: Option<f64>, rate: &str| match part {
        Some(_) => format!("{day}: what kernels bound by {rate} reach together, of {} kernels", reached.kernels),
        None => format!("not measured: no kernel is bound by {rate}; for kernels without a time"),
    };
    let mut sources = BTreeMap::new();
    let mut put = |fields: &[&'static str], source: &str| {
        sources.extend(fields.iter().map(|field| (*field, source.to_string())));
    };
    put(&["compute.sms"], "the driver's, or one: cores that run workgroups");
    put(&["compute.fp32_tflops"], &format!("{day}: fastest of 8 runs of a loop of multiply-adds"));
    put(&["memory.gbs"], &format!("{day}: fastest of 8 copies of a large array, bytes read and written"));
    put(&["memory.sm_gbs"], "as the whole: cores are not measured apart");
    put(&["compute.achievable"], &reached_by(reached.compute, "arithmetic"));
    put(&["memory.achievable"], &reached_by(reached.memory, "memory"));
    put(&["compute.saturating_warps"], "a core has one subgroup at work");
    put(&["sm.threads", "sm.warp"], "the driver's limits");
    put(&["sm.blocks"], "a core runs one workgroup at a time");
    put(&["sm.registers", "sm.shared_bytes"], "no limit for workgroups of a core");
    put(
        &["sm.register_granule", "sm.warp_granule", "sm.shared_granule", "sm.shared_reserved"],
        "of no effect without a limit",
    );
    put(&["launch.submit_us"], &both(&handover.submit_ns, &engine.request_ns));
    put(&["launch.encode_us"], &both(&handover.encode_ns, &engine.operator_ns));
    put(&["launch.begin_us"], &by(&handover.between_ns));
    put(&["launch.notice_us"], &by(&handover.notice()));
    put(&["launch.gap_us"], &by(&handover.dispatch_ns));
    put(
        &["launch.host_us", "launch.graph_us", "launch.graph_node_us", "launch.event_us", "copy.host_us"],
        "none: submissions are handed over whole",
    );
    put(&["launch.block_floor_us"], "none beside the dispatch");
    put(&["launch.queues", "launch.grids_max"], "one queue, whose dispatches do not overlap");
    put(&["copy.to_device_gbs"], &by(&handover.to_device_gbs));
    put(&["copy.to_host_gbs"], &by(&handover.to_host_gbs));
    put(&["copy.latency_us"], &by(&handover.copy()));
    put(&["copy.pageable"], "the rates are those of the host memory that is used");
    put(&["copy.engines"], "copies are ordered with dispatches");
    put(
        &[
            "sharing.time_slice_us",
            "sharing.switch_us",
            "sharing.mps_clients_max",
            "sharing.mps_change_ms",
            "sharing.green_granule",
            "sharing.green_change_ms",
            "sharing.mig_change_ms",
            "sharing.priority_levels",
        ],
        "none: one queue in one context",
    );
    for field in [
        "device.binding_bytes_max",
        "device.storage_buffers_max",
        "device.invocations_max",
        "device.workers_max",
        "device.subgroup",
        "device.loop_iterations_max",
    ] {
        put(&[field], "the device's capabilities");
    }
    put(&["cpu.operator_us"], &by(&cpu.operator_ns));
    put(&["cpu.gflops"], &by(&cpu.gflops));
    put(&["cpu.gbs"], &by(&cpu.gbs));
    put(&["cpu.threads"], "as the engine uses here");
    put(&["calibration.format"], "the layout of this file");
    put(&["kernel.ns"], &day);
    put(&["kernel.workers"], "as the engine launches it");
    sources
}
