// copy_rate.wgsl: how fast a device copies large arrays
//   y[i] = x[i]
// x, y   [tiles * PER * LANES]  f32  dense  arena; must not overlap
// tile   PER * LANES elements; any number of workers
// consts LANES (workgroup size), PER (elements of a lane, LANES apart)
// checks src/kernel/rates.rs reads the time only
const LANES: u32 = 64u;
const PER: u32 = 8u;

struct CopyRateOp {
    x: u32,
    y: u32,
}

@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn copy_rate_tile(op: CopyRateOp, tile: u32, lane: u32) {
    for (var j = 0u; j < PER; j++) {
        let i = (tile * PER + j) * LANES + lane;
        arena[op.y + i] = arena[op.x + i];
    }
}
