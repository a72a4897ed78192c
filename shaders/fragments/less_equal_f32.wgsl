// less_equal_f32: 1 where a <= b, else 0
fn less_equal_f32(a: f32, b: f32) -> u32 {
    return select(0u, 1u, a <= b);
}
