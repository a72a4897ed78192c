// sinh_f32: sinh
fn sinh_f32(x: f32) -> f32 {
    return sinh(x);
}
