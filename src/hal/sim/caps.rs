//! A profile as the capabilities of a device, the survey's Table II among them.

use super::profile::{Kind, Profile};
use crate::hal::{DeviceCaps, DeviceKind, Execution, Limits, PartitionKind, Preemption, Quirks};
use crate::timeline::metrics::Power;

/// MIG instances at most.
const MIG_INSTANCES_MAX: u32 = 7;

/// Bytes of workgroup memory that kernels may use: the WebGPU default, for which they are made.
const WORKGROUP_BYTES_MAX: u32 = 16 << 10;

/// What a device with this profile can do; with `numerics` it computes results. The strictest partition that it has counts.
pub(super) fn caps(profile: &Profile, numerics: bool) -> DeviceCaps {
    let (sharing, limits) = (&profile.sharing, &profile.device);
    let has_mig = !profile.mig.is_empty();
    let (partition, partitions_max, reconfiguration) = if has_mig {
        (PartitionKind::Physical, Some(MIG_INSTANCES_MAX), "when idle")
    } else if sharing.mps_clients_max > 0 {
        (PartitionKind::Logical, Some(sharing.mps_clients_max), "at process launch")
    } else {
        (PartitionKind::None, None, "none")
    };
    DeviceCaps {
        backend: "sim",
        name: profile.name.clone(),
        driver: format!("simulated: {}", profile.description),
        kind: match limits.kind {
            Kind::Discrete => DeviceKind::DiscreteGpu,
            Kind::Integrated => DeviceKind::IntegratedGpu,
            Kind::Software => DeviceKind::SoftwareGpu,
        },
        execution: if numerics { Execution::CpuFunctions } else { Execution::Nothing },
        host_cpu: Some(profile.cpu),
        partition,
        partitions_max,
        sm_isolation: has_mig || sharing.green_granule > 0 || sharing.mps_clients_max > 0,
        bandwidth_isolation: has_mig,
        performance_qos: has_mig,
        reconfiguration,
        preemption: Preemption::SliceBoundary,
        priority_levels: sharing.priority_levels,
        lanes_max: profile.launch.queues,
        compute_units: Some(profile.compute.sms),
        subgroup: limits.subgroup,
        timestamps: true,
        f16: limits.f16,
        cokernels: false,
        int64: limits.int64,
        power: profile.power.as_ref().map(|p| Power { idle_w: p.idle_w, max_w: p.busy_w }),
        limits: Limits {
            binding_bytes_max: limits.binding_bytes_max,
            storage_buffers_max: limits.storage_buffers_max,
            invocations_max: limits.invocations_max,
            workgroup_bytes_max: WORKGROUP_BYTES_MAX,
            workers_max: limits.workers_max,
        },
        quirks: Quirks {
            loop_iterations_max: limits.loop_iterations_max,
            slow_pipelines: limits.slow_pipelines,
            compiles_at_dispatch: false,
        },
    }
}
