//! A distribution of latencies: exact counts, mean and maximum, and percentiles that are at most 0.1 % too high.
//!
//! Percentiles are nearest-rank, from an HDR histogram of three significant digits, never above the maximum.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::tensor::Nanos;

/// Latencies beyond one day count as one day in percentiles.
const LATENCY_NS_MAX: u64 = 86_400_000_000_000;

/// Latencies in milliseconds; all `None` where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LatencyMs {
    /// Arithmetic mean, exact.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// Largest, exact.
    pub max: Option<f64>,
}

/// Collects latencies. Takes all the memory that it will need (about 150 KiB) at once.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u32>,
    sum_ns: u128,
    ns_max: u64,
    n: u64,
}

impl Default for Latencies {
    fn default() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are in order");
        Latencies { histogram, sum_ns: 0, ns_max: 0, n: 0 }
    }
}

impl Latencies {
    /// Takes one in.
    pub fn record(&mut self, latency: Nanos) {
        self.histogram.saturating_record(latency.0);
        self.sum_ns += u128::from(latency.0);
        self.ns_max = self.ns_max.max(latency.0);
        self.n += 1;
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.histogram.reset();
        (self.sum_ns, self.ns_max, self.n) = (0, 0, 0);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// The figures.
    pub fn ms(&self) -> LatencyMs {
        if self.n == 0 {
            return LatencyMs::default();
        }
        let at = |quantile: f64| {
            let ns = self.histogram.value_at_quantile(quantile).min(self.ns_max);
            Some(ns as f64 / 1e6)
        };
        LatencyMs {
            mean: Some(self.sum_ns as f64 / self.n as f64 / 1e6),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: Some(self.ns_max as f64 / 1e6),
        }
    }
}
