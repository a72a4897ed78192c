//! The linker's partial evaluation, seen from outside: constant loops and the arrays that they index are gone from the
//! composed shader, and what it computes is what the loops say.

mod common;

use cotenant::hal::wgpu::compose;
use cotenant::hal::{
    Device, HostFn, KernelSpec, LaneSpec, Launch, Operation, Recording, Region, Slice, Stage, Submission, Wait,
};
use cotenant::kernel::fragments;
use cotenant::tensor::{HostTensor, TenantId};
use std::sync::Arc;
use std::time::Duration;

const HEAD: &str = "
const LANES: u32 = 8u;
struct TrialOp { y: u32, n: u32 }
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;
";

fn spec(body: &str) -> KernelSpec {
    let text = format!("{HEAD}fn trial_tile(op: TrialOp, tile: u32, lane: u32) {{\n{body}\n}}\n");
    KernelSpec { name: "trial", source: text.leak(), functions: &[], consts: vec![], lanes: 8, chain: None }
}

/// The composed shader as WGSL.
fn text(body: &str) -> String {
    let module = compose::compose(&spec(body)).unwrap_or_else(|e| panic!("{body}: {e}"));
    let info = compose::validate(&module).expect("valid");
    naga::back::wgsl::write_string(&module, &info, naga::back::wgsl::WriterFlags::empty()).expect("WGSL")
}

/// Loops besides the walk over tiles.
fn loops(text: &str) -> usize {
    text.matches("loop {").count() - 1
}

#[test]
fn shared_functions_are_evaluated_for_the_constants_they_are_called_with() {
    let source = format!(
        "{HEAD}const AXES: u32 = 2u;
        fn strided_place(number: u32, axes: u32, dims: array<u32, 6>, strides: array<u32, 6>) -> u32 {{ return 0u; }}
        fn trial_tile(op: TrialOp, tile: u32, lane: u32) {{
            var dims: array<u32, 6>;
            dims[5] = op.n;
            if (tile > 3u) {{
                arena[op.y + strided_place(tile, AXES, dims, dims)] = 1.0;
            }}
            for (var i = 0u; i < op.n; i++) {{
                arena[op.y + strided_place(i, 3u, dims, dims) + strided_place(i, AXES, dims, dims)] = 2.0;
            }}
        }}"
    );
    let kernel = KernelSpec { source: source.leak(), functions: &[fragments::STRIDED_PLACE], ..spec("") };
    let module = compose::compose(&kernel).unwrap();
    let copies =
        module.functions.iter().filter(|(_, f)| f.name.as_ref().is_some_and(|n| n.starts_with("strided_place")));
    assert_eq!(copies.count(), 2, "one for each number of axes");
    let info = compose::validate(&module).expect("valid");
    let text = naga::back::wgsl::write_string(&module, &info, naga::back::wgsl::WriterFlags::empty()).expect("WGSL");
    assert!(!text.contains("switch") && text.matches("if ").count() <= 3, "no branch on the axes is left:\n{text}");
}

#[derive(Debug)]
struct NoHost;

impl HostFn for NoHost {
    fn eval(&self, _inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        Err("kernels only".into())
    }
}

/// The first eight words of the arena after one tile with `n`; before, word i is i + 1.
fn output(device: &mut dyn Device, body: &str, n: u32) -> Vec<f32> {
    let tenant = TenantId(0);
    let start: Vec<f32> = (1..=64u8).map(f32::from).collect();
    let arena = device.alloc(tenant, 256).unwrap();
    device.write(Region { buffer: arena, offset: 0, bytes: 256 }, bytemuck::cast_slice(&start)).unwrap();
    let launch = Launch {
        kernel: Arc::new(spec(body)),
        params: vec![0, n],
        tiles: 1,
        workers: 1,
        tile_iterations: 100,
        weights: device.alloc(tenant, 4).unwrap(),
    };
    let operation = Operation {
        name: "trial".into(),
        kind: "trial".into(),
        inputs: vec![],
        outputs: vec![],
        deps: vec![],
        launches: vec![launch],
        host: Arc::new(NoHost),
        flops: 0,
        bytes: 0,
        reason: None,
        given: None,
    };
    let recording =
        Recording { name: "trial".into(), tenant, arena, operations: vec![operation], inputs: vec![], outputs: vec![] };
    let recording = device.install(Arc::new(recording), &mut |_, _, _| {}).unwrap();
    let lane = device.lane(&LaneSpec::default()).unwrap();
    let stages = vec![Stage::of(Slice { recording, operation: 0, launch: 0, tiles: 0..1, workers: 1, follows: false })];
    device.submit(lane, Submission { stages, ..Submission::default() }).unwrap();
    let mut done = Vec::new();
    while done.is_empty() {
        device.poll(Wait::AtMost(Duration::from_secs(60)), &mut done).unwrap();
    }
    let bytes = device.read(Region { buffer: arena, offset: 0, bytes: 32 }).unwrap();
    bytemuck::pod_collect_to_vec(&bytes)
}

/// Checks how many loops and arrays stay, and that lane i writes `expected(i, n)`.
fn check(body: &str, stay: usize, arrays: bool, n: u32, expected: impl Fn(u32) -> f32) {
    let text = text(body);
    assert_eq!(loops(&text), stay, "loops in {text}");
    assert_eq!(text.contains(": array<f32, 4>") || text.contains(": array<u32, 4>"), arrays, "arrays in {text}");
    for device in &mut common::devices() {
        let got = output(device.as_mut(), body, n);
        let wanted: Vec<f32> = (0..8).map(&expected).collect();
        assert_eq!(got, wanted, "{} on {body}", device.caps().name);
    }
}

#[test]
fn nested_constant_loops_and_their_arrays_are_gone() {
    let body = "
        var v: array<f32, 4>;
        for (var i = 0u; i < 4u; i++) { v[i] = f32(i * 10u + lane); }
        var sum = 0.0;
        for (var i = 0u; i < 4u; i++) {
            for (var j = i; j < 4u; j++) { sum += v[j]; }
        }
        arena[op.y + lane] = sum;";
    check(body, 0, false, 0, |lane| (10 * (2 + 6 + 12) + 10 * lane) as f32);
}

#[test]
fn loops_with_other_bounds_stay_and_keep_what_they_index() {
    let body = "
        var v: array<f32, 4>;
        for (var i = 0u; i < 4u; i++) { v[i] = f32(i + lane); }
        var sum = 0.0;
        for (var i = 0u; i < min(op.n, 4u); i++) { sum += v[i]; }
        arena[op.y + lane] = sum;";
    check(body, 1, true, 3, |lane| (3 + 3 * lane) as f32);
}

#[test]
fn constant_loops_inside_other_loops_are_unrolled_in_each_turn() {
    let body = "
        var v: array<f32, 4>;
        for (var i = 0u; i < 4u; i++) { v[i] = 0.0; }
        for (var k = 0u; k < op.n; k++) {
            for (var i = 0u; i < 4u; i++) { v[i] += f32(k * i); }
        }
        arena[op.y + lane] = v[0] + v[1] + v[2] + v[3];";
    check(body, 1, false, 5, |_| 60.0);
}

#[test]
fn variables_that_change_in_a_kept_loop_are_not_taken_for_constants() {
    let body = "
        var count = 0u;
        var flag = 1u;
        for (var k = 0u; k < op.n; k++) {
            if (flag == 1u) { count += 1u; }
            if (k == 2u) { flag = 0u; }
        }
        let seen = count;
        count = 40u;
        var sum = seen;
        for (var i = 0u; i < 3u; i++) { sum += 1u; }
        arena[op.y + lane] = f32(sum + count);";
    check(body, 1, false, 6, |_| 46.0);
}

#[test]
fn loops_that_are_left_in_their_middle_stay() {
    let body = "
        var sum = 0u;
        for (var i = 0u; i < 8u; i++) {
            if (i == op.n) { break; }
            if (i == 1u) { continue; }
            sum += i;
        }
        arena[op.y + lane] = f32(sum);";
    check(body, 1, false, 4, |_| 5.0);
}

#[test]
fn branches_on_constants_are_dropped() {
    let body = "
        var v: array<u32, 4>;
        for (var i = 0; i < 4; i++) {
            if (i % 2 == 0 && LANES == 8u) { v[i] = u32(i) + lane; } else { v[i] = arrayLength(&arena); }
        }
        if (LANES != 8u) { arena[op.y + lane] = 1.0; return; }
        arena[op.y + lane] = f32(v[0] + v[2]);";
    assert!(!text(body).contains("if (lane"), "{}", text(body));
    check(body, 0, false, 0, |lane| (2 + 2 * lane) as f32);
}

#[test]
fn arrays_of_vectors_and_whole_arrays_are_split() {
    let body = "
        var v: array<vec4<f32>, 2>;
        for (var i = 0u; i < 2u; i++) { v[i] = vec4<f32>(f32(lane)); v[i][3] = f32(i); }
        let copy = v;
        v[1].w = 7.0;
        var w = copy;
        arena[op.y + lane] = v[0].x + w[1].w + v[1].w;";
    let shader = text(body);
    assert!(!shader.contains("var v: array"), "{shader}");
    check(body, 0, false, 0, |lane| (lane + 8) as f32);
}

#[test]
fn shuffles_from_constant_lanes_become_broadcasts() {
    let body = "
        var sum = 0.0;
        for (var r = 0u; r < 4u; r++) { sum += subgroupShuffle(f32(lane), r); }
        arena[op.y + lane] = sum;";
    let shader = text(body);
    assert!(!shader.contains("subgroupShuffle") && shader.matches("subgroupBroadcast").count() == 4, "{shader}");
}

#[test]
fn long_loops_stay() {
    let body = "
        var sum = 0u;
        for (var i = 0u; i < 1000u; i++) { sum += i; }
        arena[op.y + lane] = f32(sum);";
    check(body, 1, false, 0, |_| 499_500.0);
}
