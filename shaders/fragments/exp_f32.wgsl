// exp_f32: e to the x; NaN stays
fn exp_f32(x: f32) -> f32 {
    let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(exp(x), x, nan);
}
