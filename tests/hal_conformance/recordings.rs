//! Recordings: installed once, submitted often, forgotten while in use, refused whole.

use std::sync::Arc;

use cotenant::hal::{Counters, Device, HalError, KernelSpec, Recording, Region, Submission, Wait};
use cotenant::kernel::KERNELS;
use cotenant::tensor::TenantId;

use super::program::{
    Loaded, Program, affine, alternating, assert_fine, assert_words, execute, matmul, stages, upload, wait,
};
use super::suite::{Case, Need};

pub const CASES: &[Case] = &[
    Case { name: "recordings are installed and forgotten", needs: &[], check: installed_and_forgotten },
    Case { name: "an installation tells its progress", needs: &[], check: progress },
    Case { name: "a recording without its buffers is refused", needs: &[], check: missing_buffers },
    Case { name: "a kernel that cannot be built is refused by name", needs: &[Need::Kernels], check: bad_kernels },
    Case { name: "what is forgotten still completes", needs: &[Need::Results], check: forgotten_completes },
    Case { name: "the steady state makes nothing", needs: &[], check: steady_state },
    Case { name: "kernels are kept and shared", needs: &[], check: kernels_are_shared },
];

/// What a device made, without what it was given to do.
fn made(device: &dyn Device) -> (u64, u64) {
    let Counters { buffers, pipelines, .. } = device.counters();
    (buffers, pipelines)
}

fn installed_and_forgotten(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let (program, _) = alternating(1, 100, 3);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let loaded = program.load(device);
        assert!(!ids.contains(&loaded.id), "{:?} is given twice", loaded.id);
        execute(device, lane, stages(loaded.stages()));
        if device.caps().computes() {
            loaded.assert_exact(device, "an installed recording");
        }
        loaded.unload(device);
        loaded.unload(device);
        let refused = device.submit(lane, stages(loaded.stages())).unwrap_err();
        assert_eq!(refused, HalError::NoRecording(loaded.id));
        assert!(refused.to_string().contains(&format!("{:?}", loaded.id)), "{refused}");
        ids.push(loaded.id);
    }
    let empty = Program::new(2).load(device);
    execute(device, lane, stages(empty.stages()));
    empty.unload(device);
}

/// A program of three kernels in five operators.
fn three_kernels(tenant: u32) -> Program {
    let mut program = Program::new(tenant);
    let x = program.tensor(&[20, 30], &vec![1.0; 600]);
    let w = program.weight(&[30, 10], &vec![2.0; 300]);
    let (y, z, v) = (program.output(&[20, 10]), program.output(&[20, 10]), program.output(&[30, 10]));
    program.push(affine(&[20, 30], 2.0, 1.0), &[x], x);
    program.push(affine(&[20, 30], 1.0, 1.0), &[x], x);
    program.push(matmul(20, 10, 30, 1.0), &[x, w], y);
    program.push(affine(&[20, 10], 3.0, 1.0), &[y], z);
    program.push(affine(&[30, 10], 3.0, 1.0), &[w], v);
    program
}

fn distinct_kernels(recording: &Recording) -> usize {
    let mut kernels: Vec<&Arc<KernelSpec>> =
        recording.operations.iter().flat_map(|o| &o.launches).map(|l| &l.kernel).collect();
    let mut n = 0;
    while let Some(kernel) = kernels.pop() {
        n += usize::from(!kernels.contains(&kernel));
    }
    n
}

fn progress(device: &mut dyn Device) {
    let program = three_kernels(1);
    // The second time all kernels are there already.
    for _ in 0..2 {
        let loaded = program.load(device);
        let mut told: Vec<(usize, usize, String)> = Vec::new();
        let note = &mut |done: usize, all: usize, label: &str| told.push((done, all, label.to_string()));
        let again = device.install(loaded.recording.clone(), note).unwrap();
        device.uninstall(again);
        let n = distinct_kernels(&loaded.recording);
        if told.is_empty() {
            assert!(!device.caps().runs_kernels(), "a device that compiles tells of it");
            continue;
        }
        let (last, before) = told.split_last().expect("it is not empty");
        assert_eq!(*last, (n, n, String::new()));
        assert_eq!(before.iter().map(|t| (t.0, t.1)).collect::<Vec<_>>(), (0..n).map(|k| (k, n)).collect::<Vec<_>>());
        let labels: Vec<&str> = before.iter().map(|t| t.2.as_str()).collect();
        for launch in loaded.recording.operations.iter().flat_map(|o| &o.launches) {
            assert!(labels.contains(&launch.kernel.label().as_str()), "{} is not in {labels:?}", launch.kernel.label());
        }
    }
}

fn missing_buffers(device: &mut dyn Device) {
    let program = three_kernels(1);
    let kept = program.load(device);
    for at in 0..2 {
        let buffers = [(); 2].map(|()| upload(device, TenantId(1), &[0; 4096]));
        device.free(buffers[at]);
        let recording = Arc::new(program.recording(device.caps(), buffers));
        let before = made(device);
        let refused = device.install(recording, &mut |_, _, _| {}).unwrap_err();
        assert!(matches!(refused, HalError::Range { buffer, .. } if buffer == buffers[at]), "{refused:?}");
        assert_eq!(made(device), before, "nothing is installed");
        device.free(buffers[1 - at]);
    }
    let lane = device.lane(&Default::default()).unwrap();
    execute(device, lane, stages(kept.stages()));
}

/// Kernels that no device has.
fn bad(good: &KernelSpec, invocations_max: u32) -> Vec<KernelSpec> {
    let text = |name, source| KernelSpec { name, source, consts: Vec::new(), ..good.clone() };
    vec![
        text("no_words", "this is no kernel"),
        text("no_tile", "const LANES: u32 = 8u;\nfn other() {}\n"),
        text(
            "no_type",
            "const LANES: u32 = 8u;\nstruct Op { n: u32, }\nfn no_type_tile(op: Op, tile: u32, lane: u32) { let x: f32 = op.n; }\n",
        ),
        KernelSpec { consts: vec![("NO_SUCH_CONSTANT", 1)], ..good.clone() },
        KernelSpec { lanes: invocations_max + 1, ..good.clone() },
    ]
}

fn bad_kernels(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let neighbour = alternating(2, 1000, 4).0.load(device);
    let loaded = three_kernels(1).load(device);
    let good = loaded.launch(0, 0).kernel.clone();
    assert!(KERNELS.iter().any(|file| file.name == good.name));
    for kernel in bad(&good, device.caps().limits.invocations_max) {
        // The last of the recording's kernels is bad.
        let buffers = [loaded.launch(0, 0).weights, loaded.recording.arena];
        let mut recording = loaded.program.recording(device.caps(), buffers);
        recording.operations.last_mut().unwrap().launches[0].kernel = Arc::new(kernel.clone());
        let before = made(device);
        let refused = device.install(Arc::new(recording), &mut |_, _, _| {}).unwrap_err();
        let HalError::Kernel { kernel: named, reason } = &refused else { panic!("{refused:?}") };
        assert!(named.contains(kernel.name) && !reason.is_empty(), "{refused}");
        assert_eq!(made(device), before, "nothing is installed for {}", kernel.label());
    }
    execute(device, lane, stages([loaded.stages(), neighbour.stages()].concat()));
    loaded.assert_exact(device, "what was installed before");
    neighbour.assert_exact(device, "another tenant");
}

fn forgotten_completes(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    for round in 0..3 {
        let programs: Vec<Program> = (0..6).map(|k| alternating(10 * round + k, 4000, 20).0).collect();
        for program in &programs {
            let loaded = program.load(device);
            let submission =
                Submission { stages: loaded.stages(), reads: vec![loaded.arena()], ..Submission::default() };
            device.submit(lane, submission).unwrap();
            loaded.unload(device);
            // Whoever gets the memory next writes to it at once.
            let bytes = loaded.arena().bytes;
            let buffer = device.alloc(TenantId(99), bytes).unwrap();
            device.write(Region { buffer, offset: 0, bytes }, &vec![0xff; bytes as usize]).unwrap();
            device.free(buffer);
        }
        for (program, completion) in programs.iter().zip(wait(device, programs.len())) {
            assert_fine(&completion);
            assert_words(
                &bytemuck::pod_collect_to_vec(&completion.reads[0]),
                &program.expected(),
                "a forgotten recording",
            );
        }
    }
}

/// Requests of three tenants, with inputs and outputs and times, three under way at any moment.
fn serve(device: &mut dyn Device, tenants: &[Loaded], n: usize) {
    let lane = device.lane(&Default::default()).unwrap();
    let (mut submitted, mut done) = (0, Vec::new());
    while done.len() < n {
        while submitted < n && submitted - done.len() < 3 {
            let tenant = &tenants[submitted % tenants.len()];
            let (uploads, reads) = (vec![tenant.reset()], vec![tenant.arena()]);
            let timed = submitted % 2 == 0;
            device.submit(lane, Submission { uploads, stages: tenant.stages(), reads, timed }).unwrap();
            submitted += 1;
        }
        let before = done.len();
        device.poll(Wait::AtMost(std::time::Duration::from_secs(300)), &mut done).unwrap();
        assert!(done.len() > before, "something completes");
    }
}

fn steady_state(device: &mut dyn Device) {
    let tenants: Vec<Loaded> = (1..4).map(|k| alternating(k, 500 * k as usize, 5).0.load(device)).collect();
    serve(device, &tenants, 30);
    let before = device.counters();
    serve(device, &tenants, 150);
    let after = device.counters();
    assert_eq!((after.buffers, after.pipelines), (before.buffers, before.pipelines));
    assert_eq!(after.submissions, before.submissions + 150);
}

fn kernels_are_shared(device: &mut dyn Device) {
    let program = three_kernels(1);
    let first = program.load(device);
    let pipelines = device.counters().pipelines;
    if device.caps().runs_kernels() {
        assert_eq!(pipelines, distinct_kernels(&first.recording) as u64);
    }
    let second = three_kernels(2).load(device);
    first.unload(device);
    second.unload(device);
    let third = program.load(device);
    assert_eq!(device.counters().pipelines, pipelines, "equal kernels are compiled once, whoever's they are");
    third.unload(device);
}
