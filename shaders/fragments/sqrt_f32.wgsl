// sqrt_f32: square root
fn sqrt_f32(x: f32) -> f32 {
    return sqrt(x);
}
