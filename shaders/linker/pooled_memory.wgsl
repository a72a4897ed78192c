// pooled_memory: where a tenant's words lie in buffers that a group of tenants shares
//   A kernel counts words from its tenant's first one. The linker sends every index of `weights`, `arena` and their pairs
//   through these functions: no index, whatever it is, leaves the tenant's own range. `set_memory` says which that is; it
//   is the same for all invocations of a workgroup.
// links  src/hal/wgpu/cokernel/compose.rs
// checks tests/cokernels/isolation.rs
var<private> weights_first: u32;
var<private> weights_last: u32;
var<private> arena_first: u32;
var<private> arena_last: u32;

fn set_memory(first_weight: u32, last_weight: u32, first_word: u32, last_word: u32) {
    weights_first = first_weight;
    weights_last = last_weight;
    arena_first = first_word;
    arena_last = last_word;
}

fn weights_at(i: u32) -> u32 {
    return weights_first + min(i, weights_last);
}

fn arena_at(i: u32) -> u32 {
    return arena_first + min(i, arena_last);
}

// Ranges begin at even words and have an even number of them.
fn weight_pairs_at(i: u32) -> u32 {
    return weights_first / 2u + min(i, weights_last / 2u);
}

fn arena_pairs_at(i: u32) -> u32 {
    return arena_first / 2u + min(i, arena_last / 2u);
}
