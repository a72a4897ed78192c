//! A recording on a wgpu device: its launch table, and for each launch a pipeline and its bindings.

use std::collections::HashMap;
use std::sync::Arc;

use super::cokernel::{Cokernels, KernelNumber};
use super::memory::Range;
use super::pipelines::Pipelines;
use crate::hal::{BufferId, HalError, InstallProgress, Recording};

/// An installed recording.
pub(super) struct Installed {
    recording: Arc<Recording>,
    /// Its launches' parameters, in a buffer that all recordings share.
    pub(super) table: Range,
    pub(super) arena: Range,
    /// Per operation, per launch.
    launches: Vec<Vec<InstalledLaunch>>,
}

/// What a dispatch of one launch needs.
pub(super) struct InstalledLaunch {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bindings: wgpu::BindGroup,
    /// Index of its first parameter word in the buffer of tables.
    pub(super) base: u32,
    pub(super) kernel: KernelNumber,
    pub(super) weights: Range,
}

/// What makes recordings on a device.
pub(super) struct Installer<'a> {
    pub(super) device: &'a wgpu::Device,
    pub(super) queue: &'a wgpu::Queue,
    pub(super) pipelines: &'a Pipelines,
    pub(super) cokernels: &'a Cokernels,
}

impl Installer<'_> {
    /// Compiles what is not compiled yet, fills `table`, which has a word for each of the launches' parameters, and binds
    /// the recording's buffers. `find` knows where buffers lie.
    pub(super) fn install(
        &self,
        recording: Arc<Recording>,
        find: &dyn Fn(BufferId) -> Result<Range, HalError>,
        table: Range,
        progress: InstallProgress,
    ) -> Result<Installed, HalError> {
        let compiled = self.pipelines.of(&recording, None, progress)?;
        let launches = recording.operations.iter().flat_map(|o| &o.launches);
        let words: Vec<u32> = launches.clone().flat_map(|l| l.params.iter().copied()).collect();
        self.queue.write_buffer(&table.buffer, table.offset, bytemuck::cast_slice(&words));
        let arena = find(recording.arena)?;
        let mut bound: HashMap<BufferId, (wgpu::BindGroup, Range)> = HashMap::new();
        for launch in launches {
            if let std::collections::hash_map::Entry::Vacant(e) = bound.entry(launch.weights) {
                let weights = find(launch.weights)?;
                e.insert((self.bind(&table, &weights, &arena), weights));
            }
        }
        let mut base = table.first_word();
        let launches = recording
            .operations
            .iter()
            .map(|operation| {
                operation
                    .launches
                    .iter()
                    .map(|launch| {
                        let (bindings, weights) = bound[&launch.weights].clone();
                        let installed = InstalledLaunch {
                            pipeline: compiled[&launch.kernel].clone(),
                            bindings,
                            base,
                            kernel: self.cokernels.number(&launch.kernel),
                            weights,
                        };
                        base += launch.params.len() as u32;
                        installed
                    })
                    .collect()
            })
            .collect();
        Ok(Installed { recording, table, arena, launches })
    }

    fn bind(&self, table: &Range, weights: &Range, arena: &Range) -> wgpu::BindGroup {
        let resources =
            [table.buffer.as_entire_binding(), weights.binding(), arena.binding(), weights.binding(), arena.binding()];
        let entries: Vec<_> =
            (0..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipelines.bindings,
            entries: &entries,
        })
    }
}

impl Installed {
    pub(super) fn recording(&self) -> &Recording {
        &self.recording
    }

    pub(super) fn launch(&self, operation: u32, launch: u32) -> &InstalledLaunch {
        &self.launches[operation as usize][launch as usize]
    }
}

/// Words of the launch table of a recording, one at least.
pub(super) fn table_words(recording: &Recording) -> u64 {
    let launches = recording.operations.iter().flat_map(|o| &o.launches);
    launches.map(|l| l.params.len() as u64).sum::<u64>().max(1)
}
