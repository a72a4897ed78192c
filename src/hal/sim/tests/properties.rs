//! What holds at every moment of any run, checked after every event of random ones.

use proptest::prelude::*;

use super::super::job::Pace;
use super::super::place;
use super::super::pool::Pool;
use super::scripts::{Action, costs, play, scripts};
use super::*;

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
        assert_eq!(cohort.n, cohort.sms.count());
        let mut room = gpu.profile.sm.room().times(cohort.n);
        for &t in &cohort.trains {
            let train = &shared.trains[t];
            assert_eq!(train.cohort as usize, at);
            assert!(
                train.sms <= cohort.n
                    && (!cohort.uniform || train.sms == cohort.n && train.slots.is_multiple_of(train.sms))
            );
            // Underflow would panic: no resource is given beyond what there is.
            room.take(&shared.jobs[train.job].shape.need, train.slots);
            let (slots, blocks) = resident.entry(train.job).or_insert((0, 0));
            *slots += train.slots;
            *blocks += train.blocks;
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
    for (at, view) in pool.views.iter().enumerate() {
        let of_view =
            pool.trains().map(|t| (t, &shared.trains[t])).filter(|(_, t)| shared.jobs[t.job].view as usize == at);
        let computing = of_view.map(|(number, t)| match shared.jobs[t.job].shape.pace {
            Pace::Compute(sm_ps) => f64::from(t.slots) * sm_ps * rate(number),
            _ => 0.0,
        });
        let used: f64 = computing.sum();
        assert!(used <= f64::from(view.cap) * (1.0 + 1e-9), "{used} SMs compute, {} allowed", view.cap);
    }
    let demand: u64 = pool.trains().map(|t| shared.trains[t].demand).sum();
    assert_eq!(demand, pool.demand);
    for cohort in &pool.cohorts {
        let mut used = 0.0;
        for &t in &cohort.trains {
            let train = &shared.trains[t];
            if let Pace::Compute(sm_ps) = shared.jobs[train.job].shape.pace {
                used += f64::from(train.slots) * sm_ps * rate(t);
            }
        }
        assert!(used <= f64::from(cohort.n) * (1.0 + 1e-9), "{} SMs compute as {used}", cohort.n);
        let port: f64 = cohort.trains.iter().map(|&t| shared.trains[t].moving * rate(t)).sum();
        assert!(port <= f64::from(cohort.sms.count()) * pool.memory.sm_bandwidth * (1.0 + 1e-9));
    }
}

fn nothing_waits_that_fits(gpu: &Gpu, pool: &Pool, number: u32) {
    let mut shared = gpu.exec.shared.clone();
    for (at, view) in pool.views.iter().enumerate() {
        let used: u32 = (0..pool.cohorts.len()).map(|c| pool.sms_of_view(c, at, &shared)).sum();
        assert!(at == 0 || used <= view.cap, "{used} SMs are used, {} allowed", view.cap);
    }
    if !pool.running {
        assert!(pool.trains().all(|t| shared.trains[t].wave_ps.is_infinite()), "who has no turn stands still");
        return;
    }
    assert!(pool.trains().all(|t| shared.trains[t].wave_ps.is_finite()), "who has blocks makes progress");
    let mut again = pool.clone();
    let before: u32 = pool.trains().map(|t| shared.trains[t].slots).sum();
    place::schedule(&mut again, number, &mut shared, gpu.now);
    let after: u32 = again.trains().map(|t| shared.trains[t].slots).sum();
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
