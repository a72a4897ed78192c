// fma_rate.wgsl: how fast a device multiplies and adds where nothing else is in the way
//   y[i] = sum of 12 vectors after op.n steps of v = v * m + 0.5
// y      [tiles * LANES]  f32  dense  arena, write
// tile   LANES elements; 48 * 2 * op.n * LANES floating-point operations; any number of workers
// consts LANES (workgroup size)
// checks src/kernel/rates.rs reads the time only
const LANES: u32 = 64u;

struct FmaRateOp {
    y: u32,
    n: u32,
    m: f32,
}

@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn fma_rate_tile(op: FmaRateOp, tile: u32, lane: u32) {
    let m = vec4<f32>(op.m);
    var v: array<vec4<f32>, 12>;
    for (var i = 0u; i < 12u; i++) {
        v[i] = vec4<f32>(f32(lane + i) * 0.01 + 0.5);
    }
    for (var k = 0u; k < op.n; k++) {
        for (var i = 0u; i < 12u; i++) {
            v[i] = fma(v[i], m, vec4<f32>(0.5));
        }
    }
    var sum = vec4<f32>();
    for (var i = 0u; i < 12u; i++) {
        sum += v[i];
    }
    arena[op.y + tile * LANES + lane] = sum.x + sum.y + sum.z + sum.w;
}
