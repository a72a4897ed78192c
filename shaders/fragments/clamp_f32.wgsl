// clamp_f32: x between low and high; NaN stays
fn clamp_f32(x: f32, low: f32, high: f32) -> f32 {
    return select(select(x, low, x < low), high, x > high);
}
