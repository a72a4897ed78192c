//! `cotenant run --twin FILE`: the scenario once more on the simulated twin of its device, and how far the twin is off.
//!
//! Two predictions. The first is the profile as it was calibrated. The second, which counts, is the same with every kernel's
//! time scaled by what its model took alone in this process, before and after the runs, over what it takes alone on the twin:
//! software devices run at another speed from one time to the next (`docs/PERFORMANCE.md`), and requests alone tell at which.
//! Neither knows anything of the tenants together, which is what is predicted.

mod errors;

use std::ops::ControlFlow;

use super::error::CliError;
use super::run::{Files, run_traced};
use crate::engine::run::{RunOptions, RunReport, RunStage, Watch, scenario_on};
use crate::engine::scenario::{Length, Scenario};
use crate::engine::{Engine, device};
use crate::hal::WallClock;
use crate::hal::sim::{Profile, SimDevice, SimOptions, VirtualClock};
use crate::tensor::Nanos;
use crate::timeline::metrics::RunMetrics;

use errors::{Runs, at_this_speed, errors, warn_of_drift};
pub use errors::{TwinError, print};

/// Runs with as many seeds tell more than one: a software device is faster in one than in the next, and requests meet in
/// other ways.
pub const SEEDS: usize = 5;

/// Checks that `twin` describes the device called `device`, before anything runs.
///
/// # Errors
/// [`CliError::Input`] naming the profile, what was found and what is allowed; that of opening the device.
pub fn check(twin: &str, device: &str) -> Result<Profile, CliError> {
    let open = device::simulated(twin, SimOptions::default());
    let profile = open.map_err(|e| CliError::Input(format!("--twin {e}")))?.gpu().profile().as_ref().clone();
    let Some(calibration) = &profile.calibration else {
        let what = "the profile was not measured; allowed is a file that `cotenant calibrate` wrote";
        return Err(CliError::Input(format!("--twin {twin}: {what}")));
    };
    let caps = device::open(device, WallClock::start())?.caps().clone();
    if (calibration.backend.as_str(), &calibration.device) != (caps.backend, &caps.name) {
        return Err(CliError::Input(format!(
            "--twin {twin}: found the twin of {} ({}), allowed is that of {} ({}): cotenant calibrate --device {device}",
            calibration.device, calibration.backend, caps.name, caps.backend
        )));
    }
    if calibration.driver != caps.driver {
        tracing::warn!(
            "{twin} was measured with the driver {}, this one is {}: calibrate again",
            calibration.driver,
            caps.driver
        );
    }
    Ok(profile)
}

/// Compares `scenario` on the twin with `measured`, runs on its device as `options` say, and with further runs, so that
/// there are at least `seeds_min`. Answers the twin's runs at the device's present speed, seed by seed the same, and its errors.
///
/// # Errors
/// [`CliError`]: what is wrong with the scenario, its models or the device.
pub fn compare(
    scenario: &Scenario,
    options: &RunOptions,
    profile: &Profile,
    measured: &[RunMetrics],
    seeds_min: usize,
) -> Result<(Vec<RunMetrics>, Vec<TwinError>), CliError> {
    let mut measured = measured.to_vec();
    while let Some(last) = measured.last().filter(|_| measured.len() < seeds_min) {
        let next = RunOptions { seed: Some(last.seed.wrapping_add(1)), ..options.clone() };
        measured.push(run_traced(scenario, next, &Files::default())?.0);
    }
    let seeds: Vec<u64> = measured.iter().map(|m| m.seed).collect();
    let simulate = |profile: &Profile| -> Result<_, CliError> {
        let (mut all, mut recordings) = (Vec::new(), Vec::new());
        for &seed in &seeds {
            let report = run(scenario, &RunOptions { seed: Some(seed), ..options.clone() }, profile)?;
            all.push(report.metrics);
            recordings = report.recordings;
        }
        Ok((all, recordings))
    };
    // Each tenant once more alone, after the runs: a device may have changed its speed meanwhile.
    let short = Scenario { length: Length::Duration(Nanos::from_ms(1.0)), warm_up: Nanos(0), ..scenario.clone() };
    let first = RunOptions { seed: seeds.first().copied(), ..options.clone() };
    let (after, _) = run_traced(&short, first, &Files::default())?;
    let (as_calibrated, recordings) = simulate(profile)?;
    let alone: Vec<RunMetrics> = measured.iter().cloned().chain([after]).collect();
    warn_of_drift(&alone);
    let (simulated, _) = simulate(&at_this_speed(profile, &alone, &as_calibrated, &recordings))?;
    let runs = Runs { measured: &measured, alone: &alone, as_calibrated: &as_calibrated, simulated: &simulated };
    let errors = errors(&runs, &recordings, profile);
    Ok((simulated, errors))
}

/// Runs `scenario` on a simulated device with `profile`.
///
/// # Errors
/// [`CliError`]: what is wrong with the scenario or its models.
fn run(scenario: &Scenario, options: &RunOptions, profile: &Profile) -> Result<RunReport, CliError> {
    struct Quiet;
    impl Watch for Quiet {
        fn stage(&mut self, _: RunStage) {}

        fn look(&mut self, _: &Engine) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
    }
    let device = SimDevice::open(profile.clone(), VirtualClock::new(), SimOptions::default());
    let policy = options.policy.as_ref().unwrap_or(&scenario.policy);
    let builder = Engine::builder().policy(&policy.name).policy_options(policy.options.clone());
    Ok(scenario_on(&builder.start_on(Box::new(device))?, scenario, options, &mut Quiet)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_was_not_measured_is_no_twin() {
        let message = check("a100-80gb", "null").unwrap_err().to_string();
        assert!(message.contains("--twin a100-80gb: the profile was not measured"), "{message}");
        let message = check("nowhere.toml", "null").unwrap_err().to_string();
        assert!(message.starts_with("--twin nowhere.toml: file: "), "{message}");
    }
}
