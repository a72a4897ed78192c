// depthwise.wgsl: convolution of each channel with a kernel of its own, and what follows it
//   y[b,o,i,j] = chain(sum over u, v of w[o,u,v] * x[b,o, i*sh + u*dh - ph, j*sw + v*dw - pw], x1[b,o,i,j], …; s),
//   summed in order of u, v; places outside the image count as zero
// x    [batch, channels, h, w]    any strides   weights if IN_WEIGHTS, else arena, read
// w    [channels, kh, kw]         any strides   weights if W_WEIGHTS, else arena, read
// e q  [batch, channels, oh, ow]  any strides   weights where bit q of X_WEIGHTS is set, else arena, read
// y    [batch, channels, oh, ow]  any strides   arena, write; must not alias x or w; may be an e with equal strides
// tile LANES * op.per blocks of RH by RW outputs of one channel of one image; all extents >= 1; any number of workers
//      (reads are clamped to the image and replaced by zero outside, writes are bounded)
// consts LANES (workgroup size), RH, RW, IN_WEIGHTS, W_WEIGHTS, INPUTS, X_WEIGHTS
//      KH, KW, SH, SW: kernel and strides where they are unrolled (dilation 1): a lane loads each input once for all
//      the sums that need it. KH = 0: any kernel, stride and dilation, by loops; RH = 1 then
// chain replaced by the linker; loops of constant length are unrolled by it, so that sums are registers
// checks src/kernel/depthwise.rs::reference, relative error <= 1e-5
const LANES: u32 = 64u;
const RH: u32 = 4u;
const RW: u32 = 4u;
const KH: u32 = 3u;
const KW: u32 = 3u;
const SH: u32 = 1u;
const SW: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;
const W_WEIGHTS: u32 = 1u;
const INPUTS: u32 = 1u;
const X_WEIGHTS: u32 = 0u;

struct DepthwiseOp {
    channels: u32,
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
    per: u32,
    x: u32,
    x_strides: array<u32, 4>,
    wt: u32,
    w_strides: array<u32, 3>,
    y: u32,
    y_strides: array<u32, 4>,
    e: array<u32, 4>,
    e_strides: array<u32, 16>,
    s: array<f32, 8>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn chain(x: array<f32, INPUTS>, s: array<f32, 8>) -> f32 {
    return x[0];
}

fn load_w(at: u32) -> f32 {
    if (W_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn load_x(at: u32) -> f32 {
    if (IN_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn depthwise_tile(op: DepthwiseOp, tile: u32, lane: u32) {
    let blocks_x = (op.ow + RW - 1u) / RW;
    let blocks = blocks_x * ((op.oh + RH - 1u) / RH);
    let parts = (blocks + LANES * op.per - 1u) / (LANES * op.per);
    let channel = tile / parts % op.channels;
    let image = tile / parts / op.channels;
    let x = op.x + image * op.x_strides[0] + channel * op.x_strides[1];
    let wt = op.wt + channel * op.w_strides[0];
    let bottom = i32(op.h) - 1;
    let right = i32(op.w) - 1;

    var taps: array<f32, KH * KW + 1u>;
    for (var u = 0u; u < KH; u++) {
        for (var v = 0u; v < KW; v++) {
            taps[u * KW + v] = load_w(wt + u * op.w_strides[1] + v * op.w_strides[2]);
        }
    }
    // `&` instead of `&&`: the latter is a branch, and SwiftShader compiles many branches for minutes.
    let first = tile % parts * (LANES * op.per) + lane;
    let end = min(blocks, first - lane + LANES * op.per);
    for (var block = first; block < end; block += LANES) {
        let oy = block / blocks_x * RH;
        let ox = block % blocks_x * RW;
        let top = i32(oy * op.sh) - i32(op.ph);
        let left = i32(ox * op.sw) - i32(op.pw);
        var sums: array<f32, RH * RW>;
        for (var i = 0u; i < RH * RW; i++) {
            sums[i] = 0.0;
        }
        if (KH > 0u) {
            for (var r = 0u; r < (RH - 1u) * SH + max(KH, 1u); r++) {
                let row = top + i32(r);
                let in_rows = (row >= 0) & (row <= bottom);
                let line = x + u32(clamp(row, 0, bottom)) * op.x_strides[2];
                var p: array<f32, (RW - 1u) * SW + max(KW, 1u)>;
                for (var c = 0u; c < (RW - 1u) * SW + max(KW, 1u); c++) {
                    let column = left + i32(c);
                    let value = load_x(line + u32(clamp(column, 0, right)) * op.x_strides[3]);
                    p[c] = select(0.0, value, in_rows & (column >= 0) & (column <= right));
                }
                for (var i = 0u; i < RH; i++) {
                    // Row r is row r - i * SH of the kernel for output row i.
                    if ((r >= i * SH) & (r < i * SH + KH)) {
                        for (var v = 0u; v < KW; v++) {
                            for (var j = 0u; j < RW; j++) {
                                let tap = taps[min((r - i * SH) * KW + v, KH * KW)];
                                sums[i * RW + j] = fma(tap, p[j * SW + v], sums[i * RW + j]);
                            }
                        }
                    }
                }
            }
        } else {
            for (var u = 0u; u < op.kh; u++) {
                let row = top + i32(u * op.dh);
                let in_rows = (row >= 0) & (row <= bottom);
                let line = x + u32(clamp(row, 0, bottom)) * op.x_strides[2];
                for (var v = 0u; v < op.kw; v++) {
                    let tap = load_w(wt + u * op.w_strides[1] + v * op.w_strides[2]);
                    for (var j = 0u; j < RW; j++) {
                        let column = left + i32(v * op.dw + j * op.sw);
                        let value = load_x(line + u32(clamp(column, 0, right)) * op.x_strides[3]);
                        sums[j] = fma(tap, select(0.0, value, in_rows & (column >= 0) & (column <= right)), sums[j]);
                    }
                }
            }
        }

        // A loop over a copy in memory: its bounds vary, so it is not unrolled, and the chain appears once.
        var results: array<f32, RH * RW>;
        for (var i = 0u; i < RH * RW; i++) {
            results[i] = sums[i];
        }
        let n_rows = min(RH, op.oh - oy);
        let n_columns = min(RW, op.ow - ox);
        for (var i = 0u; i < n_rows; i++) {
            for (var j = 0u; j < n_columns; j++) {
                var v: array<f32, INPUTS>;
                v[0] = results[i * RW + j];
                for (var k = 1u; k < INPUTS; k++) {
                    let e = op.e[k - 1u]
                        + image * op.e_strides[k * 4u - 4u]
                        + channel * op.e_strides[k * 4u - 3u]
                        + (oy + i) * op.e_strides[k * 4u - 2u]
                        + (ox + j) * op.e_strides[k * 4u - 1u];
                    if (((X_WEIGHTS >> (k - 1u)) & 1u) == 1u) {
                        v[k] = weights[e];
                    } else {
                        v[k] = arena[e];
                    }
                }
                let y = op.y
                    + image * op.y_strides[0]
                    + channel * op.y_strides[1]
                    + (oy + i) * op.y_strides[2]
                    + (ox + j) * op.y_strides[3];
                arena[y] = chain(v, op.s);
            }
        }
    }
}
