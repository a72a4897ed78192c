//! A schedule for one round of all tenants of a scenario, found and measured: the searches of [`crate::interleave`] on a
//! real or simulated device, against the ways in which it is done without them.
//!
//! A schedule's lanes are lanes of the device: on wgpu a logical device each. Which form a round takes (co-kernels on
//! one logical device, groups of tenants on several, or nothing of all this) is decided by measurement: the searches
//! propose a schedule for every number of lanes, the baselines are candidates too, and the fastest in paired rounds is
//! chosen. All forms compute the same bits, which every call checks.

mod costing;
mod costs;
mod forms;
mod paired;
mod parts;
mod picture;
mod report;
mod rig;

use crate::engine::calibrate::{CalibrateError, Handover};
use crate::engine::device::{self, OpenError};
use crate::graph::GraphError;
use crate::hal::sim::SimOptions;
use crate::hal::{HalError, WallClock};
use crate::interleave::cost::CostError;
use crate::interleave::search::UnknownSearch;
use crate::interleave::{Problem, ProblemError, StoredError, StoredSchedule};
use crate::kernel::rates;

pub use costing::{CostKind, UnknownCost};
use forms::{Form, Forms};
pub use paired::{Paired, Ratio};
pub use report::{FormReport, InterleaveReport, TenantReport};
pub use rig::{Outcome, Participant, Rig, Round};

/// How to look for a schedule.
#[derive(Clone, Debug)]
pub struct InterleaveOptions {
    /// The device, as `--device` names it.
    pub device: String,
    /// The search, by name; [`crate::interleave::search::SEARCHES`].
    pub search: String,
    /// What it minimises.
    pub cost: CostKind,
    /// Schedules and stages that the search may cost, over all numbers of lanes.
    pub evaluations: u64,
    /// For the search.
    pub seed: u64,
    /// Paired rounds of the final measurement.
    pub rounds: usize,
    /// Lanes of the schedule at most; the ways without interleaving are measured whatever they have.
    pub lanes_max: Option<usize>,
    /// Each tenant's memory is bound on its own, for tenants that do not trust each other.
    pub isolated: bool,
    /// A schedule to measure instead of looking for one.
    pub stored: Option<StoredSchedule>,
    /// Times a round before and a round after, for a picture.
    pub drawn: bool,
}

/// What is being done, for progress bars.
#[derive(Clone, Debug, PartialEq)]
pub enum InterleaveStage<'a> {
    /// Models are put on the device.
    Loading,
    /// A tenant's launches are measured.
    Launches(&'a str),
    /// A form is searched for, compiled or tried.
    Form(&'a str),
    /// Paired rounds: how many are done, and how many there will be.
    Rounds(usize, usize),
}

/// Why there is no schedule.
#[derive(Debug, thiserror::Error)]
pub enum InterleaveError {
    /// The device does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A model cannot be put on the device.
    #[error("tenant {tenant:?}: {source}")]
    Model {
        /// The tenant.
        tenant: String,
        /// Why.
        source: Box<GraphError>,
    },
    /// The device refuses a tenant.
    #[error("tenant {tenant:?}: {source}")]
    Tenant {
        /// The tenant.
        tenant: String,
        /// Why.
        source: HalError,
    },
    /// A tenant's input does not fit.
    #[error("tenant {tenant:?}: input {input:?}: {what}")]
    Input {
        /// The tenant.
        tenant: String,
        /// The input.
        input: String,
        /// What is wrong.
        what: String,
    },
    /// There is nothing that a schedule could hold.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// The search does not exist.
    #[error(transparent)]
    Search(#[from] UnknownSearch),
    /// A cost model fails.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// The stored schedule is for something else.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The device's costs cannot be measured.
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    /// The device fails.
    #[error(transparent)]
    Device(#[from] HalError),
    /// Two forms computed different outputs, which is a defect.
    #[error(
        "tenant {tenant:?} has other outputs under {form} than alone; this is a defect, please report it with the scenario"
    )]
    Differs {
        /// The tenant.
        tenant: String,
        /// The form.
        form: String,
    },
}

/// Rounds in which each candidate is tried before one is chosen.
const TRIAL_ROUNDS: usize = 5;

/// Looks for a schedule of one request of each participant and measures it.
///
/// # Errors
/// [`InterleaveError`].
pub fn interleave(
    participants: &[Participant],
    options: &InterleaveOptions,
    progress: &mut dyn FnMut(InterleaveStage),
) -> Result<InterleaveReport, InterleaveError> {
    progress(InterleaveStage::Loading);
    let open = |logical_devices: usize| {
        let how = device::OpenOptions { sim: SimOptions::default(), logical_devices };
        device::open_as(&options.device, WallClock::start(), how)
    };
    let mut rig = Rig::new(open(1)?, participants, &vec![0; participants.len()], !options.isolated)?;
    let caps = rig.caps().clone();
    let rates = rates::measure(rig.device())?;
    let lane = rig.lanes()[0];
    let handover = Handover::measure(rig.device(), lane, TRIAL_ROUNDS)?;
    let machine = costs::machine(&mut rig, &handover)?;
    let known =
        costs::measure(&mut rig, &handover, &mut |at| progress(InterleaveStage::Launches(&participants[at].name)))?;
    let find = |tenant, operation, launch| known.get(&(tenant, operation, launch)).copied();
    let problem = Problem::new(&rig.recordings(), &caps, machine, &find)?;

    let mut forms = Forms::new(participants, &problem, !options.isolated, rig, &open);
    forms.baselines(progress)?;
    let found = match &options.stored {
        Some(stored) => {
            forms.add("stored", stored.open(&problem)?.clone(), progress)?;
            forms::Searched::default()
        }
        None => forms.search(options, progress)?,
    };
    let outputs = forms.check_outputs()?;
    let best = forms.choose(TRIAL_ROUNDS, options.lanes_max, progress)?;
    tracing::info!("chosen: {}", forms.all()[best].name);
    let paired = forms.measure(best, options.rounds.max(1), progress)?;
    let timeline = match (options.drawn, caps.timestamps) {
        (true, true) => Some(forms.draw(best, &caps, options.seed)?),
        _ => None,
    };
    let measured = report::Measured {
        participants,
        options,
        problem: &problem,
        forms: &forms,
        best,
        paired: &paired,
        found: &found,
        outputs: &outputs,
        peaks: report::Peaks { gflops: rates.fma_gflops, gbs: rates.copy_gbs },
        caps: &caps,
        timeline,
    };
    Ok(report::make(&measured))
}
