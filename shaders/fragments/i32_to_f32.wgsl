// i32_to_f32: nearest float
fn i32_to_f32(x: i32) -> f32 {
    return f32(x);
}
