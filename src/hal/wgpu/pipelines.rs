//! Compiled kernels, by content: equal specs share one pipeline, whoever's they are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::compose::{Job, compose};
use crate::hal::{HalError, KernelSpec};

/// The cache and the one layout that all pipelines have.
pub(super) struct Pipelines {
    pub(super) bindings: wgpu::BindGroupLayout,
    layout: wgpu::PipelineLayout,
    compiled: HashMap<Arc<KernelSpec>, wgpu::ComputePipeline>,
    pub(super) made: u64,
}

impl Pipelines {
    pub(super) fn new(device: &wgpu::Device) -> Pipelines {
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
        Pipelines { bindings, layout, compiled: HashMap::new(), made: 0 }
    }

    /// The pipeline of `spec`, compiled now if it is new.
    pub(super) fn get(
        &mut self,
        device: &wgpu::Device,
        spec: &Arc<KernelSpec>,
    ) -> Result<wgpu::ComputePipeline, HalError> {
        if let Some(pipeline) = self.compiled.get(spec) {
            return Ok(pipeline.clone());
        }
        let pipeline =
            self.compile(device, spec).map_err(|reason| HalError::Kernel { kernel: spec.label(), reason })?;
        self.compiled.insert(spec.clone(), pipeline.clone());
        self.made += 1;
        Ok(pipeline)
    }

    fn compile(&self, device: &wgpu::Device, spec: &KernelSpec) -> Result<wgpu::ComputePipeline, String> {
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
            cache: None,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(pipeline),
            Some(error) => Err(error.to_string()),
        }
    }
}
