// norm.wgsl: layer, RMS, instance and group normalisation: rows of any set of axes brought to a mean square of one
//   y[r, i] = (x[r, i] - mean) / sqrt(mean over j of (x[r, j] - mean)^2 + eps) * scale[r, i] + shift[r, i]
// x      any strides: rows over `outer`, elements over `inner`   weights where IN_WEIGHTS has bit 0, else arena, read
// scale  any strides over both (zero: broadcast)                 weights where IN_WEIGHTS has bit 1, else arena, read
// shift  the same                                                weights where IN_WEIGHTS has bit 2, else arena, read
// y      any strides over both                                   arena, write; may be x itself
// tile   LANES / GROUP rows; GROUP lanes share a row; any number of workers; rows >= 1, n >= 1
// consts LANES (workgroup size), GROUP (lanes of a row, a power of two that divides LANES), OUTER, INNER (axes in use,
//        the last ones), IN_WEIGHTS, CENTERED (0: the mean is not subtracted), SCALE, SHIFT (1 where there is one)
// order  two passes, so that a large mean costs no digits of the variance
// links  functions/strided_place.wgsl
// checks src/kernel/norm.rs::reference, relative error <= 1e-5 (sum order differs)
const LANES: u32 = 64u;
const GROUP: u32 = 8u;
const OUTER: u32 = 1u;
const INNER: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;
const CENTERED: u32 = 1u;
const SCALE: u32 = 1u;
const SHIFT: u32 = 1u;

struct NormOp {
    rows: u32,
    n: u32,
    x: u32,
    scale: u32,
    shift: u32,
    y: u32,
    eps: f32,
    outer: array<u32, 6>,
    x_outer: array<u32, 6>,
    scale_outer: array<u32, 6>,
    shift_outer: array<u32, 6>,
    y_outer: array<u32, 6>,
    inner: array<u32, 6>,
    x_inner: array<u32, 6>,
    scale_inner: array<u32, 6>,
    shift_inner: array<u32, 6>,
    y_inner: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

var<workgroup> parts: array<f32, LANES>;

fn strided_place(number: u32, axes: u32, dims: array<u32, 6>, strides: array<u32, 6>) -> u32 {
    return 0u;
}

fn load(operand: u32, at: u32) -> f32 {
    if (((IN_WEIGHTS >> operand) & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn fetch(op: NormOp, x: u32, i: u32) -> f32 {
    return load(0u, x + strided_place(i, INNER, op.inner, op.x_inner));
}

// The sum of x, or with `squares` that of (x - mean)^2, over elements part, part + GROUP, … of the row.
fn lane_sum(op: NormOp, x: u32, part: u32, mean: f32, squares: bool) -> f32 {
    var total = 0.0;
    var block = 0.0;
    let chunks = op.n / (4u * GROUP);
    for (var c = 0u; c < chunks; c++) {
        let i = c * (4u * GROUP) + part;
        var v = vec4<f32>(
            fetch(op, x, i),
            fetch(op, x, i + GROUP),
            fetch(op, x, i + 2u * GROUP),
            fetch(op, x, i + 3u * GROUP),
        );
        if (squares) {
            v = v - vec4<f32>(mean);
            v = v * v;
        }
        block += (v.x + v.y) + (v.z + v.w);
        if ((c & 31u) == 31u) {
            total += block;
            block = 0.0;
        }
    }
    for (var i = chunks * (4u * GROUP) + part; i < op.n; i += GROUP) {
        var v = fetch(op, x, i);
        if (squares) {
            v = (v - mean) * (v - mean);
        }
        block += v;
    }
    return total + block;
}

// The parts of a row joined, for every lane of it: pairwise, in one order.
fn shared_sum(part_sum: f32, part: u32, lane: u32) -> f32 {
    if (GROUP == 1u) {
        return part_sum;
    }
    var total = part_sum;
    // Nobody reads the previous parts any more.
    workgroupBarrier();
    parts[lane] = total;
    for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if (part < half) {
            total += parts[lane + half];
            parts[lane] = total;
        }
    }
    workgroupBarrier();
    return parts[lane - part];
}

fn norm_tile(op: NormOp, tile: u32, lane: u32) {
    let row = tile * (LANES / GROUP) + lane / GROUP;
    let part = lane % GROUP;
    let inside = row < op.rows;
    var x = 0u;
    if (inside) {
        x = op.x + strided_place(row, OUTER, op.outer, op.x_outer);
    }
    var mean = 0.0;
    if (CENTERED == 1u) {
        if (inside) {
            mean = lane_sum(op, x, part, 0.0, false);
        }
        mean = shared_sum(mean, part, lane) / f32(op.n);
    }
    var square = 0.0;
    if (inside) {
        square = lane_sum(op, x, part, mean, true);
    }
    square = shared_sum(square, part, lane) / f32(op.n);
    if (inside) {
        let inverse = 1.0 / sqrt(square + op.eps);
        let y = op.y + strided_place(row, OUTER, op.outer, op.y_outer);
        var scale = 0u;
        if (SCALE == 1u) {
            scale = op.scale + strided_place(row, OUTER, op.outer, op.scale_outer);
        }
        var shift = 0u;
        if (SHIFT == 1u) {
            shift = op.shift + strided_place(row, OUTER, op.outer, op.shift_outer);
        }
        for (var i = part; i < op.n; i += GROUP) {
            var v = (fetch(op, x, i) - mean) * inverse;
            if (SCALE == 1u) {
                v = v * load(1u, scale + strided_place(i, INNER, op.inner, op.scale_inner));
            }
            if (SHIFT == 1u) {
                v = v + load(2u, shift + strided_place(i, INNER, op.inner, op.shift_inner));
            }
            arena[y + strided_place(i, INNER, op.inner, op.y_inner)] = v;
        }
    }
}
