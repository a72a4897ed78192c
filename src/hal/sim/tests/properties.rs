//! What holds at every moment of any run, checked after every event of random ones.

use proptest::prelude::*;

use super::super::job::Pace;
use super::super::place;
use super::super::pool::Pool;
use super::*;

/// A random run: contexts with bounds, streams of these with priorities, and commands with the time before each.
#[derive(Clone, Debug)]
struct Script {
    mode: Mode,
    bounds: Vec<SmBound>,
    streams: Vec<(usize, i32)>,
    commands: Vec<(u64, usize, Action)>,
    queues: u32,
}

#[derive(Clone, Debug)]
enum Action {
    Submit(Command),
    /// Asks the kernel submitted so many commands before to retreat.
    Retreat(usize),
    /// Bounds a context to a percentage.
    Reshape(f64),
}

fn costs() -> impl Strategy<Value = KernelCost> {
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
        KernelCost::law(Law { floor_ns: 5e4, fixed_ns, sm_ns, memory_ns, sharing: [1.0, 0.9, 0.85, 0.8, 0.78] })
    });
    (prop_oneof![6 => roofline, 2 => fixed, 1 => law], proptest::option::weighted(0.3, 1u32..900)).prop_map(
        |(cost, w)| match w {
            Some(workers) => cost.persistent(workers),
            None => cost,
        },
    )
}

fn scripts() -> impl Strategy<Value = Script> {
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
    let mode = prop_oneof![3 => Just(Mode::Shared), 1 => Just(Mode::Sliced)];
    (mode, proptest::collection::vec(bound, 1..4), 1u32..5)
        .prop_flat_map(move |(mode, bounds, queues)| {
            let stream = (0..bounds.len(), -2i32..3);
            (Just(mode), Just(bounds), Just(queues), proptest::collection::vec(stream, 1..7))
        })
        .prop_flat_map(move |(mode, bounds, queues, streams)| {
            let commands = proptest::collection::vec((0u64..40_000, 0..streams.len(), action.clone()), 1..40);
            commands.prop_map(move |commands| Script {
                mode,
                bounds: bounds.clone(),
                streams: streams.clone(),
                commands,
                queues,
            })
        })
}

/// Runs a script and calls `look` after every event; the log, and the kernels submitted with their tags.
fn play(script: &Script, mut look: impl FnMut(&mut Gpu)) -> (Gpu, String, Vec<Done>) {
    let mut profile = Profile::find("a100-80gb").unwrap();
    profile.launch.queues = script.queues;
    profile.sharing.time_slice_us = 20.0;
    profile.sharing.switch_us = 2.0;
    profile.sharing.mps_change_ms = 0.01;
    profile.sharing.green_change_ms = 0.01;
    let mut gpu = Gpu::new(Arc::new(profile));
    gpu.set_mode(gpu.whole(), script.mode).unwrap();
    let spec = |gpu: &Gpu, sms| ContextSpec { instance: gpu.whole(), sms, slice: None };
    let contexts: Vec<_> = script.bounds.iter().map(|&b| gpu.context(spec(&gpu, b)).unwrap()).collect();
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

/// What must hold of a pool after every event.
fn inspect(gpu: &mut Gpu) {
    gpu.next_event();
    for number in 0..gpu.exec.pools.len() {
        let pool = gpu.exec.pools[number].clone();
        room_adds_up(gpu, &pool);
        rates_are_within_what_there_is(gpu, &pool);
        nothing_waits_that_fits(gpu, &pool, number as u32);
    }
    assert!(gpu.exec.shared.agenda.peek().is_none_or(|(at, _)| at >= gpu.now), "nothing is due in the past");
}

fn room_adds_up(gpu: &Gpu, pool: &Pool) {
    let shared = &gpu.exec.shared;
    let mut all = SmSet::EMPTY;
    let mut resident = std::collections::HashMap::new();
    for (at, cohort) in pool.cohorts.iter().enumerate() {
        assert!(all.and(cohort.sms).is_empty(), "an SM is in one cohort");
        assert!(at == 0 || !cohort.sms.is_empty() && !cohort.trains.is_empty(), "only idle SMs have no blocks");
        all = all.or(cohort.sms);
        let mut room = gpu.profile.sm.room();
        for &t in &cohort.trains {
            let train = &shared.trains[t];
            assert_eq!((train.sms, train.cohort as usize), (cohort.sms.count(), at));
            // Underflow would panic: no resource is given beyond what there is.
            room.take(&shared.jobs[train.job].shape.need, train.per_sm);
            let (slots, blocks) = resident.entry(train.job).or_insert((0, 0));
            *slots += train.slots();
            *blocks += train.waves * train.slots();
        }
        assert_eq!(room, cohort.free);
    }
    assert_eq!(all, pool.sms);
    for (&job, &(slots, blocks)) in &resident {
        let job = &shared.jobs[job];
        assert_eq!(job.resident, slots);
        assert!(job.resident <= job.shape.resident_max);
        assert_eq!(job.left + blocks + job.done + job.withdrawn, job.shape.blocks, "no block is lost or made");
    }
    let working_set: u64 = resident.keys().map(|&j| shared.jobs[j].shape.working_set).sum();
    assert_eq!((pool.grids as usize, pool.working_set), (resident.len(), working_set));
}

fn rates_are_within_what_there_is(gpu: &Gpu, pool: &Pool) {
    let shared = &gpu.exec.shared;
    let rate = |t: u32| 1.0 / shared.trains[t].wave_ps;
    let bandwidth: f64 = pool.trains().map(|t| shared.trains[t].moving * rate(t)).sum();
    assert!(bandwidth <= pool.memory.bandwidth * (1.0 + 1e-9), "{bandwidth} of {}", pool.memory.bandwidth);
    let demand: u64 = pool.trains().map(|t| shared.trains[t].demand).sum();
    assert_eq!(demand, pool.demand);
    for cohort in &pool.cohorts {
        let mut used = 0.0;
        for &t in &cohort.trains {
            let train = &shared.trains[t];
            if let Pace::Compute(sm_ps) = shared.jobs[train.job].shape.pace {
                used += f64::from(train.per_sm) * sm_ps * rate(t);
            }
        }
        assert!(used <= 1.0 + 1e-9, "an SM computes {used} times what it can");
        let port: f64 = cohort.trains.iter().map(|&t| shared.trains[t].moving * rate(t)).sum();
        assert!(port <= f64::from(cohort.sms.count()) * pool.memory.sm_bandwidth * (1.0 + 1e-9));
    }
}

fn nothing_waits_that_fits(gpu: &Gpu, pool: &Pool, number: u32) {
    let mut shared = gpu.exec.shared.clone();
    for (at, view) in pool.views.iter().enumerate() {
        let of_view = |t: &u32| shared.jobs[shared.trains[*t].job].view as usize == at;
        let used: u32 = pool.cohorts.iter().filter(|c| c.trains.iter().any(of_view)).map(|c| c.sms.count()).sum();
        assert!(at == 0 || used <= view.cap, "{used} SMs are used, {} allowed", view.cap);
    }
    if !pool.running {
        assert!(pool.trains().all(|t| shared.trains[t].wave_ps.is_infinite()), "who has no turn stands still");
        return;
    }
    assert!(pool.trains().all(|t| shared.trains[t].wave_ps.is_finite()), "who has blocks makes progress");
    let mut again = pool.clone();
    let before: u32 = pool.trains().map(|t| shared.trains[t].slots()).sum();
    place::schedule(&mut again, number, &mut shared, gpu.now);
    let after: u32 = again.trains().map(|t| shared.trains[t].slots()).sum();
    assert_eq!(before, after, "blocks were waiting although there was room");
}

proptest! {
    #[test]
    fn invariants_hold_after_every_event(script in scripts()) {
        let (gpu, _, done) = play(&script, inspect);
        prop_assert_eq!(gpu.waiting(), 0, "everything ends");
        prop_assert_eq!((gpu.exec.shared.trains.len(), gpu.exec.shared.jobs.len()), (0, 0));
        prop_assert!(gpu.exec.pools.iter().all(|p| p.cohorts.len() == 1 && p.demand == 0 && p.working_set == 0));
        let submits = script.commands.iter().filter(|c| matches!(c.2, Action::Submit(_))).count();
        prop_assert_eq!(done.len(), submits);
        prop_assert!(done.iter().all(|d| d.start <= d.end), "nothing ends before it begins");
        prop_assert!(done.is_sorted_by_key(|d| d.end), "ends are reported in order");
    }

    #[test]
    fn the_same_script_gives_the_same_log(script in scripts()) {
        prop_assert_eq!(play(&script, |_| {}).1, play(&script, |gpu| { gpu.next_event(); }).1);
    }

    #[test]
    fn a_stream_is_first_in_first_out_and_nothing_begins_before_it_is_launched(script in scripts()) {
        let (gpu, _, mut done) = play(&script, |_| {});
        done.sort_by_key(|d| d.tag);
        let mut host = 0;
        let mut now = 0;
        let mut last = vec![Nanos(0); script.streams.len()];
        let mut ended = done.iter();
        for (gap, stream, action) in &script.commands {
            now += gap;
            let Action::Submit(command) = action else { continue };
            let launch = &gpu.profile().launch;
            host = now.max(host) + match command {
                Command::Graph(_) => launch.graph_us * 1e3,
                _ => launch.host_us * 1e3,
            } as u64;
            let d = ended.next().expect("each ends");
            prop_assert!(d.start.0 >= host, "{d:?} was enqueued at {host}");
            prop_assert!(d.start >= last[*stream], "{d:?} began before {:?}, when its stream was free", last[*stream]);
            last[*stream] = d.end;
        }
    }

    #[test]
    fn operations_and_bytes_do_not_depend_on_how_a_kernel_is_cut(
        cost in costs(), parts in proptest::collection::vec(1u32..200, 0..6), retreat_us in 0u64..400
    ) {
        let Blocks::Count(blocks) = cost.blocks else { return Ok(()) };
        let mut profile = Profile::find("a100-80gb").unwrap();
        profile.memory.l2_mib = Some(1e6); // what comes from L2 depends on who is there
        let run = |costs: &[KernelCost], retreat: Option<u64>| {
            let (mut gpu, host, streams) = gpu(profile.clone(), &[0, 0]);
            let (mut done, mut again) = (Vec::new(), 0);
            for (at, cost) in costs.iter().enumerate() {
                let id = gpu.submit(host, streams[at % 2], Command::Kernel(*cost), 0).unwrap();
                if let Some(us) = retreat {
                    gpu.advance_to(Nanos(us * 1_000));
                    gpu.retreat(id);
                }
            }
            while gpu.step().is_some() {
                gpu.take_done(&mut done);
                for d in done.drain(..).filter(|d| d.withdrawn > 0) {
                    again += 1;
                    gpu.submit(host, streams[0], Command::Kernel(cost.part(d.withdrawn)), 0).unwrap();
                }
            }
            (gpu.totals(), again)
        };
        let mut left = blocks;
        let mut cut = Vec::new();
        for n in parts {
            let n = n.min(left);
            left -= n;
            cut.push(cost.part(n));
        }
        cut.push(cost.part(left));
        let whole = run(&[cost], None).0;
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.max(1.0);
        for (other, _) in [run(&cut, None), run(&[cost], Some(retreat_us))] {
            prop_assert_eq!(other.blocks, whole.blocks);
            prop_assert!(near(other.flops, whole.flops), "{} and {}", other.flops, whole.flops);
            prop_assert!(near(other.traffic_bytes, whole.traffic_bytes));
            prop_assert!(near(other.dram_bytes, whole.dram_bytes), "{} and {}", other.dram_bytes, whole.dram_bytes);
        }
    }
}
