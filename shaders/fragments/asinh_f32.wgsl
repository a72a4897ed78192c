// asinh_f32: inverse hyperbolic sine
fn asinh_f32(x: f32) -> f32 {
    let a = abs(x);
    return sign(x) * log(a + sqrt(a * a + 1.0));
}
