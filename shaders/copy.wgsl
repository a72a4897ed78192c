// copy.wgsl: words from one strided view to another of the same shape, bit for bit
//   y[i] = x[i]   for every i of a shape of up to six axes
// x      any strides (zero: repeated, negative: reversed)   weights where bit 0 of IN_WEIGHTS is set, else arena, read
// y      any strides                                        arena, write, must not overlap x
// tile   LANES runs; a run is up to PER elements along the axis run_axis, from coordinate c * run_block on, run_step
//        apart; dims counts runs along that axis; any number of workers; no empty axis
// consts LANES (workgroup size), PER (elements of a run), RANK (axes in use, the last ones), IN_WEIGHTS
// checks src/kernel/copy.rs::reference, equal bits
const LANES: u32 = 64u;
const PER: u32 = 4u;
const RANK: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;

struct CopyOp {
    runs: u32,
    x: u32,
    y: u32,
    run_axis: u32,
    run_extent: u32,
    run_block: u32,
    run_step: u32,
    x_step: u32,
    y_step: u32,
    dims: array<u32, 6>,
    x_strides: array<u32, 6>,
    y_strides: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn copy_load(at: u32) -> f32 {
    if ((IN_WEIGHTS & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn copy_tile(op: CopyOp, tile: u32, lane: u32) {
    var p = op;
    let run = tile * LANES + lane;
    if (run < p.runs) {
        var rest = run;
        var x = p.x;
        var y = p.y;
        var first = 0u;
        for (var d = 0u; d < RANK; d++) {
            let axis = 5u - d;
            var c = rest;
            if (d + 1u < RANK) {
                c = rest % p.dims[axis];
                rest = rest / p.dims[axis];
            }
            x += c * p.x_strides[axis];
            y += c * p.y_strides[axis];
            if (axis == p.run_axis) {
                first = c * p.run_block;
            }
        }
        let count = min(PER, (p.run_extent - first + p.run_step - 1u) / p.run_step);
        for (var j = 0u; j < count; j++) {
            arena[y] = copy_load(x);
            x += p.x_step;
            y += p.y_step;
        }
    }
}
