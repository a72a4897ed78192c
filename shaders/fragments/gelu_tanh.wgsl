// gelu_tanh: the tanh approximation of gelu
fn gelu_tanh(x: f32) -> f32 {
    let z = 0.7978845608 * (x + 0.044715 * x * x * x);
    let t = clamp(z, -10.0, 10.0);
    return 0.5 * x * (2.0 - 2.0 / (exp(2.0 * t) + 1.0));
}
