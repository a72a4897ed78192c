//! Finding adapters, choosing one by name, and describing it as capabilities.

use crate::hal::{DeviceCaps, DeviceKind, Execution, Limits, PartitionKind, Preemption, Quirks, Unavailable};

/// A wgpu adapter that could be opened.
#[derive(Clone)]
pub struct Found {
    pub(super) adapter: wgpu::Adapter,
    pub(super) info: wgpu::AdapterInfo,
}

impl Found {
    /// The adapter's name.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// True for GPUs that the CPU emulates.
    pub fn is_software(&self) -> bool {
        kind(&self.info) == DeviceKind::SoftwareGpu
    }

    /// True where `wanted` (in any case) is part of a name that people use for this adapter.
    pub fn answers_to(&self, wanted: &str) -> bool {
        let wanted = wanted.to_lowercase();
        let mut names = vec![self.info.name.to_lowercase(), self.info.driver.to_lowercase()];
        if names[0].contains("llvmpipe") {
            names.push("lavapipe".into());
        }
        names.iter().any(|name| name.contains(&wanted))
    }
}

/// Every adapter of the native interfaces, hardware first, that can run compute kernels with immediates.
pub fn find() -> Vec<Found> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let mut found: Vec<Found> = pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .map(|adapter| Found { info: adapter.get_info(), adapter })
        .filter(|f| f.adapter.features().contains(wgpu::Features::IMMEDIATES))
        .collect();
    let rank = |f: &Found| match kind(&f.info) {
        DeviceKind::DiscreteGpu => 0,
        DeviceKind::IntegratedGpu => 1,
        _ => 2,
    };
    found.sort_by_key(rank);
    found
}

/// The first adapter that answers to `wanted` (all do to the empty name).
///
/// # Errors
/// [`Unavailable`] with the names that were found, or with what to install.
pub fn choose(wanted: &str) -> Result<Found, Unavailable> {
    let mut found = find();
    let names: Vec<String> = found.iter().map(|f| f.info.name.clone()).collect();
    if let Some(at) = found.iter().position(|f| f.answers_to(wanted)) {
        return Ok(found.swap_remove(at));
    }
    let spec = if wanted.is_empty() { "wgpu".into() } else { format!("wgpu:{wanted}") };
    Err(match names.is_empty() {
        true => Unavailable {
            spec,
            reason: "no Vulkan, Metal or DX12 adapter was found".into(),
            remedy: "install a GPU driver, or a software one (Debian: apt-get install mesa-vulkan-drivers libvulkan1), or choose --device reference".into(),
        },
        false => Unavailable {
            spec,
            reason: format!("no adapter's name contains {wanted:?}; found: {}", names.join(", ")),
            remedy: "choose one of these, or set VK_ICD_FILENAMES to the driver that you mean".into(),
        },
    })
}

fn kind(info: &wgpu::AdapterInfo) -> DeviceKind {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => DeviceKind::DiscreteGpu,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
        _ => DeviceKind::SoftwareGpu,
    }
}

/// A logical device with all features and limits that are used.
///
/// # Errors
/// [`Unavailable`] with what the driver said.
pub(super) fn open(found: &Found) -> Result<(wgpu::Device, wgpu::Queue), Unavailable> {
    let has = found.adapter.limits();
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
        max_buffer_size: has.max_buffer_size,
        max_immediate_size: has.max_immediate_size.min(128),
        max_compute_invocations_per_workgroup: has.max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x: has.max_compute_workgroup_size_x,
        max_compute_workgroup_storage_size: has.max_compute_workgroup_storage_size,
        max_storage_buffers_per_shader_stage: has.max_storage_buffers_per_shader_stage,
        ..wgpu::Limits::defaults().using_resolution(has.clone())
    };
    let request = found.adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("cotenant"),
        required_features: features(&found.adapter),
        required_limits: limits,
        ..Default::default()
    });
    pollster::block_on(request).map_err(|e| Unavailable {
        spec: format!("wgpu:{}", found.info.name),
        reason: e.to_string(),
        remedy: "update the driver, or choose another device (`cotenant devices`)".into(),
    })
}

/// Features that are used where an adapter has them.
pub(super) fn features(adapter: &wgpu::Adapter) -> wgpu::Features {
    let wanted = wgpu::Features::IMMEDIATES
        | wgpu::Features::PIPELINE_CACHE
        | wgpu::Features::SHADER_INT64
        | wgpu::Features::SUBGROUP
        | wgpu::Features::SUBGROUP_BARRIER
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    adapter.features() & wanted
}

pub(super) fn caps(found: &Found) -> DeviceCaps {
    let Found { adapter, info } = found;
    let limits = adapter.limits();
    let kind = kind(info);
    let name = info.name.to_lowercase();
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    DeviceCaps {
        backend: "wgpu",
        name: info.name.clone(),
        driver: format!("{} {} ({})", info.driver, info.driver_info, info.backend).trim().to_string(),
        kind,
        execution: Execution::Kernels,
        host_cpu: None,
        partition: PartitionKind::Logical,
        partitions_max: None,
        sm_isolation: false,
        bandwidth_isolation: false,
        performance_qos: false,
        reconfiguration: "per dispatch (worker counts)",
        preemption: Preemption::SliceBoundary,
        priority_levels: 1,
        lanes_max: 1,
        compute_units: (kind == DeviceKind::SoftwareGpu).then(cores),
        subgroup: (features(adapter).contains(wgpu::Features::SUBGROUP)
            && info.subgroup_min_size == info.subgroup_max_size)
            .then_some(info.subgroup_min_size),
        timestamps: features(adapter).contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
        f16: adapter.features().contains(wgpu::Features::SHADER_F16),
        power: None,
        cokernels: true,
        int64: features(adapter).contains(wgpu::Features::SHADER_INT64),
        limits: Limits {
            binding_bytes_max: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            storage_buffers_max: limits.max_storage_buffers_per_shader_stage,
            invocations_max: limits.max_compute_invocations_per_workgroup,
            workgroup_bytes_max: limits.max_compute_workgroup_storage_size,
            workers_max: limits.max_compute_workgroups_per_dimension,
        },
        quirks: Quirks {
            // Mesa's software rasteriser counts iterations over all loops and leaves them at this number, silently.
            loop_iterations_max: name.contains("llvmpipe").then_some(65_535),
            slow_pipelines: name.contains("llvmpipe"),
            compiles_at_dispatch: name.contains("llvmpipe"),
        },
    }
}
