// abs_f32: |x|
fn abs_f32(x: f32) -> f32 {
    return abs(x);
}
