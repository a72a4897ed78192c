// top_k.wgsl: the k largest or smallest elements of each line, in order, and where they were
//   an element's place is the number of elements of its line that come before it: larger (smaller), or equal and
//   earlier; NaN counts as larger than every number, and both zeros are equal
// x        lines of n elements, step apart, any strides between lines   weights where bit 0 of IN_WEIGHTS is set, else
//          arena, read
// value    lines of k, value_step apart; bits of x                arena, write, must not overlap x
// place    lines of k, place_step apart, i32: positions in x      arena, write, must not overlap x
// tile     LANES blocks of PER neighbouring elements; each is compared with its whole line; any number of workers;
//          1 <= k <= n <= 32768; no empty axis
// consts   LANES (workgroup size), PER (elements of a lane), RANK (axes of lines in use, the last ones), SMALLEST,
//          INTEGER (1: words are i32), IN_WEIGHTS
// checks   src/kernel/top_k.rs::reference, equal bits
const LANES: u32 = 64u;
const PER: u32 = 4u;
const RANK: u32 = 1u;
const SMALLEST: u32 = 0u;
const INTEGER: u32 = 0u;
const IN_WEIGHTS: u32 = 0u;

struct TopKOp {
    lanes: u32,
    blocks: u32,
    n: u32,
    k: u32,
    x: u32,
    value: u32,
    place: u32,
    x_step: u32,
    value_step: u32,
    place_step: u32,
    dims: array<u32, 6>,
    x_strides: array<u32, 6>,
    value_strides: array<u32, 6>,
    place_strides: array<u32, 6>,
}

@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> arena: array<f32>;

fn top_k_load(at: u32) -> f32 {
    if ((IN_WEIGHTS & 1u) == 1u) {
        return weights[at];
    }
    return arena[at];
}

// A number that grows towards the front of the order.
fn top_k_rank(v: f32) -> u32 {
    var bits = bitcast<u32>(v);
    if (INTEGER == 1u) {
        bits = bits ^ 0x80000000u;
    } else {
        let magnitude = bits & 0x7fffffffu;
        let grown = select(magnitude | 0x80000000u, 0x80000000u - magnitude, bits > 0x80000000u);
        bits = select(grown, 0xffffffffu, magnitude > 0x7f800000u);
    }
    return select(bits, ~bits, SMALLEST == 1u);
}

fn top_k_tile(op: TopKOp, tile: u32, lane: u32) {
    var p = op;
    let number = tile * LANES + lane;
    if (number < p.lanes) {
        let first = (number % p.blocks) * PER;
        var rest = number / p.blocks;
        var x = p.x;
        var value = p.value;
        var place = p.place;
        for (var d = 0u; d < RANK; d++) {
            let axis = 5u - d;
            var c = rest;
            if (d + 1u < RANK) {
                c = rest % p.dims[axis];
                rest = rest / p.dims[axis];
            }
            x += c * p.x_strides[axis];
            value += c * p.value_strides[axis];
            place += c * p.place_strides[axis];
        }
        var ranks: array<u32, PER>;
        var before: array<u32, PER>;
        for (var i = 0u; i < PER; i++) {
            // Beyond the line the last element stands in; it is not written.
            ranks[i] = top_k_rank(top_k_load(x + min(first + i, p.n - 1u) * p.x_step));
            before[i] = 0u;
        }
        var at = x;
        for (var j = 0u; j < p.n; j++) {
            let rank = top_k_rank(top_k_load(at));
            at += p.x_step;
            for (var i = 0u; i < PER; i++) {
                before[i] += select(0u, 1u, rank > ranks[i] || (rank == ranks[i] && j < first + i));
            }
        }
        var places = before;
        for (var i = 0u; i < min(PER, p.n - first); i++) {
            if (places[i] < p.k) {
                arena[value + places[i] * p.value_step] = top_k_load(x + (first + i) * p.x_step);
                arena[place + places[i] * p.place_step] = bitcast<f32>(first + i);
            }
        }
    }
}
