// mod_f32: remainder with the sign of b
fn mod_f32(a: f32, b: f32) -> f32 {
    return a - b * floor(a / b);
}
