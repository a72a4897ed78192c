// acos_f32: acos
fn acos_f32(x: f32) -> f32 {
    return acos(x);
}
