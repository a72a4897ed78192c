// less_i32: 1 where a < b, else 0
fn less_i32(a: i32, b: i32) -> u32 {
    return select(0u, 1u, a < b);
}
