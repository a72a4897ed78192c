//! Networks side by side on a simulated GPU, and what one round of them takes under a schedule: what the experiments about
//! interleaving share.
//!
//! A round is one request of each network, inputs and outputs left out. One host thread launches everything, each launch
//! and event at the profile's cost; weights are not made and nothing is computed.

use std::sync::Arc;

use super::ReproError;
use crate::engine::device::simulated;
use crate::graph::{self, LoadOptions, ModelSource};
use crate::hal::sim::{SimDevice, SimOptions};
use crate::hal::{Device, LaneId, LaneSpec, Recording, RecordingId};
use crate::interleave::cost::{Cached, CostModel, DeviceRunner, MeasureOptions, Measured};
use crate::interleave::search::{Budget, Found, Search};
use crate::interleave::{Machine, Problem, Schedule};
use crate::tensor::TenantId;

/// Stages and schedules whose times are remembered.
const REMEMBERED_MAX: usize = 1 << 18;

/// A network of the zoo at a batch size.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Its name in the zoo.
    pub name: &'static str,
    /// Images of a request.
    pub batch: usize,
}

impl Network {
    /// One image a request.
    pub const fn single(name: &'static str) -> Network {
        Network { name, batch: 1 }
    }

    /// For people.
    pub fn label(&self) -> String {
        if self.batch == 1 { self.name.into() } else { format!("{} x{}", self.name, self.batch) }
    }
}

/// Networks on a device.
pub struct Mix {
    device: SimDevice,
    lanes: Vec<LaneId>,
    recordings: Vec<RecordingId>,
    problem: Problem,
}

impl Mix {
    /// Puts them on a fresh device with this profile, a lane for each.
    ///
    /// # Errors
    /// [`ReproError`] where the device or the zoo does not take something: a mistake in the experiment.
    pub fn new(profile: &str, networks: &[Network]) -> Result<Mix, ReproError> {
        let mut device = simulated(profile, SimOptions { numerics: false })?;
        let (mut lanes, mut ids, mut recordings) = (Vec::new(), Vec::new(), Vec::<Arc<Recording>>::new());
        for (tenant, network) in (1..).zip(networks) {
            let dims = [("N".to_string(), network.batch)].into();
            let options = LoadOptions { dims, ..LoadOptions::default() };
            let graph = graph::load(&ModelSource::Zoo(network.name.into()), &options)?;
            let recording = graph::compile(&graph, &mut device, TenantId(tenant))?.recording;
            ids.push(device.install(recording.clone(), &mut |_, _, _| {})?);
            recordings.push(recording);
            lanes.push(device.lane(&LaneSpec::default())?);
        }
        let machine = Machine::of(device.caps());
        let problem = Problem::new(&recordings, device.caps(), machine, &|_, _, _| None)?;
        Ok(Mix { device, lanes, recordings: ids, problem })
    }

    /// What there is to schedule. Times of launches are estimates; what a schedule takes is measured.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The time of a schedule in ns.
    ///
    /// # Errors
    /// [`ReproError::Cost`].
    pub fn ns(&mut self, schedule: &Schedule) -> Result<f64, ReproError> {
        let Mix { device, lanes, recordings, problem } = self;
        let runner = DeviceRunner::new(device, lanes.clone(), recordings.clone());
        Ok(Measured::new(runner, MeasureOptions::virtual_time()).schedule(problem, schedule)?.ns)
    }

    /// The part of the compute units that is busy on average while a schedule runs.
    ///
    /// # Errors
    /// [`ReproError::Cost`].
    pub fn busy(&mut self, schedule: &Schedule) -> Result<f64, ReproError> {
        let before = self.device.unit_seconds().unwrap_or_default();
        let seconds = self.ns(schedule)? * 1e-9;
        let units = f64::from(self.problem.machine.units);
        Ok((self.device.unit_seconds().unwrap_or_default() - before) / (seconds * units))
    }

    /// The time of the longest network alone, in ns: no round takes less.
    ///
    /// # Errors
    /// [`ReproError::Cost`].
    pub fn longest_ns(&mut self) -> Result<f64, ReproError> {
        let alone = Schedule::lane_per_tenant(&self.problem).lanes;
        let times = alone.into_iter().map(|stages| self.ns(&Schedule::of(stages)));
        times.collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().fold(0.0, f64::max))
    }

    /// What a search finds that runs every stage and schedule on the device.
    ///
    /// # Errors
    /// [`ReproError::Cost`].
    pub fn search(&mut self, search: &mut dyn Search, evaluations_max: u64) -> Result<Found, ReproError> {
        let Mix { device, lanes, recordings, problem } = self;
        let budget = Budget::evaluations(evaluations_max, device.clock());
        let runner = DeviceRunner::new(device, lanes.clone(), recordings.clone());
        let measured = Measured::new(runner, MeasureOptions::virtual_time());
        Ok(search.search(problem, &mut Cached::new(measured, REMEMBERED_MAX), &budget)?)
    }
}
