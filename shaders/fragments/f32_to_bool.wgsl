// f32_to_bool: 1 where not zero
fn f32_to_bool(x: f32) -> u32 {
    return select(0u, 1u, x != 0.0);
}
