// softmax.wgsl: softmax and log-softmax over any set of axes
//   y[r, i] = exp(x[r, i] - m) / sum over j of exp(x[r, j] - m),   m = max over j of x[r, j]
//   y[r, i] = x[r, i] - m - ln(sum over j of exp(x[r, j] - m))     where LOG is set
// x      any strides: rows over `outer`, elements over `inner`   weights where IN_WEIGHTS is set, else arena, read
// y      any strides over both                                   arena, write; may be x itself
// tile   LANES / GROUP rows; GROUP lanes share a row; any number of workers; rows >= 1, n >= 1
// consts LANES (workgroup size), GROUP (lanes of a row, a power of two that divides LANES), OUTER, INNER (axes in use,
//        the last ones), IN_WEIGHTS, LOG. NaN, +inf and a row of -inf give NaN as IEEE arithmetic does.
// checks src/kernel/softmax.rs::reference, relative error <= 1e-5 (softmax), absolute 1e-5 (log-softmax)
const LANES: u32 = 64u;
const GROUP: u32 = 8u;
const OUTER: u32 = 1u;
const INNER: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;
const LOG: u32 = 0u;

struct SoftmaxOp {
    rows: u32,
    n: u32,
    x: u32,
    y: u32,
    outer: array<u32, 6>,
    x_outer: array<u32, 6>,
    y_outer: array<u32, 6>,
    inner: array<u32, 6>,
    x_inner: array<u32, 6>,
    y_inner: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

var<workgroup> parts: array<f32, LANES>;

// Where a row begins.
fn across(row: u32, dims: array<u32, 6>, strides: array<u32, 6>) -> u32 {
    if (OUTER == 1u) {
        return row * strides[5];
    }
    var d = dims;
    var s = strides;
    var rest = row;
    var at = 0u;
    for (var k = 0u; k < OUTER; k++) {
        let axis = 5u - k;
        var c = rest;
        if (k + 1u < OUTER) {
            c = rest % d[axis];
            rest = rest / d[axis];
        }
        at += c * s[axis];
    }
    return at;
}

// Where element i of a row lies, from the row's beginning.
fn along(i: u32, dims: array<u32, 6>, strides: array<u32, 6>) -> u32 {
    if (INNER == 1u) {
        return i * strides[5];
    }
    var d = dims;
    var s = strides;
    var rest = i;
    var at = 0u;
    for (var k = 0u; k < INNER; k++) {
        let axis = 5u - k;
        var c = rest;
        if (k + 1u < INNER) {
            c = rest % d[axis];
            rest = rest / d[axis];
        }
        at += c * s[axis];
    }
    return at;
}

fn fetch(op: SoftmaxOp, x: u32, i: u32) -> f32 {
    let at = x + along(i, op.inner, op.x_inner);
    if (IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

// Drivers differ in exp(NaN).
fn exponential(v: f32) -> f32 {
    return select(exp(v), v, (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u);
}

// The larger; NaN wins.
fn larger(a: f32, b: f32) -> f32 {
    return select(a, b, a < b || (bitcast<u32>(b) & 0x7fffffffu) > 0x7f800000u);
}

fn lane_max(op: SoftmaxOp, x: u32, part: u32) -> f32 {
    // Every lane begins with an element, its own or the last one.
    var top = fetch(op, x, min(part, op.n - 1u));
    let chunks = op.n / (4u * GROUP);
    for (var c = 0u; c < chunks; c++) {
        let i = c * (4u * GROUP) + part;
        let low = larger(fetch(op, x, i), fetch(op, x, i + GROUP));
        let high = larger(fetch(op, x, i + 2u * GROUP), fetch(op, x, i + 3u * GROUP));
        top = larger(top, larger(low, high));
    }
    for (var i = chunks * (4u * GROUP) + part; i < op.n; i += GROUP) {
        top = larger(top, fetch(op, x, i));
    }
    return top;
}

fn lane_sum(op: SoftmaxOp, x: u32, part: u32, top: f32) -> f32 {
    var total = 0.0;
    var block = 0.0;
    let chunks = op.n / (4u * GROUP);
    for (var c = 0u; c < chunks; c++) {
        let i = c * (4u * GROUP) + part;
        let low = exponential(fetch(op, x, i) - top) + exponential(fetch(op, x, i + GROUP) - top);
        let high = exponential(fetch(op, x, i + 2u * GROUP) - top) + exponential(fetch(op, x, i + 3u * GROUP) - top);
        block += low + high;
        if ((c & 31u) == 31u) {
            total += block;
            block = 0.0;
        }
    }
    for (var i = chunks * (4u * GROUP) + part; i < op.n; i += GROUP) {
        block += exponential(fetch(op, x, i) - top);
    }
    return total + block;
}

// The largest part of a row, for every lane of it.
fn shared_max(part_max: f32, part: u32, lane: u32) -> f32 {
    if (GROUP == 1u) {
        return part_max;
    }
    var total = part_max;
    // Nobody reads the previous parts any more.
    workgroupBarrier();
    parts[lane] = total;
    for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if (part < half) {
            total = larger(total, parts[lane + half]);
            parts[lane] = total;
        }
    }
    workgroupBarrier();
    return parts[lane - part];
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

fn softmax_tile(op: SoftmaxOp, tile: u32, lane: u32) {
    let row = tile * (LANES / GROUP) + lane / GROUP;
    let part = lane % GROUP;
    let inside = row < op.rows;
    var x = 0u;
    var top = 0.0;
    if (inside) {
        x = op.x + across(row, op.outer, op.x_outer);
        top = lane_max(op, x, part);
    }
    top = shared_max(top, part, lane);
    var sum = 0.0;
    if (inside) {
        sum = lane_sum(op, x, part, top);
    }
    sum = shared_sum(sum, part, lane);
    if (inside) {
        let y = op.y + across(row, op.outer, op.y_outer);
        let scale = 1.0 / sum;
        var less = log(sum);
        // Drivers differ in log(NaN).
        less = select(less, sum, (bitcast<u32>(sum) & 0x7fffffffu) > 0x7f800000u);
        for (var i = part; i < op.n; i += GROUP) {
            let v = fetch(op, x, i) - top;
            let at = y + along(i, op.inner, op.y_inner);
            if (LOG == 1u) {
                arena[at] = v - less;
            } else {
                arena[at] = exponential(v) * scale;
            }
        }
    }
}
