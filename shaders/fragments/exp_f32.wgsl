// exp_f32: e to the x
fn exp_f32(x: f32) -> f32 {
    return exp(x);
}
