// acosh_f32: inverse hyperbolic cosine
fn acosh_f32(x: f32) -> f32 {
    return log(x + sqrt(x * x - 1.0));
}
