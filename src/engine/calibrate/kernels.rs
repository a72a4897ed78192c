//! Times of a model's kernels: each by the device's timestamps, all together without them.
//!
//! Timing costs time itself, much on some devices, and so does every dispatch. So a model is also run whole and untimed,
//! and from each kernel's time the same amount is taken away, such that kernels, dispatches and the submission's own cost add
//! up to what the whole takes. On a device without timestamps each kernel is a submission of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::submissions::Handover;
use super::{CalibrateError, Figure, ROUNDS_NS, finish, timed};
use crate::engine::loaded::{Plan, Step};
use crate::hal::sim::kernel_key;
use crate::hal::{Device, HalError, LaneId, Recording, RecordingId, Slice, Stage, Submission};
use crate::tensor::Share;

/// Slices of a submission while kernels are timed: fewer than the timestamps that a device has at once.
const TIMED_SLICES_MAX: usize = 512;

/// A kernel's time, and what it does in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    /// All tiles, without the cost of dispatches; one figure of each launch in the models that has this content.
    pub(super) ns: Vec<Figure>,
    pub(super) workers: u32,
    /// Floating-point operations and bytes; 0 where several launches share an operation's.
    pub(super) flops: f64,
    pub(super) bytes: f64,
}

/// Kernels by what they are.
pub(super) type Kernels = BTreeMap<String, Kernel>;

/// Times every launch of a recording.
pub(super) fn measure(
    device: &mut dyn Device,
    lane: LaneId,
    recording: &Arc<Recording>,
    handover: &Handover,
    rounds: usize,
    kernels: &mut Kernels,
) -> Result<(), CalibrateError> {
    let id = device.install(recording.clone(), &mut |_, _, _| {})?;
    let result = of_installed(device, lane, recording, id, handover, rounds, kernels);
    device.uninstall(id);
    Ok(result?)
}

fn of_installed(
    device: &mut dyn Device,
    lane: LaneId,
    recording: &Arc<Recording>,
    id: RecordingId,
    handover: &Handover,
    rounds: usize,
    kernels: &mut Kernels,
) -> Result<(), HalError> {
    let slices = slices(recording, id, device)?;
    if slices.is_empty() {
        return Ok(());
    }
    let spans = spans(device, lane, &slices, handover, rounds)?;
    let whole = whole(device, lane, &slices, rounds)?;
    let dispatches = slices.len() as f64 * handover.dispatch_ns.median;
    let left = (whole.median - handover.alone_ns.median - dispatches).max(0.0);
    let dispatch = handover.dispatch_ns.median;
    let medians: Vec<f64> = spans.iter().map(|f| (f.median - dispatch).max(0.0)).collect();
    let timing = excess(&medians, left);
    let mut of_launch: BTreeMap<(u32, u32), (Figure, u32)> = BTreeMap::new();
    for (slice, span) in slices.iter().zip(spans) {
        let net = span.map(|ns| (ns - dispatch - timing).max(1.0));
        let (launch, workers) = of_launch.entry((slice.operation, slice.launch)).or_default();
        // Slices of one launch add up; so do the widths of their spreads at most.
        let median = launch.median + net.median;
        let width = launch.spread * launch.median + net.spread * net.median;
        *launch = Figure { median, spread: width / median, samples: net.samples };
        *workers = slice.workers;
    }
    for ((operation, launch), (figure, workers)) in of_launch {
        let operation = &recording.operations[operation as usize];
        let kernel = kernels.entry(kernel_key(operation, launch as usize)).or_default();
        kernel.ns.push(figure);
        kernel.workers = workers;
        if operation.launches.len() == 1 {
            (kernel.flops, kernel.bytes) = (operation.flops as f64, operation.bytes as f64);
        }
    }
    Ok(())
}

/// Each slice's time, dispatch and timing included.
pub(in crate::engine) fn spans(
    device: &mut dyn Device,
    lane: LaneId,
    slices: &[Slice],
    handover: &Handover,
    rounds: usize,
) -> Result<Vec<Figure>, HalError> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); slices.len()];
    let by_device = device.caps().timestamps;
    let begin = device.clock().now();
    // The first round warms caches.
    for round in 0..rounds + 1 {
        if round > 3 && device.clock().now().since(begin) > ROUNDS_NS {
            break;
        }
        let mut first = 0;
        for part in slices.chunks(if by_device { TIMED_SLICES_MAX } else { 1 }) {
            let stages = part.iter().cloned().map(Stage::of).collect();
            let submission = Submission { stages, timed: by_device, ..Submission::default() };
            if by_device {
                for span in finish(device, lane, submission)?.spans {
                    times[first + span.stage as usize].push(span.end.since(span.start).0 as f64);
                }
            } else {
                let time = timed(device, lane, submission)?.done_ns;
                times[first].push((time - handover.alone_ns.median).max(0.0));
            }
            first += part.len();
        }
        if round == 0 {
            times.iter_mut().for_each(Vec::clear);
        }
    }
    Ok(times.into_iter().map(Figure::of).collect())
}

/// The time of all slices in one untimed submission, from the moment that it was handed over.
fn whole(device: &mut dyn Device, lane: LaneId, slices: &[Slice], rounds: usize) -> Result<Figure, HalError> {
    let mut times = Vec::new();
    let begin = device.clock().now();
    for round in 0..rounds + 1 {
        if round > 3 && device.clock().now().since(begin) > ROUNDS_NS {
            break;
        }
        let stages = slices.iter().cloned().map(Stage::of).collect();
        let time = timed(device, lane, Submission { stages, ..Submission::default() })?;
        if round > 0 {
            times.push(time.done_ns);
        }
    }
    Ok(Figure::of(times))
}

/// What has to be taken from each of `times`, none of which goes below zero, so that their sum is `sum`; negative where
/// they have to grow.
fn excess(times: &[f64], sum: f64) -> f64 {
    let all: f64 = times.iter().sum();
    if all <= sum {
        return (all - sum) / times.len().max(1) as f64;
    }
    let (mut low, mut high) = (0.0, times.iter().copied().fold(0.0, f64::max));
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        let left: f64 = times.iter().map(|t| (t - middle).max(0.0)).sum();
        if left > sum { low = middle } else { high = middle }
    }
    low
}

/// The slices of all operators that the device computes, as the engine cuts them.
pub(in crate::engine) fn slices(
    recording: &Arc<Recording>,
    id: RecordingId,
    device: &dyn Device,
) -> Result<Vec<Slice>, HalError> {
    let plan = Plan::new(recording, device.caps(), Share::FULL)?;
    let mut slices = Vec::new();
    for (operation, step) in (0..).zip(&plan.steps) {
        let Step::Launches(cuts) = step else { continue };
        slices.extend(cuts.iter().map(|(launch, cut)| Slice {
            recording: id,
            operation,
            launch: *launch,
            tiles: cut.tiles.clone(),
            workers: cut.workers,
            follows: false,
        }));
    }
    Ok(slices)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_taken_from_each_leaves_the_sum(
            times in prop::collection::vec(0.0f64..1e6, 1..60), part in 0.05f64..1.5
        ) {
            let sum = times.iter().sum::<f64>() * part;
            let excess = excess(&times, sum);
            let left: f64 = times.iter().map(|t| (t - excess).max(0.0)).sum();
            prop_assert!((left - sum).abs() <= 1e-6 * sum.max(1.0), "{left} for {sum}");
        }
    }
}
