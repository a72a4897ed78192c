// lstm_cell.wgsl: one step of a long short-term memory cell, from the sums of its four gates
//   c = sigmoid(f) * c0 + sigmoid(i) * tanh(g)      h = sigmoid(o) * tanh(c)
// gates  i, o, f, g of each element lie gate_step apart; any strides between elements   f32
// c0     any strides   f32      gates lie in the weights where bit 0 of IN_WEIGHTS is set, c0 where bit 1 is; else
//        arena, read
// h, c   any strides   f32      arena, write; c may be c0 itself
// tile   LANES neighbouring elements in row-major order; any number of workers; no empty axis
// consts LANES (workgroup size), RANK (axes in use, the last ones), IN_WEIGHTS
// links  fragments/sigmoid.wgsl, fragments/tanh_f32.wgsl
// checks src/kernel/lstm_cell.rs::reference, 1e-6 of the largest
const LANES: u32 = 64u;
const RANK: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;

struct LstmCellOp {
    n: u32,
    gates: u32,
    gate_step: u32,
    c0: u32,
    h: u32,
    c: u32,
    dims: array<u32, 6>,
    gate_strides: array<u32, 6>,
    c0_strides: array<u32, 6>,
    h_strides: array<u32, 6>,
    c_strides: array<u32, 6>,
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

fn lstm_cell_tile(op: LstmCellOp, tile: u32, lane: u32) {
    var p = op;
    let number = tile * LANES + lane;
    if (number < p.n) {
        var rest = number;
        var gate = p.gates;
        var c0 = p.c0;
        var h = p.h;
        var c = p.c;
        for (var d = 0u; d < RANK; d++) {
            let axis = 5u - d;
            var k = rest;
            if (d + 1u < RANK) {
                k = rest % p.dims[axis];
                rest = rest / p.dims[axis];
            }
            gate += k * p.gate_strides[axis];
            c0 += k * p.c0_strides[axis];
            h += k * p.h_strides[axis];
            c += k * p.c_strides[axis];
        }
        let i = sigmoid(load(0u, gate));
        let o = sigmoid(load(0u, gate + p.gate_step));
        let f = sigmoid(load(0u, gate + 2u * p.gate_step));
        let g = tanh_f32(load(0u, gate + 3u * p.gate_step));
        let state = f * load(1u, c0) + i * g;
        arena[c] = state;
        arena[h] = o * tanh_f32(state);
    }
}
