// leaky_relu: x, or slope times x where negative
fn leaky_relu(x: f32, slope: f32) -> f32 {
    return select(x, x * slope, x < 0.0);
}
