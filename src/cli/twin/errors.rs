//! How far a twin is off, tenant by tenant, and the speed at which its device runs.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

use crate::cli::table::{Table, number};
use crate::hal::Recording;
use crate::hal::sim::{Profile, kernel_key};
use crate::timeline::metrics::{RunMetrics, TenantMetrics};

/// A tenant's latencies on a device and on its simulated twin.
#[derive(Debug, Serialize)]
pub struct TwinError {
    tenant: String,
    /// Over all requests of all seeds.
    measured_mean_ms: Option<f64>,
    /// With kernels at the speed of this process's requests alone.
    simulated_mean_ms: Option<f64>,
    /// `(simulated − measured) / measured`.
    error: Option<f64>,
    /// With kernels at the speed at which they were calibrated.
    as_calibrated_mean_ms: Option<f64>,
    as_calibrated_error: Option<f64>,
    /// Of requests alone in this process.
    measured_alone_ms: Option<f64>,
    /// As calibrated.
    simulated_alone_ms: Option<f64>,
    alone_error: Option<f64>,
    /// Launches of the model whose times were measured, found by what they are.
    launches_measured: usize,
    /// Launches that were counted from operations and bytes, because calibration has not seen them.
    launches_counted: usize,
}

/// The runs of a scenario that are compared: on the device, on its twin, and on the twin at the device's present speed; each
/// with the same seeds.
pub(super) struct Runs<'a> {
    /// Of the device.
    pub(super) measured: &'a [RunMetrics],
    /// Of the device, where each tenant was alone: the same and one more after them.
    pub(super) alone: &'a [RunMetrics],
    /// Of the twin as it was calibrated.
    pub(super) as_calibrated: &'a [RunMetrics],
    /// Of the twin with its kernels scaled by [`at_this_speed`].
    pub(super) simulated: &'a [RunMetrics],
}

/// Says so where a device did not keep its speed from the first run to the last.
pub(super) fn warn_of_drift(alone: &[RunMetrics]) {
    const DRIFT_MAX: f64 = 1.15;
    let (Some(first), Some(last)) = (alone.first(), alone.last()) else { return };
    for (before, after) in first.tenants.iter().zip(&last.tenants) {
        let Some((a, b)) = before.solo_latency_ms.zip(after.solo_latency_ms) else { continue };
        if a.max(b) > DRIFT_MAX * a.min(b) {
            let name = &before.name;
            tracing::warn!(
                "{name} took {a:.2} ms alone before and {b:.2} ms after: the device changed its speed; run again"
            );
        }
    }
}

/// `profile` with the kernels of each tenant's model scaled by what it takes alone, measured over simulated. A kernel that
/// several models have gets the geometric mean of theirs.
pub(super) fn at_this_speed(
    profile: &Profile,
    measured: &[RunMetrics],
    simulated: &[RunMetrics],
    recordings: &[Arc<Recording>],
) -> Profile {
    let mut logs: HashMap<String, Vec<f64>> = HashMap::new();
    for (at, recording) in recordings.iter().enumerate() {
        let Some(ratio) = alone(measured, at).zip(alone(simulated, at)).map(|(m, s)| m / s) else { continue };
        if ratio.is_finite() && ratio > 0.0 {
            keys(recording).for_each(|key| logs.entry(key).or_default().push(ratio.ln()));
        }
    }
    let mut profile = profile.clone();
    for kernel in &mut profile.kernels {
        if let Some(logs) = logs.get(&kernel.key) {
            kernel.ns *= (logs.iter().sum::<f64>() / logs.len() as f64).exp();
        }
    }
    profile
}

/// Compares runs, seed by seed the same; `recordings` are the tenants' models on the twin.
pub(super) fn errors(runs: &Runs, recordings: &[Arc<Recording>], profile: &Profile) -> Vec<TwinError> {
    let known = profile.measured();
    let Some(first) = runs.measured.first() else { return Vec::new() };
    let tenants = first.tenants.iter().enumerate();
    tenants.map(|(at, tenant)| error(&tenant.name, at, runs, recordings.get(at), &known)).collect()
}

fn error(
    name: &str,
    at: usize,
    runs: &Runs,
    recording: Option<&Arc<Recording>>,
    known: &HashMap<&str, f64>,
) -> TwinError {
    let mean = |runs: &[RunMetrics]| average(runs, at, |t| Some((t.latency_ms.mean?, t.completed as f64)));
    let off = |measured: Option<f64>, simulated: Option<f64>| {
        measured.zip(simulated).filter(|(m, _)| *m > 0.0).map(|(m, s)| (s - m) / m)
    };
    let (measured, calibrated, simulated) = (mean(runs.measured), mean(runs.as_calibrated), mean(runs.simulated));
    let alones = (alone(runs.alone, at), alone(runs.as_calibrated, at));
    let all: Vec<String> = recording.into_iter().flat_map(|r| keys(r)).collect();
    let launches_measured = all.iter().filter(|key| known.contains_key(key.as_str())).count();
    TwinError {
        tenant: name.into(),
        measured_mean_ms: measured,
        simulated_mean_ms: simulated,
        error: off(measured, simulated),
        as_calibrated_mean_ms: calibrated,
        as_calibrated_error: off(measured, calibrated),
        measured_alone_ms: alones.0,
        simulated_alone_ms: alones.1,
        alone_error: off(alones.0, alones.1),
        launches_measured,
        launches_counted: all.len() - launches_measured,
    }
}

/// What the launches of a recording are, as profiles name them.
fn keys(recording: &Recording) -> impl Iterator<Item = String> {
    let operations = recording.operations.iter();
    operations.flat_map(|o| (0..o.launches.len()).map(move |launch| kernel_key(o, launch)))
}

/// The latency of a tenant's requests alone, over all runs.
fn alone(runs: &[RunMetrics], at: usize) -> Option<f64> {
    average(runs, at, |t| Some((t.solo_latency_ms?, 1.0)))
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
    writeln!(
        out,
        "the twin against its device, with kernels as fast as each model was here alone, and as calibrated:"
    )?;
    let mut table = Table::new(&[
        "tenant",
        "alone ms",
        "as calibrated",
        "error",
        "mean ms",
        "twin",
        "error",
        "as calibrated",
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
            number(e.as_calibrated_mean_ms),
            percent(e.as_calibrated_error),
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
    use crate::hal::sim::{SimDevice, SimOptions, VirtualClock};
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
            rounds: None,
        }
    }

    #[test]
    fn errors_are_of_the_mean_over_all_requests_of_all_seeds() {
        let profile = Profile::bare(2);
        let measured = [run(&[10.0, 20.0], Some(4.0)), run(&[60.0], Some(6.0))];
        let simulated = [run(&[33.0], Some(6.0)), run(&[], None)];
        let errors = |measured: &[RunMetrics], simulated: &[RunMetrics]| {
            errors(
                &Runs { measured, alone: measured, simulated, as_calibrated: &measured[..measured.len().min(1)] },
                &[],
                &profile,
            )
        };
        let all = errors(&measured, &simulated);
        let e = &all[0];
        assert!((e.measured_mean_ms.unwrap() - 30.0).abs() < 0.05 && (e.error.unwrap() - 0.1).abs() < 2e-3, "{e:?}");
        assert!((e.as_calibrated_error.unwrap() + 0.5).abs() < 2e-3, "{e:?}");
        assert!(errors(&[], &simulated).is_empty());
        let never = errors(&[run(&[], None)], &simulated);
        assert_eq!((never[0].error, never[0].alone_error), (None, None));
    }

    #[test]
    fn kernels_are_scaled_by_what_their_models_took_alone() {
        use crate::graph::{LoadOptions, ModelSource, compile, load};
        use crate::hal::sim::MeasuredKernel;
        let recording = |model: &str| {
            let mut device = SimDevice::open(Profile::bare(2), VirtualClock::new(), SimOptions::default());
            let graph = load(&ModelSource::Zoo(model.into()), &LoadOptions::default()).unwrap();
            compile(&graph, &mut device, crate::tensor::TenantId(1)).unwrap().recording
        };
        let recordings = [recording("matmul_32"), recording("matmul_48")];
        let mut profile = Profile::bare(2);
        let names: Vec<String> = recordings.iter().map(|r| keys(r).next().unwrap()).chain(["other".into()]).collect();
        profile.kernels = names
            .iter()
            .map(|key| MeasuredKernel { key: key.clone(), ns: 100.0, ..MeasuredKernel::default() })
            .collect();
        let of = |runs: [RunMetrics; 2]| {
            let [mut one, two] = runs;
            one.tenants.extend(two.tenants);
            [one]
        };
        let measured = of([run(&[1.0], Some(3.0)), run(&[1.0], None)]);
        let simulated = of([run(&[1.0], Some(2.0)), run(&[1.0], Some(2.0))]);
        let ns = |recordings: &[Arc<Recording>]| {
            let scaled = at_this_speed(&profile, &measured, &simulated, recordings);
            scaled.kernels.iter().map(|k| k.ns.round()).collect::<Vec<_>>()
        };
        assert_eq!(ns(&recordings), [150.0, 100.0, 100.0]);
        assert_eq!(ns(&[]), [100.0; 3]);
    }
}
