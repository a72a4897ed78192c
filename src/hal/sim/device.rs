//! The simulated GPU behind the trait of all devices.
//!
//! A lane is a stream. A submission becomes copies and kernels on it, launched by one host thread as a driver would: a
//! slice is a persistent kernel of as many workers, stages follow each other in the stream, and the further chains of a stage
//! go to helper streams joined by events, launched breadth-first. [`Device::poll`] moves virtual time from event to event, nothing sleeps.
//!
//! Results are computed only with [`SimOptions::numerics`]: each operation by its CPU function when its last slice ends, so
//! that they are there in the order of virtual time. Without it buffers hold no words and reads bring zeros. Loading
//! ([`Device::write`], [`Device::install`]) takes no virtual time, but waits for work that uses the same memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::caps::caps;
use super::clock::VirtualClock;
use super::copy::Direction;
use super::cost::{KernelCost, Source, Work};
use super::gpu::Gpu;
use super::install::{kernel_key, launch_cost};
use super::memory::SimMemory;
use super::partition::{ContextId, ContextSpec, MigPlacement, Mode, SmBound};
use super::profile::Profile;
use super::slab::Slab;
use super::sm_set::SmSet;
use super::streams::{Command, Done, EventId, HostId, SimError, StreamId};
use crate::hal::{
    BufferId, Clock, Completion, Counters, Device, DeviceCaps, HalError, InstallProgress, LaneId, LaneSpec, Operation,
    PartitionId, PartitionSpec, Recording, RecordingId, Region, SharedClock, Slice, SliceSpan, Stage, Submission,
    SubmissionId, Together, Units, Wait, eval, plan,
};
use crate::tensor::{Nanos, TenantId};

/// Submissions that are not done at most.
const SUBMISSIONS_MAX: usize = 1 << 16;

/// How a simulated device should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimOptions {
    /// Compute results, on the CPU.
    pub numerics: bool,
}

/// A simulated device.
pub struct SimDevice {
    caps: DeviceCaps,
    clock: VirtualClock,
    options: SimOptions,
    gpu: Gpu,
    host: HostId,
    memory: SimMemory,
    recordings: HashMap<RecordingId, Arc<Installed>>,
    partitions: Vec<ContextId>,
    lanes: Vec<Lane>,
    /// Lanes of this partitioning begin here.
    lanes_from: usize,
    open: Slab<Open>,
    ended: Vec<Done>,
    /// What ended and the host will know of, in the order in which it will.
    unnoticed: VecDeque<Completion>,
    completed: Vec<Completion>,
    handover: Handover,
    counters: Counters,
    installed: u32,
}

/// The times of handing over submissions and of learning that they ended.
#[derive(Clone, Copy)]
struct Handover {
    submit_us: f64,
    encode_us: f64,
    begin_ns: f64,
    notice: Nanos,
}

/// A recording with its launches' costs.
struct Installed {
    recording: Arc<Recording>,
    costs: Vec<Vec<KernelCost>>,
}

struct Lane {
    context: ContextId,
    priority: i32,
    stream: StreamId,
    /// Streams and events of further chains of a stage, made when they are needed.
    helpers: Vec<(StreamId, EventId)>,
    /// The end of the stage before.
    before: EventId,
}

/// A submission under way.
struct Open {
    id: SubmissionId,
    submission: Submission,
    parts: Vec<Part>,
    /// Parts that are not done.
    left: usize,
    spans: Vec<SliceSpan>,
    reads: Vec<Vec<u8>>,
    failed: Vec<(RecordingId, HalError)>,
}

impl Open {
    /// Whether it reads or writes a buffer; what is done uses none.
    fn uses(&self, buffer: BufferId) -> bool {
        let copies = self.submission.uploads.iter().map(|(region, _)| region).chain(&self.submission.reads);
        let binds = |part: &Part| match part {
            Part::Slice { installed, .. } => installed.recording.buffers().any(|b| b == buffer),
            Part::Begin | Part::Upload(_) | Part::Read(_) => false,
        };
        copies.into_iter().any(|region| region.buffer == buffer) || self.parts.iter().any(binds)
    }
}

/// A command that ends.
enum Part {
    /// What the device does before the first one.
    Begin,
    Upload(usize),
    Slice {
        stage: u32,
        slice: u32,
        installed: Arc<Installed>,
    },
    Read(usize),
}

impl SimDevice {
    /// A device with this profile, whose time `clock` shows.
    pub fn open(profile: Profile, clock: VirtualClock, options: SimOptions) -> SimDevice {
        let profile = Arc::new(profile);
        let bytes = profile.memory_bytes();
        let launch = &profile.launch;
        let handover = Handover {
            submit_us: launch.submit_us,
            encode_us: launch.encode_us,
            begin_ns: launch.begin_us * 1e3,
            notice: Nanos((launch.notice_us * 1e3) as u64),
        };
        let mut gpu = Gpu::new(profile.clone());
        gpu.advance_to(clock.now());
        let host = gpu.host();
        SimDevice {
            caps: caps(&profile, options.numerics),
            clock,
            options,
            gpu,
            host,
            memory: SimMemory::new(bytes, profile.device.binding_bytes_max, options.numerics),
            recordings: HashMap::new(),
            partitions: Vec::new(),
            lanes: Vec::new(),
            lanes_from: 0,
            open: Slab::new(),
            ended: Vec::new(),
            unnoticed: VecDeque::new(),
            completed: Vec::new(),
            handover,
            counters: Counters::default(),
            installed: 0,
        }
    }

    /// The simulated GPU, for its totals and its profile.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The cost of a slice: its tiles, walked by its workers.
    fn cost(installed: &Installed, slice: &Slice, sms: u32) -> KernelCost {
        let whole = installed.costs[slice.operation as usize][slice.launch as usize];
        let tiles = slice.tiles.end - slice.tiles.start;
        match whole.source {
            // One of them stands for a whole model.
            Source::Fitted => whole,
            // An ordinary kernel: its blocks leave the SMs at each block's end, unless it has a part of the device only.
            Source::Recorded if slice.workers >= tiles.min(sms) => whole.part(tiles),
            _ => whole.part(tiles).persistent(slice.workers),
        }
    }

    fn lane_mut(&mut self, id: LaneId) -> Result<&mut Lane, HalError> {
        let at = (id.0 as usize).checked_sub(1).filter(|at| *at >= self.lanes_from);
        at.and_then(|at| self.lanes.get_mut(at)).ok_or(HalError::NoLane(id))
    }

    /// The helper of number `at` of a lane.
    fn helper(&mut self, lane: LaneId, at: usize) -> Result<(StreamId, EventId), HalError> {
        let known = self.lane_mut(lane)?;
        if let Some(&helper) = known.helpers.get(at) {
            return Ok(helper);
        }
        let (context, priority) = (known.context, known.priority);
        let helper = (self.gpu.stream(context, priority).map_err(refused)?, self.gpu.event());
        self.lane_mut(lane)?.helpers.push(helper);
        Ok(helper)
    }

    fn check(&self, submission: &Submission) -> Result<(), HalError> {
        let installed = |id: RecordingId| self.recordings.get(&id).map(|r| &*r.recording);
        plan::check(submission, installed, |region| self.memory.check(region))?;
        let parts = 1 + submission.uploads.len() + submission.reads.len();
        let slices: usize = submission.stages.iter().map(|s| s.slices.len()).sum();
        // A chain of a stage of several takes up to three commands more, for events.
        if self.open.len() >= SUBMISSIONS_MAX || self.gpu.waiting() + parts + 4 * slices > super::COMMANDS_MAX {
            return Err(HalError::Full { waiting: self.open.len() });
        }
        Ok(())
    }

    /// Launches the commands of a submission; its parts in the order of their tags.
    fn launch(&mut self, lane: LaneId, open: u32, submission: &Submission) -> Result<Vec<Part>, HalError> {
        let (stream, before) = {
            let lane = self.lane_mut(lane)?;
            (lane.stream, lane.before)
        };
        let sms = self.gpu.profile().compute.sms;
        let slices: usize = submission.stages.iter().map(|s| s.slices.len()).sum();
        let host_us = self.handover.submit_us + self.handover.encode_us * slices as f64;
        self.gpu.occupy(self.host, Nanos((host_us * 1e3) as u64));
        let mut parts = Vec::new();
        let tag = |parts: &Vec<Part>| u64::from(open) << 32 | parts.len() as u64;
        if self.handover.begin_ns > 0.0 {
            let begin = Command::Kernel(KernelCost::fixed(self.handover.begin_ns));
            self.gpu.submit(self.host, stream, begin, tag(&parts)).map_err(refused)?;
            parts.push(Part::Begin);
        }
        for (at, (region, _)) in submission.uploads.iter().enumerate() {
            let copy = Command::Copy { bytes: region.bytes, direction: Direction::ToDevice, pinned: true };
            self.gpu.submit(self.host, stream, copy, tag(&parts)).map_err(refused)?;
            parts.push(Part::Upload(at));
        }
        for (stage, s) in (0..).zip(&submission.stages) {
            let chains: Vec<&[Slice]> = s.chains().collect();
            let firsts = firsts(&chains);
            if chains.len() > 1 {
                self.gpu.submit(self.host, stream, Command::Record(before), 0).map_err(refused)?;
            }
            let longest = chains.iter().map(|c| c.len()).max().unwrap_or(0);
            // One host thread launches them, so every chain gets its first slice before any gets its second.
            for place in 0..longest {
                for (at, chain) in chains.iter().enumerate().filter(|(_, c)| place < c.len()) {
                    let slice = &chain[place];
                    let installed = self.recordings[&slice.recording].clone();
                    let kernel = Command::Kernel(SimDevice::cost(&installed, slice, sms));
                    let number = tag(&parts);
                    parts.push(Part::Slice { stage, slice: (firsts[at] + place) as u32, installed });
                    let Some(helper) = at.checked_sub(1) else {
                        self.gpu.submit(self.host, stream, kernel, number).map_err(refused)?;
                        continue;
                    };
                    let (helper, event) = self.helper(lane, helper)?;
                    if place == 0 {
                        self.gpu.submit(self.host, helper, Command::Wait(before), 0).map_err(refused)?;
                    }
                    self.gpu.submit(self.host, helper, kernel, number).map_err(refused)?;
                    if place + 1 == chain.len() {
                        self.gpu.submit(self.host, helper, Command::Record(event), 0).map_err(refused)?;
                    }
                }
            }
            for helper in 1..chains.len() {
                let (_, event) = self.helper(lane, helper - 1)?;
                self.gpu.submit(self.host, stream, Command::Wait(event), 0).map_err(refused)?;
            }
        }
        for (at, region) in submission.reads.iter().enumerate() {
            let copy = Command::Copy { bytes: region.bytes, direction: Direction::ToHost, pinned: true };
            self.gpu.submit(self.host, stream, copy, tag(&parts)).map_err(refused)?;
            parts.push(Part::Read(at));
        }
        Ok(parts)
    }

    /// Looks at what ended by now.
    fn collect(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        self.gpu.take_done(&mut ended);
        for done in ended.drain(..) {
            self.part_ended(&done);
        }
        self.ended = ended;
        let now = self.clock.now();
        while let Some(completion) = self.unnoticed.pop_front_if(|c| c.finished <= now) {
            self.completed.push(completion);
        }
    }

    fn part_ended(&mut self, done: &Done) {
        let (place, number) = ((done.tag >> 32) as u32, (done.tag & u64::from(u32::MAX)) as usize);
        let open = &mut self.open[place];
        match &open.parts[number] {
            Part::Begin => {}
            Part::Upload(at) => {
                let (region, bytes) = &open.submission.uploads[*at];
                self.memory.write(*region, bytes);
            }
            Part::Read(at) => open.reads[*at] = self.memory.read(open.submission.reads[*at]),
            Part::Slice { stage, slice, installed } => {
                let (stage, slice) = (*stage, *slice);
                let work = &open.submission.stages[stage as usize].slices[slice as usize];
                if !open.failed.iter().any(|(recording, _)| *recording == work.recording) {
                    if self.options.numerics
                        && let Err(error) = compute(&installed.recording, work, &mut self.memory)
                    {
                        open.failed.push((work.recording, error));
                    }
                    if open.submission.timed {
                        open.spans.push(SliceSpan { stage, slice, start: done.start, end: done.end });
                    }
                }
            }
        }
        open.left -= 1;
        if open.left == 0 {
            self.complete(place, done.end);
        }
    }

    fn complete(&mut self, place: u32, finished: Nanos) {
        let open = &mut self.open[place];
        open.spans.sort_by_key(|s| (s.stage, s.slice));
        open.parts = Vec::new();
        open.submission = Submission::default();
        self.unnoticed.push_back(Completion {
            submission: open.id,
            finished: finished + self.handover.notice,
            spans: std::mem::take(&mut open.spans),
            reads: std::mem::take(&mut open.reads),
            failed: std::mem::take(&mut open.failed),
            error: None,
        });
        self.open.free(place);
        if self.open.len() == 0 {
            self.memory.sweep();
        }
    }

    /// Brings the GPU to the clock's time, which others may have moved.
    fn catch_up(&mut self) {
        self.gpu.advance_to(self.clock.now());
        self.collect();
    }

    /// Moves time to `to`.
    fn go_to(&mut self, to: Nanos) {
        self.gpu.advance_to(to);
        self.clock.advance_to(to);
        self.collect();
    }

    /// When something happens next.
    fn next_event(&mut self) -> Option<Nanos> {
        let noticed = self.unnoticed.front().map(|c| c.finished);
        self.gpu.next_event().into_iter().chain(noticed).min()
    }

    /// Lets everything end that was submitted.
    fn finish(&mut self) {
        self.catch_up();
        while self.open.len() > 0 {
            let at = self.gpu.next_event().expect("what is open will end");
            self.go_to(at);
        }
    }
}

/// The number of each chain's first slice in its stage.
fn firsts(chains: &[&[Slice]]) -> Vec<usize> {
    let begun = chains.iter().scan(0, |next, chain| {
        *next += chain.len();
        Some(*next - chain.len())
    });
    begun.collect()
}

/// Computes an operation when the last tile of its last launch ended.
fn compute(recording: &Recording, slice: &Slice, memory: &mut SimMemory) -> Result<(), HalError> {
    let operation: &Operation = &recording.operations[slice.operation as usize];
    let last = operation.launches.len() - 1;
    if slice.launch as usize != last || slice.tiles.end != operation.launches[last].tiles {
        return Ok(());
    }
    let failed = |reason| HalError::Host { operator: operation.name.clone(), reason };
    let gather = |t| {
        let (from, to) = eval::extent(t);
        eval::gather(t, &memory.words(t.buffer)[from..to]).map_err(failed)
    };
    let inputs = operation.inputs.iter().map(gather).collect::<Result<Vec<_>, _>>()?;
    let outputs = eval::eval(operation, &inputs)?;
    for (tensor, value) in operation.outputs.iter().zip(&outputs) {
        let (from, to) = eval::extent(tensor);
        eval::scatter(tensor, value, &mut memory.words_mut(tensor.buffer)[from..to]).map_err(failed)?;
    }
    Ok(())
}

/// What the GPU refuses as the device's error.
fn refused(error: SimError) -> HalError {
    match error {
        SimError::Full { waiting } => HalError::Full { waiting },
        other => HalError::Partition { reason: other.to_string() },
    }
}

/// Whether the partitions of an instance run at the same time.
fn mode_of(partitions: &[&PartitionSpec]) -> Result<Mode, HalError> {
    match partitions.iter().filter(|p| p.turn.is_some()).count() {
        0 => Ok(Mode::Shared),
        n if n == partitions.len() => Ok(Mode::Sliced),
        _ => {
            let reason = "of the partitions of one instance some take turns and some do not";
            Err(HalError::Partition { reason: reason.into() })
        }
    }
}

fn bound(units: &Units) -> SmBound {
    match units {
        Units::All => SmBound::All,
        Units::Percent(percent) => SmBound::Percent(*percent),
        Units::Only(range) => SmBound::Only(SmSet::range(range.start, range.end)),
    }
}

impl Device for SimDevice {
    fn caps(&self) -> &DeviceCaps {
        &self.caps
    }

    fn clock(&self) -> SharedClock {
        Arc::new(self.clock.clone())
    }

    fn limit_memory(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.memory.limit(tenant, bytes_max);
    }

    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        self.memory.alloc(tenant, bytes)
    }

    fn free(&mut self, buffer: BufferId) {
        self.memory.free(buffer, self.open.len() > 0);
    }

    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        self.memory.check(region)?;
        // It comes after what was submitted; where that does not use the buffer, now is as good as later.
        if self.open.iter().any(|open| open.uses(region.buffer)) {
            self.finish();
        }
        self.memory.write(region, bytes);
        Ok(())
    }

    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
        self.memory.check(region)?;
        self.finish();
        Ok(self.memory.read(region))
    }

    fn together(&self, stage: &Stage) -> Together {
        // Chains are streams: nothing has to be compiled.
        if stage.slices.len() > 1 { Together::Ready } else { Together::Apart }
    }

    fn install(&mut self, recording: Arc<Recording>, _progress: InstallProgress) -> Result<RecordingId, HalError> {
        recording.buffers().try_for_each(|b| self.memory.check(Region { buffer: b, offset: 0, bytes: 0 }))?;
        let profile = self.gpu.profile().clone();
        let measured = profile.measured();
        let mut costs = Vec::with_capacity(recording.operations.len());
        for operation in &recording.operations {
            let mut launches = Vec::with_capacity(operation.launches.len());
            for (at, launch) in operation.launches.iter().enumerate() {
                let known = || measured.get(kernel_key(operation, at).as_str()).copied();
                let cost = launch_cost(operation, at, &profile, if measured.is_empty() { None } else { known() });
                let unfit = profile.sm.blocks_per_sm(&cost.need) == 0;
                if unfit || matches!(cost.work, Work::Fixed { block_ns, .. } if !block_ns.is_finite() || block_ns < 0.0)
                {
                    let reason = format!("no SM of {} runs a block of it: {cost:?}", profile.name);
                    return Err(HalError::Kernel { kernel: launch.kernel.label(), reason });
                }
                launches.push(cost);
            }
            costs.push(launches);
        }
        self.installed += 1;
        let id = RecordingId(self.installed);
        self.recordings.insert(id, Arc::new(Installed { recording, costs }));
        Ok(id)
    }

    fn cost_sources(&self, recording: RecordingId) -> Vec<(Source, usize)> {
        let mut found: Vec<(Source, usize)> = Vec::new();
        let costs = self.recordings.get(&recording).into_iter().flat_map(|r| r.costs.iter().flatten());
        for cost in costs {
            match found.iter_mut().find(|(source, _)| *source == cost.source) {
                Some((_, n)) => *n += 1,
                None => found.push((cost.source, 1)),
            }
        }
        found
    }

    fn uninstall(&mut self, recording: RecordingId) {
        self.recordings.remove(&recording);
    }

    fn partition(&mut self, plan: &[PartitionSpec]) -> Result<Vec<PartitionId>, HalError> {
        self.catch_up();
        let mut instances: Vec<&(String, u32)> = Vec::new();
        for spec in plan {
            match &spec.instance {
                Some(instance) if !instances.contains(&instance) => instances.push(instance),
                _ => {}
            }
        }
        if !instances.is_empty() && plan.iter().any(|s| s.instance.is_none()) {
            let reason =
                "some partitions name an instance and some do not; with instances nothing lies outside of them";
            return Err(HalError::Partition { reason: reason.into() });
        }
        // On a copy first, so that what is refused changes nothing.
        let mut gpu = self.gpu.clone();
        let mig: Vec<_> =
            instances.iter().map(|(profile, start)| MigPlacement { profile: profile.clone(), start: *start }).collect();
        let ids = gpu.partition(&mig, Mode::Shared).map_err(refused)?;
        for (at, &id) in ids.iter().enumerate() {
            let here: Vec<_> = plan.iter().filter(|s| s.instance.as_ref() == instances.get(at).copied()).collect();
            gpu.set_mode(id, mode_of(&here)?).map_err(refused)?;
        }
        let mut contexts = Vec::new();
        for spec in plan {
            let at = instances.iter().position(|i| Some(*i) == spec.instance.as_ref()).unwrap_or(0);
            let spec = ContextSpec { instance: ids[at], sms: bound(&spec.units), slice: spec.turn };
            contexts.push(gpu.context(spec).map_err(refused)?);
        }
        if plan.is_empty() {
            contexts
                .push(gpu.context(ContextSpec { instance: ids[0], sms: SmBound::All, slice: None }).map_err(refused)?);
        }
        self.gpu = gpu;
        self.partitions = contexts;
        self.lanes_from = self.lanes.len();
        Ok((0..plan.len() as u32).map(PartitionId).collect())
    }

    fn reshape(&mut self, partition: PartitionId, units: Units) -> Result<(), HalError> {
        self.catch_up();
        let Some(&context) = self.partitions.get(partition.0 as usize) else {
            return Err(HalError::Partition { reason: format!("{partition:?} does not exist") });
        };
        self.gpu.reshape(context, bound(&units)).map_err(refused)
    }

    fn lane(&mut self, spec: &LaneSpec) -> Result<LaneId, HalError> {
        if self.partitions.is_empty() {
            self.partitions.push(self.gpu.plain_context().map_err(refused)?);
        }
        let partition = spec.partition.map_or(0, |p| p.0 as usize);
        let Some(&context) = self.partitions.get(partition) else {
            return Err(HalError::Partition { reason: format!("{:?} does not exist", spec.partition) });
        };
        let stream = self.gpu.stream(context, spec.priority).map_err(refused)?;
        let before = self.gpu.event();
        self.lanes.push(Lane { context, priority: spec.priority, stream, helpers: Vec::new(), before });
        Ok(LaneId(self.lanes.len() as u32))
    }

    fn submit(&mut self, lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError> {
        self.lane_mut(lane)?;
        self.check(&submission)?;
        self.catch_up();
        self.counters.submissions += 1;
        let id = SubmissionId(self.counters.submissions);
        let open = self.open.insert(Open {
            id,
            submission: Submission::default(),
            parts: Vec::new(),
            left: 0,
            spans: Vec::new(),
            reads: vec![Vec::new(); submission.reads.len()],
            failed: Vec::new(),
        });
        let parts = self.launch(lane, open, &submission)?;
        let place = &mut self.open[open];
        place.left = parts.len();
        place.parts = parts;
        place.submission = submission;
        if place.left == 0 {
            self.complete(open, self.clock.now());
        }
        Ok(id)
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        self.catch_up();
        if let Wait::AtMost(most) = wait {
            let ns = u64::try_from(most.as_nanos()).ok();
            let deadline = ns.and_then(|ns| self.clock.now().0.checked_add(ns)).map(Nanos);
            while self.completed.is_empty() {
                let next = self.next_event().filter(|at| deadline.is_none_or(|deadline| *at <= deadline));
                // Without anything to happen, an endless wait ends where it began.
                let Some(to) = next.or(deadline) else { break };
                self.go_to(to);
                if Some(to) == deadline {
                    break;
                }
            }
        }
        out.append(&mut self.completed);
        Ok(())
    }

    fn unit_seconds(&self) -> Option<f64> {
        Some(self.gpu.busy_sm_seconds())
    }

    fn counters(&self) -> Counters {
        Counters { buffers: self.memory.made(), ..self.counters }
    }
}
