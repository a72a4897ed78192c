// rem_f32: remainder with the sign of a
fn rem_f32(a: f32, b: f32) -> f32 {
    return a - b * trunc(a / b);
}
