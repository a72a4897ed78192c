//! Operators without a kernel: their inputs are read back, a thread of the pool (`cpu_pool.rs`) computes them, and their
//! outputs are uploaded with the next submission. Other tenants' work goes on meanwhile.
//!
//! Consecutive such operators are one [`HostRun`]: memory is read once before and written once after them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::command::Command;
use super::{Uploads, region_of};
use crate::hal::{BufferId, Clock, HalError, Operation, Recording, Region, TensorRef, eval};
use crate::tensor::{Nanos, RequestId, TenantId};

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
    /// The thread that is free again, its number in the pool.
    pub(super) thread: usize,
    /// What the run wrote.
    pub(super) uploads: Result<Uploads, HalError>,
    /// Operator, start, end.
    pub(super) spans: Vec<(u32, Nanos, Nanos)>,
}

impl HostRun {
    /// Plans `operators`. Their tensors lie in the arena; constants are known to their functions.
    pub(super) fn new(recording: &Arc<Recording>, operators: Range<u32>) -> HostRun {
        let nodes = &recording.operations[operators.start as usize..operators.end as usize];
        let outputs: Vec<Region> = nodes.iter().flat_map(|o| &o.outputs).filter_map(region_of).collect();
        let inputs = nodes.iter().flat_map(|o| &o.inputs).filter_map(region_of);
        let regions = without_overlaps(recording.arena, inputs.chain(outputs.iter().copied()).collect());
        let overlap = |a: &Region, b: &Region| a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
        let written = regions.iter().map(|r| outputs.iter().any(|o| overlap(o, r))).collect();
        HostRun { recording: recording.clone(), operators, regions, written }
    }

    /// Its operators with their numbers.
    pub(super) fn operations(&self) -> impl Iterator<Item = (u32, &Operation)> {
        self.operators.clone().map(|at| (at, &self.recording.operations[at as usize]))
    }

    /// Computes all operators on the bytes of the regions; `computed` is told of each.
    pub(super) fn compute(&self, reads: Vec<Vec<u8>>, computed: &mut dyn FnMut(u32)) -> Result<Uploads, HalError> {
        let mut image: Vec<Vec<u32>> = reads.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect();
        for operator in self.operators.clone() {
            self.compute_one(operator, &mut image)?;
            computed(operator);
        }
        Ok(self.uploads(image.iter().map(|words| bytemuck::cast_slice(words).to_vec())))
    }

    /// What a run would write that computes nothing.
    pub(super) fn zeros(&self) -> Uploads {
        self.uploads(self.regions.iter().map(|region| vec![0; region.bytes as usize]))
    }

    fn uploads(&self, image: impl Iterator<Item = Vec<u8>>) -> Uploads {
        let written = self.regions.iter().zip(&self.written).zip(image).filter(|((_, written), _)| **written);
        written.map(|((region, _), bytes)| (*region, bytes)).collect()
    }

    fn compute_one(&self, operator: u32, image: &mut [Vec<u32>]) -> Result<(), HalError> {
        let operation = &self.recording.operations[operator as usize];
        let failed = |reason| HalError::Host { operator: operation.name.clone(), reason };
        let mut inputs = Vec::with_capacity(operation.inputs.len());
        for tensor in &operation.inputs {
            let words = self.place(tensor).map_or(&[][..], |(at, words)| &image[at][words]);
            inputs.push(eval::gather(tensor, words).map_err(failed)?);
        }
        let outputs = eval::eval(operation, &inputs)?;
        for (tensor, value) in operation.outputs.iter().zip(&outputs) {
            let words = self.place(tensor).map_or(&mut [][..], |(at, words)| &mut image[at][words]);
            eval::scatter(tensor, value, words).map_err(failed)?;
        }
        Ok(())
    }

    /// The region that holds `tensor`, and the words of it that do; none for empty tensors.
    fn place(&self, tensor: &TensorRef) -> Option<(usize, Range<usize>)> {
        let region = region_of(tensor)?;
        let at = self.regions.partition_point(|r| r.offset + r.bytes <= region.offset);
        let first = (region.offset - self.regions[at].offset) as usize / 4;
        Some((at, first..first + region.bytes as usize / 4))
    }
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

/// A thread of the pool: computes jobs in order until the engine is gone.
pub(super) fn work(thread: usize, jobs: &Receiver<HostJob>, done: &SyncSender<Command>, clock: &dyn Clock) {
    while let Ok(HostJob { tenant, request, run, reads }) = jobs.recv() {
        let mut spans = Vec::new();
        let mut start = clock.now();
        let uploads = run.compute(reads, &mut |operator| {
            let end = clock.now();
            spans.push((operator, start, end));
            start = end;
        });
        if done.send(Command::HostDone(HostDone { tenant, request, run, thread, uploads, spans })).is_err() {
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
