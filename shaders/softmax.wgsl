// softmax.wgsl: softmax, its logarithm, and the logarithm of a sum of exponentials, over any set of axes
//   y[r, i] = exp(x[r, i] - m) / sum over j of exp(x[r, j] - m),   m = max over j of x[r, j]   (KIND 0)
//   y[r, i] = x[r, i] - m - ln(sum over j of exp(x[r, j] - m))                                 (KIND 1)
//   y[r]    = m + ln(sum over j of exp(x[r, j] - m))                                           (KIND 2)
// x      any strides: rows over `outer`, elements over `inner`   weights where IN_WEIGHTS is set, else arena, read
// y      any strides over both (KIND 2: over `outer`)            arena, write; may be x itself (KIND 2: must not)
// tile   LANES / GROUP rows; GROUP lanes share a row; any number of workers; rows >= 1, n >= 1
// consts LANES (workgroup size), GROUP (lanes of a row, a power of two that divides LANES), OUTER, INNER (axes in use,
//        the last ones), IN_WEIGHTS, KIND. NaN, +inf and a row of -inf give NaN as IEEE arithmetic does, but for
//        KIND 2: there an infinite m is the result.
// links  functions/strided_place.wgsl
// checks src/kernel/softmax.rs::reference, relative error <= 1e-5 (softmax), absolute 1e-5 (log-softmax);
//        src/kernel/log_sum_exp.rs::reference, relative error <= 1e-5, absolute where the result is below one
const LANES: u32 = 64u;
const GROUP: u32 = 8u;
const OUTER: u32 = 1u;
const INNER: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;
const KIND: u32 = 0u;

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

fn strided_place(number: u32, axes: u32, dims: array<u32, 6>, strides: array<u32, 6>) -> u32 {
    return 0u;
}

fn fetch(op: SoftmaxOp, x: u32, i: u32) -> f32 {
    let at = x + strided_place(i, INNER, op.inner, op.x_inner);
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
        x = op.x + strided_place(row, OUTER, op.outer, op.x_outer);
        top = lane_max(op, x, part);
    }
    top = shared_max(top, part, lane);
    var sum = 0.0;
    if (inside) {
        sum = lane_sum(op, x, part, top);
    }
    sum = shared_sum(sum, part, lane);
    if (inside) {
        let y = op.y + strided_place(row, OUTER, op.outer, op.y_outer);
        let scale = 1.0 / sum;
        var less = log(sum);
        // Drivers differ in log(NaN).
        less = select(less, sum, (bitcast<u32>(sum) & 0x7fffffffu) > 0x7f800000u);
        if (KIND == 2u) {
            if (part == 0u) {
                // With an infinite maximum the differences are no numbers.
                let infinite = (bitcast<u32>(top) & 0x7fffffffu) == 0x7f800000u;
                arena[y] = select(top + less, top, infinite);
            }
        } else {
            for (var i = part; i < op.n; i += GROUP) {
                let v = fetch(op, x, i) - top;
                let at = y + strided_place(i, INNER, op.inner, op.y_inner);
                if (KIND == 1u) {
                    arena[at] = v - less;
                } else {
                    arena[at] = exponential(v) * scale;
                }
            }
        }
    }
}
