// reduce.wgsl: sums, products, extrema and truth over any set of axes
//   y[r] = join over i of prepared(x[r, i])   (/ divisor for means)
// x      any strides: rows over `outer`, elements over `inner`   weights where IN_WEIGHTS is set, else arena, read
// y      any strides over `outer`                                arena, write; must not overlap x
// tile   LANES / GROUP rows; GROUP lanes share a row; any number of workers; rows >= 1, n >= 0
// consts LANES (workgroup size), GROUP (lanes of a row, a power of two that divides LANES), OUTER, INNER (axes in use,
//        the last ones), IN_WEIGHTS, KIND: 0 sum, 1 sum of squares, 2 sum of magnitudes, 3 product, 4 maximum,
//        5 minimum of f32; 8 sum, 9 product, 10 maximum, 11 minimum of i32; 12 any, 13 all of bool
// order  a lane adds trees of four, 32 of those to a block, blocks to its total; lanes join pairwise; so 1e6 elements
//        keep 1e-5. NaN wins maximum and minimum.
// links  functions/strided_place.wgsl
// checks src/kernel/reduce.rs::reference, relative error <= 1e-5 of the sum of magnitudes, exact for the rest
const LANES: u32 = 64u;
const GROUP: u32 = 8u;
const OUTER: u32 = 1u;
const INNER: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;
const KIND: u32 = 0u;

struct ReduceOp {
    rows: u32,
    n: u32,
    x: u32,
    y: u32,
    divisor: f32,
    outer: array<u32, 6>,
    x_outer: array<u32, 6>,
    y_outer: array<u32, 6>,
    inner: array<u32, 6>,
    x_inner: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

var<workgroup> parts: array<u32, LANES>;

// What joins without effect.
fn unit() -> u32 {
    switch KIND {
        case 3u: { return 0x3f800000u; }
        case 4u: { return 0xff800000u; }
        case 5u: { return 0x7f800000u; }
        case 9u, 13u: { return 1u; }
        case 10u: { return 0x80000000u; }
        case 11u: { return 0x7fffffffu; }
        default: { return 0u; }
    }
}

fn prepared(word: u32) -> u32 {
    let v = bitcast<f32>(word);
    switch KIND {
        case 1u: { return bitcast<u32>(v * v); }
        case 2u: { return word & 0x7fffffffu; }
        default: { return word; }
    }
}

fn joined(a: u32, b: u32) -> u32 {
    let u = bitcast<f32>(a);
    let v = bitcast<f32>(b);
    let nan = (b & 0x7fffffffu) > 0x7f800000u;
    switch KIND {
        case 3u: { return bitcast<u32>(u * v); }
        case 4u: { return select(a, b, u < v || nan); }
        case 5u: { return select(a, b, v < u || nan); }
        case 8u: { return a + b; }
        case 9u: { return a * b; }
        case 10u: { return select(a, b, bitcast<i32>(a) < bitcast<i32>(b)); }
        case 11u: { return select(a, b, bitcast<i32>(b) < bitcast<i32>(a)); }
        case 12u: { return a | b; }
        case 13u: { return a & b; }
        default: { return bitcast<u32>(u + v); }
    }
}

fn strided_place(number: u32, axes: u32, dims: array<u32, 6>, strides: array<u32, 6>) -> u32 {
    return 0u;
}

fn fetch(op: ReduceOp, x: u32, i: u32) -> u32 {
    let at = x + strided_place(i, INNER, op.inner, op.x_inner);
    if (IN_WEIGHTS == 1u) {
        return prepared(bitcast<u32>(weights[at]));
    }
    return prepared(bitcast<u32>(arena[at]));
}

// Elements part, part + GROUP, … of the row at x.
fn lane_total(op: ReduceOp, x: u32, part: u32) -> u32 {
    var total = unit();
    var block = unit();
    let chunks = op.n / (4u * GROUP);
    for (var c = 0u; c < chunks; c++) {
        let i = c * (4u * GROUP) + part;
        let low = joined(fetch(op, x, i), fetch(op, x, i + GROUP));
        let high = joined(fetch(op, x, i + 2u * GROUP), fetch(op, x, i + 3u * GROUP));
        block = joined(block, joined(low, high));
        if ((c & 31u) == 31u) {
            total = joined(total, block);
            block = unit();
        }
    }
    for (var i = chunks * (4u * GROUP) + part; i < op.n; i += GROUP) {
        block = joined(block, fetch(op, x, i));
    }
    return joined(total, block);
}

fn reduce_tile(op: ReduceOp, tile: u32, lane: u32) {
    let row = tile * (LANES / GROUP) + lane / GROUP;
    let part = lane % GROUP;
    var total = unit();
    if (row < op.rows) {
        total = lane_total(op, op.x + strided_place(row, OUTER, op.outer, op.x_outer), part);
    }
    if (GROUP > 1u) {
        // Nobody reads the previous tile's parts any more.
        workgroupBarrier();
        parts[lane] = total;
        for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if (part < half) {
                total = joined(total, parts[lane + half]);
                parts[lane] = total;
            }
        }
    }
    if (row < op.rows && part == 0u) {
        if (KIND <= 2u) {
            total = bitcast<u32>(bitcast<f32>(total) / op.divisor);
        }
        arena[op.y + strided_place(row, OUTER, op.outer, op.y_outer)] = bitcast<f32>(total);
    }
}
