// atanh_f32: inverse hyperbolic tangent
fn atanh_f32(x: f32) -> f32 {
    return 0.5 * log((1.0 + x) / (1.0 - x));
}
