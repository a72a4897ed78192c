// trilu.wgsl: one triangle of each matrix, zeros elsewhere, bit for bit
//   y[…, r, c] = x[…, r, c] where c - r >= k (UPPER) or c - r <= k (else), 0 elsewhere; up to four axes before r
// x      any strides   weights where bit 0 of IN_WEIGHTS is set, else arena, read
// y      any strides   arena, write; may be x itself
// tile   LANES runs; a run is up to PER elements along the last axis, from coordinate c * run_block on, run_step apart;
//        dims counts runs along that axis; any number of workers; no empty axis
// consts LANES (workgroup size), PER (elements of a run), RANK (axes in use, the last ones; two at least), UPPER,
//        IN_WEIGHTS
// checks src/kernel/trilu.rs::reference, equal bits
const LANES: u32 = 64u;
const PER: u32 = 4u;
const RANK: u32 = 2u;
const UPPER: u32 = 0u;
const IN_WEIGHTS: u32 = 0u;

struct TriluOp {
    runs: u32,
    x: u32,
    y: u32,
    run_extent: u32,
    run_block: u32,
    run_step: u32,
    x_step: u32,
    y_step: u32,
    k: i32,
    dims: array<u32, 6>,
    x_strides: array<u32, 6>,
    y_strides: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn trilu_load(at: u32) -> f32 {
    if ((IN_WEIGHTS & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn trilu_tile(op: TriluOp, tile: u32, lane: u32) {
    var p = op;
    let run = tile * LANES + lane;
    if (run < p.runs) {
        var rest = run;
        var x = p.x;
        var y = p.y;
        var first = 0u;
        var row = 0u;
        for (var d = 0u; d < RANK; d++) {
            let axis = 5u - d;
            var c = rest;
            if (d + 1u < RANK) {
                c = rest % p.dims[axis];
                rest = rest / p.dims[axis];
            }
            x += c * p.x_strides[axis];
            y += c * p.y_strides[axis];
            if (d == 0u) {
                first = c * p.run_block;
            }
            if (d == 1u) {
                row = c;
            }
        }
        let count = min(PER, (p.run_extent - first + p.run_step - 1u) / p.run_step);
        for (var j = 0u; j < count; j++) {
            let diagonal = i32(first + j * p.run_step) - i32(row);
            var v = 0.0;
            if ((UPPER == 1u && diagonal >= p.k) || (UPPER == 0u && diagonal <= p.k)) {
                v = trilu_load(x);
            }
            arena[y] = v;
            x += p.x_step;
            y += p.y_step;
        }
    }
}
