// silu: x times its logistic function; NaN stays
fn silu(x: f32) -> f32 {
    let e = exp(-abs(x));
    return x * (select(e, 1.0, x >= 0.0) / (1.0 + e));
}
