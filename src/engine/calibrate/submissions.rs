//! What handing work over costs: submissions of few and of many dispatches that do nothing, and of few and of many bytes.
//!
//! A submission's time falls into three: the host hands it over (its own cost, and some for each dispatch), the device does
//! it (some for each dispatch), and the host learns that it ended. The first is the time that [`Device::submit`] takes, the
//! others what passes until the completion; of both, lines through several numbers of dispatches give the two parts.

use super::figure::{Figure, line};
use super::kernels::slices;
use super::{CalibrateError, TENANT, completed, model_error, timed};
use crate::graph::{self, LoadOptions, ModelSource};
use crate::hal::{Device, HalError, LaneId, Region, Slice, Stage, Submission};

/// A model of one dispatch of one small tile.
const NOTHING: &str = "add_64";

/// Dispatches of the submissions.
const DISPATCHES: [usize; 4] = [1, 16, 64, 128];

/// Submissions that follow each other without a pause, and the dispatches of each: so many that the host is ahead.
const QUEUED: usize = 16;
const QUEUED_DISPATCHES: usize = 32;

/// Bytes of a large copy.
const LARGE: u64 = 16 << 20;

/// Costs of handing over, in ns and GB/s.
pub(in crate::engine) struct Handover {
    /// Host time of a submission.
    pub(in crate::engine) submit_ns: Figure,
    /// Host time of each dispatch in it.
    pub(in crate::engine) encode_ns: Figure,
    /// Device time of each dispatch beside its work.
    pub(in crate::engine) dispatch_ns: Figure,
    /// What a submission takes beside its dispatches, once it was handed over.
    pub(in crate::engine) alone_ns: Figure,
    /// The part of that which the device takes: also where the next submission waits already.
    pub(super) between_ns: Figure,
    /// What an upload or a read adds to a submission beside its bytes: half of what both add.
    pub(super) copy_ns: Figure,
    pub(super) to_device_gbs: Figure,
    pub(super) to_host_gbs: Figure,
}

impl Handover {
    /// From the end of a submission to the host's knowing.
    pub(super) fn notice(&self) -> Figure {
        self.alone_ns.map(|ns| (ns - self.between_ns.median).max(0.0))
    }

    /// A copy beside its bytes and beside what every command costs.
    pub(super) fn copy(&self) -> Figure {
        self.copy_ns.map(|ns| (ns - self.dispatch_ns.median).max(0.0))
    }

    /// Measures, each round all parts once.
    pub(in crate::engine) fn measure(
        device: &mut dyn Device,
        lane: LaneId,
        rounds: usize,
    ) -> Result<Handover, CalibrateError> {
        let source = ModelSource::Zoo(NOTHING.into());
        let bad = |e| model_error(&source.to_string(), e);
        let graph = graph::load(&source, &LoadOptions::default()).map_err(bad)?;
        let compiled = graph::compile(&graph, device, TENANT).map_err(bad)?;
        let large = LARGE.min(device.caps().limits.binding_bytes_max);
        let result = device.alloc(TENANT, large).and_then(|buffer| {
            let installed = device.install(compiled.recording.clone(), &mut |_, _, _| {});
            let measured = installed.and_then(|id| {
                let slice = slices(&compiled.recording, id, device).map(|mut all| all.swap_remove(0));
                let nothing = slice.map(|s| Slice { tiles: 0..1, workers: 1, ..s });
                let measured = nothing.and_then(|slice| {
                    let all = Region { buffer, offset: 0, bytes: large };
                    Handover::rounds(device, lane, &slice, all, rounds)
                });
                device.uninstall(id);
                measured
            });
            device.free(buffer);
            measured
        });
        compiled.buffers.iter().for_each(|&b| device.free(b));
        Ok(result?)
    }

    fn rounds(
        device: &mut dyn Device,
        lane: LaneId,
        slice: &Slice,
        all: Region,
        rounds: usize,
    ) -> Result<Handover, HalError> {
        let mut found: [Vec<f64>; 8] = Default::default();
        // The first round warms caches and makes buffers.
        for round in 0..rounds + 1 {
            let (mut host, mut after) = (Vec::new(), Vec::new());
            for n in DISPATCHES {
                let stages = vec![Stage::of(slice.clone()); n];
                let time = timed(device, lane, Submission { stages, ..Submission::default() })?;
                host.push((n as f64, time.handed_ns));
                after.push((n as f64, time.done_ns));
            }
            let mut copy = |upload: u64, read: u64| {
                let part = |bytes| Region { bytes, ..all };
                let submission = Submission {
                    uploads: (upload > 0).then(|| (part(upload), vec![1; upload as usize])).into_iter().collect(),
                    stages: vec![Stage::of(slice.clone())],
                    reads: (read > 0).then(|| part(read)).into_iter().collect(),
                    timed: false,
                };
                timed(device, lane, submission).map(|time| time.handed_ns + time.done_ns)
            };
            let (none, both) = (copy(0, 0)?, copy(4, 4)?);
            let up = (copy(all.bytes, 0)? - none).max(1.0);
            let down = (copy(0, all.bytes)? - none).max(1.0);
            let queued = queued(device, lane, slice)?;
            if round == 0 {
                continue;
            }
            let ((submit, encode), (alone, dispatch)) = (line(&host), line(&after));
            let bytes = all.bytes as f64;
            let between = queued - dispatch * QUEUED_DISPATCHES as f64;
            let figures =
                [submit, encode, dispatch, alone, between, (both - none).max(0.0) / 2.0, bytes / up, bytes / down];
            found.iter_mut().zip(figures).for_each(|(all, one)| all.push(one.max(0.0)));
        }
        let [submit_ns, encode_ns, dispatch_ns, alone_ns, between_ns, copy_ns, to_device_gbs, to_host_gbs] =
            found.map(Figure::of);
        Ok(Handover { submit_ns, encode_ns, dispatch_ns, alone_ns, between_ns, copy_ns, to_device_gbs, to_host_gbs })
    }
}

/// The time of a submission of [`QUEUED_DISPATCHES`] where two are under way at any time.
fn queued(device: &mut dyn Device, lane: LaneId, slice: &Slice) -> Result<f64, HalError> {
    let submission =
        || Submission { stages: vec![Stage::of(slice.clone()); QUEUED_DISPATCHES], ..Submission::default() };
    let (mut submitted, mut ends) = (0, Vec::new());
    while ends.len() <= QUEUED {
        while submitted <= QUEUED && submitted < ends.len() + 2 {
            device.submit(lane, submission())?;
            submitted += 1;
        }
        let completed = completed(device)?;
        ends.extend(completed.into_iter().map(|c| c.finished));
    }
    let (first, last) = (ends[0], ends[QUEUED]);
    Ok(last.since(first).0 as f64 / QUEUED as f64)
}
