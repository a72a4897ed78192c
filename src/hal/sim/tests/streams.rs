//! Streams, queues, launches, copies, events and graphs, worked by hand.

use super::*;
use Command::{Graph as Run, Kernel};

fn one_us() -> KernelCost {
    KernelCost::fixed(1_000.0)
}

#[test]
fn a_stream_is_first_in_first_out_with_a_gap_between_kernels() {
    let mut profile = Profile::bare(2);
    profile.launch.gap_us = 0.5;
    let commands = [(0, Kernel(one_us())), (0, Kernel(one_us())), (0, Kernel(one_us()))];
    check(profile, &[0], &commands, &[(0, 0.0, 1.0), (1, 1.5, 2.5), (2, 3.0, 4.0)]);
}

#[test]
fn launches_of_a_host_thread_follow_each_other() {
    let mut profile = Profile::bare(2);
    profile.launch.host_us = 3.0;
    let commands = [(0, Kernel(one_us())), (1, Kernel(one_us()))];
    check(profile, &[0, 0], &commands, &[(0, 3.0, 4.0), (1, 6.0, 7.0)]);
}

#[test]
fn streams_of_one_hardware_queue_wait_for_each_other() {
    // Streams 0 and 2 share a queue. Its head, the second kernel of stream 0, keeps stream 2 waiting without need.
    let commands = [
        (0, Kernel(blocks(1, 10.0))),
        (0, Kernel(blocks(1, 1.0))),
        (1, Kernel(blocks(1, 1.0))),
        (2, Kernel(blocks(1, 1.0))),
    ];
    let mut profile = Profile::bare(8);
    profile.launch.queues = 2;
    let mixed = [(0, 0.0, 10.0), (1, 10.0, 11.0), (2, 0.0, 1.0), (3, 10.0, 11.0)];
    check(profile, &[0, 0, 0], &commands, &mixed);
    let free = [(0, 0.0, 10.0), (1, 10.0, 11.0), (2, 0.0, 1.0), (3, 0.0, 1.0)];
    check(Profile::bare(8), &[0, 0, 0], &commands, &free);
}

#[test]
fn events_join_streams() {
    let (mut gpu, host, streams) = gpu(Profile::bare(8), &[0, 0]);
    let (early, late) = (gpu.event(), gpu.event());
    for (tag, (stream, command)) in (0..).zip([
        (1, Command::Wait(late)), // nothing was recorded yet: it waits for nothing
        (1, Kernel(blocks(1, 2.0))),
        (0, Kernel(blocks(1, 10.0))),
        (0, Command::Record(early)),
        (0, Kernel(blocks(1, 10.0))),
        (1, Command::Wait(early)),
        (1, Kernel(blocks(1, 3.0))),
    ]) {
        gpu.submit(host, streams[stream], command, tag).unwrap();
    }
    assert_eq!(finish(&mut gpu), [(1, 0.0, 2.0), (2, 0.0, 10.0), (6, 10.0, 13.0), (4, 10.0, 20.0)]);
}

#[test]
fn a_graph_keeps_its_own_order() {
    let node = |sms: u32, us: f64, after: &[u32]| GraphNode { cost: blocks(sms, us), after: after.to_vec() };
    // A diamond: 1 µs, then 2 and 3 µs at once, then 1 µs.
    let nodes = vec![node(1, 1.0, &[]), node(1, 2.0, &[0]), node(1, 3.0, &[0]), node(4, 1.0, &[1, 2])];
    let diamond = Arc::new(Graph::new(nodes).unwrap());
    let mut profile = Profile::bare(4);
    profile.launch.graph_us = 7.0;
    profile.launch.graph_node_us = 0.5;
    check(profile, &[0], &[(0, Run(diamond)), (0, Kernel(blocks(1, 1.0)))], &[(0, 7.5, 13.5), (1, 13.5, 14.5)]);
    assert!(Graph::new(vec![node(1, 1.0, &[0])]).is_none(), "a node cannot wait for itself");
    let empty = Arc::new(Graph::new(Vec::new()).unwrap());
    check(Profile::bare(1), &[0], &[(0, Run(empty)), (0, Kernel(one_us()))], &[(0, 0.0, 0.0), (1, 0.0, 1.0)]);
}

#[test]
fn copies_take_latency_and_bandwidth_and_the_directions_are_independent() {
    let copy = |bytes, direction, pinned| Command::Copy { bytes, direction, pinned };
    let mut profile = Profile::bare(1);
    profile.copy.latency_us = 2.0;
    let commands = [
        (0, copy(10_000, Direction::ToDevice, true)),
        (1, copy(10_000, Direction::ToDevice, false)),
        (2, copy(50_000, Direction::ToHost, true)),
    ];
    check(profile.clone(), &[0, 0, 0], &commands, &[(0, 0.0, 3.0), (1, 3.0, 7.0), (2, 0.0, 7.0)]);
    // Two engines share a direction.
    profile.copy.latency_us = 0.0;
    profile.copy.engines = 2;
    let commands = [(0, copy(10_000, Direction::ToDevice, true)), (1, copy(30_000, Direction::ToDevice, true))];
    check(profile, &[0, 0], &commands, &[(0, 0.0, 2.0), (1, 0.0, 4.0)]);
}

#[test]
fn kernels_and_copies_of_one_stream_keep_their_order() {
    let copy = Command::Copy { bytes: 10_000, direction: Direction::ToDevice, pinned: true };
    check(Profile::bare(1), &[0], &[(0, copy), (0, Kernel(one_us()))], &[(0, 0.0, 1.0), (1, 1.0, 2.0)]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (mut gpu, host, streams) = gpu(Profile::find("t4").unwrap(), &[0]);
    let mut cost = compute(1, 1.0, 1);
    cost.need = BlockNeed::Of { threads: 1024, registers: 255, shared_bytes: 0 };
    let error = gpu.submit(host, streams[0], Kernel(cost), 0).unwrap_err();
    assert!(error.to_string().contains("fits no SM of t4"), "{error}");
    cost.need = BlockNeed::Of { threads: 32, registers: 32, shared_bytes: 0 };
    cost.blocks = Blocks::Count(0);
    gpu.submit(host, streams[0], Kernel(cost), 7).unwrap();
    assert_eq!(finish(&mut gpu).len(), 1, "a kernel without blocks ends");
}
