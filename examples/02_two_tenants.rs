//! Two tenants on one device: a small model that must answer quickly, and a large one that keeps the device busy.
//!
//!     cargo run --release --example 02_two_tenants
//!
//! The small one's latency is measured alone and beside the large one, under two policies.

use cotenant::engine::{Engine, Tenant, TenantSpec, run::inputs};
use cotenant::service::Class;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for policy in ["sequential", "round-robin"] {
        let engine = Engine::builder().device("auto").policy(policy).start()?;
        let words = engine.load(TenantSpec { priority: 9, ..TenantSpec::new("words", "zoo:keyword_spotting") })?;
        let images = TenantSpec { class: Class::BestEffort, ..TenantSpec::new("images", "zoo:mobilenet_v2") };
        let images = engine.load(images)?;
        median_ms(&words, 5)?;

        let alone = median_ms(&words, 20)?;
        let image = inputs::drawn(&images.inputs(), 1);
        let background: Vec<_> = (0..10).map(|_| images.infer(image.clone())).collect::<Result<_, _>>()?;
        let beside = median_ms(&words, 5)?;
        println!("{policy:12} words alone {alone:.2} ms, beside images {beside:.2} ms");
        for pending in background {
            pending.wait()?;
        }
    }
    Ok(())
}

/// The median latency of `n` requests, one after the other.
fn median_ms(tenant: &Tenant, n: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let input = inputs::drawn(&tenant.inputs(), 1);
    let mut ms = Vec::new();
    for _ in 0..n {
        ms.push(tenant.infer(input.clone())?.wait()?.latency().as_ms());
    }
    ms.sort_by(f64::total_cmp);
    Ok(ms[n / 2])
}
