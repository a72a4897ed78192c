use cotenant::graph::{self, *};
use cotenant::hal::*;
use cotenant::tensor::{Share, TenantId};
use std::time::Duration;
fn run(
    dev: &mut wgpu::WgpuDevice,
    lane: LaneId,
    stages: &[Stage],
    reads: Vec<Region>,
    ups: &[(Region, Vec<u8>)],
) -> (f64, Vec<Vec<u8>>) {
    let start = dev.clock().now();
    dev.submit(lane, Submission { stages: stages.to_vec(), reads, uploads: ups.to_vec(), ..Submission::default() })
        .unwrap();
    let mut done = Vec::new();
    while done.is_empty() {
        dev.poll(Wait::AtMost(Duration::from_secs(60)), &mut done).unwrap();
    }
    (dev.clock().now().since(start).as_ms(), done.pop().unwrap().reads)
}
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let v: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (v[11].parse::<f64>().unwrap() + v[12].parse::<f64>().unwrap()) * 10.0
}
fn med(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}
#[test]
fn specs() {
    let names = std::env::var("M").unwrap_or(
        "bert_tiny,dlrm_tiny,lstm_tiny,gru_tiny,resnet18_tiny,mobilenet_v3_small_tiny,vit_tiny,densenet121_tiny".into(),
    );
    let nchains: usize = std::env::var("CH").unwrap_or("2".into()).parse().unwrap();
    let budget: u64 = std::env::var("B").unwrap_or("20000".into()).parse().unwrap();
    let pooled = std::env::var("ISO").is_err();
    for d in std::env::var("D").unwrap_or("llvmpipe,SwiftShader".into()).split(",") {
        let found = wgpu::choose(d).unwrap();
        let mut dev = wgpu::WgpuDevice::open(&found, WallClock::start()).unwrap();
        let lane = dev.lane(&LaneSpec::default()).unwrap();
        let mut recs = vec![];
        let mut ups = vec![];
        for (t, m) in names.split(",").enumerate() {
            let mut vals = vec![];
            for i in 0.. {
                let p = format!("/work/shared/models/{m}/input_{i}.npy");
                if !std::path::Path::new(&p).exists() {
                    break;
                }
                vals.push(cotenant::tensor::npy::read(std::path::Path::new(&p)).unwrap());
            }
            let g = graph::load_for(
                &ModelSource::File(format!("/work/shared/models/{m}/model.onnx").into()),
                &LoadOptions::default(),
                &vals,
            )
            .unwrap();
            let tenant = TenantId(t as u32 + 1);
            if pooled {
                dev.pool(tenant);
            }
            let c = graph::compile(&g, &mut dev, tenant).unwrap();
            let id = dev.install(c.recording.clone(), &mut |_, _, _| {}).unwrap();
            for ((_, t), v) in c.recording.inputs.iter().zip(&vals) {
                ups.push((eval::region(t), eval::encode(t, v).unwrap()));
            }
            recs.push((m.to_string(), id, c));
        }
        let reads: Vec<Region> =
            recs.iter().flat_map(|(_, _, c)| c.recording.outputs.iter().map(|(_, t)| eval::region(t))).collect();
        let caps = dev.caps().clone();
        // sequential
        let mut solo = vec![];
        let mut all_seq = vec![];
        let mut lists = vec![];
        for (m, id, c) in &recs {
            let mut st = vec![];
            let mut list = vec![];
            for (o, op) in c.recording.operations.iter().enumerate() {
                for (l, la) in op.launches.iter().enumerate() {
                    for k in cut(la, &caps, Share::FULL).unwrap() {
                        st.push(Stage::of(Slice {
                            recording: *id,
                            operation: o as u32,
                            launch: l as u32,
                            tiles: k.tiles,
                            workers: k.workers,
                            follows: false,
                        }));
                    }
                    let lanes = u64::from(la.kernel.lanes.div_ceil(8));
                    list.push((
                        Slice {
                            recording: *id,
                            operation: o as u32,
                            launch: l as u32,
                            tiles: 0..la.tiles,
                            workers: 1,
                            follows: true,
                        },
                        u64::from(la.tiles) * (u64::from(la.tile_iterations) + 1) * lanes + 2,
                    ));
                }
            }
            let mut ts = vec![];
            for _ in 0..6 {
                ts.push(run(&mut dev, lane, &st, vec![], &ups).0);
            }
            solo.push((m.clone(), med(ts)));
            all_seq.extend(st);
            lists.push(list);
        }
        println!("{d} solo {solo:?} sum {:.2}", solo.iter().map(|s| s.1).sum::<f64>());
        let (_, want) = run(&mut dev, lane, &all_seq, reads.clone(), &ups);
        // chains: LPT
        let mut order: Vec<usize> = (0..recs.len()).collect();
        order.sort_by(|a, b| solo[*b].1.total_cmp(&solo[*a].1));
        let mut chains: Vec<Vec<(Slice, u64)>> = vec![vec![]; nchains];
        let mut load = vec![0.0; nchains];
        for t in order {
            let c = (0..nchains).min_by(|a, b| f64::total_cmp(&load[*a], &load[*b])).unwrap();
            load[c] += solo[t].1;
            chains[c].extend(lists[t].clone());
        }
        let mut at = vec![0; nchains];
        let mut stages = vec![];
        let mut kernels = vec![];
        loop {
            let mut slices: Vec<Slice> = vec![];
            let mut ks = std::collections::HashSet::new();
            for c in 0..nchains {
                let mut used = 0;
                let mut first = true;
                while at[c] < chains[c].len() && (first || used + chains[c][at[c]].1 <= budget) {
                    let (mut s, it) = chains[c][at[c]].clone();
                    let r = recs.iter().find(|r| r.1 == s.recording).unwrap();
                    let k = r.2.recording.operations[s.operation as usize].launches[s.launch as usize].kernel.clone();
                    if !ks.contains(&k)
                        && ks.len() >= std::env::var("K").unwrap_or("12".into()).parse::<usize>().unwrap()
                    {
                        break;
                    }
                    ks.insert(k);
                    used += it;
                    s.follows = !first;
                    first = false;
                    slices.push(s);
                    at[c] += 1;
                }
            }
            if slices.is_empty() {
                break;
            }
            kernels.push((ks.len(), slices.len()));
            stages.push(Stage { slices });
        }
        let t0 = dev.clock().now();
        let n = dev.prepare(&stages).unwrap();
        println!("{} stages, prepared {n} in {:.0} ms: {kernels:?}", stages.len(), dev.clock().now().since(t0).as_ms());
        let (_, got) = run(&mut dev, lane, &stages, reads.clone(), &ups);
        let same = want.iter().zip(&got).filter(|(a, b)| a == b).count();
        let (mut a, mut b) = (vec![], vec![]);
        let n = 15;
        let c0 = cpu();
        for _ in 0..n {
            a.push(run(&mut dev, lane, &all_seq, vec![], &ups).0);
        }
        let c1 = cpu();
        for _ in 0..n {
            b.push(run(&mut dev, lane, &stages, vec![], &ups).0);
        }
        let c2 = cpu();
        println!("cpu per round: sequential {:.2} cokernel {:.2}", (c1 - c0) / n as f64, (c2 - c1) / n as f64);
        println!(
            "{d}: same {same}/{} sequential {:.2} cokernel {:.2} ratio {:.2}",
            want.len(),
            med(a.clone()),
            med(b.clone()),
            med(a) / med(b)
        );
        for (i, s) in stages.iter().enumerate().take(12) {
            let mut v = vec![];
            for _ in 0..5 {
                v.push(run(&mut dev, lane, std::slice::from_ref(s), vec![], &ups).0);
            }
            println!("  stage {i} {:?} {:.2} ms", kernels[i], med(v));
        }
    }
}
