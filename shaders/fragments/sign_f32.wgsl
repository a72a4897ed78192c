// sign_f32: -1, 0 or 1; NaN stays
fn sign_f32(x: f32) -> f32 {
    return select(select(x, -1.0, x < 0.0), 1.0, x > 0.0);
}
