//! What the engine itself costs: a closed loop on the null device, which does nothing, over models of few and of many
//! operators. The line through them gives the time of a request and that of each operator.

use std::path::Path;

use super::figure::{Figure, line};
use super::{CalibrateError, TENANT, model_error};
use crate::engine::Engine;
use crate::engine::run::{Progress, RunOptions, scenario_on};
use crate::engine::scenario::Scenario;
use crate::graph::{self, LoadOptions, ModelSource};
use crate::hal::WallClock;
use crate::hal::null::NullDevice;

/// Models with small inputs, of few to many operators.
const MODELS: [&str; 3] = ["keyword_spotting", "bert_tiny", "lstm"];

/// Requests of a loop.
const REQUESTS: usize = 200;

/// The engine's time on the host, in ns.
pub(super) struct EngineCost {
    pub(super) request_ns: Figure,
    pub(super) operator_ns: Figure,
}

impl EngineCost {
    pub(super) fn measure(rounds: usize) -> Result<EngineCost, CalibrateError> {
        let (mut request, mut operator) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let points = MODELS.iter().map(|model| of_model(model)).collect::<Result<Vec<_>, _>>()?;
            let (at_zero, slope) = line(&points);
            request.push(at_zero.max(0.0));
            operator.push(slope.max(0.0));
        }
        Ok(EngineCost { request_ns: Figure::of(request), operator_ns: Figure::of(operator) })
    }
}

/// Operators of a model, and the time of a request.
fn of_model(model: &str) -> Result<(f64, f64), CalibrateError> {
    let engine_error = |e: String| CalibrateError::Engine { model: model.into(), reason: e };
    let text = format!("requests = {REQUESTS}\n[[tenant]]\nname = \"one\"\nmodel = \"zoo:{model}\"\n");
    let scenario = Scenario::parse(&text, Path::new("calibrate.toml")).map_err(|e| engine_error(e.to_string()))?;
    let mut device = NullDevice::open(WallClock::start());
    let source = ModelSource::Zoo(model.into());
    let graph = graph::load(&source, &LoadOptions::default()).map_err(|e| model_error(model, e))?;
    let compiled = graph::compile(&graph, &mut device, TENANT).map_err(|e| model_error(model, e))?;
    let operators = compiled.recording.operations.len();
    let engine = Engine::builder().start_on(Box::new(device)).map_err(|e| engine_error(e.to_string()))?;
    let report = scenario_on(&engine, &scenario, &RunOptions::default(), &mut Progress(&mut |_| {}))
        .map_err(|e| engine_error(e.to_string()))?;
    Ok((operators as f64, report.metrics.elapsed_ms * 1e6 / REQUESTS as f64))
}
