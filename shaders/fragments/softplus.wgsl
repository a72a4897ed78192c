// softplus: ln(1 + e^x) without overflow; NaN stays
fn softplus(x: f32) -> f32 {
    return select(log(1.0 + exp(-abs(x))) + max(x, 0.0), x, x != x);
}
