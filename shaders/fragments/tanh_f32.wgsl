// tanh_f32: hyperbolic tangent; the clamp keeps e^2x finite, NaN stays
fn tanh_f32(x: f32) -> f32 {
    let t = clamp(x, -10.0, 10.0);
    // Near zero 1 - 2 / (e^2x + 1) cancels, so the odd series is used there.
    let near = x * (1.0 + x * x * (-1.0 / 3.0 + x * x * (2.0 / 15.0 - x * x * (17.0 / 315.0))));
    let far = 1.0 - 2.0 / (exp(2.0 * t) + 1.0);
    return select(select(far, near, abs(x) < 0.2), x, x != x);
}
