//! Random runs of a simulated GPU: what there is, what is submitted and when.

use proptest::prelude::*;

use super::super::blend::GROUPS_MAX;
use super::*;

/// A random run: contexts with bounds, streams of these with priorities, and commands with the time before each.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) mode: Mode,
    /// Contexts are in two MIG instances in turn, instead of on the whole GPU.
    pub(super) mig: bool,
    pub(super) bounds: Vec<SmBound>,
    pub(super) streams: Vec<(usize, i32)>,
    pub(super) commands: Vec<(u64, usize, Action)>,
    pub(super) queues: u32,
    /// Groups of blocks that are told apart.
    pub(super) groups_max: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Submit(Command),
    /// Asks the kernel submitted so many commands before to retreat.
    Retreat(usize),
    /// Bounds a context to a percentage.
    Reshape(f64),
}

pub(super) fn costs() -> impl Strategy<Value = KernelCost> {
    let grid = (1u32..600, 1u32..33, 16u32..128, 0u32..40_000, 0.0f64..2e6, 0.0f64..2e5, 0.0f64..1e5, 0u64..(80 << 20));
    let roofline =
        grid.prop_map(|(blocks, warps, registers, shared_bytes, flops, dram_bytes, reused_bytes, working_set)| {
            // Register files are given out in granules of eight a thread, to groups of four warps.
            let warps_max = 65_536 / (registers.next_multiple_of(8) * 32) / 4 * 4;
            let threads = 32 * warps.min(warps_max);
            KernelCost {
                source: Source::Given,
                blocks: Blocks::Count(blocks),
                need: BlockNeed::Of { threads, registers, shared_bytes },
                work: Work::Roofline(Roofline {
                    unit: Unit::Fp32,
                    flops,
                    efficiency: 0.9,
                    dram_bytes,
                    reused_bytes,
                    working_set,
                }),
                workers: None,
            }
        });
    let fixed = (1f64..50_000.0, 1u32..300).prop_map(|(ns, sms)| KernelCost::recorded(ns, sms, 108));
    let law = (1f64..1e5, 0f64..1e6, 0f64..1e5).prop_map(|(fixed_ns, sm_ns, memory_ns)| {
        KernelCost::law(Law {
            floor_ns: 5e4,
            overlap_ns: 0.0,
            fixed_ns,
            sm_ns,
            memory_ns,
            sharing: [1.0, 0.9, 0.85, 0.8, 0.78],
        })
    });
    (prop_oneof![6 => roofline, 2 => fixed, 1 => law], proptest::option::weighted(0.3, 1u32..900)).prop_map(
        |(cost, w)| match w {
            Some(workers) => cost.persistent(workers),
            None => cost,
        },
    )
}

pub(super) fn scripts() -> impl Strategy<Value = Script> {
    let bound = prop_oneof![
        2 => Just(SmBound::All),
        1 => (1f64..100.0).prop_map(SmBound::Percent),
        1 => (0u32..30, 1u32..25).prop_map(|(from, n)| SmBound::Only(SmSet::range(2 * from, 2 * (from + n)))),
    ];
    let command = prop_oneof![
        8 => costs().prop_map(Command::Kernel),
        1 => proptest::collection::vec(costs(), 1..6).prop_map(|c| Command::Graph(Arc::new(Graph::chain(c)))),
        1 => (0u64..1_000_000, any::<bool>(), any::<bool>()).prop_map(|(bytes, up, pinned)| {
            let direction = if up { Direction::ToDevice } else { Direction::ToHost };
            Command::Copy { bytes, direction, pinned }
        }),
    ];
    let action = prop_oneof![
        12 => command.prop_map(Action::Submit),
        1 => (1usize..4).prop_map(Action::Retreat),
        1 => (1f64..100.0).prop_map(Action::Reshape),
    ];
    let mode = (prop_oneof![3 => Just(Mode::Shared), 1 => Just(Mode::Sliced)], proptest::bool::weighted(0.25));
    let groups_max = prop_oneof![Just(0), Just(GROUPS_MAX), Just(usize::MAX)];
    (mode, proptest::collection::vec(bound, 1..4), 1u32..5, groups_max)
        .prop_flat_map(move |(mode, bounds, queues, groups_max)| {
            let stream = (0..bounds.len(), -2i32..3);
            (Just(mode), Just(bounds), Just((queues, groups_max)), proptest::collection::vec(stream, 1..7))
        })
        .prop_flat_map(move |(mode, bounds, (queues, groups_max), streams)| {
            let commands = proptest::collection::vec((0u64..40_000, 0..streams.len(), action.clone()), 1..40);
            commands.prop_map(move |commands| Script {
                mode: mode.0,
                mig: mode.1,
                bounds: bounds.clone(),
                streams: streams.clone(),
                commands,
                queues,
                groups_max,
            })
        })
}

/// Runs a script and calls `look` after every event; the log, and the kernels submitted with their tags.
pub(super) fn play(script: &Script, mut look: impl FnMut(&mut Gpu)) -> (Gpu, String, Vec<Done>) {
    let mut profile = Profile::find("a100-80gb").unwrap();
    profile.launch.queues = script.queues;
    profile.sharing.time_slice_us = 20.0;
    profile.sharing.switch_us = 2.0;
    profile.sharing.mps_change_ms = 0.01;
    profile.sharing.green_change_ms = 0.01;
    profile.sharing.mig_change_ms = 0.01;
    let mut gpu = Gpu::new(Arc::new(profile)).telling_apart(script.groups_max);
    let at = |start| MigPlacement { profile: "3g".into(), start };
    let plan = if script.mig { vec![at(0), at(4)] } else { Vec::new() };
    let instances = gpu.partition(&plan, script.mode).unwrap();
    let contexts = script.bounds.iter().zip(instances.iter().cycle()).map(|(&bound, &instance)| {
        let sms = match bound {
            // What no instance of this size has.
            SmBound::Only(set) if script.mig && !set.minus(SmSet::range(0, 42)).is_empty() => SmBound::All,
            other => other,
        };
        gpu.context(ContextSpec { instance, sms, slice: None }).unwrap()
    });
    let contexts: Vec<_> = contexts.collect();
    let streams: Vec<_> = script.streams.iter().map(|&(c, p)| gpu.stream(contexts[c], p).unwrap()).collect();
    let host = gpu.host();
    let (mut submitted, mut done): (Vec<CommandId>, Vec<Done>) = Default::default();
    for (tag, (gap, stream, action)) in (0..).zip(&script.commands) {
        let until = gpu.now() + Nanos(*gap);
        while gpu.next_event().is_some_and(|at| at <= until) {
            gpu.step();
            look(&mut gpu);
        }
        gpu.advance_to(until);
        match action {
            Action::Submit(command) => {
                submitted.push(gpu.submit(host, streams[*stream], command.clone(), tag).unwrap());
            }
            Action::Retreat(back) if *back <= submitted.len() => {
                gpu.retreat(submitted[submitted.len() - back]);
            }
            Action::Retreat(_) => {}
            Action::Reshape(percent) => {
                gpu.reshape(contexts[script.streams[*stream].0], SmBound::Percent(*percent)).unwrap();
            }
        }
        look(&mut gpu);
    }
    while gpu.step().is_some() {
        look(&mut gpu);
    }
    gpu.take_done(&mut done);
    let log = done.iter().map(|d| format!("{d:?}\n")).collect();
    (gpu, log, done)
}
