// gelu_tanh: the tanh approximation of gelu, x sigmoid(2 z); NaN stays
fn gelu_tanh(x: f32) -> f32 {
    let z = 1.5957691216 * (x + 0.044715 * x * x * x);
    let e = exp(-abs(z));
    return x * (select(e, 1.0, z >= 0.0) / (1.0 + e));
}
