// gather.wgsl: words of x at positions that a tensor of indices gives, bit for bit
//   y[i] = x[i; k0, k1, …]   with k0, k1, … the DEPTH components of the index at i, for every i of up to six axes
//   a negative k counts from the end; a k that is still outside is moved to the nearest end
// x      any strides; component c selects along extents[c] with component_strides[c]; of component 0 only the
//        elements [window_first, window_first + window) are there, and only their y are written
// index  any strides, i32 words, or f32 (towards zero, NaN is 0) where FLOAT_INDEX is 1; components component_step apart
// y      any strides   arena, write, must not overlap x or the indices
//        x lies in the weights where bit 0 of IN_WEIGHTS is set, the indices where bit 1 is; else arena, read
// tile   LANES runs; a run is up to PER elements along the last axis, from coordinate c * run_block on, run_step apart;
//        dims counts runs along that axis; any number of workers; no empty axis, extents >= 1
// consts LANES (workgroup size), PER (elements of a run), RANK (axes in use, the last ones), DEPTH, FLOAT_INDEX,
//        SAME_INDEX (1: all elements of a run have one index), IN_WEIGHTS
// checks src/kernel/{gather,gather_elements,gather_nd}.rs::reference, equal bits
const LANES: u32 = 64u;
const PER: u32 = 4u;
const RANK: u32 = 1u;
const DEPTH: u32 = 1u;
const FLOAT_INDEX: u32 = 0u;
const SAME_INDEX: u32 = 0u;
const IN_WEIGHTS: u32 = 0u;

struct GatherOp {
    runs: u32,
    x: u32,
    index: u32,
    y: u32,
    run_extent: u32,
    run_block: u32,
    run_step: u32,
    x_step: u32,
    index_step: u32,
    y_step: u32,
    component_step: u32,
    window_first: u32,
    window: u32,
    dims: array<u32, 6>,
    x_strides: array<u32, 6>,
    index_strides: array<u32, 6>,
    y_strides: array<u32, 6>,
    extents: array<i32, 6>,
    component_strides: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn gather_load(bit: u32, at: u32) -> f32 {
    if (((IN_WEIGHTS >> bit) & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

// A component of the index at `at`, in [0, extent).
fn gather_component(at: u32, extent: i32) -> u32 {
    let word = gather_load(1u, at);
    var k = bitcast<i32>(word);
    if (FLOAT_INDEX == 1u) {
        k = i32(select(clamp(word, -2147483520.0, 2147483520.0), 0.0, word != word));
    }
    k = select(k, k + extent, k < 0);
    return u32(clamp(k, 0, extent - 1));
}

fn gather_tile(op: GatherOp, tile: u32, lane: u32) {
    var p = op;
    let run = tile * LANES + lane;
    if (run < p.runs) {
        var rest = run;
        var x = p.x;
        var index = p.index;
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
            index += c * p.index_strides[axis];
            y += c * p.y_strides[axis];
            if (d == 0u) {
                first = c * p.run_block;
            }
        }
        let count = min(PER, (p.run_extent - first + p.run_step - 1u) / p.run_step);
        var chosen = 0u;
        var present = true;
        for (var j = 0u; j < count; j++) {
            if (SAME_INDEX == 0u || j == 0u) {
                let k = gather_component(index, p.extents[0]) - p.window_first;
                present = k < p.window;
                chosen = k * p.component_strides[0];
                for (var d = 1u; d < DEPTH; d++) {
                    chosen += gather_component(index + d * p.component_step, p.extents[d]) * p.component_strides[d];
                }
            }
            if (present) {
                arena[y] = gather_load(0u, x + chosen);
            }
            x += p.x_step;
            index += p.index_step;
            y += p.y_step;
        }
    }
}
