//! What the simulated GPU holds is bounded by what waits and runs, however much has ended.

use super::*;

const TENANTS: usize = 1_000;

/// Places of all stores, used or not, and entries of all lists.
fn held(gpu: &Gpu) -> Vec<usize> {
    let shared = &gpu.exec.shared;
    let pool = &gpu.exec.pools[0];
    let ready: usize = pool.views.iter().map(|v| v.ready.len()).sum();
    vec![
        gpu.commands.places(),
        shared.jobs.places(),
        shared.trains.places(),
        pool.cohorts.len(),
        pool.bulk.len(),
        ready,
    ]
}

#[test]
fn a_thousand_tenants_hold_no_more_after_many_kernels_than_after_few() {
    let mut profile = Profile::find("a100-80gb").unwrap();
    profile.launch.queues = TENANTS as u32;
    let (mut gpu, _, streams) = gpu(profile, &[0; TENANTS]);
    let hosts: Vec<_> = streams.iter().map(|_| gpu.host()).collect();
    let costs = [blocks(25, 20.0), compute(300, 2.0, 108), compute(3_000, 1.0, 108).persistent(500), blocks(150, 5.0)];
    let submit = |gpu: &mut Gpu, at: usize, n: usize| {
        let kernel = Command::Kernel(costs[(at + n) % costs.len()]);
        gpu.submit(hosts[at], streams[at], kernel, at as u64).unwrap();
    };
    (0..2 * TENANTS).for_each(|at| submit(&mut gpu, at % TENANTS, at));
    let (mut done, mut ended) = (Vec::new(), 0);
    let mut run = |gpu: &mut Gpu, kernels: usize| {
        let mut most = vec![0; 6];
        let until = ended + kernels;
        while ended < until {
            gpu.step().expect("work is left");
            gpu.take_done(&mut done);
            for d in done.drain(..) {
                ended += 1;
                submit(gpu, d.tag as usize, ended);
            }
            most = most.iter().zip(held(gpu)).map(|(a, b)| *a.max(&b)).collect();
        }
        most
    };
    let few = run(&mut gpu, 5_000);
    let many = run(&mut gpu, 50_000);
    assert_eq!(few[0], 2 * TENANTS, "two commands of each tenant");
    assert!(few[1] <= TENANTS, "a kernel of each tenant");
    let grown = few.iter().zip(&many).all(|(few, many)| *many <= few + few / 4 + 4);
    assert!(grown, "after few kernels {few:?}, after many {many:?}");
}
