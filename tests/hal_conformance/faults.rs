//! Devices that each break one sentence of the contract, to see that the suite notices: a device that keeps it, behind one
//! fault.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cotenant::hal::{
    BufferId, Completion, Counters, Device, DeviceCaps, HalError, InstallProgress, LaneId, LaneSpec, Recording,
    RecordingId, Region, SharedClock, Slice, Submission, SubmissionId, Wait,
};
use cotenant::tensor::{Nanos, TenantId};

/// What is wrong with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    DirtyMemory,
    QuotaIgnored,
    QuotaNotGivenBack,
    TooLargeIsOutOfMemory,
    RangeIgnored,
    RefusedUploads,
    UploadsReversed,
    ReadsReversed,
    StagesReversed,
    ChainsReversed,
    SliceLost,
    WorkersChangeBits,
    CompletionLost,
    CompletionTwice,
    CompletionsReversed,
    CompletionsReplaced,
    PollWaitsForAll,
    NumbersRepeat,
    DatedTooLate,
    SpanMissing,
    SpansReversed,
    SpansUnasked,
    SpanTooLong,
    BufferEachSubmission,
    NeighbourOverwritten,
    FailureLosesReads,
    FailureHidden,
    FailureStays,
    RecordingsAlike,
    PlansUnchecked,
    MissingBuffersInstalled,
    WritesOvertake,
    ForgettingOvertakes,
    OtherTilesToo,
    KernelUnnamed,
    ProgressUntold,
}

/// Every fault of a device that runs kernels, with a case that must notice it.
pub const KERNEL_FAULTS: &[(Fault, &str)] = &[
    (Fault::OtherTilesToo, "a slice computes its tiles and no others"),
    (Fault::KernelUnnamed, "a kernel that cannot be built is refused by name"),
    (Fault::ProgressUntold, "an installation tells its progress"),
    (Fault::WorkersChangeBits, "random programs, cut at random"),
];

/// Every other fault with a case that must notice it.
pub const FAULTS: &[(Fault, &str)] = &[
    (Fault::DirtyMemory, "memory begins zeroed"),
    (Fault::DirtyMemory, "memory that was used before begins zeroed"),
    (Fault::DirtyMemory, "kernels find memory zeroed"),
    (Fault::QuotaIgnored, "a quota bounds its tenant only"),
    (Fault::QuotaIgnored, "a quota can change while memory is held"),
    (Fault::QuotaNotGivenBack, "a quota bounds its tenant only"),
    (Fault::QuotaNotGivenBack, "what was freed is gone"),
    (Fault::TooLargeIsOutOfMemory, "what is too large for the device is refused"),
    (Fault::RangeIgnored, "ranges outside a buffer are refused"),
    (Fault::RefusedUploads, "a refused submission does nothing"),
    (Fault::UploadsReversed, "uploads happen in their order"),
    (Fault::ReadsReversed, "reads are answered in their order"),
    (Fault::StagesReversed, "stages run in order"),
    (Fault::ChainsReversed, "slices of a chain run in order"),
    (Fault::ChainsReversed, "no bit depends on chains"),
    (Fault::SliceLost, "slices of several tenants share stages"),
    (Fault::SliceLost, "random programs, cut at random"),
    (Fault::WorkersChangeBits, "no bit depends on cuts and workers"),
    (Fault::CompletionLost, "lanes complete in order, each by itself"),
    (Fault::CompletionTwice, "a poll on an idle device returns at once"),
    (Fault::CompletionsReversed, "submissions to a lane run in order"),
    (Fault::CompletionsReversed, "lanes complete in order, each by itself"),
    (Fault::CompletionsReplaced, "a poll appends"),
    (Fault::PollWaitsForAll, "a poll does not wait for more than it must"),
    (Fault::NumbersRepeat, "lanes complete in order, each by itself"),
    (Fault::DatedTooLate, "completions are dated"),
    (Fault::SpanMissing, "each slice has its span"),
    (Fault::SpanMissing, "thousands of slices have their spans"),
    (Fault::SpansReversed, "each slice has its span"),
    (Fault::SpansUnasked, "nobody is timed who did not ask"),
    (Fault::SpanTooLong, "submissions under way are all timed"),
    (Fault::BufferEachSubmission, "the steady state makes nothing"),
    (Fault::NeighbourOverwritten, "neighbours' memory is neither read nor written"),
    (Fault::FailureLosesReads, "a failing operator ends its recording's work only"),
    (Fault::FailureHidden, "a failing operator ends its recording's work only"),
    (Fault::FailureStays, "a failure does not stay"),
    (Fault::RecordingsAlike, "recordings are installed and forgotten"),
    (Fault::PlansUnchecked, "a plan that breaks its promise is caught"),
    (Fault::MissingBuffersInstalled, "a recording without its buffers is refused"),
    (Fault::WritesOvertake, "writes come between submissions"),
    (Fault::ForgettingOvertakes, "what is forgotten still completes"),
];

/// A device with a fault.
pub struct Faulty {
    inner: Box<dyn Device>,
    fault: Fault,
    last_buffer: Option<BufferId>,
    last_recording: Option<Arc<Recording>>,
    held_back: Vec<(LaneId, Submission)>,
    under_way: usize,
    completed: usize,
    single_worker: bool,
    failed: Option<(RecordingId, HalError)>,
}

impl Faulty {
    pub fn new(inner: Box<dyn Device>, fault: Fault) -> Faulty {
        Faulty {
            inner,
            fault,
            last_buffer: None,
            last_recording: None,
            held_back: Vec::new(),
            under_way: 0,
            completed: 0,
            single_worker: false,
            failed: None,
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// Submits what was held back, so that other calls overtook it.
    fn release(&mut self) -> Result<(), HalError> {
        self.held_back.drain(..).try_for_each(|(lane, submission)| self.inner.submit(lane, submission).map(drop))
    }

    /// What becomes of a completion on its way out; `None` loses it.
    fn spoil(&mut self, mut completion: Completion) -> Option<Completion> {
        self.completed += 1;
        match self.fault {
            Fault::CompletionLost if self.completed.is_multiple_of(10) => return None,
            Fault::ReadsReversed => completion.reads.reverse(),
            Fault::NumbersRepeat => completion.submission.0 /= 2,
            Fault::DatedTooLate => completion.finished += Nanos::from_secs(1000.0),
            Fault::SpanMissing => drop(completion.spans.pop()),
            Fault::SpansReversed => completion.spans.reverse(),
            Fault::SpanTooLong => completion.spans.iter_mut().for_each(|s| s.end += Nanos::from_secs(1000.0)),
            Fault::FailureLosesReads if !completion.failed.is_empty() => completion.reads.clear(),
            Fault::FailureHidden => completion.failed.clear(),
            Fault::FailureStays => match completion.failed.first() {
                Some(first) => self.failed = Some(first.clone()),
                None => completion.failed.extend(self.failed.clone()),
            },
            _ => {}
        }
        Some(completion)
    }
}

impl Device for Faulty {
    fn caps(&self) -> &DeviceCaps {
        self.inner.caps()
    }

    fn clock(&self) -> SharedClock {
        self.inner.clock()
    }

    fn limit_memory(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        if !self.is(Fault::QuotaIgnored) {
            self.inner.limit_memory(tenant, bytes_max);
        }
    }

    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        let buffer = self.inner.alloc(tenant, bytes).map_err(|error| match error {
            HalError::BufferTooLarge { tenant, asked, .. } if self.is(Fault::TooLargeIsOutOfMemory) => {
                HalError::OutOfMemory { tenant, asked }
            }
            other => other,
        })?;
        if self.is(Fault::DirtyMemory) {
            let bytes = bytes.next_multiple_of(4);
            self.inner.write(Region { buffer, offset: 0, bytes }, &vec![0xaa; bytes as usize])?;
        }
        self.last_buffer = Some(buffer);
        Ok(buffer)
    }

    fn free(&mut self, buffer: BufferId) {
        if !self.is(Fault::ForgettingOvertakes) {
            self.release().expect("it was accepted");
        }
        if !self.is(Fault::QuotaNotGivenBack) {
            self.inner.free(buffer);
        }
    }

    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        let written = self.inner.write(region, bytes);
        if self.is(Fault::RangeIgnored) { Ok(()) } else { written }
    }

    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
        self.release()?;
        let mut bytes = self.inner.read(region)?;
        if self.single_worker && self.is(Fault::WorkersChangeBits) {
            bytes.iter_mut().step_by(4).for_each(|low| *low ^= 1);
        }
        Ok(bytes)
    }

    fn install(&mut self, recording: Arc<Recording>, progress: InstallProgress) -> Result<RecordingId, HalError> {
        self.last_recording = Some(recording.clone());
        let untold: InstallProgress = &mut |_, _, _| {};
        let progress = if self.is(Fault::ProgressUntold) { untold } else { progress };
        match self.inner.install(recording, progress) {
            Err(HalError::Kernel { reason, .. }) if self.is(Fault::KernelUnnamed) => {
                Err(HalError::Kernel { kernel: String::new(), reason })
            }
            Ok(_) if self.is(Fault::RecordingsAlike) => Ok(RecordingId(1)),
            Err(HalError::Range { .. }) if self.is(Fault::MissingBuffersInstalled) => Ok(RecordingId(1000)),
            other => other,
        }
    }

    fn uninstall(&mut self, recording: RecordingId) {
        self.inner.uninstall(recording);
    }

    fn lane(&mut self, spec: &LaneSpec) -> Result<LaneId, HalError> {
        self.inner.lane(spec)
    }

    fn submit(&mut self, lane: LaneId, mut submission: Submission) -> Result<SubmissionId, HalError> {
        let slices = submission.stages.iter().flat_map(|s| &s.slices);
        self.single_worker = slices.clone().any(|s| s.workers == 1);
        match self.fault {
            Fault::RefusedUploads => {
                for (region, bytes) in &submission.uploads {
                    let _ = self.inner.write(*region, bytes);
                }
            }
            Fault::UploadsReversed => submission.uploads.reverse(),
            Fault::StagesReversed => submission.stages.reverse(),
            Fault::ChainsReversed => {
                for stage in &mut submission.stages {
                    let reversed = stage.chains().flat_map(|chain| {
                        let slices = chain.iter().rev().cloned().enumerate();
                        slices.map(|(at, slice)| Slice { follows: at > 0, ..slice })
                    });
                    stage.slices = reversed.collect();
                }
            }
            Fault::SliceLost => {
                for stage in &mut submission.stages {
                    stage.slices.truncate(stage.slices.len().saturating_sub(1).max(1));
                }
            }
            Fault::OtherTilesToo => {
                if let Some(recording) = &self.last_recording {
                    for slice in submission.stages.iter_mut().flat_map(|s| &mut s.slices) {
                        let launches = &recording.operations[slice.operation as usize].launches;
                        slice.tiles = 0..launches[slice.launch as usize].tiles;
                    }
                }
            }
            Fault::WritesOvertake | Fault::ForgettingOvertakes => {
                self.held_back.push((lane, submission));
                self.under_way += 1;
                return Ok(SubmissionId(self.inner.counters().submissions + self.held_back.len() as u64));
            }
            Fault::SpansUnasked => submission.timed = true,
            Fault::NeighbourOverwritten => {
                if let Some(buffer) = self.last_buffer {
                    self.inner.write(Region { buffer, offset: 0, bytes: 4 }, &[1; 4])?;
                }
            }
            _ => {}
        }
        let submit = AssertUnwindSafe(|| self.inner.submit(lane, submission));
        let mut id = match catch_unwind(submit) {
            Ok(submitted) => submitted?,
            Err(_) if self.fault == Fault::PlansUnchecked => return Ok(SubmissionId(0)),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        self.under_way += 1;
        if self.is(Fault::NumbersRepeat) {
            id.0 /= 2;
        }
        Ok(id)
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        if self.is(Fault::CompletionsReplaced) {
            out.clear();
        }
        self.release()?;
        let mut found = Vec::new();
        self.inner.poll(wait, &mut found)?;
        if [Fault::PollWaitsForAll, Fault::CompletionsReversed].contains(&self.fault) {
            while found.len() < self.under_way {
                self.inner.poll(wait, &mut found)?;
            }
        }
        self.under_way -= found.len();
        if self.is(Fault::CompletionsReversed) {
            found.reverse();
        }
        for completion in found {
            if self.is(Fault::CompletionTwice) {
                let (submission, finished) = (completion.submission, completion.finished);
                let (spans, reads, failed) = (Vec::new(), Vec::new(), Vec::new());
                out.push(Completion { submission, finished, spans, reads, failed, error: None });
            }
            out.extend(self.spoil(completion));
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        let counters = self.inner.counters();
        match self.fault {
            Fault::BufferEachSubmission => Counters { buffers: counters.buffers + counters.submissions, ..counters },
            _ => counters,
        }
    }
}
