// onehot.wgsl: indices become lines with one element set
//   y[i, c] = on where c is the index at i (a negative one counts from the end), else off; up to five axes before c
// index  any strides, i32 words, or f32 (towards zero, NaN is 0) where FLOAT_INDEX is 1   weights where bit 0 of
//        IN_WEIGHTS is set, else arena, read; an index outside the line sets nothing
// y      any strides   arena, write, must not overlap the indices
// tile   LANES runs; a run is up to PER elements along the last axis, from coordinate c * run_block on, run_step apart;
//        dims counts runs along that axis; any number of workers; no empty axis
// consts LANES (workgroup size), PER (elements of a run), RANK (axes in use, the last ones), FLOAT_INDEX, IN_WEIGHTS
// checks src/kernel/onehot.rs::reference, equal bits
const LANES: u32 = 64u;
const PER: u32 = 4u;
const RANK: u32 = 1u;
const FLOAT_INDEX: u32 = 0u;
const IN_WEIGHTS: u32 = 0u;

struct OnehotOp {
    runs: u32,
    index: u32,
    y: u32,
    run_extent: u32,
    run_block: u32,
    run_step: u32,
    y_step: u32,
    on: u32,
    off: u32,
    dims: array<u32, 6>,
    index_strides: array<u32, 6>,
    y_strides: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn onehot_load(at: u32) -> f32 {
    if ((IN_WEIGHTS & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn onehot_tile(op: OnehotOp, tile: u32, lane: u32) {
    var p = op;
    let run = tile * LANES + lane;
    if (run < p.runs) {
        var rest = run;
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
            index += c * p.index_strides[axis];
            y += c * p.y_strides[axis];
            if (d == 0u) {
                first = c * p.run_block;
            }
        }
        let word = onehot_load(index);
        var k = bitcast<i32>(word);
        if (FLOAT_INDEX == 1u) {
            k = i32(select(clamp(word, -2147483520.0, 2147483520.0), 0.0, word != word));
        }
        k = select(k, k + i32(p.run_extent), k < 0);
        let count = min(PER, (p.run_extent - first + p.run_step - 1u) / p.run_step);
        for (var j = 0u; j < count; j++) {
            arena[y] = bitcast<f32>(select(p.off, p.on, i32(first + j * p.run_step) == k));
            y += p.y_step;
        }
    }
}
