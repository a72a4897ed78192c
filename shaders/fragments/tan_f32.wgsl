// tan_f32: tan
fn tan_f32(x: f32) -> f32 {
    return tan(x);
}
