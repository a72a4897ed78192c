// scatter.wgsl: a list of updates applied in order to the elements of y that their indices name
//   for q in 0..list: y[line; k0(q), k1(q), …] = reduce(y[…], update[line, q])   for every line of up to six axes
//   with k0, k1, … the DEPTH components of the index at [line, q]; a negative k counts from the end; an update whose
//   index is still outside is dropped
// index   any strides, i32 words, or f32 (towards zero, NaN is 0) where FLOAT_INDEX is 1; components component_step
//         apart, entries of the list index_step apart
// update  any strides, entries update_step apart
// y       any strides, extents; holds the data already   arena, read and write, must not overlap updates or indices
//         the indices lie in the weights where bit 0 of IN_WEIGHTS is set, the updates where bit 1 is; else arena, read
// tile    LANES owners; an owner applies the updates of one line to `chunk` of its elements, which are numbered by
//         sum of k * weight, so no two owners write one element; any number of workers; list <= 8192
// consts  LANES (workgroup size), RANK (axes of a line, the last ones), DEPTH, FLOAT_INDEX, IN_WEIGHTS,
//         REDUCE (0 last wins, 1 add, 2 mul, 3 max, 4 min; NaN wins), INTEGER (1: words are i32 for REDUCE)
// checks  src/kernel/scatter.rs::apply; equal bits but for f32 sums and products (1e-6 of the largest)
const LANES: u32 = 64u;
const RANK: u32 = 1u;
const DEPTH: u32 = 1u;
const FLOAT_INDEX: u32 = 0u;
const REDUCE: u32 = 0u;
const INTEGER: u32 = 0u;
const IN_WEIGHTS: u32 = 0u;

struct ScatterOp {
    owners: u32,
    index: u32,
    update: u32,
    y: u32,
    list: u32,
    chunk: u32,
    component_step: u32,
    index_step: u32,
    update_step: u32,
    dims: array<u32, 6>,
    index_strides: array<u32, 6>,
    update_strides: array<u32, 6>,
    y_strides: array<u32, 6>,
    extents: array<i32, 6>,
    component_strides: array<u32, 6>,
    component_weights: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn scatter_load(bit: u32, at: u32) -> f32 {
    if (((IN_WEIGHTS >> bit) & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

// A component of the index at `at`; negative or too large where it is outside.
fn scatter_component(at: u32, extent: i32) -> i32 {
    let word = scatter_load(0u, at);
    var k = bitcast<i32>(word);
    if (FLOAT_INDEX == 1u) {
        k = i32(select(clamp(word, -2147483520.0, 2147483520.0), 0.0, word != word));
    }
    return select(k, k + extent, k < 0);
}

fn scatter_reduce(old: f32, new: f32) -> f32 {
    if (REDUCE == 0u) {
        return new;
    }
    if (INTEGER == 1u) {
        let a = bitcast<i32>(old);
        let b = bitcast<i32>(new);
        if (REDUCE == 1u) {
            return bitcast<f32>(a + b);
        }
        if (REDUCE == 2u) {
            return bitcast<f32>(a * b);
        }
        if (REDUCE == 3u) {
            return bitcast<f32>(max(a, b));
        }
        return bitcast<f32>(min(a, b));
    }
    if (REDUCE == 1u) {
        return old + new;
    }
    if (REDUCE == 2u) {
        return old * new;
    }
    if (REDUCE == 3u) {
        return select(select(old, new, old < new), new, new != new);
    }
    return select(select(old, new, new < old), new, new != new);
}

fn scatter_tile(op: ScatterOp, tile: u32, lane: u32) {
    var p = op;
    let owner = tile * LANES + lane;
    if (owner < p.owners) {
        var rest = owner;
        var index = p.index;
        var update = p.update;
        var y = p.y;
        for (var d = 0u; d < RANK; d++) {
            let axis = 5u - d;
            let c = rest % p.dims[axis];
            rest = rest / p.dims[axis];
            index += c * p.index_strides[axis];
            update += c * p.update_strides[axis];
            y += c * p.y_strides[axis];
        }
        let first = rest * p.chunk;
        for (var q = 0u; q < p.list; q++) {
            var inside = true;
            var number = 0u;
            var at = y;
            for (var d = 0u; d < DEPTH; d++) {
                let k = scatter_component(index + d * p.component_step, p.extents[d]);
                inside = inside && k >= 0 && k < p.extents[d];
                number += u32(k) * p.component_weights[d];
                at += u32(k) * p.component_strides[d];
            }
            if (inside && number - first < p.chunk) {
                arena[at] = scatter_reduce(arena[at], scatter_load(1u, update));
            }
            index += p.index_step;
            update += p.update_step;
        }
    }
}
