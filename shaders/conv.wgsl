// conv.wgsl: grouped convolution over two axes, and what follows it
//   y[b,g,o,i,j] = chain(sum over u, v, c of w[g,o,c,u,v] * x[b,g,c, i*sh + u*dh - ph, j*sw + v*dw - pw], x1[…], …; s),
//   summed in order of u, v, c; places outside the image count as zero
// x    [batch, groups * ic, h, w]    any strides   weights if IN_WEIGHTS, else arena, read
// w    [groups, oc, ic, kh, kw]      any strides   weights if W_WEIGHTS, else arena, read; w_o = 1 is the fast order
// e q  [batch, groups * oc, oh, ow]  any strides   weights where bit q of X_WEIGHTS is set, else arena, read
// y    [batch, groups * oc, oh, ow]  any strides   arena, write; must not alias x or w; may be an e with equal strides
// tile RM output channels of one group by RN * LANES pixels, numbered through batch, rows and columns; a lane keeps
//      RM by RN sums of pixels LANES apart; all extents >= 1; any number of workers
//      (reads are clamped to the image and the last channel and replaced by zero outside, writes are bounded)
// consts LANES (workgroup size), RM, RN, KU, SG, WIDE, STRAIGHT, IN_WEIGHTS, W_WEIGHTS, INPUTS, X_WEIGHTS, X_CHANNELS
//      KU: input channels in one iteration of their loop, divides ic; SG: see gemm.wgsl
//      WIDE: weights are read as pairs of words, 64-bit integers, along the output channels: w_o = 1, oc, the offset and
//      the other strides are even, RM is a multiple of 2 * SG. It changes no sum.
//      STRAIGHT: no loop over a tile's results, see gemm.wgsl; X_CHANNELS: bit q: e q depends on the channel only and is
//      loaded once for each; only with STRAIGHT
// chain replaced by the linker; loops of constant length are unrolled by it, so that sums are registers
// checks src/kernel/conv.rs::reference, relative error <= 1e-5
const LANES: u32 = 64u;
const RM: u32 = 16u;
const RN: u32 = 4u;
const KU: u32 = 1u;
const SG: u32 = 0u;
const WIDE: u32 = 0u;
const STRAIGHT: u32 = 0u;
const IN_WEIGHTS: u32 = 0u;
const W_WEIGHTS: u32 = 1u;
const INPUTS: u32 = 1u;
const X_WEIGHTS: u32 = 0u;
const X_CHANNELS: u32 = 0u;

struct ConvOp {
    batch: u32,
    groups: u32,
    ic: u32,
    oc: u32,
    h: u32,
    w: u32,
    oh: u32,
    ow: u32,
    kh: u32,
    kw: u32,
    sh: u32,
    sw: u32,
    dh: u32,
    dw: u32,
    ph: u32,
    pw: u32,
    panel: u32,
    x: u32,
    x_strides: array<u32, 4>,
    wt: u32,
    w_strides: array<u32, 5>,
    y: u32,
    y_strides: array<u32, 4>,
    e: array<u32, 4>,
    e_strides: array<u32, 16>,
    s: array<f32, 8>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;
@group(0) @binding(3) var<storage, read> weight_pairs: array<u64>;
@group(0) @binding(4) var<storage, read_write> arena_pairs: array<u64>;

fn chain(x: array<f32, INPUTS>, s: array<f32, 8>) -> f32 {
    return x[0];
}

fn load_w(at: u32) -> f32 {
    if (W_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

// The words at `at`, which is even, and behind it.
fn load_w_pair(at: u32) -> vec2<f32> {
    var pair: u64;
    if (W_WEIGHTS == 1u) {
        pair = weight_pairs[at / 2u];
    } else {
        pair = arena_pairs[at / 2u];
    }
    return vec2<f32>(bitcast<f32>(u32(pair)), bitcast<f32>(u32(pair >> 32u)));
}

fn load_x(at: u32) -> f32 {
    if (IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn load_e(k: u32, at: u32) -> f32 {
    if (((X_WEIGHTS >> (k - 1u)) & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn conv_tile(op: ConvOp, tile: u32, lane: u32) {
    let total = op.batch * op.oh * op.ow;
    let tiles_n = (total + RN * LANES - 1u) / (RN * LANES);
    let tiles_m = (op.oc + RM - 1u) / RM;
    let group = tile / (tiles_m * tiles_n);
    // Panels of some columns of tiles, so that what they read stays in a cache while the rows pass.
    let t = tile % (tiles_m * tiles_n);
    let panel = t / (op.panel * tiles_m);
    let width = min(op.panel, tiles_n - panel * op.panel);
    let within = t % (op.panel * tiles_m);
    let o = within / width * RM;
    let pixel = (panel * op.panel + within % width) * (RN * LANES) + lane;

    var images: array<u32, RN>;
    var corners: array<vec2<i32>, RN>;
    for (var j = 0u; j < RN; j++) {
        let q = min(pixel + j * LANES, total - 1u);
        let row = q / op.ow;
        images[j] = op.x + row / op.oh * op.x_strides[0] + group * op.ic * op.x_strides[1];
        corners[j] = vec2<i32>(vec2<u32>(row % op.oh * op.sh, q % op.ow * op.sw)) - vec2<i32>(vec2<u32>(op.ph, op.pw));
    }
    let taps = op.wt + group * op.w_strides[0];
    var rows: array<u32, RM>;
    if (WIDE == 1u) {
        for (var i = 0u; i < RM / max(2u * SG, 1u); i++) {
            rows[i] = taps + min(o + 2u * (i * SG + lane % max(SG, 1u)), op.oc - 2u);
        }
    } else if (SG > 0u) {
        for (var i = 0u; i < RM / max(SG, 1u); i++) {
            rows[i] = taps + min(o + i * SG + lane % max(SG, 1u), op.oc - 1u) * op.w_strides[1];
        }
    } else {
        for (var i = 0u; i < RM; i++) {
            rows[i] = taps + min(o + i, op.oc - 1u) * op.w_strides[1];
        }
    }

    let edge = vec2<i32>(vec2<u32>(op.h, op.w)) - vec2<i32>(1, 1);
    var sums: array<f32, RM * RN>;
    for (var i = 0u; i < RM; i++) {
        for (var j = 0u; j < RN; j++) {
            sums[i * RN + j] = 0.0;
        }
    }
    for (var t = 0u; t < op.kh * op.kw; t++) {
        let u = t / op.kw;
        let v = t % op.kw;
        var places: array<u32, RN>;
        var inside: array<bool, RN>;
        for (var j = 0u; j < RN; j++) {
            let p = corners[j] + vec2<i32>(vec2<u32>(u * op.dh, v * op.dw));
            let c = clamp(p, vec2<i32>(0, 0), edge);
            inside[j] = all(p == c);
            places[j] = images[j] + u32(c.x) * op.x_strides[2] + u32(c.y) * op.x_strides[3];
        }
        let tap = u * op.w_strides[3] + v * op.w_strides[4];
        for (var first = 0u; first < op.ic; first += KU) {
            // All loads come before all products: on lavapipe a load ends a block of straight code.
            var vw: array<f32, RM * KU>;
            var vx: array<f32, RN * KU>;
            for (var n = 0u; n < KU; n++) {
                let c = first + n;
                let depth = tap + c * op.w_strides[2];
                if (WIDE == 1u) {
                    for (var i = 0u; i < RM / max(2u * SG, 1u); i++) {
                        let mine = load_w_pair(rows[i] + depth);
                        for (var r = 0u; r < SG; r++) {
                            vw[n * RM + 2u * (i * SG + r)] = subgroupShuffle(mine.x, r);
                            vw[n * RM + 2u * (i * SG + r) + 1u] = subgroupShuffle(mine.y, r);
                        }
                    }
                } else if (SG > 0u) {
                    for (var i = 0u; i < RM / max(SG, 1u); i++) {
                        let mine = load_w(rows[i] + depth);
                        for (var r = 0u; r < SG; r++) {
                            vw[n * RM + i * SG + r] = subgroupShuffle(mine, r);
                        }
                    }
                } else {
                    for (var i = 0u; i < RM; i++) {
                        vw[n * RM + i] = load_w(rows[i] + depth);
                    }
                }
                for (var j = 0u; j < RN; j++) {
                    vx[n * RN + j] = select(0.0, load_x(places[j] + c * op.x_strides[1]), inside[j]);
                }
            }
            for (var j = 0u; j < RN; j++) {
                for (var i = 0u; i < RM; i++) {
                    var sum = sums[i * RN + j];
                    for (var n = 0u; n < KU; n++) {
                        sum = fma(vw[n * RM + i], vx[n * RN + j], sum);
                    }
                    sums[i * RN + j] = sum;
                }
            }
        }
    }

    // See gemm.wgsl: a loop over a copy in memory, or straight code.
    var results: array<f32, RM * RN>;
    for (var i = 0u; i < RM; i++) {
        for (var j = 0u; j < RN; j++) {
            results[i * RN + j] = sums[i * RN + j];
        }
    }
    var n_channels = RM;
    var n_pixels = RN;
    if (STRAIGHT == 0u) {
        n_channels = min(RM, op.oc - o);
        n_pixels = min(RN, (total - min(pixel, total) + LANES - 1u) / LANES);
    }
    var of_channels: array<f32, RM * INPUTS>;
    if (X_CHANNELS > 0u) {
        for (var i = 0u; i < RM; i++) {
            for (var k = 1u; k < INPUTS; k++) {
                if (((X_CHANNELS >> (k - 1u)) & 1u) == 1u) {
                    let channel = group * op.oc + min(o + i, op.oc - 1u);
                    of_channels[i * INPUTS + k] = load_e(k, op.e[k - 1u] + channel * op.e_strides[k * 4u - 3u]);
                }
            }
        }
    }
    for (var j = 0u; j < n_pixels; j++) {
        let q = pixel + j * LANES;
        let row = q / op.ow;
        let b = row / op.oh;
        let at = vec2<u32>(row % op.oh, q % op.ow);
        let y = op.y + b * op.y_strides[0] + at.x * op.y_strides[2] + at.y * op.y_strides[3];
        for (var i = 0u; i < n_channels; i++) {
            let channel = group * op.oc + o + i;
            var exists = true;
            if (STRAIGHT == 1u) {
                exists = (q < total) & (o + i < op.oc);
            }
            if (exists) {
                var v: array<f32, INPUTS>;
                v[0] = results[i * RN + j];
                for (var k = 1u; k < INPUTS; k++) {
                    if (((X_CHANNELS >> (k - 1u)) & 1u) == 1u) {
                        v[k] = of_channels[i * INPUTS + k];
                    } else {
                        let e = op.e[k - 1u]
                            + b * op.e_strides[k * 4u - 4u]
                            + channel * op.e_strides[k * 4u - 3u]
                            + at.x * op.e_strides[k * 4u - 2u]
                            + at.y * op.e_strides[k * 4u - 1u];
                        v[k] = load_e(k, e);
                    }
                }
                arena[y + channel * op.y_strides[1]] = chain(v, op.s);
            }
        }
    }
}
