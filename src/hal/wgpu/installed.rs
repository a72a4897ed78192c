//! A recording on a wgpu device: its launch table, and for each launch a pipeline and its bindings.

use std::collections::HashMap;

use super::pipelines::Pipelines;
use crate::hal::{BufferId, HalError, InstallProgress, Recording};

/// An installed recording.
pub(super) struct Installed {
    /// Per operation, per launch.
    launches: Vec<Vec<InstalledLaunch>>,
}

/// What a dispatch of one launch needs.
pub(super) struct InstalledLaunch {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bindings: wgpu::BindGroup,
    /// Index of its first parameter word in the launch table.
    pub(super) base: u32,
}

impl Installed {
    pub(super) fn new(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        pipelines: &Pipelines,
        buffer: impl Fn(BufferId) -> Option<wgpu::Buffer>,
        recording: &Recording,
        progress: InstallProgress,
    ) -> Result<Installed, HalError> {
        let compiled = pipelines.of(recording, progress)?;
        let launches = recording.operations.iter().flat_map(|o| &o.launches);
        let words: Vec<u32> = launches.clone().flat_map(|l| l.params.iter().copied()).collect();
        let table = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("launch table"),
            size: (words.len().max(1) * 4) as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        queue.write_buffer(&table, 0, bytemuck::cast_slice(&words));
        let find = |id: BufferId| buffer(id).ok_or(HalError::Range { buffer: id, offset: 0, end: 0 });
        let arena = find(recording.arena)?;
        let mut groups: HashMap<BufferId, wgpu::BindGroup> = HashMap::new();
        for launch in launches {
            if let std::collections::hash_map::Entry::Vacant(e) = groups.entry(launch.weights) {
                let weights = find(launch.weights)?;
                let group = bind(device, &pipelines.bindings, [&table, &weights, &arena, &weights, &arena]);
                e.insert(group);
            }
        }
        let mut base = 0;
        let launches = recording
            .operations
            .iter()
            .map(|operation| {
                operation
                    .launches
                    .iter()
                    .map(|launch| {
                        let installed = InstalledLaunch {
                            pipeline: compiled[&launch.kernel].clone(),
                            bindings: groups[&launch.weights].clone(),
                            base,
                        };
                        base += launch.params.len() as u32;
                        installed
                    })
                    .collect()
            })
            .collect();
        Ok(Installed { launches })
    }

    pub(super) fn launch(&self, operation: u32, launch: u32) -> &InstalledLaunch {
        &self.launches[operation as usize][launch as usize]
    }
}

fn bind(device: &wgpu::Device, layout: &wgpu::BindGroupLayout, buffers: [&wgpu::Buffer; 5]) -> wgpu::BindGroup {
    let entries: Vec<_> = (0..)
        .zip(buffers)
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
        .collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}
