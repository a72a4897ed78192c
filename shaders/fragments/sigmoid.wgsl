// sigmoid: logistic function, by e^-|x|, which never overflows; NaN stays
fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    let y = select(e, 1.0, x >= 0.0) / (1.0 + e);
    let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(y, x, nan);
}
