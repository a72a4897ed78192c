// gemm.wgsl: batched matrix product with arbitrary strides, and what follows it
//   c[b,i,j] = chain(sum over k0, k1 of a[b,i,k0,k1] * b[b,k0,k1,j], x0[b,i,j], …; s), summed in order of k0, k1
// a    [batch, m, k0, k1]  any strides   weights if A_WEIGHTS, else arena, read
// b    [batch, k0, k1, n]  any strides   weights if B_WEIGHTS, else arena, read; b_n = 1 lets neighbouring lanes
//                                        read neighbouring words
// x q  [batch, m, n]       any strides   weights where bit q of X_WEIGHTS is set, else arena, read
// c    [batch, m, n]       any strides   arena, write; must not alias a or b; may be an x with the same strides
// tile RM rows by RN * LANES columns of one batch; a lane keeps RM by RN sums of columns LANES apart; m, n, k >= 1
//      (reads are clamped to the last row and column, writes are bounded); any number of workers
// consts LANES (workgroup size), RM, RN, K_AXES (1: k0 = 1), A_WEIGHTS, B_WEIGHTS, INPUTS (1 + number of x), X_WEIGHTS
//      KU: steps along k1 in one iteration of its loop; TAIL: k1 is no multiple of KU, products past the end are zero
//      times zero. Two steps let a sum stay in a register for both; many keep long sums below a device's loop bound.
//      SG: width of the subgroups whose lanes share a's rows: each loads another row and all get it by broadcast
//      (a storage load costs as much as 30 products on lavapipe). Divides RM and LANES; 0: every lane loads all rows.
//      Needs lane % SG to be the lane's number in its subgroup.
//      WIDE_A, WIDE_B: 0 loads words; 1 loads pairs of words along k1, 2 pairs along m or n, as 64-bit integers, which
//      cost lavapipe no more than words. Pairs need even extents, offsets and strides, and the stride 1 along the pair;
//      those along k1 need an even KU without TAIL, those along m need RM to be a multiple of 2 * SG, those along n an
//      even RN: then a lane's columns are neighbours in pairs, and pairs are 2 * LANES apart. WIDE_A needs SG.
//      WIDE_C: stores such pairs; needs WIDE_B = 2, STRAIGHT, c_n = 1 and c's offset and other strides even.
//      STRAIGHT: no loop over a tile's results. X_ROWS, X_COLUMNS: bit q: x q does not depend on n, or not on m, and is
//      loaded once per row or column; only with STRAIGHT.
//      None of these changes a sum.
// chain replaced by the linker; loops of constant length are unrolled by it, so that sums are registers
// checks src/kernel/gemm.rs::reference, relative error <= 1e-5 for k up to some thousands
const LANES: u32 = 64u;
const RM: u32 = 16u;
const RN: u32 = 4u;
const K_AXES: u32 = 2u;
const KU: u32 = 1u;
const TAIL: u32 = 0u;
const SG: u32 = 0u;
const WIDE_A: u32 = 0u;
const WIDE_B: u32 = 0u;
const WIDE_C: u32 = 0u;
const STRAIGHT: u32 = 0u;
const A_WEIGHTS: u32 = 0u;
const B_WEIGHTS: u32 = 0u;
const INPUTS: u32 = 1u;
const X_WEIGHTS: u32 = 0u;
const X_ROWS: u32 = 0u;
const X_COLUMNS: u32 = 0u;

struct GemmOp {
    m: u32,
    n: u32,
    k0: u32,
    k1: u32,
    panel: u32,
    a: u32,
    a_m: u32,
    a_k0: u32,
    a_k1: u32,
    b: u32,
    b_k0: u32,
    b_k1: u32,
    b_n: u32,
    c: u32,
    c_m: u32,
    c_n: u32,
    batch: array<u32, 4>,
    a_batch: array<u32, 4>,
    b_batch: array<u32, 4>,
    c_batch: array<u32, 4>,
    x: array<u32, 4>,
    x_m: array<u32, 4>,
    x_n: array<u32, 4>,
    x_batch: array<u32, 16>,
    s: array<f32, 8>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;
@group(0) @binding(3) var<storage, read> weight_pairs: array<u64>;
@group(0) @binding(4) var<storage, read_write> arena_pairs: array<u64>;

fn chain(x: array<f32, INPUTS>, s: array<f32, 8>) -> f32 {
    return x[0];
}

fn load_a(at: u32) -> f32 {
    if (A_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn load_b(at: u32) -> f32 {
    if (B_WEIGHTS == 1u) {
        return weights[at];
    }
    return arena[at];
}

fn words_of(pair: u64) -> vec2<f32> {
    return vec2<f32>(bitcast<f32>(u32(pair)), bitcast<f32>(u32(pair >> 32u)));
}

// The words at `at`, which is even, and behind it.
fn load_a_pair(at: u32) -> vec2<f32> {
    if (A_WEIGHTS == 1u) {
        return words_of(weight_pairs[at / 2u]);
    }
    return words_of(arena_pairs[at / 2u]);
}

fn load_b_pair(at: u32) -> vec2<f32> {
    if (B_WEIGHTS == 1u) {
        return words_of(weight_pairs[at / 2u]);
    }
    return words_of(arena_pairs[at / 2u]);
}

fn pair_of(low: f32, high: f32) -> u64 {
    return u64(bitcast<u32>(low)) | (u64(bitcast<u32>(high)) << 32u);
}

fn load_x(q: u32, at: u32) -> f32 {
    if (((X_WEIGHTS >> (q - 1u)) & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

// Column j of the lane whose first column is `col`.
fn column(col: u32, j: u32) -> u32 {
    if (WIDE_B == 2u) {
        return col + j / 2u * (2u * LANES) + j % 2u;
    }
    return col + j * LANES;
}

fn gemm_tile(op: GemmOp, tile: u32, lane: u32) {
    let tiles_n = (op.n + RN * LANES - 1u) / (RN * LANES);
    let tiles_m = (op.m + RM - 1u) / RM;
    // Panels of some columns of tiles, so that what they read stays in a cache while the rows pass.
    let t = tile % (tiles_m * tiles_n);
    let panel = t / (op.panel * tiles_m);
    let width = min(op.panel, tiles_n - panel * op.panel);
    let within = t % (op.panel * tiles_m);
    let row = within / width * RM;
    let first = (panel * op.panel + within % width) * (RN * LANES);
    var col = first + lane;
    if (WIDE_B == 2u) {
        col = first + 2u * lane;
    }
    var a = op.a;
    var b = op.b;
    var c = op.c;
    var x: array<u32, INPUTS>;
    for (var q = 1u; q < INPUTS; q++) {
        x[q] = op.x[q - 1u];
    }
    var rest = tile / (tiles_m * tiles_n);
    for (var d = 0u; d < 4u; d++) {
        let axis = 3u - d;
        let i = rest % op.batch[axis];
        rest = rest / op.batch[axis];
        a += i * op.a_batch[axis];
        b += i * op.b_batch[axis];
        c += i * op.c_batch[axis];
        for (var q = 1u; q < INPUTS; q++) {
            x[q] += i * op.x_batch[(q - 1u) * 4u + axis];
        }
    }

    var rows: array<u32, RM>;
    if (WIDE_A == 2u) {
        for (var i = 0u; i < RM / max(2u * SG, 1u); i++) {
            rows[i] = a + min(row + 2u * (i * SG + lane % max(SG, 1u)), op.m - 2u);
        }
    } else if (SG > 0u) {
        for (var i = 0u; i < RM / max(SG, 1u); i++) {
            rows[i] = a + min(row + i * SG + lane % max(SG, 1u), op.m - 1u) * op.a_m;
        }
    } else {
        for (var i = 0u; i < RM; i++) {
            rows[i] = a + min(row + i, op.m - 1u) * op.a_m;
        }
    }
    var columns: array<u32, RN>;
    if (WIDE_B == 2u) {
        for (var j = 0u; j < RN; j += 2u) {
            columns[j] = b + min(col + j * LANES, op.n - 2u);
        }
    } else {
        for (var j = 0u; j < RN; j++) {
            columns[j] = b + min(col + j * LANES, op.n - 1u) * op.b_n;
        }
    }

    var sums: array<f32, RM * RN>;
    for (var i = 0u; i < RM; i++) {
        for (var j = 0u; j < RN; j++) {
            sums[i * RN + j] = 0.0;
        }
    }
    for (var k0 = 0u; k0 < select(op.k0, 1u, K_AXES == 1u); k0++) {
        for (var k = 0u; k < op.k1; k += KU) {
            // All loads come before all products: on lavapipe a load ends a block of straight code.
            var va: array<f32, RM * KU>;
            var vb: array<f32, RN * KU>;
            for (var u = 0u; u < KU; u++) {
                var k1 = k + u;
                if (TAIL == 1u) {
                    k1 = min(k1, op.k1 - 1u);
                }
                let ka = k0 * op.a_k0 + k1 * op.a_k1;
                let kb = k0 * op.b_k0 + k1 * op.b_k1;
                if (WIDE_A == 1u) {
                    if (u % 2u == 0u) {
                        var mine: array<vec2<f32>, RM / max(SG, 1u)>;
                        for (var i = 0u; i < RM / max(SG, 1u); i++) {
                            mine[i] = load_a_pair(rows[i] + ka);
                        }
                        for (var i = 0u; i < RM; i++) {
                            va[u * RM + i] = subgroupShuffle(mine[i / max(SG, 1u)].x, i % max(SG, 1u));
                            va[(u + 1u) * RM + i] = subgroupShuffle(mine[i / max(SG, 1u)].y, i % max(SG, 1u));
                        }
                    }
                } else if (WIDE_A == 2u) {
                    for (var i = 0u; i < RM / max(2u * SG, 1u); i++) {
                        let mine = load_a_pair(rows[i] + ka);
                        for (var r = 0u; r < SG; r++) {
                            va[u * RM + 2u * (i * SG + r)] = subgroupShuffle(mine.x, r);
                            va[u * RM + 2u * (i * SG + r) + 1u] = subgroupShuffle(mine.y, r);
                        }
                    }
                } else if (SG > 0u) {
                    for (var i = 0u; i < RM / max(SG, 1u); i++) {
                        let mine = load_a(rows[i] + ka);
                        for (var r = 0u; r < SG; r++) {
                            va[u * RM + i * SG + r] = subgroupShuffle(mine, r);
                        }
                    }
                } else {
                    for (var i = 0u; i < RM; i++) {
                        va[u * RM + i] = load_a(rows[i] + ka);
                    }
                }
                if (WIDE_B == 1u) {
                    if (u % 2u == 0u) {
                        for (var j = 0u; j < RN; j++) {
                            let pair = load_b_pair(columns[j] + kb);
                            vb[u * RN + j] = pair.x;
                            vb[(u + 1u) * RN + j] = pair.y;
                        }
                    }
                } else if (WIDE_B == 2u) {
                    for (var j = 0u; j < RN; j += 2u) {
                        let pair = load_b_pair(columns[j] + kb);
                        vb[u * RN + j] = pair.x;
                        vb[u * RN + j + 1u] = pair.y;
                    }
                } else {
                    for (var j = 0u; j < RN; j++) {
                        vb[u * RN + j] = load_b(columns[j] + kb);
                    }
                }
                if (TAIL == 1u) {
                    let exists = k + u < op.k1;
                    for (var i = 0u; i < RM; i++) {
                        va[u * RM + i] = select(0.0, va[u * RM + i], exists);
                    }
                    for (var j = 0u; j < RN; j++) {
                        vb[u * RN + j] = select(0.0, vb[u * RN + j], exists);
                    }
                }
            }
            for (var j = 0u; j < RN; j++) {
                for (var i = 0u; i < RM; i++) {
                    var sum = sums[i * RN + j];
                    for (var u = 0u; u < KU; u++) {
                        sum = fma(va[u * RM + i], vb[u * RN + j], sum);
                    }
                    sums[i * RN + j] = sum;
                }
            }
        }
    }

    // In a loop over a copy in memory the chain appears once, and there is little to compile; in straight code sums stay
    // where they are, which is many times faster on lavapipe.
    var results: array<f32, RM * RN>;
    for (var i = 0u; i < RM; i++) {
        for (var j = 0u; j < RN; j++) {
            results[i * RN + j] = sums[i * RN + j];
        }
    }
    var n_rows = RM;
    var n_columns = RN;
    if (STRAIGHT == 0u) {
        n_rows = min(RM, op.m - row);
        n_columns = min(RN, (op.n - min(col, op.n) + LANES - 1u) / LANES);
        if (WIDE_B == 2u) {
            n_columns = min(RN, (op.n - min(col, op.n) + 2u * LANES - 1u) / (2u * LANES) * 2u);
        }
    }
    var of_columns: array<f32, RN * INPUTS>;
    if (X_COLUMNS > 0u) {
        for (var j = 0u; j < RN; j++) {
            for (var q = 1u; q < INPUTS; q++) {
                if (((X_COLUMNS >> (q - 1u)) & 1u) == 1u) {
                    let n = min(column(col, j), op.n - 1u);
                    of_columns[j * INPUTS + q] = load_x(q, x[q] + n * op.x_n[q - 1u]);
                }
            }
        }
    }
    for (var i = 0u; i < n_rows; i++) {
        let r = row + i;
        var v: array<f32, INPUTS>;
        for (var q = 1u; q < INPUTS; q++) {
            if (((X_ROWS >> (q - 1u)) & 1u) == 1u) {
                v[q] = load_x(q, x[q] + min(r, op.m - 1u) * op.x_m[q - 1u]);
            }
        }
        var low = 0.0;
        for (var j = 0u; j < n_columns; j++) {
            let n = column(col, j);
            var exists = true;
            if (STRAIGHT == 1u) {
                exists = (r < op.m) & (n < op.n);
            }
            if (exists) {
                v[0] = results[i * RN + j];
                for (var q = 1u; q < INPUTS; q++) {
                    if (((X_COLUMNS >> (q - 1u)) & 1u) == 1u) {
                        v[q] = of_columns[j * INPUTS + q];
                    } else if (((X_ROWS >> (q - 1u)) & 1u) == 0u) {
                        v[q] = load_x(q, x[q] + r * op.x_m[q - 1u] + n * op.x_n[q - 1u]);
                    }
                }
                let value = chain(v, op.s);
                let at = c + r * op.c_m + n * op.c_n;
                if (WIDE_C == 0u) {
                    arena[at] = value;
                } else if (j % 2u == 0u) {
                    low = value;
                } else {
                    arena_pairs[at / 2u] = pair_of(low, value);
                }
            }
        }
    }
}
