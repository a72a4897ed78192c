// hard_swish: x * clamp(x / 6 + 1/2, 0, 1)
fn hard_swish(x: f32) -> f32 {
    return x * clamp(x / 6.0 + 0.5, 0.0, 1.0);
}
