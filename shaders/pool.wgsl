// pool.wgsl: the largest element, the sum or the mean under a sliding window
//   y[n,c,o] = max or sum over taps k of x[n,c, o * stride + k * dilation - before], where that lies on the input
// x      [n, c, d, h, w]     f32  any strides   weights where IN_WEIGHTS = 1, else arena, read
// y      [n, c, od, oh, ow]  f32  any strides   arena, write, must not alias x
// at     as y                i32  any strides   arena, write, where INDICES = 1: place of the maximum, -1 for none
// tile   LANES * PER outputs: a lane has PER neighbours of a row; any number of workers; items >= 1
// consts LANES (workgroup size), PER, MAX (else the sum), AVERAGE (divide by the taps inside [counted_from, counted_to)
//        of the padded axes), INDICES, IN_WEIGHTS
// NaN    wins a maximum; a mean of no taps is 0 / 0; a maximum of no taps is the lowest finite number
// checks src/kernel/pool.rs::reference; maxima exactly, sums to 1e-5 relative (they add up in f32)
const LANES: u32 = 64u;
const PER: u32 = 4u;
const MAX: u32 = 1u;
const AVERAGE: u32 = 0u;
const INDICES: u32 = 0u;
const IN_WEIGHTS: u32 = 0u;

struct PoolOp {
    items: u32,
    groups: u32,
    channels: u32,
    input: array<u32, 3>,
    output: array<u32, 3>,
    kernel: array<u32, 3>,
    stride: array<u32, 3>,
    dilation: array<u32, 3>,
    before: array<u32, 3>,
    counted_from: array<u32, 3>,
    counted_to: array<u32, 3>,
    x: u32,
    x_strides: array<u32, 5>,
    y: u32,
    y_strides: array<u32, 5>,
    at: u32,
    at_strides: array<u32, 5>,
    plane: u32,
    flat: array<u32, 3>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn pool_load(at: u32) -> f32 {
    if (IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn pool_is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// How many of `kernel` taps, `dilation` apart from `start`, lie in [first, end).
fn pool_taps(start: u32, kernel: u32, dilation: u32, first: u32, end: u32) -> u32 {
    let skipped = (max(first, start) - start + dilation - 1u) / dilation;
    let reached = min(kernel, (max(end, start) - start + dilation - 1u) / dilation);
    return max(reached, skipped) - skipped;
}

fn pool_tile(op: PoolOp, tile: u32, lane: u32) {
    let item = tile * LANES + lane;
    if (item < op.items) {
        let group = item % op.groups;
        var rest = item / op.groups;
        let oh = rest % op.output[1];
        rest = rest / op.output[1];
        let od = rest % op.output[0];
        let image = rest / op.output[0];
        let n = image / op.channels;
        let c = image % op.channels;
        let ow = group * PER;
        let x = op.x + n * op.x_strides[0] + c * op.x_strides[1];
        let start_d = od * op.stride[0];
        let start_h = oh * op.stride[1];

        var best: array<f32, PER>;
        var best_at: array<u32, PER>;
        var seen: array<u32, PER>;
        for (var j = 0u; j < PER; j++) {
            best[j] = select(0.0, -3.4028234e38, MAX == 1u);
            best_at[j] = 0xffffffffu;
            seen[j] = 0u;
        }
        for (var kd = 0u; kd < op.kernel[0]; kd++) {
            // A coordinate in front of the input wraps around and is too large.
            let id = start_d + kd * op.dilation[0] - op.before[0];
            if (id < op.input[0]) {
                for (var kh = 0u; kh < op.kernel[1]; kh++) {
                    let ih = start_h + kh * op.dilation[1] - op.before[1];
                    if (ih < op.input[1]) {
                        let row = x + id * op.x_strides[2] + ih * op.x_strides[3];
                        let row_at = image * op.plane + id * op.flat[0] + ih * op.flat[1];
                        for (var kw = 0u; kw < op.kernel[2]; kw++) {
                            let column = ow * op.stride[2] + kw * op.dilation[2] - op.before[2];
                            for (var j = 0u; j < PER; j++) {
                                let iw = column + j * op.stride[2];
                                if (iw < op.input[2]) {
                                    let value = pool_load(row + iw * op.x_strides[4]);
                                    if (MAX == 1u) {
                                        let nan = pool_is_nan(value) && !pool_is_nan(best[j]);
                                        if (seen[j] == 0u || value > best[j] || nan) {
                                            best[j] = value;
                                            if (INDICES == 1u) {
                                                best_at[j] = row_at + iw * op.flat[2];
                                            }
                                        }
                                        seen[j] = 1u;
                                    } else {
                                        best[j] += value;
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        if (AVERAGE == 1u) {
            let deep = pool_taps(start_d, op.kernel[0], op.dilation[0], op.counted_from[0], op.counted_to[0]);
            let high = pool_taps(start_h, op.kernel[1], op.dilation[1], op.counted_from[1], op.counted_to[1]);
            for (var j = 0u; j < PER; j++) {
                let start = (ow + j) * op.stride[2];
                let wide = pool_taps(start, op.kernel[2], op.dilation[2], op.counted_from[2], op.counted_to[2]);
                best[j] = best[j] / f32(deep * high * wide);
            }
        }
        let image_y = op.y + n * op.y_strides[0] + c * op.y_strides[1] + od * op.y_strides[2];
        let image_at = op.at + n * op.at_strides[0] + c * op.at_strides[1] + od * op.at_strides[2];
        let mine = min(PER, op.output[2] - ow);
        for (var j = 0u; j < mine; j++) {
            arena[image_y + oh * op.y_strides[3] + (ow + j) * op.y_strides[4]] = best[j];
            if (INDICES == 1u) {
                arena[image_at + oh * op.at_strides[3] + (ow + j) * op.at_strides[4]] = bitcast<f32>(best_at[j]);
            }
        }
    }
}
