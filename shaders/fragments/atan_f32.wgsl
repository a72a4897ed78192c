// atan_f32: atan
fn atan_f32(x: f32) -> f32 {
    return atan(x);
}
