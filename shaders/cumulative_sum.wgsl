// cumulative_sum.wgsl: running sums along one axis
//   y[r, i] = sum over j <= i of x[r, j]   (j < i where EXCLUSIVE is set)
// x      any strides: lines over `outer`, elements `x_step` apart   weights where IN_WEIGHTS is set, else arena, read
// y      any strides: lines over `outer`, elements `y_step` apart   arena, write; may be x itself
// tile   LANES lines, one per lane; any number of workers; lines >= 1, n >= 1; reversed sums have negative steps
// consts LANES (workgroup size), OUTER (axes in use, the last ones), IN_WEIGHTS, EXCLUSIVE, INTEGER (0 f32, 1 i32)
// order  32 elements to a block, 32 blocks to a span, spans to the total, so that long lines keep 1e-5 (a compensated sum
//        would be simplified away by drivers)
// links  functions/strided_place.wgsl
// checks src/kernel/cumulative_sum.rs::reference, relative error <= 1e-5 of the sum of magnitudes
const LANES: u32 = 64u;
const OUTER: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;
const EXCLUSIVE: u32 = 0u;
const INTEGER: u32 = 0u;

struct CumulativeSumOp {
    lines: u32,
    n: u32,
    x: u32,
    x_step: u32,
    y: u32,
    y_step: u32,
    outer: array<u32, 6>,
    x_outer: array<u32, 6>,
    y_outer: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn strided_place(number: u32, axes: u32, dims: array<u32, 6>, strides: array<u32, 6>) -> u32 {
    return 0u;
}

fn load(at: u32) -> f32 {
    if (IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn cumulative_sum_tile(op: CumulativeSumOp, tile: u32, lane: u32) {
    let line = tile * LANES + lane;
    if (line < op.lines) {
        var x = op.x + strided_place(line, OUTER, op.outer, op.x_outer);
        var y = op.y + strided_place(line, OUTER, op.outer, op.y_outer);
        var total = 0.0;
        var span = 0.0;
        var block = 0.0;
        var whole = 0u;
        for (var i = 0u; i < op.n; i++) {
            let v = load(x);
            let before = select(total + (span + block), bitcast<f32>(whole), INTEGER == 1u);
            block += v;
            whole += bitcast<u32>(v);
            let after = select(total + (span + block), bitcast<f32>(whole), INTEGER == 1u);
            if ((i & 31u) == 31u) {
                span += block;
                block = 0.0;
            }
            if ((i & 1023u) == 1023u) {
                total += span;
                span = 0.0;
            }
            arena[y] = select(after, before, EXCLUSIVE == 1u);
            x += op.x_step;
            y += op.y_step;
        }
    }
}
