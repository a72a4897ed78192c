//! Answers are futures: await them in any runtime. Here the smallest one, which runs one task on this thread.
//!
//!     cargo run --release --example 03_async

use cotenant::engine::{Engine, InferError, Tenant, TenantSpec, run::inputs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::open("auto")?;
    let listen = engine.load(TenantSpec::new("listen", "zoo:keyword_spotting"))?;
    let score = engine.load(TenantSpec::new("score", "zoo:dlrm"))?;
    pollster::block_on(serve(&listen, &score))?;
    Ok(())
}

async fn serve(listen: &Tenant, score: &Tenant) -> Result<(), InferError> {
    for round in 0..5 {
        // Both requests are under way before the first is awaited.
        let heard = listen.infer(inputs::drawn(&listen.inputs(), round))?;
        let scored = score.infer(inputs::drawn(&score.inputs(), round))?;
        let (heard, scored) = (heard.await?, scored.await?);
        println!(
            "round {round}: loudest word {}, score {:.3}, answered in {:.2} and {:.2} ms",
            largest(&heard.outputs[0].to_f32()),
            scored.outputs[0].to_f32()[0],
            heard.latency().as_ms(),
            scored.latency().as_ms(),
        );
    }
    Ok(())
}

fn largest(values: &[f32]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0)
}
