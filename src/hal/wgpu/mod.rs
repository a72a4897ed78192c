//! The portable backend: Vulkan, Metal and DX12 through wgpu.
//!
//! One logical device with one queue is one lane; several of them as one device are a [`WgpuFleet`]. A submission is one command buffer: uploads, then one compute pass in
//! which each slice is a dispatch of `workers` workgroups, then reads. A stage of several slices is one dispatch where a
//! co-kernel for it was compiled ([`cokernel`]). The driver orders dispatches that touch the same arena.

mod adapter;
mod chain;
mod cokernel;
pub mod compose;
mod disk_cache;
mod encode;
mod fleet;
mod installed;
mod link;
mod memory;
mod pipelines;
mod rehearsal;
mod specialize;
mod stage;
mod staging;
mod timestamps;
mod unroll;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use adapter::{Found, choose, find};
use cokernel::{Cokernels, Missing};
use disk_cache::DiskCache;
use encode::{ProgramBuffer, Scratch, Timed, spans_of};
pub use fleet::WgpuFleet;
use installed::{Installed, Installer, table_words};
use memory::{Pools, Purpose, Range};
use pipelines::Pipelines;
use rehearsal::Rehearsal;
use staging::{Direction, Pool};
use timestamps::Timestamps;

use super::quota::Quotas;
use super::{
    BufferId, Clock, CoKernel, Compiler, Completion, Counters, Device, DeviceCaps, HalError, InstallProgress,
    KernelSpec, LaneId, LaneSpec, Recording, RecordingId, Region, SharedClock, Stage, Submission, SubmissionId,
    Together, Unavailable, Wait, WallClock, plan,
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
    /// Tenants whose buffers lie in the pools.
    pooled: HashSet<TenantId>,
    pools: Pools,
    pipelines: Arc<Pipelines>,
    cokernels: Arc<Cokernels>,
    rehearsal: Option<Arc<Rehearsal>>,
    scratch: Scratch,
    /// Buffers for programs that are not in use.
    program_buffers: Vec<ProgramBuffer>,
    recordings: HashMap<RecordingId, Installed>,
    timestamps: Option<Timestamps>,
    uploads: Pool,
    downloads: Pool,
    in_flight: VecDeque<InFlight>,
    counters: Counters,
    /// The last identifier.
    ids: u32,
    /// From one identifier to the next.
    id_step: u32,
    lost: Arc<Mutex<Option<String>>>,
}

/// A tenant's buffer. Bindings may not be empty, so its range is some words at least.
struct Held {
    tenant: TenantId,
    bytes: u64,
    purpose: Purpose,
    range: Range,
}

/// A submission that the device has not finished.
struct InFlight {
    id: SubmissionId,
    submitted: Nanos,
    index: wgpu::SubmissionIndex,
    done: Arc<Done>,
    upload: Option<wgpu::Buffer>,
    read: Option<wgpu::Buffer>,
    programs: Option<ProgramBuffer>,
    regions: Vec<Region>,
    timed: Option<Timed>,
}

/// Compiles for a device on any thread.
struct WgpuCompiler {
    pipelines: Arc<Pipelines>,
    cokernels: Arc<Cokernels>,
    rehearsal: Option<Arc<Rehearsal>>,
}

impl Compiler for WgpuCompiler {
    fn compile(&self, recording: &Recording, progress: InstallProgress) -> Result<(), HalError> {
        self.pipelines.of(recording, self.rehearsal.as_deref(), progress).map(drop)
    }

    fn compile_together(&self, wanted: &CoKernel) -> Result<(), HalError> {
        if let Some(rehearsal) = &self.rehearsal {
            rehearsal.together(wanted);
        }
        let uses: Vec<_> = wanted.kernels.iter().map(|(k, slot)| (self.cokernels.number(k), *slot)).collect();
        self.cokernels.make(&uses, wanted.pooled).map(drop)
    }
}

/// A submission under way, for whoever waits for it.
struct Front {
    device: wgpu::Device,
    index: wgpu::SubmissionIndex,
}

impl Front {
    /// Returns when it ended, or after `time`.
    fn wait(self, time: Duration) -> Result<(), HalError> {
        let poll = wgpu::PollType::Wait { submission_index: Some(self.index.clone()), timeout: Some(time) };
        self.look(poll)
    }

    fn look(&self, poll: wgpu::PollType) -> Result<(), HalError> {
        match self.device.poll(poll) {
            Ok(_) | Err(wgpu::PollError::Timeout) => Ok(()),
            Err(e) => Err(HalError::DeviceLost(e.to_string())),
        }
    }
}

/// What the driver's callbacks report.
#[derive(Default)]
struct Done {
    finished_ns: AtomicU64,
    work: AtomicBool,
    mapped: AtomicBool,
}

impl WgpuDevice {
    /// Opens `found`.
    ///
    /// # Errors
    /// [`Unavailable`] with what the driver said.
    pub fn open(found: &Found, clock: WallClock) -> Result<WgpuDevice, Unavailable> {
        WgpuDevice::open_numbered(found, clock, (0, 1), Rehearsal::of(found))
    }

    /// As [`WgpuDevice::open`]; its identifiers come after `first`, a step apart each.
    fn open_numbered(
        found: &Found,
        clock: WallClock,
        (first, id_step): (u32, u32),
        rehearsal: Option<Arc<Rehearsal>>,
    ) -> Result<WgpuDevice, Unavailable> {
        let (device, queue) = adapter::open(found)?;
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
        let disk = Arc::new(DiskCache::open(&device, &found.info));
        let cokernels = Arc::new(Cokernels::new(device.clone(), disk.clone(), caps.subgroup));
        Ok(WgpuDevice {
            quotas: Quotas::new(caps.limits.binding_bytes_max),
            caps,
            pooled: HashSet::new(),
            pools: Pools::default(),
            pipelines: Arc::new(Pipelines::new(device.clone(), disk)),
            cokernels,
            rehearsal,
            scratch: Scratch::default(),
            program_buffers: Vec::new(),
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
            ids: first,
            id_step,
            lost,
        })
    }

    fn new_id(&mut self) -> u32 {
        self.ids += self.id_step;
        self.ids
    }

    fn check_lost(&self) -> Result<(), HalError> {
        match &*self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(message) => Err(HalError::DeviceLost(message.clone())),
            None => Ok(()),
        }
    }

    /// The buffer of the device that `region` lies in, and its first byte there.
    fn check(&self, region: Region) -> Result<(&wgpu::Buffer, u64), HalError> {
        let end = region.offset.saturating_add(region.bytes);
        let aligned = region.offset.is_multiple_of(4) && region.bytes.is_multiple_of(4);
        let held = self.buffers.get(&region.buffer).filter(|held| aligned && end <= held.bytes);
        let range = HalError::Range { buffer: region.buffer, offset: region.offset, end };
        held.map(|held| (&held.range.buffer, held.range.offset + region.offset)).ok_or(range)
    }

    /// As [`WgpuDevice::check`], of a region that was checked.
    fn located(&self, region: Region) -> (wgpu::Buffer, u64) {
        let range = &self.buffers[&region.buffer].range;
        (range.buffer.clone(), range.offset + region.offset)
    }

    /// A range for `bytes` of a tenant, which its quota has been asked for.
    fn range(&mut self, tenant: TenantId, bytes: u64, purpose: Purpose) -> Range {
        if !self.pooled.contains(&tenant) {
            self.counters.buffers += 1;
            return Range::own(&self.device, bytes);
        }
        let (range, created) = self.pools.of(purpose).take(&self.device, bytes, self.caps.limits.binding_bytes_max);
        self.counters.buffers += u64::from(created);
        if range.used {
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.clear_buffer(&range.buffer, range.offset, Some(range.bytes.next_multiple_of(4)));
            self.queue.submit([encoder.finish()]);
        }
        range
    }

    fn alloc_for(&mut self, tenant: TenantId, bytes: u64, purpose: Purpose) -> Result<BufferId, HalError> {
        let bytes = self.quotas.take(tenant, bytes)?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let range = self.range(tenant, bytes, purpose);
        if pollster::block_on(scope.pop()).is_some() {
            self.quotas.give_back(tenant, bytes);
            return Err(HalError::OutOfMemory { tenant, asked: bytes });
        }
        let id = BufferId(self.new_id());
        self.buffers.insert(id, Held { tenant, bytes, purpose, range });
        Ok(id)
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

    /// The oldest submission under way; it can be waited for without the device.
    fn front(&self) -> Option<Front> {
        let front = self.in_flight.front()?;
        Some(Front { device: self.device.clone(), index: front.index.clone() })
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
        self.program_buffers.extend(flight.programs);
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
                        let to = from + (timed.dispatches.len() + 1) * 8;
                        let times = timestamps.give_back(&timed.sets, &bytes[from..to], flight.submitted..finished);
                        spans = spans_of(&timed.dispatches, &times);
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

    fn pool(&mut self, tenant: TenantId) {
        self.pooled.insert(tenant);
    }

    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        self.alloc_for(tenant, bytes, Purpose::Arena)
    }

    fn alloc_constants(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        self.alloc_for(tenant, bytes, Purpose::Constants)
    }

    fn free(&mut self, buffer: BufferId) {
        if let Some(Held { tenant, bytes, purpose, range }) = self.buffers.remove(&buffer) {
            self.quotas.give_back(tenant, bytes);
            self.pools.of(purpose).give_back(&range);
            self.scratch.forget();
        }
    }

    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        let (buffer, offset) = self.check(region)?;
        assert_eq!(bytes.len() as u64, region.bytes, "the bytes fill the region");
        self.queue.write_buffer(buffer, offset, bytes);
        self.check_lost()
    }

    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
        self.check(region)?;
        let (buffer, offset) = self.located(region);
        if region.bytes == 0 {
            return Ok(Vec::new());
        }
        let staging = self.staging(Direction::Read, region.bytes);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&buffer, offset, &staging, 0, region.bytes);
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
        Some(Arc::new(WgpuCompiler {
            pipelines: self.pipelines.clone(),
            cokernels: self.cokernels.clone(),
            rehearsal: self.rehearsal.clone(),
        }))
    }

    fn install(&mut self, recording: Arc<Recording>, progress: InstallProgress) -> Result<RecordingId, HalError> {
        let find = |id: BufferId| {
            let held = self.buffers.get(&id).map(|held| held.range.clone());
            held.ok_or(HalError::Range { buffer: id, offset: 0, end: 0 })
        };
        recording.buffers().try_for_each(|id| find(id).map(drop))?;
        let bytes = table_words(&recording) * 4;
        let (table, created) = self.pools.tables.take(&self.device, bytes, self.caps.limits.binding_bytes_max);
        self.counters.buffers += u64::from(created);
        let installer = Installer {
            device: &self.device,
            queue: &self.queue,
            pipelines: &self.pipelines,
            cokernels: &self.cokernels,
        };
        let installed = installer
            .install(recording, &find, table.clone(), progress)
            .inspect_err(|_| self.pools.tables.give_back(&table))?;
        let id = RecordingId(self.new_id());
        self.recordings.insert(id, installed);
        Ok(id)
    }

    fn prepare(&mut self, stages: &[Stage]) -> Result<usize, HalError> {
        let mut together = 0;
        let mut missing = Missing::default();
        for stage in stages {
            let Some(needs) = stage::needs(stage, &self.recordings) else { continue };
            if needs.find(&self.cokernels).is_some() {
                together += 1;
            } else if self.cokernels.fits(&needs.uses, needs.pooled).is_ok() {
                missing.add(&needs.uses, needs.pooled);
                together += 1;
            }
        }
        for (uses, pooled) in missing.joined(|uses, pooled| self.cokernels.fits(uses, pooled).is_ok()) {
            self.cokernels.make(&uses, pooled)?;
        }
        Ok(together)
    }

    fn code_size(&self, kernel: &KernelSpec) -> u32 {
        self.cokernels.code_size(&Arc::new(kernel.clone()))
    }

    fn together(&self, stage: &Stage) -> Together {
        let Some(needs) = stage::needs(stage, &self.recordings) else { return Together::Apart };
        let described = || self.cokernels.described(&needs.uses, needs.pooled);
        match needs.find(&self.cokernels) {
            Some(found) if found.is_close_to(&needs.uses) => Together::Ready,
            Some(_) => Together::Larger(described()),
            None if self.cokernels.fits(&needs.uses, needs.pooled).is_ok() => Together::Compile(described()),
            None => Together::Apart,
        }
    }

    fn uninstall(&mut self, recording: RecordingId) {
        if let Some(installed) = self.recordings.remove(&recording) {
            self.pools.tables.give_back(&installed.table);
            self.scratch.forget();
        }
    }

    fn lane(&mut self, _spec: &LaneSpec) -> Result<LaneId, HalError> {
        // One queue: all lanes are this one.
        Ok(LaneId(0))
    }

    fn submit(&mut self, _lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError> {
        self.check_lost()?;
        let installed = |id: RecordingId| self.recordings.get(&id).map(Installed::recording);
        plan::check(&submission, installed, |region| self.check(region).map(|_| ()))?;
        let plan = self.plan(&submission.stages);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let (upload, programs) = self.encode_uploads(&submission.uploads, &plan, &mut encoder)?;
        let mut timed = self.encode_stages(&submission, &plan, programs.as_ref(), &mut encoder);
        let read_bytes: u64 = submission.reads.iter().map(|r| r.bytes).sum();
        let time_bytes = timed.as_ref().map_or(0, |t| (t.dispatches.len() as u64 + 1) * 8);
        let time_offset = read_bytes.next_multiple_of(8);
        let read = (read_bytes + time_bytes > 0).then(|| self.staging(Direction::Read, time_offset + time_bytes));
        if let Some(staging) = &read {
            let mut at = 0;
            for region in submission.reads.iter().filter(|r| r.bytes > 0) {
                let (from, offset) = self.located(*region);
                encoder.copy_buffer_to_buffer(&from, offset, staging, at, region.bytes);
                at += region.bytes;
            }
            if let (Some(timed), Some(timestamps)) = (&mut timed, &self.timestamps) {
                timed.offset = time_offset;
                timestamps.resolve(&timed.sets, timed.dispatches.len() + 1, &mut encoder, staging, time_offset);
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
            programs,
            regions: submission.reads,
            timed,
        });
        Ok(id)
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        let Some(front) = self.front() else {
            return self.check_lost();
        };
        match wait {
            Wait::No => front.look(wgpu::PollType::Poll)?,
            Wait::AtMost(time) => front.wait(time)?,
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
        let cokernels = self.cokernels.len();
        Counters { pipelines: self.pipelines.len() + cokernels, cokernels, ..self.counters }
    }
}
