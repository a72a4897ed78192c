//! The block scheduler, worked by hand.

use super::*;
use Command::Kernel;

#[test]
fn blocks_run_in_waves_and_the_tail_leaves_room() {
    // Ten one-SM blocks on four SMs: 4, 4, 2; the next kernel gets the two SMs that the tail leaves.
    check(
        Profile::bare(4),
        &[0, 0],
        &[(0, Kernel(blocks(10, 5.0))), (1, Kernel(blocks(2, 3.0)))],
        &[(0, 0.0, 15.0), (1, 10.0, 13.0)],
    );
}

#[test]
fn a_kernel_that_waits_for_room_holds_up_those_behind_it() {
    // The first leaves one SM; the second takes it with one of its blocks, so the third, which would have fitted, waits.
    let commands = [(0, Kernel(blocks(3, 10.0))), (1, Kernel(blocks(4, 10.0))), (2, Kernel(blocks(1, 1.0)))];
    check(Profile::bare(4), &[0, 0, 0], &commands, &[(0, 0.0, 10.0), (1, 0.0, 20.0), (2, 10.0, 11.0)]);
}

#[test]
fn a_priority_acts_at_the_boundary_of_a_block() {
    let (mut gpu, host, streams) = gpu(Profile::bare(2), &[0, 5]);
    gpu.submit(host, streams[0], Kernel(blocks(100, 10.0)), 0).unwrap();
    gpu.advance_to(Nanos(123_000));
    gpu.submit(host, streams[1], Kernel(blocks(2, 7.0)), 1).unwrap();
    // The urgent one waits for the running blocks, to 130, and the other goes on at 137 with 74 of its blocks.
    assert_eq!(finish(&mut gpu), [(1, 130.0, 137.0), (0, 0.0, 507.0)]);
}

#[test]
fn kernels_share_an_sm_by_their_warps() {
    // Alone 10 µs each; together on one SM each runs at half speed.
    let both = [(0, Kernel(compute(1, 10.0, 1))), (1, Kernel(compute(1, 10.0, 1)))];
    check(Profile::bare(1), &[0, 0], &both, &[(0, 0.0, 20.0), (1, 0.0, 20.0)]);
    // The shorter one leaves at 10, when the longer one has done 5 of its 20.
    let both = [(0, Kernel(compute(1, 20.0, 1))), (1, Kernel(compute(1, 5.0, 1)))];
    check(Profile::bare(1), &[0, 0], &both, &[(0, 0.0, 25.0), (1, 0.0, 10.0)]);
}

#[test]
fn blocks_go_to_idle_sms_first() {
    // Two SMs, one block each: no sharing.
    let both = [(0, Kernel(compute(1, 10.0, 2))), (1, Kernel(compute(1, 10.0, 2)))];
    check(Profile::bare(2), &[0, 0], &both, &[(0, 0.0, 10.0), (1, 0.0, 10.0)]);
    // Three blocks of one kernel on two SMs: two share one.
    check(Profile::bare(2), &[0], &[(0, Kernel(compute(3, 10.0, 2)))], &[(0, 0.0, 20.0)]);
}

#[test]
fn bandwidth_is_shared_and_bounded_per_sm() {
    let stream = |blocks: u32, kb: f64| {
        let mut cost = compute(blocks, 0.0, 1);
        let Work::Roofline(r) = &mut cost.work else { unreachable!() };
        r.dram_bytes = kb * 1e3;
        Kernel(cost)
    };
    let mut profile = Profile::bare(4);
    profile.memory.gbs = 100.0;
    profile.memory.sm_gbs = 40.0;
    // One SM draws 40 bytes a nanosecond, four draw 100 together.
    check(profile.clone(), &[0], &[(0, stream(1, 400.0))], &[(0, 0.0, 10.0)]);
    check(profile.clone(), &[0], &[(0, stream(4, 400.0))], &[(0, 0.0, 16.0)]);
    // One SM against three: 25 each. The first ends after 16 µs; the others then get 33.3.
    check(profile, &[0, 0], &[(0, stream(1, 400.0)), (1, stream(3, 800.0))], &[(0, 0.0, 16.0), (1, 0.0, 28.0)]);
}

#[test]
fn who_waits_for_memory_leaves_the_sm_to_others() {
    let mut profile = Profile::bare(1);
    profile.memory.gbs = 10.0;
    // The first moves 100 kB at 10 bytes a nanosecond, and needs 1 µs of the SM meanwhile: the second gets the rest, 9/10 of it.
    let mut cost = compute(1, 1.0, 1);
    let Work::Roofline(r) = &mut cost.work else { unreachable!() };
    r.dram_bytes = 1e5;
    check(profile, &[0, 0], &[(0, Kernel(cost)), (1, Kernel(compute(1, 9.0, 1)))], &[(0, 0.0, 10.0), (1, 0.0, 10.0)]);
}

#[test]
fn a_working_set_that_does_not_fit_costs_bandwidth() {
    let mut profile = Profile::bare(2);
    profile.memory.gbs = 10.0;
    let reuse = |working_set: u64| {
        let mut cost = compute(1, 1.0, 2);
        let Work::Roofline(r) = &mut cost.work else { unreachable!() };
        (r.reused_bytes, r.working_set) = (1e5, working_set);
        Kernel(cost)
    };
    // It fits: no traffic. Twice the size of L2: half the reuse comes from memory, 5 µs.
    check(profile.clone(), &[0], &[(0, reuse(1 << 20))], &[(0, 0.0, 1.0)]);
    check(profile.clone(), &[0], &[(0, reuse(2 << 20))], &[(0, 0.0, 5.0)]);
    // Two that fit alone and not together: each loses half, and they share the bandwidth.
    check(profile, &[0, 0], &[(0, reuse(1 << 20)), (1, reuse(1 << 20))], &[(0, 0.0, 10.0), (1, 0.0, 10.0)]);
}

#[test]
fn persistent_workers_keep_their_places_until_they_are_asked_to_retreat() {
    let (mut gpu, host, streams) = gpu(Profile::bare(2), &[0, 5]);
    let long = gpu.submit(host, streams[0], Kernel(blocks(101, 10.0).persistent(2)), 0).unwrap();
    gpu.advance_to(Nanos(123_000));
    gpu.submit(host, streams[1], Kernel(blocks(2, 7.0)), 1).unwrap();
    gpu.advance_to(Nanos(255_000));
    let mut done = Vec::new();
    gpu.take_done(&mut done);
    assert!(done.is_empty(), "the urgent kernel still waits: {done:?}");
    assert!(gpu.retreat(long));
    gpu.advance_to(Nanos(300_000));
    gpu.take_done(&mut done);
    let ended: Vec<_> = done.iter().map(|d| (d.tag, d.end.0 / 1_000, d.blocks, d.withdrawn)).collect();
    assert_eq!(ended, [(0, 260, 52, 49), (1, 267, 2, 0)]);
    assert!(!gpu.retreat(long), "it is over");
}

#[test]
fn a_persistent_kernel_that_is_left_alone_does_all_its_blocks() {
    check(Profile::bare(2), &[0], &[(0, Kernel(blocks(101, 10.0).persistent(2)))], &[(0, 0.0, 510.0)]);
    check(Profile::bare(8), &[0], &[(0, Kernel(blocks(100, 10.0).persistent(3)))], &[(0, 0.0, 340.0)]);
}
