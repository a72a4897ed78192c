// hard_sigmoid: clamp(alpha x + beta, 0, 1); NaN stays
fn hard_sigmoid(x: f32, alpha: f32, beta: f32) -> f32 {
    return select(clamp(alpha * x + beta, 0.0, 1.0), x, x != x);
}
