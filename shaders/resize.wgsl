// resize.wgsl: a separable gather along up to four axes, with tables of indices and weights made when a model is loaded
//   y[o, p0 … p3] = sum over taps t0 … t3 of w0[p0,t0] … w3[p3,t3] * x[o, i0[p0,t0] … i3[p3,t3]]
// x        [outer…, n0 … n3]  f32, any word where WEIGHTED = 0   any strides   weights where X_IN_WEIGHTS = 1, else arena
// indices  flat, i32: for each axis, place and tap; -1 in the first tap: the output is op.outside
// amounts  flat, f32: the weights, in the same order, where WEIGHTED = 1
//          a table lies in weights where INDICES_IN_WEIGHTS, AMOUNTS_IN_WEIGHTS = 1, else arena
// y        [outer…, m0 … m3]  as x   any strides   arena, write, must not alias x
// tile     LANES items: each one place (p0 … p3) of PER neighbours along the outer axes; any number of workers
// consts   LANES (workgroup size), PER, OUTER_RANK (outer axes in use, the last ones), AXES (resized axes in use, the
//          last ones), WEIGHTED (0: copy the one element that the indices name), X_IN_WEIGHTS,
//          INDICES_IN_WEIGHTS, AMOUNTS_IN_WEIGHTS
// taps     of weight zero do not count, so an infinite element beside the one that is hit does no harm
// checks   src/kernel/resize.rs::reference; copies exactly, weighted sums to 1e-5 relative
const LANES: u32 = 64u;
const PER: u32 = 4u;
const OUTER_RANK: u32 = 1u;
const AXES: u32 = 2u;
const WEIGHTED: u32 = 1u;
const X_IN_WEIGHTS: u32 = 0u;
const INDICES_IN_WEIGHTS: u32 = 1u;
const AMOUNTS_IN_WEIGHTS: u32 = 1u;

struct ResizeOp {
    items: u32,
    places: u32,
    outer: u32,
    outside: f32,
    outer_dims: array<u32, 4>,
    x: u32,
    x_outer: array<u32, 4>,
    x_strides: array<u32, 4>,
    y: u32,
    y_outer: array<u32, 4>,
    y_strides: array<u32, 4>,
    extent: array<u32, 4>,
    first: array<u32, 4>,
    taps: array<u32, 4>,
    indices: u32,
    indices_stride: u32,
    amounts: u32,
    amounts_stride: u32,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn resize_load(at: u32) -> f32 {
    if (X_IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn resize_index(op: ResizeOp, entry: u32) -> u32 {
    let at = op.indices + entry * op.indices_stride;
    if (INDICES_IN_WEIGHTS == 1u) {
        return bitcast<u32>(weights[at]);
    }
    return bitcast<u32>(arena[at]);
}

fn resize_amount(op: ResizeOp, entry: u32) -> f32 {
    let at = op.amounts + entry * op.amounts_stride;
    if (WEIGHTED == 0u) {
        return 1.0;
    }
    if (AMOUNTS_IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn resize_tile(op: ResizeOp, tile: u32, lane: u32) {
    var p = op;
    let item = tile * LANES + lane;
    if (item < p.items) {
        let first = (item / p.places) * PER;
        // Where the neighbours along the outer axes lie.
        var x: array<u32, PER>;
        var y: array<u32, PER>;
        for (var j = 0u; j < PER; j++) {
            var rest = min(first + j, p.outer - 1u);
            x[j] = p.x;
            y[j] = p.y;
            for (var d = 0u; d < OUTER_RANK; d++) {
                let axis = 3u - d;
                var c = rest;
                if (d + 1u < OUTER_RANK) {
                    c = rest % p.outer_dims[axis];
                    rest = rest / p.outer_dims[axis];
                }
                x[j] += c * p.x_outer[axis];
                y[j] += c * p.y_outer[axis];
            }
        }
        // The place: its entry in each table, and whether it lies outside.
        var entry: array<u32, 4>;
        var outside = false;
        var place = item % p.places;
        var to = 0u;
        for (var d = 0u; d < AXES; d++) {
            let axis = 3u - d;
            let c = place % p.extent[axis];
            place = place / p.extent[axis];
            to += c * p.y_strides[axis];
            entry[axis] = p.first[axis] + c * p.taps[axis];
            outside = outside || resize_index(op, entry[axis]) == 0xffffffffu;
        }

        var sum: array<f32, PER>;
        for (var j = 0u; j < PER; j++) {
            sum[j] = select(0.0, p.outside, outside);
        }
        if (!outside) {
            for (var t0 = 0u; t0 < p.taps[0]; t0++) {
                var at0 = 0u;
                var w0 = 1.0;
                if (AXES > 3u) {
                    at0 = resize_index(op, entry[0] + t0) * p.x_strides[0];
                    w0 = resize_amount(op, entry[0] + t0);
                }
                for (var t1 = 0u; t1 < p.taps[1]; t1++) {
                    var at1 = at0;
                    var w1 = w0;
                    if (AXES > 2u) {
                        at1 += resize_index(op, entry[1] + t1) * p.x_strides[1];
                        w1 *= resize_amount(op, entry[1] + t1);
                    }
                    for (var t2 = 0u; t2 < p.taps[2]; t2++) {
                        var at2 = at1;
                        var w2 = w1;
                        if (AXES > 1u) {
                            at2 += resize_index(op, entry[2] + t2) * p.x_strides[2];
                            w2 *= resize_amount(op, entry[2] + t2);
                        }
                        for (var t3 = 0u; t3 < p.taps[3]; t3++) {
                            let at = at2 + resize_index(op, entry[3] + t3) * p.x_strides[3];
                            let w = w2 * resize_amount(op, entry[3] + t3);
                            if (WEIGHTED == 0u) {
                                for (var j = 0u; j < PER; j++) {
                                    sum[j] = resize_load(x[j] + at);
                                }
                            } else if (w != 0.0) {
                                for (var j = 0u; j < PER; j++) {
                                    sum[j] += w * resize_load(x[j] + at);
                                }
                            }
                        }
                    }
                }
            }
        }
        let mine = min(PER, p.outer - first);
        for (var j = 0u; j < mine; j++) {
            arena[y[j] + to] = sum[j];
        }
    }
}
