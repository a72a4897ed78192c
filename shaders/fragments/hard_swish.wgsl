// hard_swish: x times x / 6 + 1/2 between 0 and 1; NaN stays
fn hard_swish(x: f32) -> f32 {
    let y = x / 6.0 + 0.5;
    return x * select(select(y, 0.0, y < 0.0), 1.0, y > 1.0);
}
