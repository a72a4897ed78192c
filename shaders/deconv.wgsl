// deconv.wgsl: transposed convolution, as a gather
//   y[n, g*M+m, o] = b[g*M+m] + sum over c, k with o + before - k * dilation = i * stride of x[n, g*C+c, i] * w[g*C+c, m, k]
// x      [n, groups * C, d, h, w]        f32  any strides  weights where X_IN_WEIGHTS = 1, else arena, read
// w      [groups * C, M, kd, kh, kw]     f32  any strides  weights where W_IN_WEIGHTS = 1, else arena, read
// b      [groups * M]                    f32  any stride   where BIAS = 1; weights where B_IN_WEIGHTS = 1, else arena
// y      [n, groups * M, od, oh, ow]     f32  any strides  arena, write, must not alias an input
// tile   LANES items: ROWS channels of COLUMNS neighbours of one class (o + before equal modulo stride on each axis, so
//        that all are hit by the same taps and by neighbours of x); any number of workers; items >= 1
// consts LANES (workgroup size), ROWS, COLUMNS, BIAS, X_IN_WEIGHTS, W_IN_WEIGHTS, B_IN_WEIGHTS
// NaN    in x or w reaches every output whose taps touch it; one in w also those whose tap lies beside x
// order  of a sum: c, then taps from the first; none of ROWS, COLUMNS, LANES changes it
// checks src/kernel/deconv.rs::reference, relative error <= 1e-5 (f32 sums)
const LANES: u32 = 64u;
const ROWS: u32 = 8u;
const COLUMNS: u32 = 4u;
const BIAS: u32 = 0u;
const X_IN_WEIGHTS: u32 = 0u;
const W_IN_WEIGHTS: u32 = 1u;
const B_IN_WEIGHTS: u32 = 1u;
const SUMS: u32 = ROWS * COLUMNS;

struct DeconvOp {
    items: u32,
    batch: u32,
    groups: u32,
    group_in: u32,
    group_out: u32,
    blocks: u32,
    input: array<u32, 3>,
    output: array<u32, 3>,
    kernel: array<u32, 3>,
    stride: array<u32, 3>,
    dilation: array<u32, 3>,
    before: array<u32, 3>,
    places: array<u32, 3>,
    divisor: array<u32, 3>,
    inverse: array<u32, 3>,
    columns: u32,
    x: u32,
    x_strides: array<u32, 5>,
    w: u32,
    w_strides: array<u32, 5>,
    b: u32,
    b_stride: u32,
    y: u32,
    y_strides: array<u32, 5>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

// One axis of a class: outputs first, first + stride, …; the one at place j is hit by tap first_tap + t * tap_step at
// element j + first_from - t * from_step, for t below n_taps.
struct DeconvAxis {
    first: u32,
    first_tap: u32,
    tap_step: u32,
    first_from: u32,
    from_step: u32,
    n_taps: u32,
}

fn deconv_axis(phase: u32, kernel: u32, stride: u32, dilation: u32, before: u32, divisor: u32, inverse: u32) -> DeconvAxis {
    var axis: DeconvAxis;
    axis.first = (phase + stride - before % stride) % stride;
    axis.tap_step = stride / divisor;
    axis.from_step = dilation / divisor;
    axis.first_tap = (phase / divisor * inverse) % axis.tap_step;
    if (phase % divisor == 0u && axis.first_tap < kernel) {
        axis.n_taps = (kernel - 1u - axis.first_tap) / axis.tap_step + 1u;
        // A multiple of the stride, perhaps negative.
        let distance = i32(axis.first + before) - i32(axis.first_tap * dilation);
        axis.first_from = bitcast<u32>(distance / i32(stride));
    }
    return axis;
}

fn deconv_x(at: u32) -> f32 {
    if (X_IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn deconv_w(at: u32) -> f32 {
    if (W_IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn deconv_b(at: u32) -> f32 {
    if (B_IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn deconv_tile(op: DeconvOp, tile: u32, lane: u32) {
    let item = tile * LANES + lane;
    if (item < op.items) {
        let jw = (item % op.columns) * COLUMNS;
        var rest = item / op.columns;
        let jh = rest % op.places[1];
        rest = rest / op.places[1];
        let jd = rest % op.places[0];
        rest = rest / op.places[0];
        let block = rest % op.blocks;
        rest = rest / op.blocks;
        let group = rest % op.groups;
        rest = rest / op.groups;
        let n = rest % op.batch;
        rest = rest / op.batch;
        let d = deconv_axis(rest / (op.stride[1] * op.stride[2]), op.kernel[0], op.stride[0], op.dilation[0],
            op.before[0], op.divisor[0], op.inverse[0]);
        let h = deconv_axis(rest / op.stride[2] % op.stride[1], op.kernel[1], op.stride[1], op.dilation[1],
            op.before[1], op.divisor[1], op.inverse[1]);
        let w = deconv_axis(rest % op.stride[2], op.kernel[2], op.stride[2], op.dilation[2], op.before[2],
            op.divisor[2], op.inverse[2]);
        let od = d.first + jd * op.stride[0];
        let oh = h.first + jh * op.stride[1];
        let row = block * ROWS;

        var sum: array<f32, SUMS>;
        var w_row: array<u32, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            let m = min(row + r, op.group_out - 1u);
            w_row[r] = op.w + m * op.w_strides[1];
            var start = 0.0;
            if (BIAS == 1u) {
                start = deconv_b(op.b + (group * op.group_out + m) * op.b_stride);
            }
            for (var j = 0u; j < COLUMNS; j++) {
                sum[r * COLUMNS + j] = start;
            }
        }
        for (var c = 0u; c < op.group_in; c++) {
            let channel = group * op.group_in + c;
            let x_image = op.x + n * op.x_strides[0] + channel * op.x_strides[1];
            let w_image = channel * op.w_strides[0];
            for (var td = 0u; td < d.n_taps; td++) {
                let id = jd + d.first_from - td * d.from_step;
                if (id < op.input[0]) {
                    for (var th = 0u; th < h.n_taps; th++) {
                        let ih = jh + h.first_from - th * h.from_step;
                        if (ih < op.input[1]) {
                            let x_row = x_image + id * op.x_strides[2] + ih * op.x_strides[3];
                            let w_tap = w_image + (d.first_tap + td * d.tap_step) * op.w_strides[2]
                                + (h.first_tap + th * h.tap_step) * op.w_strides[3];
                            for (var tw = 0u; tw < w.n_taps; tw++) {
                                let iw = jw + w.first_from - tw * w.from_step;
                                var x: array<f32, COLUMNS>;
                                for (var j = 0u; j < COLUMNS; j++) {
                                    x[j] = 0.0;
                                    if (iw + j < op.input[2]) {
                                        x[j] = deconv_x(x_row + (iw + j) * op.x_strides[4]);
                                    }
                                }
                                let at = w_tap + (w.first_tap + tw * w.tap_step) * op.w_strides[4];
                                for (var r = 0u; r < ROWS; r++) {
                                    let weight = deconv_w(w_row[r] + at);
                                    for (var j = 0u; j < COLUMNS; j++) {
                                        sum[r * COLUMNS + j] += weight * x[j];
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        if (od < op.output[0] && oh < op.output[1]) {
            let y = op.y + n * op.y_strides[0] + (group * op.group_out + row) * op.y_strides[1]
                + od * op.y_strides[2] + oh * op.y_strides[3];
            let rows = min(ROWS, op.group_out - row);
            for (var r = 0u; r < rows; r++) {
                for (var j = 0u; j < COLUMNS; j++) {
                    let ow = w.first + (jw + j) * op.stride[2];
                    if (ow < op.output[2]) {
                        arena[y + r * op.y_strides[1] + ow * op.y_strides[4]] = sum[r * COLUMNS + j];
                    }
                }
            }
        }
    }
}
