// arg_reduce.wgsl: where the largest or smallest element lies along the reduced axes
//   y[r] = the i (row-major over the reduced axes) of the extremum of x[r, i]
// x      any strides: rows over `outer`, elements over `inner`   weights where IN_WEIGHTS is set, else arena, read
// y      i32, any strides over `outer`                           arena, write; must not overlap x
// tile   LANES / GROUP rows; GROUP lanes share a row; any number of workers; rows >= 1, n >= 1
// consts LANES (workgroup size), GROUP (lanes of a row, a power of two that divides LANES), OUTER, INNER (axes in use,
//        the last ones), IN_WEIGHTS, LEAST (0 the largest, 1 the smallest), LAST (among equals 0 the first, 1 the last),
//        INTEGER (0 f32, 1 i32). NaN is never the extremum; a row of nothing else gives 0.
// links  functions/strided_place.wgsl
// checks src/kernel/arg_reduce.rs::reference, exact
const LANES: u32 = 64u;
const GROUP: u32 = 8u;
const OUTER: u32 = 1u;
const INNER: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;
const LEAST: u32 = 0u;
const LAST: u32 = 0u;
const INTEGER: u32 = 0u;

struct ArgReduceOp {
    rows: u32,
    n: u32,
    x: u32,
    y: u32,
    outer: array<u32, 6>,
    x_outer: array<u32, 6>,
    y_outer: array<u32, 6>,
    inner: array<u32, 6>,
    x_inner: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

var<workgroup> part_words: array<u32, LANES>;
var<workgroup> part_indices: array<u32, LANES>;

// The word that every other beats or equals.
fn worst() -> u32 {
    if (INTEGER == 1u) {
        return select(0x80000000u, 0x7fffffffu, LEAST == 1u);
    }
    return select(0xff800000u, 0x7f800000u, LEAST == 1u);
}

// True where (b, j) is to be taken instead of (a, i).
fn beats(b: u32, j: u32, a: u32, i: u32) -> bool {
    var greater = bitcast<f32>(b) > bitcast<f32>(a);
    var less = bitcast<f32>(b) < bitcast<f32>(a);
    var equal = bitcast<f32>(b) == bitcast<f32>(a);
    if (INTEGER == 1u) {
        greater = bitcast<i32>(b) > bitcast<i32>(a);
        less = bitcast<i32>(b) < bitcast<i32>(a);
        equal = b == a;
    }
    let better = select(greater, less, LEAST == 1u);
    return better || (equal && select((j < i), (i < j), LAST == 1u));
}

fn strided_place(number: u32, axes: u32, dims: array<u32, 6>, strides: array<u32, 6>) -> u32 {
    return 0u;
}

fn fetch(op: ArgReduceOp, x: u32, i: u32) -> u32 {
    let at = x + strided_place(i, INNER, op.inner, op.x_inner);
    if (IN_WEIGHTS == 1u) {
        return bitcast<u32>(weights[at]);
    }
    return bitcast<u32>(arena[at]);
}

fn arg_reduce_tile(op: ArgReduceOp, tile: u32, lane: u32) {
    let row = tile * (LANES / GROUP) + lane / GROUP;
    let part = lane % GROUP;
    var word = worst();
    var index = 0u;
    if (row < op.rows) {
        let x = op.x + strided_place(row, OUTER, op.outer, op.x_outer);
        for (var i = part; i < op.n; i += GROUP) {
            let other = fetch(op, x, i);
            if (beats(other, i, word, index)) {
                word = other;
                index = i;
            }
        }
    }
    if (GROUP > 1u) {
        // Nobody reads the previous tile's parts any more.
        workgroupBarrier();
        part_words[lane] = word;
        part_indices[lane] = index;
        for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
            workgroupBarrier();
            if (part < half) {
                let other = part_words[lane + half];
                let j = part_indices[lane + half];
                if (beats(other, j, word, index)) {
                    word = other;
                    index = j;
                }
                part_words[lane] = word;
                part_indices[lane] = index;
            }
        }
    }
    if (row < op.rows && part == 0u) {
        arena[op.y + strided_place(row, OUTER, op.outer, op.y_outer)] = bitcast<f32>(index);
    }
}
