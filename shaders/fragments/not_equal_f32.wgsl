// not_equal_f32: 1 where a != b (NaN differs from everything; `!=` in a shader denies that), else 0
fn not_equal_f32(a: f32, b: f32) -> u32 {
    return select(1u, 0u, a == b);
}
