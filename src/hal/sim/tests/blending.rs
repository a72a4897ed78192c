//! SMs that are not told apart: what that keeps exactly, and how far times move.

use super::*;

/// Eight tenants keep two kernels each in their streams until so many were submitted; totals, and the time between the ends of
/// the first tenth and the first nine tenths of them.
fn saturate(groups_max: usize, kernels: usize) -> (Totals, f64) {
    let mut profile = Profile::find("a100-80gb").unwrap();
    profile.memory.l2_mib = Some(1e4); // what comes from L2 depends on who is there
    let mut gpu = Gpu::new(Arc::new(profile)).telling_apart(groups_max);
    let context = gpu.plain_context().unwrap();
    let streams: Vec<_> = (0..8).map(|_| gpu.stream(context, 0).unwrap()).collect();
    let hosts: Vec<_> = streams.iter().map(|_| gpu.host()).collect();
    let cost = |n: usize| {
        let (blocks, warps, us) = [(392, 8, 30.0), (98, 4, 60.0), (784, 8, 3.0), (49, 16, 90.0), (25, 8, 50.0)][n % 5];
        let mut cost = compute(blocks, us, 108);
        cost.need = BlockNeed::Of { threads: 32 * warps, registers: 64, shared_bytes: 16 << 10 };
        if let Work::Roofline(r) = &mut cost.work {
            (r.dram_bytes, r.reused_bytes) = (2e4, 1e4);
        }
        if n.is_multiple_of(2) { cost } else { cost.persistent(300) }
    };
    let submit = |gpu: &mut Gpu, at: usize, n: usize| {
        gpu.submit(hosts[at], streams[at], Command::Kernel(cost(n)), at as u64).unwrap();
    };
    (0..16).for_each(|n| submit(&mut gpu, n % 8, n));
    let (mut done, mut submitted, mut ends) = (Vec::new(), 16, Vec::new());
    while gpu.step().is_some() {
        gpu.take_done(&mut done);
        for d in done.drain(..) {
            ends.push(d.end.0 as f64);
            if submitted < kernels {
                submit(&mut gpu, d.tag as usize, submitted);
                submitted += 1;
            }
        }
    }
    (gpu.totals(), ends[kernels * 9 / 10] - ends[kernels / 10])
}

#[test]
fn blending_keeps_all_work_and_changes_the_rate_of_a_full_device_by_less_than_a_tenth() {
    let (exact, long) = saturate(usize::MAX, 500);
    for groups_max in [0, super::super::blend::GROUPS_MAX] {
        let (blended, time) = saturate(groups_max, 500);
        assert_eq!((blended.kernels, blended.blocks), (exact.kernels, exact.blocks));
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-6;
        assert!(near(blended.flops, exact.flops) && near(blended.traffic_bytes, exact.traffic_bytes));
        assert!(near(blended.dram_bytes, exact.dram_bytes), "{} and {}", blended.dram_bytes, exact.dram_bytes);
        println!("bound {groups_max}: {:+.1} %", (time / long - 1.0) * 100.0);
        assert!((time / long - 1.0).abs() < 0.1, "bound {groups_max}: {time} ns, never blended {long}");
    }
}
