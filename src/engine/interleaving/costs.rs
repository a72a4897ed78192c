//! What the launches of a rig's tenants take: each with the workers that the device takes for it alone, and each with a
//! single worker. With them the searches' estimates begin; what stages of several take is measured by the searches
//! themselves.

use std::collections::HashMap;
use std::sync::Arc;

use super::rig::Rig;
use crate::engine::calibrate::{Handover, seconds, slices, spans};
use crate::hal::{HalError, KernelSpec, LaneId, Slice, Stage, Submission};
use crate::interleave::{ChainForm, LaunchCost, Machine};

/// Rounds over all launches.
const ROUNDS: usize = 4;

/// Kernels that a co-kernel has for the measurement of what a body costs where it has nothing to do.
const IDLE_BODIES: usize = 6;

/// Turns of two kernels in that measurement.
const TURNS: usize = 24;

/// Runs of each of its stages.
const REPETITIONS: usize = 15;

/// What a body that has nothing to do may cost, in ns; noise can give any difference.
const BODY_NS: (f64, f64) = (20.0, 20_000.0);

/// Times of launches by tenant, operation and launch.
pub type Costs = HashMap<(usize, u32, u32), LaunchCost>;

/// Measures every launch of every tenant, in the first lane.
///
/// # Errors
/// What the device reports.
pub fn measure(rig: &mut Rig, handover: &Handover, progress: &mut dyn FnMut(usize)) -> Result<Costs, HalError> {
    let mut costs = Costs::new();
    let tenants: Vec<_> = rig.recordings().into_iter().zip(rig.recording_ids()).collect();
    for (tenant, (recording, id)) in tenants.iter().enumerate() {
        progress(tenant);
        let lane = rig.lanes()[0];
        let all = slices(recording, *id, rig.device())?;
        let single: Vec<Slice> = all.iter().map(|s| Slice { workers: 1, ..s.clone() }).collect();
        let single = bounded(&single, rig);
        let alone = times(rig, lane, &all, handover)?;
        let worker = times(rig, lane, &single, handover)?;
        for (key, alone_ns) in &alone {
            let worker_ns = worker.get(key).copied().unwrap_or(*alone_ns);
            costs.insert((tenant, key.0, key.1), LaunchCost { alone_ns: *alone_ns, worker_ns });
        }
    }
    Ok(costs)
}

/// Slices whose single worker would walk too many tiles for the device get as many as they need.
fn bounded(slices: &[Slice], rig: &Rig) -> Vec<Slice> {
    let Some(bound) = rig.caps().quirks.loop_iterations_max else { return slices.to_vec() };
    let recordings: HashMap<_, _> = rig.recording_ids().into_iter().zip(rig.recordings()).collect();
    let cut = |slice: &Slice| {
        let launch = &recordings[&slice.recording].operations[slice.operation as usize].launches[slice.launch as usize];
        let most = (bound / 3 / (launch.tile_iterations + 1)).max(1);
        let starts = slice.tiles.clone().step_by(most as usize);
        let end = slice.tiles.end;
        starts.map(move |first| Slice { tiles: first..(first + most).min(end), ..slice.clone() }).collect::<Vec<_>>()
    };
    slices.iter().flat_map(cut).collect()
}

/// The time of each launch without the cost of dispatches; slices of one launch add up.
fn times(
    rig: &mut Rig,
    lane: LaneId,
    slices: &[Slice],
    handover: &Handover,
) -> Result<HashMap<(u32, u32), f64>, HalError> {
    let mut found = HashMap::new();
    let timed = spans(rig.device(), lane, slices, handover, ROUNDS)?;
    for (slice, time) in slices.iter().zip(timed) {
        let net = (time.median - handover.dispatch_ns.median).max(200.0);
        *found.entry((slice.operation, slice.launch)).or_insert(0.0) += net;
    }
    Ok(found)
}

/// The machine of a rig, with measured figures in the place of guesses.
///
/// # Errors
/// What the device reports.
pub fn machine(rig: &mut Rig, handover: &Handover) -> Result<Machine, HalError> {
    let mut machine = Machine::of(rig.caps());
    machine.dispatch_ns = handover.dispatch_ns.median + handover.encode_ns.median;
    machine.submission_ns = handover.submit_ns.median + handover.alone_ns.median;
    if machine.single_workers() {
        // Logical devices, which overlap as far as there are units.
        machine.lanes = machine.slots;
    }
    if matches!(machine.chains, ChainForm::CoKernel { .. })
        && let Some(measured) = idle_body_ns(rig)?
        && let ChainForm::CoKernel { body_ns, .. } = &mut machine.chains
    {
        *body_ns = measured;
    }
    Ok(machine)
}

/// What a worker takes to pass over a kernel's body that has nothing to do, in ns: two small kernels in turn, in a
/// co-kernel of them alone and in one with others, which run once at the end. `None` where the rig's models have too few
/// kernels of one size.
fn idle_body_ns(rig: &mut Rig) -> Result<Option<f64>, HalError> {
    let mut kernels: Vec<(Arc<KernelSpec>, Slice, u64)> = Vec::new();
    for (recording, id) in rig.recordings().into_iter().zip(rig.recording_ids()) {
        for (operation, o) in (0..).zip(&recording.operations) {
            for (launch, l) in (0..).zip(&o.launches) {
                let slice = Slice { recording: id, operation, launch, tiles: 0..1, workers: 1, follows: true };
                match kernels.iter_mut().find(|(spec, _, _)| *spec == l.kernel) {
                    Some((_, known, cost)) if u64::from(l.tile_iterations) < *cost => {
                        (*known, *cost) = (slice, u64::from(l.tile_iterations));
                    }
                    Some(_) => {}
                    None => kernels.push((l.kernel.clone(), slice, u64::from(l.tile_iterations))),
                }
            }
        }
    }
    kernels.sort_by_key(|(_, _, cost)| *cost);
    let chosen: Vec<Slice> = kernels.into_iter().take(2 + IDLE_BODIES).map(|(_, slice, _)| slice).collect();
    if chosen.len() < 4 {
        return Ok(None);
    }
    let (pair, others) = chosen.split_at(2);
    let chain = |slices: Vec<Slice>| {
        let follows = |(at, s): (usize, Slice)| Slice { follows: at > 0, ..s };
        Stage { slices: slices.into_iter().enumerate().map(follows).collect() }
    };
    let turns: Vec<Slice> = (0..TURNS).flat_map(|_| pair.to_vec()).collect();
    let all = chosen.len();
    let stages =
        [chain(turns.clone()), chain([turns, others.to_vec()].concat()), chain(pair.to_vec()), chain(chosen.clone())];
    if rig.device().prepare(&stages)? < stages.len() {
        return Ok(None);
    }
    let lane = rig.lanes()[0];
    let mut medians = [0.0; 4];
    for (stage, median) in stages.iter().zip(&mut medians) {
        let mut times = Vec::new();
        for _ in 0..REPETITIONS {
            let submission = Submission { stages: vec![stage.clone()], ..Submission::default() };
            times.push(seconds(rig.device(), lane, submission)? * 1e9);
        }
        times.sort_by(f64::total_cmp);
        *median = times[REPETITIONS / 2];
    }
    // What the others take where they run is in both differences; the passes are in the first.
    let idle = (medians[1] - medians[0]) - (medians[3] - medians[2]);
    let passes = ((TURNS - 1) * (all - 2)) as f64;
    Ok(Some((idle / passes).clamp(BODY_NS.0, BODY_NS.1)))
}
