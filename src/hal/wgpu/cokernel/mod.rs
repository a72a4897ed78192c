//! Co-kernels: a stage of several chains as one dispatch.
//!
//! Each chain becomes the program of one workgroup, or of several where it is a single launch. Two forms: *pooled*, where the tenants'
//! memory lies in shared buffers and every kernel is linked once for all of them, so that a co-kernel of some kernels
//! serves any tenants, and a larger set of kernels serves a smaller one; and *isolated*, where each tenant's buffers are
//! bound on their own and kernels are linked for each. What cannot be one dispatch runs as several, with the same results.

mod body;
mod compose;
mod missing;
mod program;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use body::Body;
use compose::Part;
pub(super) use compose::SLOT_BINDINGS;
pub(super) use missing::Missing;
pub(super) use program::{Entry, Programs};

use super::compose::Job;
use super::disk_cache::DiskCache;
use crate::hal::{CoKernel, HalError, KernelSpec};

/// Kernels of one co-kernel at most. More are slow to compile, and each costs the others time on software devices.
const KERNELS_MAX: usize = 48;

/// The number of a kernel on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct KernelNumber(pub(super) u32);

/// A kernel with the memory that it uses: slot 0 where memory is pooled.
pub(super) type Use = (KernelNumber, u32);

/// A compiled co-kernel.
pub(super) struct Cokernel {
    pub(super) pipeline: wgpu::ComputePipeline,
    /// Its bodies in order.
    uses: Vec<Use>,
    pub(super) pooled: bool,
    /// Its bindings have memory as pairs of words too.
    pub(super) pairs: bool,
}

impl Cokernel {
    /// The number of the body that runs this kernel.
    pub(super) fn body(&self, wanted: Use) -> Option<u32> {
        self.uses.iter().position(|u| *u == wanted).map(|at| at as u32)
    }

    /// Slots of memory that its bindings have.
    pub(super) fn slots(&self) -> u32 {
        self.uses.iter().map(|(_, slot)| slot + 1).max().unwrap_or(1)
    }

    /// The numbers of the bindings of its memory, those of the slots in groups of [`SLOT_BINDINGS`]; all even ones but the first
    /// are written.
    pub(super) fn memory_bindings(&self) -> impl Iterator<Item = u32> {
        let of_slot = if self.pairs { SLOT_BINDINGS } else { 2 };
        let slots = (0..self.slots()).flat_map(move |slot| (0..of_slot).map(move |at| 1 + slot * SLOT_BINDINGS + at));
        std::iter::once(0).chain(slots)
    }

    /// Whether a stage of `uses`, all of which it has, would gain little by a co-kernel of these alone.
    pub(super) fn is_close_to(&self, uses: &[Use]) -> bool {
        self.uses.len() <= uses.len().max(missing::JOINED_MAX)
    }

    fn has_all(&self, uses: &[Use]) -> bool {
        uses.len() <= self.uses.len() && uses.iter().all(|u| self.uses.contains(u))
    }
}

/// Layouts of the bindings of a number of slots.
#[derive(Clone)]
pub(super) struct Layout {
    pub(super) memory: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// All co-kernels of a device, and what they are made of. Any thread may compile.
pub(super) struct Cokernels {
    device: wgpu::Device,
    disk: Arc<DiskCache>,
    /// The size of all subgroups, where they have one and have barriers.
    subgroup: Option<u32>,
    /// The layout of the bind group of programs.
    pub(super) programs: wgpu::BindGroupLayout,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    numbers: HashMap<Arc<KernelSpec>, KernelNumber>,
    kernels: Vec<Arc<KernelSpec>>,
    bodies: HashMap<(KernelNumber, bool), Result<Arc<Body>, String>>,
    layouts: HashMap<(u32, bool), Layout>,
    compiled: Vec<Arc<Cokernel>>,
    /// What was tried in vain.
    refused: HashMap<(Vec<Use>, bool), String>,
}

impl Cokernels {
    pub(super) fn new(device: wgpu::Device, disk: Arc<DiskCache>, subgroup: Option<u32>) -> Cokernels {
        let subgroup = subgroup.filter(|_| device.features().contains(wgpu::Features::SUBGROUP_BARRIER));
        let programs = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("programs"),
            entries: &[entry(0, true)],
        });
        Cokernels { device, disk, subgroup, programs, state: Mutex::default() }
    }

    /// The number of a kernel, the same for equal ones.
    pub(super) fn number(&self, spec: &Arc<KernelSpec>) -> KernelNumber {
        let state = &mut *self.lock();
        *state.numbers.entry(spec.clone()).or_insert_with(|| {
            state.kernels.push(spec.clone());
            KernelNumber(state.kernels.len() as u32 - 1)
        })
    }

    /// The kernels of `uses` as others see them.
    pub(super) fn described(&self, uses: &[Use], pooled: bool) -> CoKernel {
        let state = self.lock();
        let kernels = uses.iter().map(|(kernel, slot)| (state.kernels[kernel.0 as usize].clone(), *slot)).collect();
        CoKernel { kernels, pooled, member: 0 }
    }

    /// A compiled co-kernel that runs all of `uses`: of several the smallest.
    pub(super) fn find(&self, uses: &[Use], slots: u32, pooled: bool) -> Option<Arc<Cokernel>> {
        let state = self.lock();
        let fits = |c: &&Arc<Cokernel>| c.pooled == pooled && c.slots() == slots && c.has_all(uses);
        let fitting = state.compiled.iter().filter(fits);
        fitting.min_by_key(|c| c.uses.len()).cloned()
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.lock().compiled.len() as u64
    }

    /// The bindings of `slots` slots, with or without memory as pairs of words.
    pub(super) fn layout(&self, slots: u32, pairs: bool) -> Layout {
        let known = self.lock().layouts.get(&(slots, pairs)).cloned();
        known.unwrap_or_else(|| {
            let mut entries = vec![entry(0, true)];
            for first in (0..slots).map(|slot| 1 + slot * SLOT_BINDINGS) {
                let of_slot = if pairs { SLOT_BINDINGS } else { 2 };
                entries.extend((0..of_slot).map(|at| entry(first + at, at % 2 == 0)));
            }
            let memory = self
                .device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some("slots"), entries: &entries });
            let pipeline = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&memory), Some(&self.programs)],
                immediate_size: size_of::<Job>() as u32,
            });
            let layout = Layout { memory, pipeline };
            self.lock().layouts.entry((slots, pairs)).or_insert(layout).clone()
        })
    }

    /// The co-kernel whose bodies are `uses`, compiled now if it is new.
    ///
    /// # Errors
    /// [`HalError::Kernel`] for kernels that cannot be one on this device.
    pub(super) fn make(&self, uses: &[Use], pooled: bool) -> Result<Arc<Cokernel>, HalError> {
        let equal = |c: &&Arc<Cokernel>| c.pooled == pooled && c.uses.len() == uses.len() && c.has_all(uses);
        let known = self.lock().compiled.iter().find(equal).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let failed = |reason: String| HalError::Kernel { kernel: format!("co-kernel of {}", uses.len()), reason };
        let key = (uses.to_vec(), pooled);
        let refused = self.lock().refused.get(&key).cloned();
        if let Some(reason) = refused {
            return Err(failed(reason));
        }
        match self.compile(uses, pooled) {
            Ok(made) => {
                let made = Arc::new(made);
                self.lock().compiled.push(made.clone());
                Ok(made)
            }
            Err(reason) => {
                self.lock().refused.insert(key, reason.clone());
                Err(failed(reason))
            }
        }
    }

    /// Whether a co-kernel of these kernels is within what the device can run.
    ///
    /// # Errors
    /// A sentence that says what is not.
    pub(super) fn fits(&self, uses: &[Use], pooled: bool) -> Result<(), String> {
        if uses.len() > KERNELS_MAX {
            return Err(format!("{} kernels, at most {KERNELS_MAX} make a co-kernel", uses.len()));
        }
        let bodies: Vec<Arc<Body>> = uses.iter().map(|(k, _)| self.body(*k, pooled)).collect::<Result<_, _>>()?;
        let limits = self.device.limits();
        let lanes = compose::lanes(bodies.iter().map(|b| &**b), self.subgroup);
        let lanes = lanes.ok_or("their workgroups work together and differ in size")?;
        if lanes > limits.max_compute_invocations_per_workgroup {
            return Err(format!("{lanes} invocations in a workgroup"));
        }
        let bytes: u32 = bodies.iter().map(|b| b.workgroup_bytes).sum();
        if bytes > limits.max_compute_workgroup_storage_size {
            return Err(format!("up to {bytes} bytes of workgroup memory"));
        }
        let slots = uses.iter().map(|(_, slot)| slot + 1).max().unwrap_or(1);
        let of_slot = if bodies.iter().any(|b| b.pairs) { SLOT_BINDINGS } else { 2 };
        let buffers = 2 + slots * of_slot;
        let most = limits
            .max_storage_buffers_per_shader_stage
            .min(limits.max_buffers_and_acceleration_structures_per_shader_stage);
        if buffers > most {
            return Err(format!("{slots} tenants of isolated memory take {buffers} bindings"));
        }
        Ok(())
    }

    /// A new co-kernel, which is not kept.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn compile(&self, uses: &[Use], pooled: bool) -> Result<Cokernel, String> {
        self.fits(uses, pooled)?;
        let parts: Vec<Part> = uses
            .iter()
            .map(|(kernel, slot)| Ok(Part { body: self.body(*kernel, pooled)?, slot: *slot }))
            .collect::<Result<_, String>>()?;
        let slots = uses.iter().map(|(_, slot)| slot + 1).max().unwrap_or(1);
        let module = compose::compose(&parts, pooled, self.subgroup)?;
        let pairs = parts.iter().any(|p| p.body.pairs);
        let layout = self.layout(slots, pairs);
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some("co-kernel"),
            source: wgpu::ShaderSource::Naga(Cow::Owned(module)),
        };
        // SAFETY: as for single kernels (`Pipelines::make`); indices of pooled memory are kept in the tenant's own range
        // besides. Programs are written by this backend: their loops end because every entry names a body that there is.
        let module =
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("co-kernel"),
            layout: Some(&layout.pipeline),
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
            None => Ok(Cokernel { pipeline, uses: uses.to_vec(), pooled, pairs }),
            Some(error) => Err(error.to_string()),
        }
    }

    /// Expressions of a kernel's functions, loops unrolled; none of one that cannot be in a co-kernel.
    pub(super) fn code_size(&self, spec: &Arc<KernelSpec>) -> u32 {
        let body = self.body(self.number(spec), false);
        body.map_or(0, |body| body.module.functions.iter().map(|(_, f)| f.expressions.len() as u32).sum())
    }

    /// A kernel as a part of co-kernels, made now if it is new.
    fn body(&self, kernel: KernelNumber, pooled: bool) -> Result<Arc<Body>, String> {
        let (known, spec) = {
            let state = self.lock();
            (state.bodies.get(&(kernel, pooled)).cloned(), state.kernels[kernel.0 as usize].clone())
        };
        known.unwrap_or_else(|| {
            let made = Body::new(&spec, pooled).map(Arc::new);
            self.lock().bodies.entry((kernel, pooled)).or_insert(made).clone()
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(binding: u32, read_only: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    }
}
