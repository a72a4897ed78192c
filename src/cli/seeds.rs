//! `cotenant run --seeds N`: the same scenario with several seeds, and each figure's mean with its confidence interval.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};

use super::table::{Table, number};
use crate::timeline::interval::Interval;
use crate::timeline::metrics::RunMetrics;

/// Runs of one device that differ in their seeds only.
#[derive(Debug, Serialize)]
pub struct Seeds<'a> {
    /// One per seed.
    pub runs: &'a [RunMetrics],
    /// The shape of a run, with `{mean, low, high, seeds}` in place of each number that some run has.
    pub intervals: Value,
}

impl<'a> Seeds<'a> {
    /// Compares `runs`.
    ///
    /// # Errors
    /// Those of serialisation.
    pub fn of(runs: &'a [RunMetrics]) -> serde_json::Result<Seeds<'a>> {
        let values = runs.iter().map(serde_json::to_value).collect::<Result<Vec<Value>, _>>()?;
        Ok(Seeds { runs, intervals: intervals(&values.iter().collect::<Vec<_>>()) })
    }
}

/// Joins values of one shape: numbers become intervals, what is equal in all stays, the rest is null.
fn intervals(values: &[&Value]) -> Value {
    let numbers: Vec<f64> = values.iter().filter_map(|v| v.as_f64()).collect();
    if let Some(interval) = Interval::of(&numbers) {
        return serde_json::to_value(interval).unwrap_or(Value::Null);
    }
    match values.first() {
        Some(Value::Object(first)) => {
            let of = |key: &String| values.iter().filter_map(|v| v.get(key)).collect::<Vec<_>>();
            let joined: Map<String, Value> =
                first.keys().filter(|key| *key != "seed").map(|key| (key.clone(), intervals(&of(key)))).collect();
            Value::Object(joined)
        }
        Some(Value::Array(first)) => {
            let of = |at: usize| values.iter().filter_map(|v| v.get(at)).collect::<Vec<_>>();
            Value::Array((0..first.len()).map(|at| intervals(&of(at))).collect())
        }
        Some(first) if values.iter().all(|v| v == first) => (*first).clone(),
        _ => Value::Null,
    }
}

/// The tables of several seeds.
///
/// # Errors
/// What `out` reports.
pub fn print(runs: &[RunMetrics], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = runs.first() else { return Ok(()) };
    let seeds: Vec<String> = runs.iter().map(|r| r.seed.to_string()).collect();
    writeln!(out, "mean and 95 % confidence over seeds {}\n", seeds.join(", "))?;
    let shown = |of: &dyn Fn(&RunMetrics) -> Option<f64>| {
        let values: Vec<f64> = runs.iter().filter_map(of).collect();
        Interval::of(&values).map_or("-".into(), |i| format!("{} ±{}", number(Some(i.mean)), number(Some(i.half()))))
    };
    let mut table = Table::new(&["tenant", "req/s", "mean ms", "p50", "p95", "p99", "in SLO %"]);
    for (at, tenant) in first.tenants.iter().enumerate() {
        let latency = |pick: fn(&crate::timeline::LatencyMs) -> Option<f64>| {
            shown(&|r: &RunMetrics| pick(&r.tenants.get(at)?.latency_ms))
        };
        table.row([
            tenant.name.clone(),
            shown(&|r| Some(r.tenants.get(at)?.throughput_rps)),
            latency(|l| l.mean),
            latency(|l| l.p50),
            latency(|l| l.p95),
            latency(|l| l.p99),
            shown(&|r| Some(r.tenants.get(at)?.slo_attainment * 100.0)),
        ]);
    }
    table.print(out)?;
    writeln!(out)?;
    let mut totals = Table::new(&["req/s", "in SLO/s", "ANTT", "STP", "fairness", "Jain", "device busy %"]);
    totals.row([
        shown(&|r| Some(r.totals.throughput_rps)),
        shown(&|r| Some(r.totals.goodput_rps)),
        shown(&|r| r.totals.antt),
        shown(&|r| r.totals.stp),
        shown(&|r| r.totals.fairness),
        shown(&|r| r.totals.jain),
        shown(&|r| Some(r.totals.utilization? * 100.0)),
    ]);
    totals.print(out)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_become_intervals_and_the_shape_stays() {
        let runs = [
            json!({"seed": 1, "clock": "virtual", "tenants": [{"name": "a", "p99": 1.0, "sha": "x"}], "antt": null}),
            json!({"seed": 2, "clock": "virtual", "tenants": [{"name": "a", "p99": 3.0, "sha": "y"}], "antt": 2.0}),
        ];
        let joined = intervals(&runs.iter().collect::<Vec<_>>());
        assert_eq!(joined["clock"], "virtual");
        assert_eq!(joined["tenants"][0]["name"], "a");
        assert_eq!(joined["tenants"][0]["sha"], Value::Null);
        assert_eq!(joined["tenants"][0]["p99"]["mean"], 2.0);
        assert_eq!(joined["antt"]["seeds"], 1);
        assert!(joined.get("seed").is_none());
    }
}
