// i32_to_bool: 1 where not zero
fn i32_to_bool(x: i32) -> u32 {
    return select(0u, 1u, x != 0);
}
