//! Several models on a device, ready to run rounds: one request of each tenant, under any schedule that keeps tenants in
//! the lanes that they were placed in.

use std::sync::Arc;
use std::time::Duration;

use super::InterleaveError;
use crate::graph::{self, Graph, MemoryUse};
use crate::hal::{
    BufferId, Completion, Device, DeviceCaps, HalError, LaneId, LaneSpec, Recording, RecordingId, Region, SliceSpan,
    Stage, Submission, Wait, eval,
};
use crate::tensor::{HostTensor, Nanos, TenantId};

/// Time after which a round counts as lost.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A model that takes part, and what its request brings.
#[derive(Clone, Debug)]
pub struct Participant {
    /// The tenant's name.
    pub name: String,
    /// Its model.
    pub graph: Arc<Graph>,
    /// Inputs in the model's order.
    pub inputs: Vec<HostTensor>,
}

/// See the module's comment.
pub struct Rig {
    device: Box<dyn Device>,
    lanes: Vec<LaneId>,
    tenants: Vec<Resident>,
}

/// A tenant on the device.
struct Resident {
    lane: usize,
    recording: Arc<Recording>,
    id: RecordingId,
    buffers: Vec<BufferId>,
    uploads: Vec<(Region, Vec<u8>)>,
    reads: Vec<Region>,
    memory: MemoryUse,
}

/// The submissions of a round in the order in which they are handed over; each is ready as it is, but for the uploads,
/// which devices take away.
pub struct Round {
    submissions: Vec<Planned>,
}

struct Planned {
    lane: usize,
    /// Whose requests begin with it, and whose end.
    tenants: Vec<usize>,
    stages: Vec<Stage>,
}

/// What a round was like.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From handing over the first submission until the last one was found to have ended.
    pub took: Nanos,
    /// The words of each tenant's outputs, in the model's order, where they were asked for.
    pub outputs: Vec<Vec<Vec<u8>>>,
    /// When slices ran, per lane and stage of the round's submissions, where that was asked for and the device tells.
    pub spans: Vec<(usize, Vec<SliceSpan>)>,
}

impl Rig {
    /// Puts models on a device that was just opened; `lane_of` says in which of its lanes each is. With `pooled` their
    /// memory is shared ([`Device::pool`]).
    ///
    /// # Errors
    /// [`InterleaveError`] naming the tenant that cannot be put there.
    pub fn new(
        mut device: Box<dyn Device>,
        participants: &[Participant],
        lane_of: &[usize],
        pooled: bool,
    ) -> Result<Rig, InterleaveError> {
        let count = lane_of.iter().max().map_or(1, |last| last + 1);
        let spec_of = |lane: usize| {
            let first = (1..).zip(lane_of).find(|(_, at)| **at == lane);
            LaneSpec { tenant: first.map(|(tenant, _)| TenantId(tenant)), ..LaneSpec::default() }
        };
        let lanes = (0..count).map(|lane| device.lane(&spec_of(lane))).collect::<Result<Vec<_>, _>>()?;
        let mut tenants = Vec::with_capacity(participants.len());
        for (at, (participant, &lane)) in (1..).zip(participants.iter().zip(lane_of)) {
            let tenant = TenantId(at);
            device.place(tenant, lanes[lane]);
            if pooled {
                device.pool(tenant);
            }
            tenants.push(reside(&mut *device, participant, tenant, lane)?);
        }
        Ok(Rig { device, lanes, tenants })
    }

    /// What the device can do.
    pub fn caps(&self) -> &DeviceCaps {
        self.device.caps()
    }

    /// The device, for measurements of other kinds.
    pub fn device(&mut self) -> &mut dyn Device {
        &mut *self.device
    }

    /// Its lanes.
    pub fn lanes(&self) -> &[LaneId] {
        &self.lanes
    }

    /// The tenants' recordings.
    pub fn recordings(&self) -> Vec<Arc<Recording>> {
        self.tenants.iter().map(|t| t.recording.clone()).collect()
    }

    /// Under which numbers they are installed.
    pub fn recording_ids(&self) -> Vec<RecordingId> {
        self.tenants.iter().map(|t| t.id).collect()
    }

    /// Bytes of each tenant's weights and activations.
    pub fn footprints(&self) -> Vec<u64> {
        self.tenants.iter().map(|t| t.memory.weight_bytes + t.memory.arena_bytes).collect()
    }

    /// Operators that no kernel computes, over all tenants.
    pub fn cpu_nodes(&self) -> usize {
        self.tenants.iter().map(|t| t.recording.cpu_nodes()).sum()
    }

    /// A round in which each lane has one submission with all of its stages.
    pub fn together(&self, stages: Vec<Vec<Stage>>) -> Round {
        let whose = |lane: usize| (0..self.tenants.len()).filter(|&t| self.tenants[t].lane == lane).collect();
        let planned = |(lane, stages)| Planned { lane, tenants: whose(lane), stages };
        Round { submissions: stages.into_iter().enumerate().map(planned).collect() }
    }

    /// A round in which each tenant has a submission of its own, in its lane.
    pub fn apart(&self, stages: Vec<Vec<Stage>>) -> Round {
        let planned =
            |(t, stages): (usize, Vec<Stage>)| Planned { lane: self.tenants[t].lane, tenants: vec![t], stages };
        Round { submissions: stages.into_iter().enumerate().map(planned).collect() }
    }

    /// Has everything compiled that the round's stages need; answers how many stages are one dispatch each.
    ///
    /// # Errors
    /// [`HalError::Kernel`] for what the driver does not take.
    pub fn prepare(&mut self, round: &Round) -> Result<usize, HalError> {
        round.submissions.iter().map(|s| self.device.prepare(&s.stages)).sum()
    }

    /// Runs a round. `read` brings the outputs, `timed` the times of slices, which costs time.
    ///
    /// # Errors
    /// What the device reports, as a failure of the whole round.
    pub fn run(&mut self, round: &Round, read: bool, timed: bool) -> Result<Outcome, HalError> {
        let submissions: Vec<(LaneId, Submission)> =
            round.submissions.iter().map(|p| (self.lanes[p.lane], self.submission(p, timed))).collect();
        let start = self.device.clock().now();
        let mut ids = Vec::with_capacity(submissions.len());
        for (lane, submission) in submissions {
            ids.push(self.device.submit(lane, submission)?);
        }
        let mut done: Vec<Completion> = Vec::new();
        while done.len() < ids.len() {
            let before = done.len();
            self.device.poll(Wait::AtMost(TIMEOUT), &mut done)?;
            if done.len() == before && u128::from(self.device.clock().now().since(start).0) > TIMEOUT.as_nanos() {
                return Err(HalError::DeviceLost("a round did not end in five minutes".into()));
            }
            if let Some(error) = done[before..].iter_mut().find_map(failure) {
                return Err(error);
            }
        }
        let took = done.iter().map(|c| c.finished).max().unwrap_or(start).since(start);
        let mut outcome = Outcome { took, outputs: vec![Vec::new(); self.tenants.len()], spans: Vec::new() };
        for (id, planned) in ids.iter().zip(&round.submissions) {
            let Some(at) = done.iter().position(|c| c.submission == *id) else { continue };
            let completion = done.swap_remove(at);
            outcome.spans.push((planned.lane, completion.spans));
            let mut reads = completion.reads.into_iter();
            for &tenant in planned.tenants.iter().filter(|_| read) {
                outcome.outputs[tenant] = reads.by_ref().take(self.tenants[tenant].reads.len()).collect();
            }
        }
        Ok(outcome)
    }

    fn submission(&self, planned: &Planned, timed: bool) -> Submission {
        let tenants = || planned.tenants.iter().map(|&t| &self.tenants[t]);
        Submission {
            uploads: tenants().flat_map(|t| t.uploads.iter().cloned()).collect(),
            stages: planned.stages.clone(),
            reads: tenants().flat_map(|t| t.reads.iter().copied()).collect(),
            timed,
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for tenant in &self.tenants {
            self.device.uninstall(tenant.id);
            tenant.buffers.iter().for_each(|&b| self.device.free(b));
        }
    }
}

fn failure(completion: &mut Completion) -> Option<HalError> {
    completion.error.take().or_else(|| completion.failed.pop().map(|(_, error)| error))
}

/// Compiles and installs a model, and prepares what its request brings.
fn reside(
    device: &mut dyn Device,
    participant: &Participant,
    tenant: TenantId,
    lane: usize,
) -> Result<Resident, InterleaveError> {
    let name = || participant.name.clone();
    let compiled = graph::compile(&participant.graph, device, tenant)
        .map_err(|source| InterleaveError::Model { tenant: name(), source: Box::new(source) })?;
    let of_tenant = |source| InterleaveError::Tenant { tenant: name(), source };
    let id = device.install(compiled.recording.clone(), &mut |_, _, _| {}).map_err(of_tenant)?;
    let recording = compiled.recording;
    let mut uploads = Vec::new();
    for ((input, tensor), value) in recording.inputs.iter().zip(&participant.inputs) {
        let bytes = eval::encode(tensor, value).map_err(|what| InterleaveError::Input {
            tenant: name(),
            input: input.clone(),
            what,
        })?;
        uploads.push((eval::region(tensor), bytes));
    }
    let reads = recording.outputs.iter().map(|(_, tensor)| eval::region(tensor)).collect();
    Ok(Resident { lane, recording, id, buffers: compiled.buffers, uploads, reads, memory: compiled.memory })
}
