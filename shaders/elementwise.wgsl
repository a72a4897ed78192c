// elementwise.wgsl: a chain of scalar functions over tensors that broadcast against each other
//   y[i] = chain(x0[i], x1[i], …; s0, s1, …)   for every i of a shape of up to six axes
// x k    any strides (zero: broadcast)   weights where bit k of IN_WEIGHTS is set, else arena, read
// y      any strides                     arena, write; may be x k itself where both have the same elements
// tile   LANES * PER neighbouring elements in row-major order; any number of workers; n >= 1
// consts LANES (workgroup size), PER (elements of a lane, LANES apart), RANK (axes in use, the last ones),
//        INPUTS (tensors in use), IN_WEIGHTS
// chain  replaced by the linker; words are reinterpreted as each function's parameter types
// checks src/kernel/elementwise.rs::reference, function by function (transcendental ones to 1e-6 relative)
const LANES: u32 = 64u;
const PER: u32 = 4u;
const RANK: u32 = 1u;
const INPUTS: u32 = 1u;
const IN_WEIGHTS: u32 = 0u;

struct ElementwiseOp {
    n: u32,
    y: u32,
    dims: array<u32, 6>,
    y_strides: array<u32, 6>,
    x: array<u32, 8>,
    x_strides: array<u32, 48>,
    s: array<f32, 8>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn chain(x: array<f32, INPUTS>, s: array<f32, 8>) -> f32 {
    return x[0];
}

fn load(k: u32, at: u32) -> f32 {
    if (((IN_WEIGHTS >> k) & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn elementwise_tile(op: ElementwiseOp, tile: u32, lane: u32) {
    var p = op;
    for (var j = 0u; j < PER; j++) {
        let i = (tile * PER + j) * LANES + lane;
        if (i < p.n) {
            var rest = i;
            var y = p.y;
            var x: array<u32, INPUTS>;
            for (var k = 0u; k < INPUTS; k++) {
                x[k] = p.x[k];
            }
            for (var d = 0u; d < RANK; d++) {
                let axis = 5u - d;
                var c = rest;
                if (d + 1u < RANK) {
                    c = rest % p.dims[axis];
                    rest = rest / p.dims[axis];
                }
                y += c * p.y_strides[axis];
                for (var k = 0u; k < INPUTS; k++) {
                    x[k] += c * p.x_strides[k * 6u + axis];
                }
            }
            var v: array<f32, INPUTS>;
            for (var k = 0u; k < INPUTS; k++) {
                v[k] = load(k, x[k]);
            }
            arena[y] = chain(v, p.s);
        }
    }
}
