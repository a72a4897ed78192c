// gru_cell.wgsl: one step of a gated recurrent unit, from the sums of its three gates
//   z = sigmoid(xz + rz)   r = sigmoid(xr + rr)   g = tanh(xg + r * rg)   h = g + z * (h0 - g)
// x, r   z, r, g of each element lie x_step, r_step apart; any strides between elements   f32
// h0     any strides   f32      x, r, h0 lie in the weights where bit 0, 1, 2 of IN_WEIGHTS is set, else arena, read
// h      any strides   f32      arena, write; may be h0 itself
// tile   LANES neighbouring elements in row-major order; any number of workers; no empty axis
// consts LANES (workgroup size), RANK (axes in use, the last ones), IN_WEIGHTS
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

fn gru_cell_load(bit: u32, at: u32) -> f32 {
    if (((IN_WEIGHTS >> bit) & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

// Both functions stay finite for every number and keep NaN, which is told by its bits.
fn gru_cell_sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    let y = select(e, 1.0, x >= 0.0) / (1.0 + e);
    return select(y, x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}

fn gru_cell_tanh(x: f32) -> f32 {
    let z = x * x;
    let near = x + x * z * (-3.33332819422e-1 + z * (1.33314422036e-1 + z * (-5.37397155531e-2 + z * (2.06390887954e-2 - z * 5.70498872745e-3))));
    let e = exp(-2.0 * abs(x));
    let far = (1.0 - e) / (1.0 + e);
    let y = select(select(far, -far, x < 0.0), near, abs(x) < 0.625);
    return select(y, x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
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
        let update = gru_cell_sigmoid(gru_cell_load(0u, x) + gru_cell_load(1u, r));
        let reset = gru_cell_sigmoid(gru_cell_load(0u, x + p.x_step) + gru_cell_load(1u, r + p.r_step));
        let recurrent = reset * gru_cell_load(1u, r + 2u * p.r_step);
        let candidate = gru_cell_tanh(gru_cell_load(0u, x + 2u * p.x_step) + recurrent);
        arena[h] = candidate + update * (gru_cell_load(2u, h0) - candidate);
    }
}
