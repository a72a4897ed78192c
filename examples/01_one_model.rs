//! One model: load it, ask it once, look at the answer.
//!
//!     cargo run --release --example 01_one_model [MODEL]
//!
//! MODEL is the path of an ONNX file or `zoo:NAME`; inputs are drawn from a seed.

use cotenant::engine::{Engine, LoadStage, TenantSpec, run::inputs};
use cotenant::tensor::show_shape;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = std::env::args().nth(1).unwrap_or("zoo:keyword_spotting".into());
    let engine = Engine::open("auto")?;
    println!("device: {}", engine.caps().name);

    let tenant = engine.load_with(TenantSpec::new("it", &model), &mut |stage| match stage {
        LoadStage::Reading => println!("reading {model}"),
        LoadStage::Compiling { done, total, kernel } => println!("compiled {done}/{total} {kernel}"),
    })?;
    println!("{} launches, {} CPU nodes", tenant.recording().launches(), tenant.recording().cpu_nodes());

    let response = tenant.infer(inputs::drawn(&tenant.inputs(), 1))?.wait()?;
    for (port, output) in tenant.outputs().iter().zip(&response.outputs) {
        let values = output.to_f32();
        println!("{} {}: {:?} …", port.name, show_shape(output.shape()), &values[..values.len().min(4)]);
    }
    println!("{:.2} ms", response.latency().as_ms());
    Ok(())
}
