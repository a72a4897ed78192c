// grid_sample.wgsl: an image sampled at places that a grid names
//   y[n,c,o] = sum over taps of weight * x[n,c, elements around grid[n,o]]
// x      [n, c, d, h, w]           f32  any strides  weights where X_IN_WEIGHTS = 1, else arena, read
// grid   [n, axes, od, oh, ow]     f32  any strides  weights where GRID_IN_WEIGHTS = 1, else arena; the innermost first
// y      [n, c, od, oh, ow]        f32  any strides  arena, write, must not alias an input
// tile   LANES items: one place of PER channels each; any number of workers; items >= 1, no extent of x is zero
// consts LANES (workgroup size), PER, AXES (spatial axes in use, the last ones), TAPS (1 nearest, 2 linear, 4 cubic),
//        PADDING (0 zeros, 1 border, 2 reflection), ALIGN_CORNERS, X_IN_WEIGHTS, GRID_IN_WEIGHTS
// bounds places are data: each index is brought into [0, extent) as an integer, whatever the place; NaN gives op.nan
// checks src/kernel/grid_sample.rs::reference, relative error <= 1e-4 (weights are differences of large numbers)
const LANES: u32 = 64u;
const PER: u32 = 4u;
const AXES: u32 = 2u;
const TAPS: u32 = 2u;
const PADDING: u32 = 0u;
const ALIGN_CORNERS: u32 = 0u;
const X_IN_WEIGHTS: u32 = 0u;
const GRID_IN_WEIGHTS: u32 = 0u;
const ENTRIES: u32 = TAPS * 3u;

struct GridSampleOp {
    items: u32,
    blocks: u32,
    channels: u32,
    input: array<u32, 3>,
    output: array<u32, 3>,
    x: u32,
    x_strides: array<u32, 5>,
    grid: u32,
    grid_strides: array<u32, 5>,
    y: u32,
    y_strides: array<u32, 5>,
    nan: f32,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn grid_sample_x(at: u32) -> f32 {
    if (X_IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn grid_sample_grid(at: u32) -> f32 {
    if (GRID_IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

// Mirrors a place into [low, high].
fn grid_sample_reflect(place: f32, low: f32, high: f32) -> f32 {
    let range = high - low;
    if (range <= 0.0) {
        return low;
    }
    let at = clamp(place, -16777216.0, 16777216.0);
    let beyond = select(at - high, low - at, at < low);
    if (beyond <= 0.0) {
        return at;
    }
    let times = trunc(beyond / range);
    let rest = beyond - times * range;
    let even = times == 2.0 * trunc(times * 0.5);
    return select(high - rest, low + rest, even == (at < low));
}

// Where a coordinate of the grid lies along an axis, padding applied, within reach of an integer.
fn grid_sample_place(coordinate: f32, extent: u32) -> f32 {
    let length = f32(extent);
    var at = ((coordinate + 1.0) * length - 1.0) / 2.0;
    var low = -0.5;
    var high = length - 0.5;
    if (ALIGN_CORNERS == 1u) {
        at = (coordinate + 1.0) / 2.0 * (length - 1.0);
        low = 0.0;
        high = length - 1.0;
    }
    if (TAPS == 1u) {
        at = round(at);
    }
    if (at < low || at > high) {
        if (PADDING == 1u) {
            at = clamp(at, 0.0, length - 1.0);
        } else if (PADDING == 2u) {
            at = grid_sample_reflect(at, low, high);
        }
    }
    // Everything farther away than this is nothing but zeros.
    return clamp(at, -4.0, length + 4.0);
}

// The element at index `i` of an axis; always in range. Its weight is zero where a zero stands in its place.
fn grid_sample_element(i: i32, extent: u32) -> u32 {
    var element = i;
    if (PADDING == 2u) {
        let length = f32(extent);
        let low = select(-0.5, 0.0, ALIGN_CORNERS == 1u);
        let high = length - select(0.5, 1.0, ALIGN_CORNERS == 1u);
        element = i32(grid_sample_reflect(f32(i), low, high));
    }
    return u32(clamp(element, 0, i32(extent) - 1));
}

// The weight of tap k, `r` being how far the place lies behind the element before it.
fn grid_sample_weight(k: u32, r: f32) -> f32 {
    if (TAPS == 1u) {
        return 1.0;
    }
    if (TAPS == 2u) {
        return select(r, 1.0 - r, k == 0u);
    }
    let x = abs(f32(k) - 1.0 - r);
    let near = (1.25 * x - 2.25) * x * x + 1.0;
    let far = ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0;
    return select(far, near, x <= 1.0);
}

fn grid_sample_tile(op: GridSampleOp, tile: u32, lane: u32) {
    var p = op;
    let item = tile * LANES + lane;
    if (item < p.items) {
        let ow = item % p.output[2];
        var rest = item / p.output[2];
        let oh = rest % p.output[1];
        rest = rest / p.output[1];
        let od = rest % p.output[0];
        rest = rest / p.output[0];
        let first = (rest % p.blocks) * PER;
        let n = rest / p.blocks;

        // Offset and weight of each tap of each axis.
        let grid = p.grid + n * p.grid_strides[0] + od * p.grid_strides[2] + oh * p.grid_strides[3]
            + ow * p.grid_strides[4];
        var at: array<u32, ENTRIES>;
        var w: array<f32, ENTRIES>;
        var nan = false;
        for (var d = 0u; d < AXES; d++) {
            let axis = 2u - d;
            let coordinate = grid_sample_grid(grid + d * p.grid_strides[1]);
            nan = nan || (bitcast<u32>(coordinate) & 0x7fffffffu) > 0x7f800000u;
            let place = grid_sample_place(coordinate, p.input[axis]);
            let before = floor(place);
            for (var k = 0u; k < TAPS; k++) {
                var i = i32(before) + i32(k);
                if (TAPS == 4u) {
                    i -= 1;
                }
                let beside = PADDING == 0u && (i < 0 || i >= i32(p.input[axis]));
                at[axis * TAPS + k] = grid_sample_element(i, p.input[axis]) * p.x_strides[axis + 2u];
                w[axis * TAPS + k] = select(grid_sample_weight(k, place - before), 0.0, beside);
            }
        }

        var sum: array<f32, PER>;
        var x: array<u32, PER>;
        for (var j = 0u; j < PER; j++) {
            sum[j] = select(0.0, p.nan, nan);
            x[j] = p.x + n * p.x_strides[0] + min(first + j, p.channels - 1u) * p.x_strides[1];
        }
        if (!nan) {
            for (var td = 0u; td < select(1u, TAPS, AXES > 2u); td++) {
                var at_d = 0u;
                var w_d = 1.0;
                if (AXES > 2u) {
                    at_d = at[td];
                    w_d = w[td];
                }
                for (var th = 0u; th < select(1u, TAPS, AXES > 1u); th++) {
                    var at_h = at_d;
                    var w_h = w_d;
                    if (AXES > 1u) {
                        at_h += at[TAPS + th];
                        w_h *= w[TAPS + th];
                    }
                    for (var tw = 0u; tw < TAPS; tw++) {
                        let source = at_h + at[2u * TAPS + tw];
                        let weight = w_h * w[2u * TAPS + tw];
                        if (weight != 0.0) {
                            for (var j = 0u; j < PER; j++) {
                                sum[j] += weight * grid_sample_x(x[j] + source);
                            }
                        }
                    }
                }
            }
        }
        let y = p.y + n * p.y_strides[0] + od * p.y_strides[2] + oh * p.y_strides[3] + ow * p.y_strides[4];
        let mine = min(PER, p.channels - first);
        for (var j = 0u; j < mine; j++) {
            arena[y + (first + j) * p.y_strides[1]] = sum[j];
        }
    }
}
