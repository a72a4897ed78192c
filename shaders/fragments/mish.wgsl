// mish: x tanh(ln(1 + e^x)), by e^-|x|, which never overflows; NaN stays
fn mish(x: f32) -> f32 {
    let e = exp(-abs(x));
    let positive = (1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e);
    let negative = e * (e + 2.0) / (e * (e + 2.0) + 2.0);
    return x * select(negative, positive, x >= 0.0);
}
