//! Rehearsals, for drivers that compile at the first dispatch of a pipeline and not when it is made (lavapipe).
//!
//! Such a driver compiles on the queue, where all tenants wait for it: up to a second and a half for a co-kernel of eight kernels. But
//! it keeps the machine code on disk, for any logical device. So the thread that compiles makes each pipeline on a logical device
//! of its own first, and dispatches it there without a tile: what the tenants' queue dispatches later is read from disk, in some
//! milliseconds.
//!
//! What fails in a rehearsal is logged only: it fails again, and is told, where it is needed. Without the driver's disk cache (`MESA_SHADER_CACHE_DISABLE`) all this is in vain, and the queue waits as it would without.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::cokernel::Cokernels;
use super::compose::Job;
use super::disk_cache::DiskCache;
use super::pipelines::Pipelines;
use super::{Found, adapter};
use crate::hal::{CoKernel, KernelSpec, Unavailable};

/// Bytes of each buffer: parameters are read, even of a launch without tiles.
const BUFFER_BYTES: u64 = 64 << 10;

/// See the module's comment. Any thread may rehearse.
pub(super) struct Rehearsal {
    found: Found,
    /// Opened when something is rehearsed first; `None` where the driver gives no further device.
    backstage: OnceLock<Option<Backstage>>,
}

/// The logical device.
struct Backstage {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: Pipelines,
    cokernels: Cokernels,
    /// Kernels that were rehearsed; of co-kernels none is asked for twice.
    kernels: Mutex<HashSet<Arc<KernelSpec>>>,
    /// Nobody's, all zeros.
    constants: wgpu::Buffer,
    arena: wgpu::Buffer,
}

impl Rehearsal {
    /// For the devices of `found`, if its driver is of this kind.
    pub(super) fn of(found: &Found) -> Option<Arc<Rehearsal>> {
        let needed = adapter::caps(found).quirks.compiles_at_dispatch;
        needed.then(|| Arc::new(Rehearsal { found: found.clone(), backstage: OnceLock::new() }))
    }

    /// Has the driver compile a kernel.
    pub(super) fn kernel(&self, spec: &Arc<KernelSpec>) {
        if let Some(backstage) = self.backstage() {
            backstage.kernel(spec).unwrap_or_else(|reason| tracing::debug!("{}: {reason}", spec.label()));
        }
    }

    /// Has the driver compile a co-kernel.
    pub(super) fn together(&self, wanted: &CoKernel) {
        if let Some(backstage) = self.backstage() {
            backstage.together(wanted).unwrap_or_else(|reason| tracing::debug!("a co-kernel: {reason}"));
        }
    }

    fn backstage(&self) -> Option<&Backstage> {
        let opened = self.backstage.get_or_init(|| {
            let opened = Backstage::open(&self.found);
            opened
                .inspect_err(|error| tracing::warn!("pipelines are compiled where tenants wait for them: {error}"))
                .ok()
        });
        opened.as_ref()
    }
}

impl Backstage {
    fn open(found: &Found) -> Result<Backstage, Unavailable> {
        let (device, queue) = adapter::open(found)?;
        device.on_uncaptured_error(Arc::new(|error: wgpu::Error| tracing::debug!("a rehearsal: {error}")));
        let disk = Arc::new(DiskCache::none());
        let buffer = || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("rehearsal"),
                size: BUFFER_BYTES,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let (constants, arena) = (buffer(), buffer());
        let pipelines = Pipelines::new(device.clone(), disk.clone());
        let cokernels = Cokernels::new(device.clone(), disk, adapter::caps(found).subgroup);
        Ok(Backstage { device, queue, pipelines, cokernels, kernels: Mutex::default(), constants, arena })
    }

    fn kernel(&self, spec: &Arc<KernelSpec>) -> Result<(), String> {
        if !self.kernels.lock().unwrap_or_else(PoisonError::into_inner).insert(spec.clone()) {
            return Ok(());
        }
        let pipeline = self.pipelines.make(spec)?;
        let bindings = self.bindings(&self.pipelines.bindings, 0..5, |binding| binding == 2 || binding == 4);
        self.dispatch(&pipeline, &[&bindings]);
        Ok(())
    }

    fn together(&self, wanted: &CoKernel) -> Result<(), String> {
        let uses: Vec<_> = wanted.kernels.iter().map(|(k, slot)| (self.cokernels.number(k), *slot)).collect();
        let cokernel = self.cokernels.compile(&uses, wanted.pooled)?;
        let layout = self.cokernels.layout(cokernel.slots(), cokernel.pairs);
        let slots = cokernel.memory_bindings();
        let memory = self.bindings(&layout.memory, slots, |binding| binding > 0 && binding.is_multiple_of(2));
        let programs = self.bindings(&self.cokernels.programs, 0..1, |_| false);
        self.dispatch(&cokernel.pipeline, &[&memory, &programs]);
        Ok(())
    }

    /// Binds the arena where something is written and the constants elsewhere.
    fn bindings(
        &self,
        layout: &wgpu::BindGroupLayout,
        bindings: impl IntoIterator<Item = u32>,
        is_written: impl Fn(u32) -> bool,
    ) -> wgpu::BindGroup {
        let buffer = |binding| if is_written(binding) { &self.arena } else { &self.constants };
        let entry = |binding| wgpu::BindGroupEntry { binding, resource: buffer(binding).as_entire_binding() };
        let entries: Vec<_> = bindings.into_iter().map(entry).collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }

    /// Dispatches one workgroup without work and waits for it.
    fn dispatch(&self, pipeline: &wgpu::ComputePipeline, groups: &[&wgpu::BindGroup]) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(pipeline);
        for (group, at) in groups.iter().zip(0..) {
            pass.set_bind_group(at, *group, &[]);
        }
        pass.set_immediates(0, bytemuck::bytes_of(&Job { base: 0, first: 0, end: 0, workers: 1 }));
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        self.queue.submit([encoder.finish()]);
        if let Err(error) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            tracing::debug!("a rehearsal: {error}");
        }
    }
}
