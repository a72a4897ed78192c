//! Operators without a kernel: their inputs are read back, a thread of its own computes them, and their outputs are
//! uploaded with the next submission. Other tenants' work goes on meanwhile.
//!
//! Consecutive such operators are one [`HostRun`]: memory is read once before and written once after them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::command::Command;
use super::{Uploads, region_of};
use crate::hal::{BufferId, Clock, Device, HalError, Recording, Region, TensorRef, WallClock, eval};
use crate::tensor::{HostTensor, Nanos, RequestId, TenantId};

/// Consecutive operators of a recording that the CPU computes.
#[derive(Debug)]
pub(super) struct HostRun {
    recording: Arc<Recording>,
    /// The operators.
    pub(super) operators: Range<u32>,
    /// The parts of the arena that they touch, without overlaps; read before.
    pub(super) regions: Vec<Region>,
    /// Which of the regions they write.
    written: Vec<bool>,
    /// Inputs that lie outside the arena (weights), read once; per operator, per input.
    constants: Vec<Vec<Option<HostTensor>>>,
}

/// A run to be computed.
pub(super) struct HostJob {
    pub(super) tenant: TenantId,
    pub(super) request: RequestId,
    pub(super) run: Arc<HostRun>,
    /// The bytes of [`HostRun::regions`].
    pub(super) reads: Vec<Vec<u8>>,
}

/// A run that was computed, or not.
pub(super) struct HostDone {
    pub(super) tenant: TenantId,
    pub(super) request: RequestId,
    pub(super) run: Arc<HostRun>,
    /// What the run wrote.
    pub(super) uploads: Result<Uploads, HalError>,
    /// Operator, start, end.
    pub(super) spans: Vec<(u32, Nanos, Nanos)>,
}

impl HostRun {
    /// Plans `operators` and reads their constants.
    ///
    /// # Errors
    /// [`HalError`] when the constants cannot be read.
    pub(super) fn new(
        recording: &Arc<Recording>,
        operators: Range<u32>,
        device: &mut dyn Device,
    ) -> Result<HostRun, HalError> {
        let nodes = &recording.operations[operators.start as usize..operators.end as usize];
        let in_arena = |t: &&TensorRef| t.buffer == recording.arena;
        let outputs: Vec<Region> = nodes.iter().flat_map(|o| &o.outputs).filter_map(region_of).collect();
        let inputs = nodes.iter().flat_map(|o| &o.inputs).filter(in_arena).filter_map(region_of);
        let regions = without_overlaps(recording.arena, inputs.chain(outputs.iter().copied()).collect());
        let touches =
            |r: &Region| outputs.iter().any(|o| o.offset < r.offset + r.bytes && r.offset < o.offset + o.bytes);
        let written = regions.iter().map(touches).collect();
        let mut constants = Vec::new();
        for node in nodes {
            let mut constant = |t: &TensorRef| if in_arena(&t) { Ok(None) } else { read(t, device).map(Some) };
            constants.push(node.inputs.iter().map(&mut constant).collect::<Result<_, _>>()?);
        }
        Ok(HostRun { recording: recording.clone(), operators, regions, written, constants })
    }

    /// Computes all operators on the bytes of the regions.
    fn compute(
        &self,
        reads: Vec<Vec<u8>>,
        clock: &dyn Clock,
        spans: &mut Vec<(u32, Nanos, Nanos)>,
    ) -> Result<Uploads, HalError> {
        let mut image: Vec<Vec<u32>> = reads.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect();
        for (at, operator) in self.operators.clone().enumerate() {
            let start = clock.now();
            self.compute_one(operator, &self.constants[at], &mut image)?;
            spans.push((operator, start, clock.now()));
        }
        let written = self.regions.iter().zip(&self.written).zip(image).filter(|((_, written), _)| **written);
        Ok(written.map(|((region, _), words)| (*region, bytemuck::cast_slice(&words).to_vec())).collect())
    }

    fn compute_one(
        &self,
        operator: u32,
        constants: &[Option<HostTensor>],
        image: &mut [Vec<u32>],
    ) -> Result<(), HalError> {
        let operation = &self.recording.operations[operator as usize];
        let failed = |reason| HalError::Host { operator: operation.name.clone(), reason };
        let mut inputs = Vec::with_capacity(operation.inputs.len());
        for (tensor, constant) in operation.inputs.iter().zip(constants) {
            inputs.push(match constant {
                Some(value) => value.clone(),
                None => {
                    let (place, local) = self.place(tensor);
                    eval::gather(&local, place.map_or(&[], |p| &image[p])).map_err(failed)?
                }
            });
        }
        let outputs = eval::eval(operation, &inputs)?;
        for (tensor, value) in operation.outputs.iter().zip(&outputs) {
            let (place, local) = self.place(tensor);
            eval::scatter(&local, value, place.map_or(&mut [], |p| &mut image[p])).map_err(failed)?;
        }
        Ok(())
    }

    /// The region that holds `tensor` and the tensor's place in it; none for empty tensors.
    fn place(&self, tensor: &TensorRef) -> (Option<usize>, TensorRef) {
        let mut local = tensor.clone();
        let Some(region) = region_of(tensor) else { return (None, local) };
        let at = self.regions.partition_point(|r| r.offset + r.bytes <= region.offset);
        local.view.offset -= (self.regions[at].offset / 4) as usize;
        (Some(at), local)
    }
}

/// Reads a tensor now; for loading.
fn read(tensor: &TensorRef, device: &mut dyn Device) -> Result<HostTensor, HalError> {
    let mut local = tensor.clone();
    local.view.offset -= tensor.view.extent().0;
    let bytes = region_of(tensor).map(|region| device.read(region)).transpose()?.unwrap_or_default();
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
    eval::gather(&local, &words).map_err(|reason| HalError::Host { operator: "constant".into(), reason })
}

/// The union of regions of one buffer, in order.
fn without_overlaps(buffer: BufferId, mut regions: Vec<Region>) -> Vec<Region> {
    regions.sort_by_key(|r| r.offset);
    let mut union: Vec<Region> = Vec::new();
    for region in regions {
        assert_eq!(region.buffer, buffer, "CPU nodes write to the arena");
        match union.last_mut() {
            Some(last) if region.offset < last.offset + last.bytes => {
                last.bytes = last.bytes.max(region.offset + region.bytes - last.offset);
            }
            _ => union.push(region),
        }
    }
    union
}

/// The thread: computes jobs in order until the engine is gone.
pub(super) fn work(jobs: &Receiver<HostJob>, done: &SyncSender<Command>, clock: WallClock) {
    while let Ok(HostJob { tenant, request, run, reads }) = jobs.recv() {
        let mut spans = Vec::new();
        let uploads = run.compute(reads, &clock, &mut spans);
        if done.send(Command::HostDone(HostDone { tenant, request, run, uploads, spans })).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_that_overlap_are_read_once_and_neighbours_stay_apart() {
        let region = |offset, bytes| Region { buffer: BufferId(1), offset, bytes };
        let union = without_overlaps(BufferId(1), vec![region(40, 8), region(0, 16), region(8, 16), region(24, 16)]);
        assert_eq!(union, [region(0, 24), region(24, 16), region(40, 8)]);
    }
}
