// cosh_f32: cosh
fn cosh_f32(x: f32) -> f32 {
    return cosh(x);
}
