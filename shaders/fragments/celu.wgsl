// celu: x, or alpha (e^(x / alpha) - 1) where negative; NaN stays
fn celu(x: f32, alpha: f32) -> f32 {
    let q = x / alpha;
    let near = q + q * q * (0.5 + q * (1.6666667e-1 + q * (4.1666668e-2 + q * (8.3333338e-3 + q * (1.3888889e-3 + q * 1.984127e-4)))));
    let y = select(exp(q) - 1.0, near, abs(q) < 0.5);
    return select(x, alpha * y, x < 0.0);
}
