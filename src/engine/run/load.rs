//! Loading a scenario's tenant: by the dimensions and shapes that the scenario gives, or by the inputs in a folder.

use std::path::Path;
use std::sync::Arc;

use super::{RunError, RunOptions, RunStage, Watch, inputs, misstep};
use crate::engine::scenario::{self, ModelRef, Scenario};
use crate::engine::{Engine, LoadError, LoadStage, Tenant, TenantSpec};
use crate::graph::{self, Graph, GraphError, LoadOptions, ModelSource};
use crate::tensor::{HostTensor, Share};

/// A tenant, and its inputs where a folder gives them: their shapes, and values on which shapes depend, are the model's.
pub(super) fn load(
    engine: &Engine,
    spec: &scenario::TenantSpec,
    options: &RunOptions,
    tenant_idx: usize,
    watch: &mut dyn Watch,
) -> Result<(Tenant, Option<Vec<HostTensor>>), RunError> {
    let mut tell = |stage: LoadStage| watch.stage(RunStage::Loading { tenant: &spec.name, tenant_idx, stage });
    tell(LoadStage::Reading);
    let (graph, given) = graph_of(spec)?;
    let tenant = TenantSpec {
        name: spec.name.clone(),
        model: model_source(spec)?,
        options: LoadOptions::default(),
        class: spec.class,
        priority: spec.priority,
        slo: spec.slo,
        memory_limit_bytes: spec.memory_limit_mb.map(|mb| mb << 20),
        share: Share::FULL,
        queue_max: options.queue_max.max(spec.arrival.concurrency().unwrap_or(0) as usize),
    };
    Ok((engine.load_graph(tenant, Arc::new(graph), &mut tell)?, given))
}

/// The graph of a tenant of `scenario`, and its inputs where a folder gives them.
///
/// # Errors
/// [`RunError::Scenario`] naming the place and the tenant.
pub fn tenant_graph(scenario: &Scenario, tenant_idx: usize) -> Result<(Graph, Option<Vec<HostTensor>>), RunError> {
    graph_of(&scenario.tenants[tenant_idx]).map_err(|e| misstep::of_tenant(e, scenario, tenant_idx))
}

fn graph_of(spec: &scenario::TenantSpec) -> Result<(Graph, Option<Vec<HostTensor>>), RunError> {
    let model = model_source(spec)?;
    let options = LoadOptions { dims: spec.dims.clone(), shapes: spec.shapes.clone(), ..LoadOptions::default() };
    match &spec.inputs {
        Some(folder) => load_with_folder(spec, &model, &options, folder).map(|(graph, inputs)| (graph, Some(inputs))),
        None => Ok((graph::load(&model, &options).map_err(|e| not_loaded(spec, e))?, None)),
    }
}

fn model_source(spec: &scenario::TenantSpec) -> Result<ModelSource, RunError> {
    match &spec.model {
        ModelRef::File(path) => Ok(ModelSource::File(path.clone())),
        ModelRef::Zoo(name) => Ok(ModelSource::Zoo(name.clone())),
        ModelRef::Profile(_) => Err(RunError::Profile { tenant: spec.name.clone(), model: spec.model.to_string() }),
    }
}

fn not_loaded(spec: &scenario::TenantSpec, source: GraphError) -> RunError {
    LoadError::Model { tenant: spec.name.clone(), source: Box::new(source) }.into()
}

/// A model at the shapes of the inputs in `folder`, and these inputs.
fn load_with_folder(
    spec: &scenario::TenantSpec,
    model: &ModelSource,
    options: &LoadOptions,
    folder: &Path,
) -> Result<(Graph, Vec<HostTensor>), RunError> {
    let tenant = || spec.name.clone();
    let values = inputs::from_folder(folder).map_err(|source| RunError::Inputs { tenant: tenant(), source })?;
    let wrong = |position: usize, what: String| {
        let file = folder.join(inputs::file_name(position));
        Err(RunError::InputFile { tenant: tenant(), file, what })
    };
    let graph = match graph::load_for(model, options, &values) {
        Ok(graph) => graph,
        Err(GraphError::ValueCount { inputs, found, .. }) => {
            let n = inputs.len();
            return match inputs.get(found) {
                Some(input) => {
                    wrong(found, format!("it is missing; it is input {input:?} of the model, which has {n}"))
                }
                None => wrong(n, format!("the model takes no such input, only {n}: {}", inputs.join(", "))),
            };
        }
        Err(GraphError::Value { input, position, what, .. }) => {
            return wrong(position, format!("the model's input {input:?}: {what}"));
        }
        Err(error) => return Err(not_loaded(spec, error)),
    };
    Ok((graph, values))
}
