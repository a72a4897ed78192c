//! Arrival processes: when the requests of a tenant come.
//!
//! Open-loop processes are endless iterators of moments, drawn from the seed alone: whether the server keeps up changes
//! nothing (no coordinated omission), and tenants with one process still differ. A closed loop has no moments of its
//! own; the engine keeps [`ArrivalSpec::concurrency`] requests in flight.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp, Gamma, LogNormal};
use serde::Deserialize;

use crate::tensor::Nanos;

/// Largest accepted rate, in requests per second.
pub const RATE_RPS_MAX: f64 = 1e6;

/// Largest accepted number of requests in flight.
pub const CONCURRENCY_MAX: u32 = 4096;

/// Largest accepted trace file, in bytes.
pub const TRACE_BYTES_MAX: u64 = 256 << 20;

/// The `arrival = { kind = …, … }` of a scenario.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ArrivalSpec {
    /// A sensor: arrival *k* is due at `k / rate_rps`, late by a uniform draw from `[0, jitter_ms)`.
    Periodic {
        /// Requests per second.
        rate_rps: f64,
        /// Largest lateness; at most one period, so that order is kept.
        #[serde(default)]
        jitter_ms: f64,
    },
    /// Independent users: exponential gaps of mean `1 / rate_rps`.
    Poisson {
        /// Requests per second, on average.
        rate_rps: f64,
    },
    /// Bursts: gamma-distributed gaps of mean `1 / rate_rps`, shape `1/cv²` (AlpaServe; `cv = 1` is Poisson).
    Gamma {
        /// Requests per second, on average.
        rate_rps: f64,
        /// Standard deviation of the gaps over their mean.
        cv: f64,
    },
    /// Bursts with a heavy tail: log-normal gaps of mean `1 / rate_rps`, so `μ = −ln rate_rps − σ²/2` (Paella: σ 1.5, 2).
    Lognormal {
        /// Requests per second, on average.
        rate_rps: f64,
        /// Standard deviation of the logarithm of the gaps.
        sigma: f64,
    },
    /// A recorded sequence: a JSON array of gaps in seconds (the first before the first request), begun anew at its end.
    Trace {
        /// The file, relative to the scenario file.
        file: PathBuf,
        /// Factor on every gap: 2 halves the rate.
        #[serde(default = "one")]
        scale: f64,
    },
    /// The next request comes when one is answered.
    Closed {
        /// Requests in flight.
        #[serde(default = "one_request")]
        concurrency: u32,
    },
}

/// What is wrong with an arrival process.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ArrivalError {
    /// A number is out of range.
    #[error("arrival.{field}: found {found}, allowed is {allowed}")]
    Range {
        /// The field of `arrival`.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// The trace file cannot be used.
    #[error("arrival.file: {}: {what}", .file.display())]
    Trace {
        /// The file.
        file: PathBuf,
        /// What was found and what is allowed.
        what: String,
    },
}

impl Default for ArrivalSpec {
    /// One request in flight.
    fn default() -> ArrivalSpec {
        ArrivalSpec::Closed { concurrency: 1 }
    }
}

impl ArrivalSpec {
    /// The `kind` of scenario files.
    pub fn kind(&self) -> &'static str {
        match self {
            ArrivalSpec::Periodic { .. } => "periodic",
            ArrivalSpec::Poisson { .. } => "poisson",
            ArrivalSpec::Gamma { .. } => "gamma",
            ArrivalSpec::Lognormal { .. } => "lognormal",
            ArrivalSpec::Trace { .. } => "trace",
            ArrivalSpec::Closed { .. } => "closed",
        }
    }

    /// Checks every number; opens no file.
    ///
    /// # Errors
    /// [`ArrivalError::Range`] for the first field out of range.
    pub fn validate(&self) -> Result<(), ArrivalError> {
        match *self {
            ArrivalSpec::Periodic { rate_rps, jitter_ms } => {
                rate(rate_rps)?;
                let period_ms = 1e3 / rate_rps;
                if (0.0..=period_ms).contains(&jitter_ms) {
                    return Ok(());
                }
                Err(ArrivalError::Range {
                    field: "jitter_ms",
                    found: jitter_ms.to_string(),
                    allowed: format!("0 to {period_ms}, one period at {rate_rps} requests per second"),
                })
            }
            ArrivalSpec::Poisson { rate_rps } => rate(rate_rps),
            ArrivalSpec::Gamma { rate_rps, cv } => rate(rate_rps).and(within("cv", cv, 0.01, 20.0)),
            ArrivalSpec::Lognormal { rate_rps, sigma } => rate(rate_rps).and(within("sigma", sigma, 0.01, 5.0)),
            ArrivalSpec::Trace { scale, .. } => within("scale", scale, 1e-6, 1e6),
            ArrivalSpec::Closed { concurrency } => {
                within("concurrency", f64::from(concurrency), 1.0, f64::from(CONCURRENCY_MAX))
            }
        }
    }

    /// Requests in flight, for a closed loop; `None` for open-loop processes.
    pub fn concurrency(&self) -> Option<u32> {
        match *self {
            ArrivalSpec::Closed { concurrency } => Some(concurrency),
            _ => None,
        }
    }

    /// The moments of an open-loop process, `None` for a closed loop. `folder` is that of the scenario file; the same
    /// `seed` and `tenant_idx` give the same moments.
    ///
    /// # Errors
    /// [`ArrivalError`] when a field is out of range or the trace file cannot be used.
    pub fn arrivals(&self, folder: &Path, seed: u64, tenant_idx: u32) -> Result<Option<Arrivals>, ArrivalError> {
        self.validate()?;
        let gaps = match *self {
            ArrivalSpec::Periodic { rate_rps, jitter_ms } => {
                Gaps::Periodic { period_ns: 1e9 / rate_rps, jitter_ns: jitter_ms * 1e6, next: 0 }
            }
            ArrivalSpec::Poisson { rate_rps } => Gaps::Poisson(Exp::new(rate_rps).expect("validated")),
            ArrivalSpec::Gamma { rate_rps, cv } => {
                let variance = cv * cv;
                Gaps::Gamma(Gamma::new(1.0 / variance, variance / rate_rps).expect("validated"))
            }
            ArrivalSpec::Lognormal { rate_rps, sigma } => {
                let mu = -rate_rps.ln() - sigma * sigma / 2.0;
                Gaps::Lognormal(LogNormal::new(mu, sigma).expect("validated"))
            }
            ArrivalSpec::Trace { ref file, scale } => {
                Gaps::Trace { seconds: read_gaps(&folder.join(file))?, scale, next: 0 }
            }
            ArrivalSpec::Closed { .. } => return Ok(None),
        };
        Ok(Some(Arrivals { gaps, random: random(seed, tenant_idx), now: Nanos(0) }))
    }
}

/// The moments of an open-loop process since the start of the run: endless, never going back.
#[derive(Clone, Debug)]
pub struct Arrivals {
    gaps: Gaps,
    random: StdRng,
    now: Nanos,
}

#[derive(Clone, Debug)]
enum Gaps {
    Periodic { period_ns: f64, jitter_ns: f64, next: u64 },
    Poisson(Exp<f64>),
    Gamma(Gamma<f64>),
    Lognormal(LogNormal<f64>),
    Trace { seconds: Vec<f64>, scale: f64, next: usize },
}

impl Iterator for Arrivals {
    type Item = Nanos;

    fn next(&mut self) -> Option<Nanos> {
        let gap_s = match &mut self.gaps {
            Gaps::Periodic { period_ns, jitter_ns, next } => {
                let late = self.random.random::<f64>() * *jitter_ns;
                let due = *next as f64 * *period_ns + late;
                *next += 1;
                // Rounding may take one nanosecond from the order of neighbours at full jitter.
                self.now = self.now.max(Nanos(due.round() as u64));
                return Some(self.now);
            }
            Gaps::Poisson(exponential) => exponential.sample(&mut self.random),
            Gaps::Gamma(gamma) => gamma.sample(&mut self.random),
            Gaps::Lognormal(lognormal) => lognormal.sample(&mut self.random),
            Gaps::Trace { seconds, scale, next } => {
                let gap = seconds[*next] * *scale;
                *next = (*next + 1) % seconds.len();
                gap
            }
        };
        self.now = Nanos(self.now.0.saturating_add(Nanos::from_secs(gap_s).0));
        Some(self.now)
    }
}

/// One generator per seed and tenant; the tag keeps it apart from other users of the seed (inputs, say).
fn random(seed: u64, tenant_idx: u32) -> StdRng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..12].copy_from_slice(&tenant_idx.to_le_bytes());
    key[16..23].copy_from_slice(b"arrival");
    StdRng::from_seed(key)
}

fn read_gaps(file: &Path) -> Result<Vec<f64>, ArrivalError> {
    let error = |what: String| ArrivalError::Trace { file: file.into(), what };
    let bytes = std::fs::metadata(file).map_err(|e| error(e.to_string()))?.len();
    if bytes > TRACE_BYTES_MAX {
        return Err(error(format!("{bytes} bytes, allowed is at most {TRACE_BYTES_MAX}")));
    }
    let text = std::fs::read(file).map_err(|e| error(e.to_string()))?;
    let gaps: Vec<f64> = serde_json::from_slice(&text)
        .map_err(|e| error(format!("{e}; allowed is a JSON array of gaps in seconds, [0.031, 0.012]")))?;
    if let Some(at) = gaps.iter().position(|&gap| !(0.0..=86_400.0).contains(&gap)) {
        return Err(error(format!("gap {at} is {}, allowed is 0 to 86400 seconds", gaps[at])));
    }
    if gaps.iter().sum::<f64>() <= 0.0 {
        return Err(error("no gap above zero, allowed is at least one".into()));
    }
    Ok(gaps)
}

fn rate(rate_rps: f64) -> Result<(), ArrivalError> {
    within("rate_rps", rate_rps, 1e-6, RATE_RPS_MAX)
}

fn within(field: &'static str, found: f64, least: f64, most: f64) -> Result<(), ArrivalError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(ArrivalError::Range { field, found: found.to_string(), allowed: format!("{least} to {most}") })
}

fn one() -> f64 {
    1.0
}

fn one_request() -> u32 {
    1
}

#[cfg(test)]
mod tests {
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
}
