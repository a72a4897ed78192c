//! A submission as one command buffer: what goes up, then one compute pass, then what comes back.

use std::collections::HashMap;

use super::WgpuDevice;
use super::cokernel::Programs;
use super::compose::Job;
use super::stage::{self, MemoryKey};
use super::staging::Direction;
use crate::hal::{HalError, Region, SliceSpan, Stage, Submission};
use crate::tensor::Nanos;

/// The timestamps of a submission: the query sets, which slices each interval times, and where they go in the staging
/// buffer.
pub(super) struct Timed {
    pub(super) sets: Vec<usize>,
    /// Per dispatch the stage and its slices.
    pub(super) dispatches: Vec<(u32, std::ops::Range<u32>)>,
    pub(super) offset: u64,
}

/// A dispatch that is about to be encoded.
enum Dispatch {
    /// A slice of a stage.
    Slice(u32),
    /// All slices of a stage; the programs begin at this word.
    Together { pipeline: wgpu::ComputePipeline, memory: wgpu::BindGroup, workgroups: u32, base: u32 },
}

/// What co-kernels are encoded with, taken once.
#[derive(Default)]
pub(super) struct Scratch {
    programs: Programs,
    words: Vec<u32>,
    bindings: HashMap<MemoryKey, wgpu::BindGroup>,
}

impl Scratch {
    /// Buffers are gone.
    pub(super) fn forget(&mut self) {
        self.bindings.clear();
    }
}

/// A buffer of programs and its bindings.
#[derive(Clone)]
pub(super) struct ProgramBuffer {
    pub(super) buffer: wgpu::Buffer,
    bindings: wgpu::BindGroup,
}

/// The dispatches of a submission and the programs that they read.
pub(super) struct Plan {
    dispatches: Vec<(u32, Dispatch)>,
    program_bytes: u64,
}

impl WgpuDevice {
    /// Decides how each stage is dispatched. The words of all programs are in the scratch memory then.
    pub(super) fn plan(&mut self, stages: &[Stage]) -> Plan {
        let mut dispatches = Vec::with_capacity(stages.len());
        self.scratch.words.clear();
        for (at, stage) in (0..).zip(stages) {
            match self.together(stage) {
                Some(dispatch) => dispatches.push((at, dispatch)),
                None => dispatches.extend((0..stage.slices.len() as u32).map(|slice| (at, Dispatch::Slice(slice)))),
            }
        }
        Plan { dispatches, program_bytes: self.scratch.words.len() as u64 * 4 }
    }

    /// A stage as one dispatch, if there is a co-kernel for it.
    fn together(&mut self, stage: &Stage) -> Option<Dispatch> {
        let needs = stage::needs(stage, &self.recordings)?;
        let cokernel = needs.find(&self.cokernels)?;
        let Scratch { programs, words, bindings } = &mut self.scratch;
        if !needs.program(&cokernel, stage, &self.recordings, programs) {
            return None;
        }
        let base = words.len() as u32;
        programs.write(words);
        let memory = bindings
            .entry(needs.memory_key(cokernel.pairs))
            .or_insert_with(|| needs.bind(&self.device, &self.cokernels, &cokernel));
        Some(Dispatch::Together {
            pipeline: cokernel.pipeline.clone(),
            memory: memory.clone(),
            workgroups: programs.workgroups(),
            base,
        })
    }

    /// Copies the uploads and the programs into one staging buffer and encodes their ways. An error where the device was lost
    /// meanwhile.
    pub(super) fn encode_uploads(
        &mut self,
        uploads: &[(Region, Vec<u8>)],
        plan: &Plan,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<(Option<wgpu::Buffer>, Option<ProgramBuffer>), HalError> {
        let bytes: u64 = uploads.iter().map(|(r, _)| r.bytes).sum();
        if bytes + plan.program_bytes == 0 {
            return Ok((None, None));
        }
        let staging = self.staging(Direction::Upload, bytes + plan.program_bytes);
        {
            // Free upload buffers are mapped.
            let mut mapped = staging.get_mapped_range_mut(..).map_err(|e| HalError::DeviceLost(e.to_string()))?;
            let mut at = 0;
            let words = bytemuck::cast_slice(&self.scratch.words);
            for data in uploads.iter().map(|(_, data)| data.as_slice()).chain([words]) {
                mapped.slice(at..at + data.len()).copy_from_slice(data);
                at += data.len();
            }
        }
        staging.unmap();
        let mut at = 0;
        for (region, _) in uploads.iter().filter(|(r, _)| r.bytes > 0) {
            let (target, offset) = self.locate(*region);
            encoder.copy_buffer_to_buffer(&staging, at, &target, offset, region.bytes);
            at += region.bytes;
        }
        let programs = (plan.program_bytes > 0).then(|| {
            let programs = self.program_buffer(plan.program_bytes);
            encoder.copy_buffer_to_buffer(&staging, at, &programs.buffer, 0, plan.program_bytes);
            programs
        });
        Ok((Some(staging), programs))
    }

    /// A buffer for programs that no submission under way reads.
    fn program_buffer(&mut self, bytes: u64) -> ProgramBuffer {
        let size = bytes.max(16 << 10).next_power_of_two();
        if let Some(at) = self.program_buffers.iter().position(|p| p.buffer.size() == size) {
            return self.program_buffers.swap_remove(at);
        }
        self.counters.buffers += 1;
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("programs"),
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.cokernels.programs,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
        });
        ProgramBuffer { buffer, bindings }
    }

    /// Encodes all dispatches into one pass; answers which were timed.
    pub(super) fn encode_stages(
        &mut self,
        submission: &Submission,
        plan: &Plan,
        programs: Option<&ProgramBuffer>,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Option<Timed> {
        let n = plan.dispatches.len();
        if n == 0 {
            return None;
        }
        let sets = self.timestamps.as_mut().filter(|_| submission.timed).map(|t| {
            let (sets, created) = t.take(&self.device, n + 1);
            self.counters.buffers += created;
            sets
        });
        let queries = self.timestamps.as_ref().zip(sets.as_ref());
        let stamp = |pass: &mut wgpu::ComputePass, at: usize| {
            if let Some((timestamps, sets)) = queries {
                let (queries, index) = timestamps.query(sets, at);
                pass.write_timestamp(queries, index);
            }
        };
        let mut dispatches = Vec::with_capacity(n);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        stamp(&mut pass, 0);
        for (at, dispatch) in &plan.dispatches {
            let stage = &submission.stages[*at as usize];
            match dispatch {
                Dispatch::Slice(number) => {
                    let slice = &stage.slices[*number as usize];
                    let installed = &self.recordings[&slice.recording];
                    let launch = installed.launch(slice.operation, slice.launch);
                    let workers = stage::workers(slice);
                    let job = Job { base: launch.base, first: slice.tiles.start, end: slice.tiles.end, workers };
                    pass.set_pipeline(&launch.pipeline);
                    pass.set_bind_group(0, &launch.bindings, &[]);
                    pass.set_immediates(0, bytemuck::bytes_of(&job));
                    pass.dispatch_workgroups(workers, 1, 1);
                    dispatches.push((*at, *number..*number + 1));
                }
                Dispatch::Together { pipeline, memory, workgroups, base } => {
                    let job = Job { base: *base, first: 0, end: 0, workers: 0 };
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(0, memory, &[]);
                    pass.set_bind_group(1, programs.map(|p| &p.bindings), &[]);
                    pass.set_immediates(0, bytemuck::bytes_of(&job));
                    pass.dispatch_workgroups(*workgroups, 1, 1);
                    dispatches.push((*at, 0..stage.slices.len() as u32));
                }
            }
            stamp(&mut pass, dispatches.len());
        }
        drop(pass);
        sets.map(|sets| Timed { sets, dispatches, offset: 0 })
    }
}

/// Dispatches run in the order of their encoding, so each span begins where the one before ends. Of a co-kernel's slices
/// no more is known than when all of them ran.
pub(super) fn spans_of(dispatches: &[(u32, std::ops::Range<u32>)], times: &[Nanos]) -> Vec<SliceSpan> {
    let spans = dispatches.iter().zip(times.windows(2)).flat_map(|((stage, slices), t)| {
        let span = |slice| SliceSpan { stage: *stage, slice, start: t[0], end: t[1].max(t[0]) };
        slices.clone().map(span)
    });
    spans.collect()
}
