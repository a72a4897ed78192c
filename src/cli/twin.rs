//! `cotenant run --twin FILE`: the scenario once more on the simulated twin of its device, and how far the twin is off.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use super::error::CliError;
use super::table::{Table, number};
use crate::engine::device;
use crate::hal::sim::{Profile, SimOptions, kernel_key};
use crate::hal::{Recording, WallClock};
use crate::timeline::metrics::{RunMetrics, TenantMetrics};

/// A tenant's latencies on a device and on its simulated twin.
#[derive(Debug, Serialize)]
pub struct TwinError {
    tenant: String,
    /// Over all seeds.
    measured_mean_ms: Option<f64>,
    simulated_mean_ms: Option<f64>,
    /// `(simulated − measured) / measured`.
    error: Option<f64>,
    /// Of one request alone, which a calibration with this model has seen.
    measured_alone_ms: Option<f64>,
    simulated_alone_ms: Option<f64>,
    alone_error: Option<f64>,
    /// Launches of the model whose times were measured, found by what they are.
    launches_measured: usize,
    /// Launches that were counted from operations and bytes, because calibration has not seen them.
    launches_counted: usize,
}

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
            "--twin {twin}: found the twin of {} ({}), allowed is one of {} ({}): `cotenant calibrate --device {device} --out …`",
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

/// Compares runs of the twin with those of the device, seed by seed the same; `recordings` are the tenants' on the twin.
pub fn errors(
    measured: &[RunMetrics],
    simulated: &[RunMetrics],
    recordings: &[std::sync::Arc<Recording>],
    profile: &Profile,
) -> Vec<TwinError> {
    let known = profile.measured();
    let Some(first) = measured.first() else { return Vec::new() };
    let tenants = first.tenants.iter().enumerate();
    tenants.map(|(at, tenant)| error(&tenant.name, at, (measured, simulated), recordings.get(at), &known)).collect()
}

fn error(
    name: &str,
    at: usize,
    (measured, simulated): (&[RunMetrics], &[RunMetrics]),
    recording: Option<&std::sync::Arc<Recording>>,
    known: &HashMap<&str, f64>,
) -> TwinError {
    let mean = |runs: &[RunMetrics]| average(runs, at, |t| Some((t.latency_ms.mean?, t.completed as f64)));
    let alone = |runs: &[RunMetrics]| average(runs, at, |t| Some((t.solo_latency_ms?, 1.0)));
    let off = |pair: (Option<f64>, Option<f64>)| pair.0.zip(pair.1).filter(|(m, _)| *m > 0.0).map(|(m, s)| (s - m) / m);
    let means = (mean(measured), mean(simulated));
    let alones = (alone(measured), alone(simulated));
    let (mut launches_measured, mut launches_counted) = (0, 0);
    for operation in recording.iter().flat_map(|r| &r.operations) {
        for launch in 0..operation.launches.len() {
            match known.contains_key(kernel_key(operation, launch).as_str()) {
                true => launches_measured += 1,
                false => launches_counted += 1,
            }
        }
    }
    TwinError {
        tenant: name.into(),
        measured_mean_ms: means.0,
        simulated_mean_ms: means.1,
        error: off(means),
        measured_alone_ms: alones.0,
        simulated_alone_ms: alones.1,
        alone_error: off(alones),
        launches_measured,
        launches_counted,
    }
}

/// The weighted mean over runs of a figure of their tenants at `at`; none where no run has it.
fn average(runs: &[RunMetrics], at: usize, figure: impl Fn(&TenantMetrics) -> Option<(f64, f64)>) -> Option<f64> {
    let all = runs.iter().filter_map(|r| figure(r.tenants.get(at)?));
    let (sum, weight) = all.fold((0.0, 0.0), |(sum, weight), (v, w)| (sum + v * w, weight + w));
    (weight > 0.0).then(|| sum / weight)
}

/// The table for people.
///
/// # Errors
/// What `out` reports.
pub fn print(errors: &[TwinError], out: &mut dyn Write) -> io::Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    writeln!(out, "the twin against its device:")?;
    let mut table = Table::new(&[
        "tenant",
        "alone ms",
        "twin",
        "error",
        "mean ms",
        "twin",
        "error",
        "launches measured",
        "counted",
    ]);
    let percent = |error: Option<f64>| error.map_or("-".into(), |e| format!("{:+.1}%", e * 100.0));
    for e in errors {
        table.row([
            e.tenant.clone(),
            number(e.measured_alone_ms),
            number(e.simulated_alone_ms),
            percent(e.alone_error),
            number(e.measured_mean_ms),
            number(e.simulated_mean_ms),
            percent(e.error),
            e.launches_measured.to_string(),
            e.launches_counted.to_string(),
        ]);
    }
    table.print(out)?;
    if errors.iter().any(|e| e.launches_counted > 0) {
        let what = "counted: no measured time, so operations and bytes at the rates that measured kernels reach";
        writeln!(out, "{what}; calibrate with these models for theirs")?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Nanos;
    use crate::timeline::metrics::{Meter, Observed, TenantFacts, Totals};
    use crate::timeline::{ClockKind, DeviceInfo};

    fn run(latencies_ms: &[f64], alone_ms: Option<f64>) -> RunMetrics {
        let mut meter = Meter::new(Nanos::from_ms(10.0));
        for ms in latencies_ms {
            meter.arrived();
            meter.completed(Nanos::from_ms(*ms));
        }
        let facts =
            TenantFacts { name: "a".into(), solo_latency: alone_ms.map(Nanos::from_ms), ..TenantFacts::default() };
        let tenants = vec![meter.finish(facts, Nanos::from_secs(1.0))];
        RunMetrics {
            device: DeviceInfo::default(),
            clock: ClockKind::Wall,
            policy: "fifo".into(),
            seed: 0,
            elapsed_ms: 1000.0,
            totals: Totals::of(&tenants, &Observed { elapsed: Nanos::from_secs(1.0), ..Observed::default() }),
            tenants,
            policy_faults: 0,
        }
    }

    #[test]
    fn errors_are_of_the_mean_over_all_requests_of_all_seeds() {
        let profile = Profile::bare(2);
        let measured = [run(&[10.0, 20.0], Some(4.0)), run(&[60.0], Some(6.0))];
        let simulated = [run(&[33.0], Some(6.0)), run(&[], None)];
        let all = errors(&measured, &simulated, &[], &profile);
        let e = &all[0];
        assert!((e.measured_mean_ms.unwrap() - 30.0).abs() < 0.05 && (e.error.unwrap() - 0.1).abs() < 2e-3, "{e:?}");
        assert!((e.alone_error.unwrap() - 0.2).abs() < 1e-9, "{e:?}");
        assert!(errors(&[], &simulated, &[], &profile).is_empty());
        let never = errors(&[run(&[], None)], &simulated, &[], &profile);
        assert_eq!((never[0].error, never[0].alone_error), (None, None));
    }

    #[test]
    fn a_profile_that_was_not_measured_is_no_twin() {
        let message = check("a100-80gb", "null").unwrap_err().to_string();
        assert!(message.contains("--twin a100-80gb: the profile was not measured"), "{message}");
        let message = check("nowhere.toml", "null").unwrap_err().to_string();
        assert!(message.starts_with("--twin nowhere.toml: file: "), "{message}");
    }
}
