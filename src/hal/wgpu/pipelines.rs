//! Compiled kernels, by content: equal specs share one pipeline, whoever's they are. Any thread may compile; nobody
//! waits for another's pipeline but its own.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::compose::{Job, compose};
use super::disk_cache::DiskCache;
use super::rehearsal::Rehearsal;
use crate::hal::{HalError, InstallProgress, KernelSpec, Recording};

/// The cache and the one layout that all pipelines have.
pub(super) struct Pipelines {
    pub(super) bindings: wgpu::BindGroupLayout,
    layout: wgpu::PipelineLayout,
    device: wgpu::Device,
    disk: Arc<DiskCache>,
    compiled: Mutex<HashMap<Arc<KernelSpec>, wgpu::ComputePipeline>>,
}

impl Pipelines {
    pub(super) fn new(device: wgpu::Device, disk: Arc<DiskCache>) -> Pipelines {
        // 0 launch table, 1 weights, 2 arena, 3 and 4 these two again as elements of another type.
        let entries: Vec<_> = [true, true, false, true, false]
            .into_iter()
            .zip(0..)
            .map(|(read_only, binding)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let bindings = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("table, weights, arena"),
            entries: &entries,
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: size_of::<Job>() as u32,
        });
        Pipelines { bindings, layout, device, disk, compiled: Mutex::default() }
    }

    /// The pipeline of `spec`, compiled now if it is new.
    fn get(&self, spec: &Arc<KernelSpec>) -> Result<wgpu::ComputePipeline, HalError> {
        let there = self.lock().get(spec).cloned();
        if let Some(pipeline) = there {
            return Ok(pipeline);
        }
        let made = self.make(spec).map_err(|reason| HalError::Kernel { kernel: spec.label(), reason })?;
        // Where another thread was faster, its pipeline stays.
        Ok(self.lock().entry(spec.clone()).or_insert(made).clone())
    }

    /// Whether the pipeline of `spec` is there.
    fn has(&self, spec: &Arc<KernelSpec>) -> bool {
        self.lock().contains_key(spec)
    }

    /// The pipelines of all kernels of `recording`, each of which is rehearsed before where there is a rehearsal.
    pub(super) fn of(
        &self,
        recording: &Recording,
        rehearsal: Option<&Rehearsal>,
        progress: InstallProgress,
    ) -> Result<HashMap<Arc<KernelSpec>, wgpu::ComputePipeline>, HalError> {
        let mut seen = HashSet::new();
        let launches = recording.operations.iter().flat_map(|o| &o.launches);
        let specs: Vec<&Arc<KernelSpec>> = launches.map(|l| &l.kernel).filter(|spec| seen.insert(*spec)).collect();
        let mut compiled = HashMap::new();
        for (done, spec) in specs.iter().enumerate() {
            progress(done, specs.len(), &spec.label());
            if let Some(rehearsal) = rehearsal.filter(|_| !self.has(spec)) {
                rehearsal.kernel(spec);
            }
            compiled.insert((*spec).clone(), self.get(spec)?);
        }
        progress(specs.len(), specs.len(), "");
        Ok(compiled)
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.lock().len() as u64
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<KernelSpec>, wgpu::ComputePipeline>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new pipeline, which is not kept.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn make(&self, spec: &KernelSpec) -> Result<wgpu::ComputePipeline, String> {
        let device = &self.device;
        let limit = device.limits().max_compute_invocations_per_workgroup;
        if spec.lanes > limit {
            return Err(format!("{} invocations in a workgroup, the device has {limit}", spec.lanes));
        }
        let module = compose(spec)?;
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(spec.name),
            source: wgpu::ShaderSource::Naga(Cow::Owned(module)),
        };
        // SAFETY: every index that a kernel forms is in range by construction: parameters come from lowering, which
        // checks each view against its buffer, and indices that are data are clamped in the kernel. All loops end:
        // their bounds are parameters. The kernel tests run with poisoned words around every operand.
        let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(spec.name),
            layout: Some(&self.layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.disk.get(),
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(pipeline),
            Some(error) => Err(error.to_string()),
        }
    }
}
