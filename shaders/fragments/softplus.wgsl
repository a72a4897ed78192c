// softplus: ln(1 + e^x) = max(x, 0) + 2 artanh(e^-|x| / (2 + e^-|x|)); NaN stays
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = e / (2.0 + e);
    let z = s * s;
    let y = 2.0 * s * (1.0 + z * (0.33333333 + z * (0.2 + z * (0.14285714 + z * (0.11111111 + z * 0.09090909)))));
    let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(y + select(0.0, x, x > 0.0), x, nan);
}
