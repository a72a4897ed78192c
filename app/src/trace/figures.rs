//! A tenant's figures, counted from its events while they arrive, with the same [`Meter`] that `cotenant run` uses.
//!
//! Only requests that arrived in the measured part count: before it models are loaded and run alone. The promise is not
//! part of a trace's events; it is known where the trace holds its scenario.

use cotenant::engine::scenario::Scenario;
use cotenant::tensor::{Nanos, TenantId};
use cotenant::timeline::metrics::{Meter, TenantFacts, TenantMetrics};
use cotenant::timeline::{Category, Instant, InstantKind, Span};

/// A promise that no request breaks, for tenants whose promise is unknown.
const NO_SLO: Nanos = Nanos(u64::MAX);

/// A tenant of the trace.
#[derive(Clone, Debug)]
pub struct TenantFigures {
    /// Its number in the events.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Its model and promise, where the trace says.
    pub promise: Option<Promise>,
    /// Time of its work on the lanes of devices in the measured part.
    pub device_time: Nanos,
    meter: Meter,
}

/// What the scenario says of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Promise {
    /// The model.
    pub model: String,
    /// Latency at most this.
    pub slo: Nanos,
}

impl TenantFigures {
    /// Nothing counted yet.
    pub fn new(id: TenantId, name: &str, scenario: Option<&Scenario>) -> TenantFigures {
        let spec = scenario.and_then(|scenario| scenario.tenants.iter().find(|t| t.name == name));
        let promise = spec.map(|spec| Promise { model: spec.model.to_string(), slo: spec.slo });
        let meter = Meter::new(promise.as_ref().map_or(NO_SLO, |p| p.slo));
        TenantFigures { id, name: name.into(), promise, device_time: Nanos(0), meter }
    }

    /// Begins anew: what was counted was warm-up.
    pub fn reset(&mut self) {
        self.device_time = Nanos(0);
        self.meter = Meter::new(self.promise.as_ref().map_or(NO_SLO, |p| p.slo));
    }

    /// Counts work on a device, of which the part after `measured_from` matters.
    pub fn worked(&mut self, span: &Span, measured_from: Nanos) {
        if matches!(span.category, Category::Kernel | Category::Copy | Category::Stage) {
            self.device_time += span.end.since(span.start.max(measured_from));
        }
    }

    /// Counts a request that was answered.
    pub fn answered(&mut self, request: &Span, measured_from: Nanos) {
        if request.start >= measured_from {
            self.meter.completed(request.end.since(request.start));
        }
    }

    /// Counts what happened to a request.
    pub fn happened(&mut self, instant: &Instant, measured_from: Nanos) {
        if instant.at < measured_from {
            return;
        }
        match instant.kind {
            InstantKind::Arrival => self.meter.arrived(),
            InstantKind::Rejection => {
                // Requests that were turned away at once have no arrival of their own.
                self.meter.arrived();
                self.meter.rejected();
            }
            InstantKind::Failure => self.meter.failed(),
            InstantKind::DeadlineMiss | InstantKind::Preemption => {}
        }
    }

    /// The figures over a measured part of length `elapsed`.
    pub fn metrics(&self, elapsed: Nanos) -> TenantMetrics {
        let model = self.promise.as_ref().map_or_else(String::new, |p| p.model.clone());
        self.meter.finish(TenantFacts { name: self.name.clone(), model, ..TenantFacts::default() }, elapsed)
    }

    /// The share of requests that were answered within the promise; `None` where there is no promise or no request ended.
    pub fn attainment(&self, metrics: &TenantMetrics) -> Option<f64> {
        let ended = metrics.completed + metrics.rejected + metrics.failed;
        (self.promise.is_some() && ended > 0).then(|| metrics.good as f64 / ended as f64)
    }
}
