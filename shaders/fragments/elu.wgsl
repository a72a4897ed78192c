// elu: x, or alpha (e^x - 1) where negative
fn elu(x: f32, alpha: f32) -> f32 {
    return select(x, alpha * (exp(x) - 1.0), x < 0.0);
}
