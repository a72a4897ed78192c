//! The reference backend: every operator is computed by its CPU function. Slow and right: the oracle of all others.
//!
//! An operator runs when the last tile of its last launch is submitted; tile ranges before that only wait. Work happens
//! in [`Device::poll`], one submission a call whatever the wait, so nothing runs behind the caller's back. Calls that
//! must come after what was submitted (`write`, `read`, `free`, `uninstall`) run it first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::tensor::TenantId;

use super::host_memory::HostMemory;
use super::{
    BufferId, Clock, Completion, Counters, Device, DeviceCaps, DeviceKind, Execution, HalError, InstallProgress,
    LaneId, LaneSpec, Limits, Operation, PartitionKind, Preemption, Quirks, Recording, RecordingId, Region,
    SharedClock, Slice, SliceSpan, Submission, SubmissionId, Wait, WallClock, eval, plan,
};

/// The CPU as a device.
pub struct ReferenceDevice {
    caps: DeviceCaps,
    clock: WallClock,
    memory: HostMemory,
    recordings: HashMap<RecordingId, Arc<Recording>>,
    waiting: VecDeque<(SubmissionId, Submission)>,
    done: Vec<Completion>,
    counters: Counters,
    lanes: u32,
    installed: u32,
}

impl ReferenceDevice {
    /// Opens it; there is nothing to fail.
    pub fn open(clock: WallClock) -> ReferenceDevice {
        let caps = DeviceCaps {
            backend: "reference",
            name: "CPU, operator by operator".into(),
            driver: "tract".into(),
            kind: DeviceKind::Cpu,
            execution: Execution::CpuFunctions,
            host_cpu: None,
            partition: PartitionKind::None,
            partitions_max: Some(1),
            sm_isolation: false,
            bandwidth_isolation: false,
            performance_qos: false,
            reconfiguration: "none",
            preemption: Preemption::SliceBoundary,
            priority_levels: 1,
            lanes_max: 1,
            compute_units: Some(1),
            subgroup: None,
            timestamps: true,
            f16: false,
            power: None,
            cokernels: false,
            int64: false,
            limits: Limits {
                // CPU functions take several times the memory of what they compute.
                binding_bytes_max: 2 << 30,
                storage_buffers_max: 8,
                invocations_max: 256,
                workgroup_bytes_max: 16 << 10,
                workers_max: 65_535,
            },
            quirks: Quirks::default(),
        };
        ReferenceDevice {
            memory: HostMemory::new(caps.limits.binding_bytes_max),
            caps,
            clock,
            recordings: HashMap::new(),
            waiting: VecDeque::new(),
            done: Vec::new(),
            counters: Counters::default(),
            lanes: 0,
            installed: 0,
        }
    }

    /// Runs the oldest waiting submission; false when there is none.
    fn execute_next(&mut self) -> bool {
        let Some((id, submission)) = self.waiting.pop_front() else {
            return false;
        };
        let completion = self.execute(id, &submission);
        self.done.push(completion);
        true
    }

    fn execute_all(&mut self) {
        while self.execute_next() {}
    }

    fn execute(&mut self, id: SubmissionId, submission: &Submission) -> Completion {
        const CHECKED: &str = "regions were checked at submission";
        for (region, bytes) in &submission.uploads {
            self.memory.write(*region, bytes).expect(CHECKED);
        }
        let mut now = self.clock.now();
        let mut spans = Vec::new();
        let mut failed: Vec<(RecordingId, HalError)> = Vec::new();
        for (stage, s) in (0..).zip(&submission.stages) {
            for (at, slice) in (0..).zip(&s.slices) {
                if failed.iter().any(|(recording, _)| *recording == slice.recording) {
                    continue;
                }
                let start = now;
                if let Err(error) = self.execute_slice(slice) {
                    failed.push((slice.recording, error));
                }
                now = self.clock.now();
                if submission.timed {
                    spans.push(SliceSpan { stage, slice: at, start, end: now });
                }
            }
        }
        let reads = submission.reads.iter().map(|r| self.memory.read(*r).expect(CHECKED)).collect();
        Completion { submission: id, finished: self.clock.now(), spans, reads, failed, error: None }
    }

    fn execute_slice(&mut self, slice: &Slice) -> Result<(), HalError> {
        let recording = self.recordings.get(&slice.recording).cloned().ok_or(HalError::NoRecording(slice.recording))?;
        let operation = &recording.operations[slice.operation as usize];
        let launch = &operation.launches[slice.launch as usize];
        let last_launch = slice.launch as usize + 1 == operation.launches.len();
        if last_launch && slice.tiles.end == launch.tiles {
            self.compute(operation)?;
        }
        Ok(())
    }

    fn compute(&mut self, operation: &Operation) -> Result<(), HalError> {
        let failed = |reason| HalError::Host { operator: operation.name.clone(), reason };
        let inputs = operation
            .inputs
            .iter()
            .map(|t| {
                let (from, to) = eval::extent(t);
                eval::gather(t, &self.memory.words(t.buffer)[from..to]).map_err(failed)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = eval::eval(operation, &inputs)?;
        for (tensor, value) in operation.outputs.iter().zip(&outputs) {
            let (from, to) = eval::extent(tensor);
            eval::scatter(tensor, value, &mut self.memory.words_mut(tensor.buffer)[from..to]).map_err(failed)?;
        }
        Ok(())
    }
}

impl Device for ReferenceDevice {
    fn caps(&self) -> &DeviceCaps {
        &self.caps
    }

    fn clock(&self) -> SharedClock {
        Arc::new(self.clock)
    }

    fn limit_memory(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.memory.limit(tenant, bytes_max);
    }

    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        self.memory.alloc(tenant, bytes)
    }

    fn free(&mut self, buffer: BufferId) {
        self.execute_all();
        self.memory.free(buffer);
    }

    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        self.execute_all();
        self.memory.write(region, bytes)
    }

    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
        self.execute_all();
        self.memory.read(region)
    }

    fn install(&mut self, recording: Arc<Recording>, _progress: InstallProgress) -> Result<RecordingId, HalError> {
        self.memory.check_recording(&recording)?;
        self.installed += 1;
        let id = RecordingId(self.installed);
        self.recordings.insert(id, recording);
        Ok(id)
    }

    fn uninstall(&mut self, recording: RecordingId) {
        self.execute_all();
        self.recordings.remove(&recording);
    }

    fn lane(&mut self, _spec: &LaneSpec) -> Result<LaneId, HalError> {
        self.lanes += 1;
        Ok(LaneId(self.lanes))
    }

    fn submit(&mut self, _lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError> {
        let installed = |id: RecordingId| self.recordings.get(&id).map(|r| &**r);
        plan::check(&submission, installed, |region| self.memory.check(region))?;
        self.counters.submissions += 1;
        let id = SubmissionId(self.counters.submissions);
        self.waiting.push_back((id, submission));
        Ok(id)
    }

    fn poll(&mut self, _wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        self.execute_next();
        out.append(&mut self.done);
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters { buffers: self.memory.made(), ..self.counters }
    }
}
