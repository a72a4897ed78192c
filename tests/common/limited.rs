//! A device that binds less at once than it could, so that small models meet the limits that large ones meet.

use std::sync::Arc;

use cotenant::hal::{
    BufferId, Completion, Counters, Device, DeviceCaps, HalError, InstallProgress, LaneId, LaneSpec, Recording,
    RecordingId, Region, SharedClock, Submission, SubmissionId, Wait,
};
use cotenant::tensor::TenantId;

/// A device with a smaller binding limit. No buffer is larger than the limit, as on any device.
pub struct Limited {
    device: Box<dyn Device>,
    caps: DeviceCaps,
}

impl Limited {
    /// `device` with this binding limit.
    pub fn new(device: Box<dyn Device>, binding_bytes_max: u64) -> Limited {
        let mut caps = device.caps().clone();
        caps.limits.binding_bytes_max = binding_bytes_max;
        Limited { device, caps }
    }
}

impl Device for Limited {
    fn caps(&self) -> &DeviceCaps {
        &self.caps
    }

    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        let limit = self.caps.limits.binding_bytes_max;
        if bytes > limit {
            return Err(HalError::BufferTooLarge { tenant, asked: bytes, limit });
        }
        self.device.alloc(tenant, bytes)
    }

    fn clock(&self) -> SharedClock {
        self.device.clock()
    }

    fn limit_memory(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.device.limit_memory(tenant, bytes_max);
    }

    fn free(&mut self, buffer: BufferId) {
        self.device.free(buffer);
    }

    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        self.device.write(region, bytes)
    }

    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
        self.device.read(region)
    }

    fn install(&mut self, recording: Arc<Recording>, progress: InstallProgress) -> Result<RecordingId, HalError> {
        self.device.install(recording, progress)
    }

    fn uninstall(&mut self, recording: RecordingId) {
        self.device.uninstall(recording);
    }

    fn lane(&mut self, spec: &LaneSpec) -> Result<LaneId, HalError> {
        self.device.lane(spec)
    }

    fn submit(&mut self, lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError> {
        self.device.submit(lane, submission)
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        self.device.poll(wait, out)
    }

    fn counters(&self) -> Counters {
        self.device.counters()
    }
}
