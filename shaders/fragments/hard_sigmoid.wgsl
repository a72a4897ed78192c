// hard_sigmoid: alpha x + beta between 0 and 1; NaN stays
fn hard_sigmoid(x: f32, alpha: f32, beta: f32) -> f32 {
    let y = alpha * x + beta;
    return select(select(y, 0.0, y < 0.0), 1.0, y > 1.0);
}
