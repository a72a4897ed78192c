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
    /// A recorded sequence, replayed gap by gap and begun anew at its end: a JSON array of gaps in seconds, the first before
    /// the first request, as `[0.031, 0.012]`. Orion publishes such a file of an autonomous-driving stack,
    /// `apollo_inter_arrival_times.json`. It is the same for every seed.
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
mod tests;
