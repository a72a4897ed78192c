// pad.wgsl: elements added or taken away at the ends of up to six axes, bit for bit
//   y[i] = x[source(i - before)], or fill where MODE is 0 and i - before is outside x
// x      extents, any strides   weights where bit 0 of IN_WEIGHTS is set, else arena, read
// y      any strides            arena, write, must not overlap x
// tile   LANES runs; a run is up to PER elements along the last axis, from coordinate c * run_block on, run_step apart;
//        dims counts runs along that axis; any number of workers; no empty axis of y; extents >= 1 where MODE is not 0
// consts LANES (workgroup size), PER (elements of a run), RANK (axes in use, the last ones), IN_WEIGHTS,
//        MODE (0 constant, 1 reflect without repeating the ends, 2 edge, 3 wrap)
// checks src/kernel/pad.rs::reference, equal bits
const LANES: u32 = 64u;
const PER: u32 = 4u;
const RANK: u32 = 1u;
const MODE: u32 = 0u;
const IN_WEIGHTS: u32 = 0u;

struct PadOp {
    runs: u32,
    x: u32,
    y: u32,
    run_extent: u32,
    run_block: u32,
    run_step: u32,
    y_step: u32,
    fill: u32,
    dims: array<u32, 6>,
    y_strides: array<u32, 6>,
    x_strides: array<u32, 6>,
    extents: array<i32, 6>,
    before: array<i32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn pad_load(at: u32) -> f32 {
    if ((IN_WEIGHTS & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

// Which element of an axis lies at coordinate c; -1 where it is the constant.
fn pad_source(c: i32, extent: i32) -> i32 {
    if (c >= 0 && c < extent) {
        return c;
    }
    if (MODE == 0u) {
        return -1;
    }
    if (MODE == 2u) {
        return clamp(c, 0, extent - 1);
    }
    let period = select(extent, max(2 * (extent - 1), 1), MODE == 1u);
    let m = ((c % period) + period) % period;
    return select(m, period - m, m >= extent);
}

fn pad_tile(op: PadOp, tile: u32, lane: u32) {
    var p = op;
    let run = tile * LANES + lane;
    if (run < p.runs) {
        var rest = run;
        var x = p.x;
        var y = p.y;
        var first = 0u;
        var inside = true;
        for (var d = 0u; d < RANK; d++) {
            let axis = 5u - d;
            var c = rest;
            if (d + 1u < RANK) {
                c = rest % p.dims[axis];
                rest = rest / p.dims[axis];
            }
            y += c * p.y_strides[axis];
            if (d == 0u) {
                first = c * p.run_block;
            } else {
                let source = pad_source(i32(c) - p.before[axis], p.extents[axis]);
                inside = inside && source >= 0;
                x += u32(source) * p.x_strides[axis];
            }
        }
        let count = min(PER, (p.run_extent - first + p.run_step - 1u) / p.run_step);
        for (var j = 0u; j < count; j++) {
            let source = pad_source(i32(first + j * p.run_step) - p.before[5], p.extents[5]);
            var v = bitcast<f32>(p.fill);
            if (inside && source >= 0) {
                v = pad_load(x + u32(source) * p.x_strides[5]);
            }
            arena[y] = v;
            y += p.y_step;
        }
    }
}
