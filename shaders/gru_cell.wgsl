// gru_cell.wgsl: one step of a gated recurrent unit, from the sums of its three gates
//   z = sigmoid(xz + rz)   r = sigmoid(xr + rr)   g = tanh(xg + r * rg)   h = g + z * (h0 - g)
// x, r   z, r, g of each element lie x_step, r_step apart; any strides between elements   f32
// h0     any strides   f32      x, r, h0 lie in the weights where bit 0, 1, 2 of IN_WEIGHTS is set, else arena, read
// h      any strides   f32      arena, write; may be h0 itself
// tile   LANES neighbouring elements in row-major order; any number of workers; no empty axis
// consts LANES (workgroup size), RANK (axes in use, the last ones), IN_WEIGHTS
// links  fragments/sigmoid.wgsl, fragments/tanh_f32.wgsl
// checks src/kernel/gru_cell.rs::reference, 1e-6 of the largest
const LANES: u32 = 64u;
const RANK: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;

struct GruCellOp {
    n: u32,
    x: u32,
    x_step: u32,
    r: u32,
    r_step: u32,
    h0: u32,
    h: u32,
    dims: array<u32, 6>,
    x_strides: array<u32, 6>,
    r_strides: array<u32, 6>,
    h0_strides: array<u32, 6>,
    h_strides: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn load(bit: u32, at: u32) -> f32 {
    if (((IN_WEIGHTS >> bit) & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn sigmoid(x: f32) -> f32 {
    return x;
}

fn tanh_f32(x: f32) -> f32 {
    return x;
}

fn gru_cell_tile(op: GruCellOp, tile: u32, lane: u32) {
    var p = op;
    let number = tile * LANES + lane;
    if (number < p.n) {
        var rest = number;
        var x = p.x;
        var r = p.r;
        var h0 = p.h0;
        var h = p.h;
        for (var d = 0u; d < RANK; d++) {
            let axis = 5u - d;
            var k = rest;
            if (d + 1u < RANK) {
                k = rest % p.dims[axis];
                rest = rest / p.dims[axis];
            }
            x += k * p.x_strides[axis];
            r += k * p.r_strides[axis];
            h0 += k * p.h0_strides[axis];
            h += k * p.h_strides[axis];
        }
        let update = sigmoid(load(0u, x) + load(1u, r));
        let reset = sigmoid(load(0u, x + p.x_step) + load(1u, r + p.r_step));
        let recurrent = reset * load(1u, r + 2u * p.r_step);
        let candidate = tanh_f32(load(0u, x + 2u * p.x_step) + recurrent);
        arena[h] = candidate + update * (load(2u, h0) - candidate);
    }
}
