//! ONNX models built here: what they compute, and which are refused.

mod answers;
#[path = "../common/net.rs"]
mod net;
mod plain;
mod refused;
mod simplification;
mod transposed;

use cotenant::engine::{Engine, TenantSpec};
use cotenant::graph::{LoadOptions, import};
use cotenant::tensor::HostTensor;
use net::Net;

/// An engine on the CPU, and one per GPU of this machine.
fn engines() -> Vec<Engine> {
    let gpus = cotenant::hal::wgpu::find().len();
    if gpus == 0 {
        println!("skipped: no wgpu adapter on this machine");
    }
    let found = cotenant::hal::wgpu::find();
    let names = found.iter().map(|f| format!("wgpu:{}", f.name()));
    std::iter::once("reference".to_string())
        .chain(names)
        .map(|name| Engine::open(&name).unwrap_or_else(|e| panic!("{name}: {e}")))
        .collect()
}

/// What a model answers.
fn run(engine: &Engine, net: &Net, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
    let graph = import::proto(net.clone().finish(), None, "net", &LoadOptions::default()).map_err(|e| e.to_string())?;
    let spec = TenantSpec::new("net", "");
    let tenant = engine.load_graph(spec, graph.into(), &mut |_| {}).map_err(|e| e.to_string())?;
    let pending = tenant.infer(inputs.to_vec()).map_err(|e| e.to_string())?;
    Ok(pending.wait().map_err(|e| e.to_string())?.outputs)
}
