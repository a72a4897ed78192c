//! The portable backend: Vulkan, Metal and DX12 through wgpu.
//!
//! One logical device with one queue is one lane. A submission is one command buffer: uploads, then one compute pass in
//! which each slice is a dispatch of `workers` workgroups, then reads. The driver orders dispatches that touch the same
//! arena; slices of different tenants in one stage are encoded side by side.

mod adapter;
mod chain;
pub mod compose;
mod installed;
mod link;
mod pipelines;
mod specialize;
mod staging;
mod timestamps;
mod unroll;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use adapter::{Found, choose, find};
use compose::Job;
use installed::Installed;
use pipelines::Pipelines;
use staging::{Direction, Pool};
use timestamps::Timestamps;

use super::quota::Quotas;
use super::{
    BufferId, Clock, Compiler, Completion, Counters, Device, DeviceCaps, HalError, InstallProgress, LaneId, LaneSpec,
    Recording, RecordingId, Region, SharedClock, SliceSpan, Submission, SubmissionId, Unavailable, Wait, WallClock,
    plan,
};
use crate::tensor::{Nanos, TenantId};

/// A logical device of a wgpu adapter.
pub struct WgpuDevice {
    caps: DeviceCaps,
    clock: WallClock,
    device: wgpu::Device,
    queue: wgpu::Queue,
    buffers: HashMap<BufferId, Held>,
    quotas: Quotas,
    pipelines: Arc<Pipelines>,
    recordings: HashMap<RecordingId, Installed>,
    timestamps: Option<Timestamps>,
    uploads: Pool,
    downloads: Pool,
    in_flight: VecDeque<InFlight>,
    counters: Counters,
    ids: u32,
    lost: Arc<Mutex<Option<String>>>,
}

/// A tenant's buffer. Bindings may not be empty, so the device's own is a word at least.
struct Held {
    tenant: TenantId,
    bytes: u64,
    buffer: wgpu::Buffer,
}

/// A submission that the device has not finished.
struct InFlight {
    id: SubmissionId,
    submitted: Nanos,
    index: wgpu::SubmissionIndex,
    done: Arc<Done>,
    upload: Option<wgpu::Buffer>,
    read: Option<wgpu::Buffer>,
    regions: Vec<Region>,
    timed: Option<Timed>,
}

/// What the driver's callbacks report.
#[derive(Default)]
struct Done {
    finished_ns: AtomicU64,
    work: AtomicBool,
    mapped: AtomicBool,
}

/// The timestamps of a submission: the query sets, which slices they time, and where they go in the staging buffer.
struct Timed {
    sets: Vec<usize>,
    slices: Vec<(u32, u32)>,
    offset: u64,
}

impl WgpuDevice {
    /// Opens `found`.
    ///
    /// # Errors
    /// [`Unavailable`] with what the driver said.
    pub fn open(found: &Found, clock: WallClock) -> Result<WgpuDevice, Unavailable> {
        let mut limits = wgpu::Limits::defaults().using_resolution(found.adapter.limits());
        let has = found.adapter.limits();
        limits.max_storage_buffer_binding_size = has.max_storage_buffer_binding_size;
        limits.max_buffer_size = has.max_buffer_size;
        limits.max_immediate_size = has.max_immediate_size.min(128);
        limits.max_compute_invocations_per_workgroup = has.max_compute_invocations_per_workgroup;
        limits.max_compute_workgroup_size_x = has.max_compute_workgroup_size_x;
        limits.max_compute_workgroup_storage_size = has.max_compute_workgroup_storage_size;
        limits.max_storage_buffers_per_shader_stage = has.max_storage_buffers_per_shader_stage;
        let request = found.adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("cotenant"),
            required_features: adapter::features(&found.adapter),
            required_limits: limits,
            ..Default::default()
        });
        let (device, queue) = pollster::block_on(request).map_err(|e| Unavailable {
            spec: format!("wgpu:{}", found.info.name),
            reason: e.to_string(),
            remedy: "update the driver, or choose another device (`cotenant devices`)".into(),
        })?;
        let lost = Arc::new(Mutex::new(None));
        let note = lost.clone();
        device.set_device_lost_callback(move |_, message| {
            *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
        });
        let note = lost.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            tracing::error!("wgpu: {error}");
            note.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
        }));
        let timestamps = Timestamps::new(&device, &queue, &clock);
        let caps = adapter::caps(found);
        Ok(WgpuDevice {
            quotas: Quotas::new(caps.limits.binding_bytes_max),
            caps,
            pipelines: Arc::new(Pipelines::new(device.clone())),
            timestamps,
            clock,
            device,
            queue,
            buffers: HashMap::new(),
            recordings: HashMap::new(),
            uploads: Pool::new(Direction::Upload),
            downloads: Pool::new(Direction::Read),
            in_flight: VecDeque::new(),
            counters: Counters::default(),
            ids: 0,
            lost,
        })
    }

    fn new_id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    fn check_lost(&self) -> Result<(), HalError> {
        match &*self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(message) => Err(HalError::DeviceLost(message.clone())),
            None => Ok(()),
        }
    }

    fn check(&self, region: Region) -> Result<&wgpu::Buffer, HalError> {
        let end = region.offset.saturating_add(region.bytes);
        let aligned = region.offset.is_multiple_of(4) && region.bytes.is_multiple_of(4);
        let held = self.buffers.get(&region.buffer).filter(|held| aligned && end <= held.bytes);
        let range = HalError::Range { buffer: region.buffer, offset: region.offset, end };
        held.map(|held| &held.buffer).ok_or(range)
    }

    fn staging(&mut self, direction: Direction, bytes: u64) -> wgpu::Buffer {
        let pool = match direction {
            Direction::Upload => &self.uploads,
            Direction::Read => &self.downloads,
        };
        let (buffer, created) = pool.take(&self.device, bytes);
        self.counters.buffers += u64::from(created);
        buffer
    }

    /// Copies the uploads into one staging buffer and encodes their way to their regions.
    fn encode_uploads(
        &mut self,
        uploads: &[(Region, Vec<u8>)],
        encoder: &mut wgpu::CommandEncoder,
    ) -> Option<wgpu::Buffer> {
        let bytes: u64 = uploads.iter().map(|(r, _)| r.bytes).sum();
        if bytes == 0 {
            return None;
        }
        let staging = self.staging(Direction::Upload, bytes);
        {
            let mut mapped = staging.get_mapped_range_mut(..).expect("free upload buffers are mapped");
            let mut at = 0;
            for (_, data) in uploads {
                mapped.slice(at..at + data.len()).copy_from_slice(data);
                at += data.len();
            }
        }
        staging.unmap();
        let mut at = 0;
        for (region, _) in uploads.iter().filter(|(r, _)| r.bytes > 0) {
            let target = &self.buffers[&region.buffer].buffer;
            encoder.copy_buffer_to_buffer(&staging, at, target, region.offset, region.bytes);
            at += region.bytes;
        }
        Some(staging)
    }

    /// Encodes all slices into one pass; answers which were timed.
    fn encode_stages(&mut self, submission: &Submission, encoder: &mut wgpu::CommandEncoder) -> Option<Timed> {
        let n: usize = submission.stages.iter().map(|s| s.slices.len()).sum();
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
        let mut slices = Vec::with_capacity(n);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        stamp(&mut pass, 0);
        for (stage, s) in (0..).zip(&submission.stages) {
            for (at, slice) in (0..).zip(&s.slices) {
                let installed = &self.recordings[&slice.recording];
                let launch = installed.launch(slice.operation, slice.launch);
                let workers = slice.workers.min(slice.tiles.end - slice.tiles.start);
                let job = Job { base: launch.base, first: slice.tiles.start, end: slice.tiles.end, workers };
                pass.set_pipeline(&launch.pipeline);
                pass.set_bind_group(0, &launch.bindings, &[]);
                pass.set_immediates(0, bytemuck::bytes_of(&job));
                pass.dispatch_workgroups(workers, 1, 1);
                slices.push((stage, at));
                stamp(&mut pass, slices.len());
            }
        }
        drop(pass);
        sets.map(|sets| Timed { sets, slices, offset: 0 })
    }

    /// Takes the oldest submission's results, if it is finished.
    fn harvest(&mut self) -> Option<Completion> {
        let front = self.in_flight.front()?;
        let done = front.done.work.load(Ordering::Acquire)
            && (front.read.is_none() || front.done.mapped.load(Ordering::Acquire));
        if !done {
            return None;
        }
        let flight = self.in_flight.pop_front()?;
        let finished = Nanos(flight.done.finished_ns.load(Ordering::Relaxed));
        if let Some(upload) = flight.upload {
            self.uploads.give_back(upload);
        }
        let mut reads = Vec::new();
        let mut spans = Vec::new();
        let mut error = None;
        if let Some(buffer) = flight.read {
            match buffer.get_mapped_range(..) {
                Ok(bytes) => {
                    let mut at = 0;
                    for region in &flight.regions {
                        reads.push(bytes[at..at + region.bytes as usize].to_vec());
                        at += region.bytes as usize;
                    }
                    if let (Some(timed), Some(timestamps)) = (&flight.timed, &mut self.timestamps) {
                        let from = timed.offset as usize;
                        let to = from + (timed.slices.len() + 1) * 8;
                        let times = timestamps.give_back(&timed.sets, &bytes[from..to], flight.submitted..finished);
                        spans = spans_of(&timed.slices, &times);
                    }
                }
                Err(e) => error = Some(HalError::DeviceLost(e.to_string())),
            }
            buffer.unmap();
            self.downloads.give_back(buffer);
        }
        Some(Completion { submission: flight.id, finished, spans, reads, failed: Vec::new(), error })
    }
}

/// Slices run in the order of their encoding, so each span begins where the one before ends.
fn spans_of(slices: &[(u32, u32)], times: &[Nanos]) -> Vec<SliceSpan> {
    slices
        .iter()
        .zip(times.windows(2))
        .map(|(&(stage, slice), t)| SliceSpan { stage, slice, start: t[0], end: t[1].max(t[0]) })
        .collect()
}

impl Device for WgpuDevice {
    fn caps(&self) -> &DeviceCaps {
        &self.caps
    }

    fn clock(&self) -> SharedClock {
        Arc::new(self.clock)
    }

    fn limit_memory(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.quotas.limit(tenant, bytes_max);
    }

    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        let bytes = self.quotas.take(tenant, bytes)?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        // wgpu zeroes what was never written before the first use.
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("tenant"),
            // Bindings hold at least one element, and the largest elements have two words.
            size: bytes.max(8),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        if pollster::block_on(scope.pop()).is_some() {
            self.quotas.give_back(tenant, bytes);
            return Err(HalError::OutOfMemory { tenant, asked: bytes });
        }
        let id = BufferId(self.new_id());
        self.buffers.insert(id, Held { tenant, bytes, buffer });
        self.counters.buffers += 1;
        Ok(id)
    }

    fn free(&mut self, buffer: BufferId) {
        if let Some(Held { tenant, bytes, .. }) = self.buffers.remove(&buffer) {
            self.quotas.give_back(tenant, bytes);
        }
    }

    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        let buffer = self.check(region)?;
        assert_eq!(bytes.len() as u64, region.bytes, "the bytes fill the region");
        self.queue.write_buffer(buffer, region.offset, bytes);
        self.check_lost()
    }

    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
        let buffer = self.check(region)?.clone();
        if region.bytes == 0 {
            return Ok(Vec::new());
        }
        let staging = self.staging(Direction::Read, region.bytes);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&buffer, region.offset, &staging, 0, region.bytes);
        self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        waited.map_err(|e| HalError::DeviceLost(e.to_string()))?;
        self.check_lost()?;
        let bytes = staging.get_mapped_range(..region.bytes).map_err(|e| HalError::DeviceLost(e.to_string()))?.to_vec();
        staging.unmap();
        self.downloads.give_back(staging);
        Ok(bytes)
    }

    fn compiler(&self) -> Option<Arc<dyn Compiler>> {
        Some(self.pipelines.clone())
    }

    fn install(&mut self, recording: Arc<Recording>, progress: InstallProgress) -> Result<RecordingId, HalError> {
        let installed = Installed::new(
            &self.device,
            &self.queue,
            &self.pipelines,
            |id| self.buffers.get(&id).map(|held| held.buffer.clone()),
            recording,
            progress,
        )?;
        self.counters.buffers += 1;
        let id = RecordingId(self.new_id());
        self.recordings.insert(id, installed);
        Ok(id)
    }

    fn uninstall(&mut self, recording: RecordingId) {
        self.recordings.remove(&recording);
    }

    fn lane(&mut self, _spec: &LaneSpec) -> Result<LaneId, HalError> {
        // One queue: all lanes are this one.
        Ok(LaneId(0))
    }

    fn submit(&mut self, _lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError> {
        self.check_lost()?;
        let installed = |id: RecordingId| self.recordings.get(&id).map(Installed::recording);
        plan::check(&submission, installed, |region| self.check(region).map(|_| ()))?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let upload = self.encode_uploads(&submission.uploads, &mut encoder);
        let mut timed = self.encode_stages(&submission, &mut encoder);
        let read_bytes: u64 = submission.reads.iter().map(|r| r.bytes).sum();
        let time_bytes = timed.as_ref().map_or(0, |t| (t.slices.len() as u64 + 1) * 8);
        let time_offset = read_bytes.next_multiple_of(8);
        let read = (read_bytes + time_bytes > 0).then(|| self.staging(Direction::Read, time_offset + time_bytes));
        if let Some(staging) = &read {
            let mut at = 0;
            for region in submission.reads.iter().filter(|r| r.bytes > 0) {
                let from = &self.buffers[&region.buffer].buffer;
                encoder.copy_buffer_to_buffer(from, region.offset, staging, at, region.bytes);
                at += region.bytes;
            }
            if let (Some(timed), Some(timestamps)) = (&mut timed, &self.timestamps) {
                timed.offset = time_offset;
                timestamps.resolve(&timed.sets, timed.slices.len() + 1, &mut encoder, staging, time_offset);
            }
        }
        let submitted = self.clock.now();
        let index = self.queue.submit([encoder.finish()]);
        let done = Arc::new(Done::default());
        if let Some(staging) = &read {
            let note = done.clone();
            staging.map_async(wgpu::MapMode::Read, .., move |_| note.mapped.store(true, Ordering::Release));
        }
        let (note, clock) = (done.clone(), self.clock);
        self.queue.on_submitted_work_done(move || {
            note.finished_ns.store(clock.now().0, Ordering::Relaxed);
            note.work.store(true, Ordering::Release);
        });
        self.counters.submissions += 1;
        let id = SubmissionId(self.counters.submissions);
        self.in_flight.push_back(InFlight {
            id,
            submitted,
            index,
            done,
            upload,
            read,
            regions: submission.reads,
            timed,
        });
        Ok(id)
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        let Some(front) = self.in_flight.front() else {
            return self.check_lost();
        };
        let index = front.index.clone();
        let poll = match wait {
            Wait::No => wgpu::PollType::Poll,
            Wait::AtMost(time) => wgpu::PollType::Wait { submission_index: Some(index), timeout: Some(time) },
        };
        match self.device.poll(poll) {
            Ok(_) | Err(wgpu::PollError::Timeout) => {}
            Err(e) => return Err(HalError::DeviceLost(e.to_string())),
        }
        self.check_lost()?;
        let before = out.len();
        while let Some(completion) = self.harvest() {
            out.push(completion);
        }
        if out.len() > before {
            // Maps the upload buffers that were given back, so that the next submission finds them.
            self.device.poll(wgpu::PollType::Poll).map_err(|e| HalError::DeviceLost(e.to_string()))?;
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters { pipelines: self.pipelines.len(), ..self.counters }
    }
}
