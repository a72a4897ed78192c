// sin_f32: sin
fn sin_f32(x: f32) -> f32 {
    return sin(x);
}
