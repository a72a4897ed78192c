// cos_f32: cos
fn cos_f32(x: f32) -> f32 {
    return cos(x);
}
