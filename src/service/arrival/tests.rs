//! Tests of arrival processes: what scenario files may say, and that moments have the rate and the burstiness asked for.

use proptest::prelude::*;

use super::*;

fn spec(text: &str) -> Result<ArrivalSpec, String> {
    #[derive(Deserialize)]
    struct File {
        arrival: ArrivalSpec,
    }
    let file: File = toml::from_str(&format!("arrival = {text}")).map_err(|e| e.message().to_string())?;
    file.arrival.validate().map_err(|e| e.to_string())?;
    Ok(file.arrival)
}

/// Mean and coefficient of variation of `n` gaps in seconds.
fn gaps(spec: &ArrivalSpec, n: usize) -> (f64, f64) {
    let times: Vec<f64> = arrivals(spec, 11, 0).take(n + 1).map(Nanos::as_secs).collect();
    let gaps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    let mean = gaps.iter().sum::<f64>() / n as f64;
    let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n as f64;
    (mean, variance.sqrt() / mean)
}

fn arrivals(spec: &ArrivalSpec, seed: u64, tenant_idx: u32) -> Arrivals {
    spec.arrivals(Path::new(""), seed, tenant_idx).unwrap().unwrap()
}

#[test]
fn the_kinds_of_the_contract_parse() {
    assert_eq!(spec("{ kind = \"closed\" }"), Ok(ArrivalSpec::default()));
    assert_eq!(spec("{ kind = \"poisson\", rate_rps = 30 }"), Ok(ArrivalSpec::Poisson { rate_rps: 30.0 }));
    for text in [
        "{ kind = \"periodic\", rate_rps = 30.0, jitter_ms = 2.0 }",
        "{ kind = \"gamma\", rate_rps = 30.0, cv = 4.0 }",
        "{ kind = \"lognormal\", rate_rps = 30.0, sigma = 1.5 }",
        "{ kind = \"trace\", file = \"gaps.json\", scale = 0.5 }",
        "{ kind = \"closed\", concurrency = 4 }",
    ] {
        let spec = spec(text).unwrap();
        assert!(text.contains(&format!("\"{}\"", spec.kind())));
    }
}

#[test]
fn bad_values_say_the_field_what_was_found_and_what_is_allowed() {
    let check = |text: &str, parts: &[&str]| {
        let message = spec(text).unwrap_err();
        assert!(parts.iter().all(|p| message.contains(p)), "{text}: {message}");
    };
    check("{ kind = \"poisson\", rate_rps = -3.0 }", &["arrival.rate_rps", "found -3", "0.000001 to 1000000"]);
    check("{ kind = \"poisson\", rate_rps = nan }", &["found NaN"]);
    check("{ kind = \"poisson\", rate_rps = inf }", &["found inf"]);
    check("{ kind = \"poisson\" }", &["missing field `rate_rps`"]);
    check("{ kind = \"poisson\", rate_rps = 1.0, cv = 2.0 }", &["unknown field `cv`", "rate_rps"]);
    check("{ kind = \"tidal\" }", &["unknown variant `tidal`", "`periodic`", "`closed`"]);
    check("{ kind = \"gamma\", rate_rps = 1.0, cv = 0.0 }", &["arrival.cv", "found 0", "0.01 to 20"]);
    check("{ kind = \"lognormal\", rate_rps = 1.0, sigma = 9.0 }", &["arrival.sigma", "0.01 to 5"]);
    check("{ kind = \"periodic\", rate_rps = 100.0, jitter_ms = 11.0 }", &["jitter_ms", "found 11", "0 to 10"]);
    check("{ kind = \"closed\", concurrency = 0 }", &["arrival.concurrency", "found 0", "1 to 4096"]);
    check("{ kind = \"trace\", file = \"x\", scale = 0.0 }", &["arrival.scale", "found 0"]);
}

#[test]
fn means_and_spreads_are_those_asked_for() {
    // n gaps: the mean's standard error is cv/sqrt(n); five of them leave no chance to chance. The spread of a
    // log-normal with sigma 1 is sqrt(e - 1).
    let n = 200_000;
    for (spec, cv) in [
        (ArrivalSpec::Poisson { rate_rps: 50.0 }, 1.0),
        (ArrivalSpec::Gamma { rate_rps: 50.0, cv: 0.5 }, 0.5),
        (ArrivalSpec::Gamma { rate_rps: 50.0, cv: 4.0 }, 4.0),
        (ArrivalSpec::Lognormal { rate_rps: 50.0, sigma: 1.0 }, (1f64.exp() - 1.0).sqrt()),
    ] {
        let (mean, measured_cv) = gaps(&spec, n);
        let bound = 5.0 * cv / (n as f64).sqrt();
        assert!((mean * 50.0 - 1.0).abs() < bound, "{spec:?}: mean {mean}");
        assert!((measured_cv / cv - 1.0).abs() < 0.05, "{spec:?}: cv {measured_cv}");
    }
}

/// Index of dispersion of counts: variance over mean of the requests in windows of `window_s`, over `n` windows.
fn dispersion(spec: &ArrivalSpec, window_s: f64, n: usize) -> f64 {
    let mut counts = vec![0u32; n];
    for at in arrivals(spec, 29, 1) {
        match counts.get_mut((at.as_secs() / window_s) as usize) {
            Some(count) => *count += 1,
            None => break,
        }
    }
    let mean = counts.iter().sum::<u32>() as f64 / n as f64;
    counts.iter().map(|c| (f64::from(*c) - mean).powi(2)).sum::<f64>() / n as f64 / mean
}

#[test]
fn counts_in_long_windows_are_as_bursty_as_the_gaps() {
    // Of a renewal process the index tends to cv² as windows grow; here they hold 400 requests on average. It is a variance over
    // 2,000 windows, off by 3 % (one standard deviation, more with heavy tails) by chance.
    for (spec, expected) in [
        (ArrivalSpec::Poisson { rate_rps: 200.0 }, 1.0),
        (ArrivalSpec::Gamma { rate_rps: 200.0, cv: 0.5 }, 0.25),
        (ArrivalSpec::Gamma { rate_rps: 200.0, cv: 3.0 }, 9.0),
        (ArrivalSpec::Lognormal { rate_rps: 200.0, sigma: 1.0 }, 1f64.exp() - 1.0),
    ] {
        let index = dispersion(&spec, 2.0, 2000);
        assert!((index / expected - 1.0).abs() < 0.2, "{spec:?}: {index}, expected {expected}");
    }
    // A sensor's counts hardly differ.
    assert!(dispersion(&ArrivalSpec::Periodic { rate_rps: 200.0, jitter_ms: 5.0 }, 2.0, 2000) < 0.01);
}

#[test]
fn logarithms_of_lognormal_gaps_are_normal() {
    // With σ = 1.5 and 2 (Paella's workloads) moments of the gaps themselves converge slowly; those of their logarithms do not.
    let n = 100_000;
    for sigma in [1.5, 2.0] {
        let spec = ArrivalSpec::Lognormal { rate_rps: 10.0, sigma };
        let times: Vec<f64> = arrivals(&spec, 3, 0).take(n + 1).map(Nanos::as_secs).collect();
        let logs: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]).ln()).collect();
        let mean = logs.iter().sum::<f64>() / n as f64;
        let deviation = (logs.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
        let mu = -(10f64.ln()) - sigma * sigma / 2.0;
        assert!((mean - mu).abs() < 5.0 * sigma / (n as f64).sqrt(), "{sigma}: {mean}, expected {mu}");
        assert!((deviation / sigma - 1.0).abs() < 0.02, "{sigma}: {deviation}");
    }
}

#[test]
fn a_sensor_keeps_its_rate_with_any_jitter() {
    for jitter_ms in [0.0, 1.0, 10.0] {
        let spec = ArrivalSpec::Periodic { rate_rps: 100.0, jitter_ms };
        let (mean, cv) = gaps(&spec, 100_000);
        // Lateness is uniform, so that a gap's variance is jitter²/6.
        let expected = jitter_ms / 10.0 / 6f64.sqrt();
        assert!((mean * 100.0 - 1.0).abs() < 1e-4 && (cv - expected).abs() < 0.01, "{jitter_ms}: {mean} s, cv {cv}");
    }
}

#[test]
fn a_trace_has_the_rate_and_the_spread_of_its_file() {
    use rand_distr::Exp1;
    let dir = tempfile::tempdir().unwrap();
    let mut random = rand::rng();
    let recorded: Vec<f64> = {
        let mut gap = || -> f64 { Exp1.sample(&mut random) };
        (0..500).map(|_| 0.004 + 0.05 * gap()).collect()
    };
    std::fs::write(dir.path().join("gaps.json"), serde_json::to_string(&recorded).unwrap()).unwrap();
    let mean = recorded.iter().sum::<f64>() / 500.0;
    for scale in [0.5, 1.0, 3.0] {
        let spec = ArrivalSpec::Trace { file: "gaps.json".into(), scale };
        let replay = |seed| spec.arrivals(dir.path(), seed, 0).unwrap().unwrap().take(1500).collect::<Vec<_>>();
        let times = replay(1);
        assert_eq!(times, replay(2), "a recording knows no seed");
        // Three times through.
        assert!((times[1499].as_secs() / (1500.0 * mean * scale) - 1.0).abs() < 1e-6);
        for (at, pair) in times.windows(2).enumerate() {
            let gap = pair[1].as_secs() - pair[0].as_secs();
            assert!((gap - recorded[(at + 1) % 500] * scale).abs() < 1e-8, "gap {at} is {gap}");
        }
    }
}

#[test]
fn the_recorded_gaps_of_an_autonomous_car_are_read() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("COTENANT_DATA").map_or_else(beside, PathBuf::from).join("orion");
    let file = PathBuf::from("apollo_inter_arrival_times.json");
    if !folder.join(&file).is_file() {
        println!("skipped: no recorded gaps beside the repository");
        return;
    }
    let spec = ArrivalSpec::Trace { file, scale: 1.0 };
    let times: Vec<Nanos> = spec.arrivals(&folder, 0, 0).unwrap().unwrap().take(6240).collect();
    // Orion's file: 6,240 gaps over 299.7 s, 4 to 213 ms.
    assert!((times[6239].as_secs() - 299.7).abs() < 0.1, "{:?}", times[6239]);
    let ms = times.windows(2).map(|w| w[1].since(w[0]).as_ms());
    let (least, most) = ms.fold((f64::INFINITY, 0.0f64), |(l, m), gap| (l.min(gap), m.max(gap)));
    assert!((least - 4.0).abs() < 1e-3 && (most - 213.0).abs() < 1e-3, "{least} to {most} ms");
}

#[test]
fn moments_depend_on_seed_and_tenant_alone() {
    let spec = ArrivalSpec::Poisson { rate_rps: 30.0 };
    let take = |seed, tenant_idx| arrivals(&spec, seed, tenant_idx).take(20).collect::<Vec<_>>();
    assert_eq!(take(1, 0), take(1, 0));
    assert_ne!(take(1, 0), take(2, 0));
    assert_ne!(take(1, 0), take(1, 1));
}

#[test]
fn a_trace_is_scaled_and_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("gaps.json"), "[0.031, 0.012]").unwrap();
    let spec = ArrivalSpec::Trace { file: "gaps.json".into(), scale: 2.0 };
    let times: Vec<u64> = spec.arrivals(dir.path(), 0, 0).unwrap().unwrap().take(3).map(|t| t.0).collect();
    assert_eq!(times, [62_000_000, 86_000_000, 148_000_000]);
    for (text, expected) in [
        ("[0.1, -1]", "gap 1 is -1"),
        ("[]", "no gap above zero"),
        ("[0, 0]", "no gap above zero"),
        ("{}", "allowed is a JSON array"),
    ] {
        std::fs::write(dir.path().join("gaps.json"), text).unwrap();
        let message = spec.arrivals(dir.path(), 0, 0).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("gaps.json"), "{message}");
    }
    assert!(spec.arrivals(Path::new("/nonexistent"), 0, 0).is_err());
}

#[test]
fn a_closed_loop_is_left_to_the_engine() {
    let spec = ArrivalSpec::Closed { concurrency: 3 };
    assert!(spec.arrivals(Path::new(""), 0, 0).unwrap().is_none());
    assert_eq!(spec.concurrency(), Some(3));
    assert_eq!(ArrivalSpec::Poisson { rate_rps: 1.0 }.concurrency(), None);
}

proptest! {
    #[test]
    fn jitter_stays_within_its_bound(rate_rps in 0.1f64..1e6, part in 0.0f64..=1.0, seed: u64) {
        let jitter_ms = 1e3 / rate_rps * part;
        let spec = ArrivalSpec::Periodic { rate_rps, jitter_ms };
        for (k, t) in arrivals(&spec, seed, 0).take(100).enumerate() {
            let late_ns = t.0 as f64 - k as f64 * 1e9 / rate_rps;
            prop_assert!(late_ns >= -1.0 && late_ns <= jitter_ms * 1e6 + 1.0, "{k}: {late_ns}");
        }
    }

    #[test]
    fn time_never_goes_back(rate_rps in 0.001f64..1e6, cv in 0.01f64..20.0, sigma in 0.01f64..5.0, seed: u64) {
        for spec in [
            ArrivalSpec::Poisson { rate_rps },
            ArrivalSpec::Gamma { rate_rps, cv },
            ArrivalSpec::Lognormal { rate_rps, sigma },
            ArrivalSpec::Periodic { rate_rps, jitter_ms: 1e3 / rate_rps },
        ] {
            let times: Vec<Nanos> = arrivals(&spec, seed, 3).take(200).collect();
            prop_assert!(times.is_sorted());
        }
    }
}
