// f32_to_bool: 1 where not zero, for NaN too
fn f32_to_bool(x: f32) -> u32 {
    return select(1u, 0u, x == 0.0);
}
