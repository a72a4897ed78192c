//! What the simulated GPU must do, by small hand-worked cases and by properties of random ones.

mod blending;
mod blocks;
mod bounded;
mod properties;
mod scripts;
mod sharing;
mod streams;

use std::sync::Arc;

use super::*;
use crate::tensor::Nanos;

/// A kernel of `blocks` blocks of one warp that each compute for `us` of an SM of the bare profile with `sms` SMs.
fn compute(blocks: u32, us: f64, sms: u32) -> KernelCost {
    KernelCost {
        source: Source::Given,
        blocks: Blocks::Count(blocks),
        need: BlockNeed::Of { threads: 32, registers: 16, shared_bytes: 0 },
        work: Work::Roofline(Roofline {
            unit: Unit::Fp32,
            flops: us * 1e6 / f64::from(sms),
            efficiency: 1.0,
            dram_bytes: 0.0,
            reused_bytes: 0.0,
            working_set: 0,
        }),
        workers: None,
    }
}

/// A kernel of one-SM blocks of `us` each.
fn blocks(n: u32, us: f64) -> KernelCost {
    KernelCost {
        blocks: Blocks::Count(n),
        work: Work::Fixed { block_ns: us * 1e3, dram_bytes: 0.0 },
        ..KernelCost::fixed(1.0)
    }
}

/// A GPU, one host thread and streams of these priorities in one context.
fn gpu(profile: Profile, priorities: &[i32]) -> (Gpu, HostId, Vec<StreamId>) {
    let mut gpu = Gpu::new(Arc::new(profile));
    let context = gpu.plain_context().unwrap();
    let host = gpu.host();
    let streams = priorities.iter().map(|&p| gpu.stream(context, p).unwrap()).collect();
    (gpu, host, streams)
}

/// Runs until nothing is left; begin and end of each command by tag, in µs.
fn finish(gpu: &mut Gpu) -> Vec<(u64, f64, f64)> {
    let mut done = Vec::new();
    while gpu.step().is_some() {}
    gpu.take_done(&mut done);
    assert_eq!(gpu.waiting(), 0, "everything ended");
    let us = |t: Nanos| t.0 as f64 / 1e3;
    done.iter().map(|d| (d.tag, us(d.start), us(d.end))).collect()
}

/// Submits the commands at time zero, each to the stream of its number, and checks when they ran.
fn check(profile: Profile, priorities: &[i32], commands: &[(usize, Command)], expected: &[(u64, f64, f64)]) {
    let (mut gpu, host, streams) = gpu(profile, priorities);
    for (tag, (stream, command)) in (0..).zip(commands) {
        gpu.submit(host, streams[*stream], command.clone(), tag).unwrap();
    }
    let mut got = finish(&mut gpu);
    got.sort_by_key(|d| d.0);
    let near = |a: f64, b: f64| (a - b).abs() < 2e-3;
    let same = got.iter().zip(expected).all(|(g, e)| g.0 == e.0 && near(g.1, e.1) && near(g.2, e.2));
    assert!(got.len() == expected.len() && same, "got {got:?}\nexpected {expected:?}");
}
