// selu: gamma x, or gamma alpha (e^x - 1) where negative; NaN stays
fn selu(x: f32, alpha: f32, gamma: f32) -> f32 {
    let near = x + x * x * (0.5 + x * (1.6666667e-1 + x * (4.1666668e-2 + x * (8.3333338e-3 + x * (1.3888889e-3 + x * 1.984127e-4)))));
    let y = select(exp(x) - 1.0, near, x > -0.5);
    return gamma * select(x, alpha * y, x < 0.0);
}
