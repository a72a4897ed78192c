//! The backend that accepts everything and runs nothing, instantly: schedulers and the app run without a GPU. Outputs
//! are the zeros that memory began with.

use std::collections::HashMap;
use std::sync::Arc;

use crate::tensor::TenantId;

use super::host_memory::HostMemory;
use super::{
    BufferId, Clock, Completion, Counters, Device, DeviceCaps, DeviceKind, Execution, HalError, InstallProgress,
    LaneId, LaneSpec, Limits, PartitionKind, Preemption, Quirks, Recording, RecordingId, Region, SharedClock,
    SliceSpan, Submission, SubmissionId, Wait, WallClock, plan,
};

/// A device that runs nothing.
pub struct NullDevice {
    caps: DeviceCaps,
    clock: WallClock,
    memory: HostMemory,
    recordings: HashMap<RecordingId, Arc<Recording>>,
    done: Vec<Completion>,
    counters: Counters,
    lanes: u32,
    installed: u32,
}

impl NullDevice {
    /// Opens it; there is nothing to fail.
    pub fn open(clock: WallClock) -> NullDevice {
        let caps = DeviceCaps {
            backend: "null",
            name: "null".into(),
            driver: "none".into(),
            kind: DeviceKind::Null,
            execution: Execution::Nothing,
            host_cpu: None,
            partition: PartitionKind::Logical,
            partitions_max: None,
            sm_isolation: false,
            bandwidth_isolation: false,
            performance_qos: false,
            reconfiguration: "instant",
            preemption: Preemption::SliceBoundary,
            priority_levels: 1,
            lanes_max: u32::MAX,
            compute_units: Some(1),
            subgroup: None,
            timestamps: true,
            f16: false,
            power: None,
            cokernels: false,
            int64: false,
            limits: Limits {
                binding_bytes_max: 1 << 31,
                storage_buffers_max: 8,
                invocations_max: 256,
                workgroup_bytes_max: 16 << 10,
                workers_max: 65_535,
            },
            quirks: Quirks::default(),
        };
        NullDevice {
            memory: HostMemory::new(caps.limits.binding_bytes_max),
            caps,
            clock,
            recordings: HashMap::new(),
            done: Vec::new(),
            counters: Counters::default(),
            lanes: 0,
            installed: 0,
        }
    }
}

impl Device for NullDevice {
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
        self.memory.free(buffer);
    }

    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        self.memory.write(region, bytes)
    }

    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
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
        self.recordings.remove(&recording);
    }

    fn lane(&mut self, _spec: &LaneSpec) -> Result<LaneId, HalError> {
        self.lanes += 1;
        Ok(LaneId(self.lanes))
    }

    fn submit(&mut self, _lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError> {
        let installed = |id: RecordingId| self.recordings.get(&id).map(|r| &**r);
        plan::check(&submission, installed, |region| self.memory.check(region))?;
        for (region, bytes) in &submission.uploads {
            self.memory.write(*region, bytes)?;
        }
        let reads = submission.reads.iter().map(|r| self.memory.read(*r)).collect::<Result<_, _>>()?;
        let now = self.clock.now();
        let timed = if submission.timed { &submission.stages[..] } else { &[] };
        let spans = (0..)
            .zip(timed)
            .flat_map(|(stage, s)| (0..s.slices.len() as u32).map(move |slice| (stage, slice)))
            .map(|(stage, slice)| SliceSpan { stage, slice, start: now, end: now })
            .collect();
        self.counters.submissions += 1;
        let id = SubmissionId(self.counters.submissions);
        self.done.push(Completion { submission: id, finished: now, spans, reads, failed: Vec::new(), error: None });
        Ok(id)
    }

    fn poll(&mut self, _wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        out.append(&mut self.done);
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters { buffers: self.memory.made(), ..self.counters }
    }
}
