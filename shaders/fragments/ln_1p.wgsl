// ln_1p: ln(1 + x), exact near zero too; below -1 and for NaN it is NaN
fn ln_1p(x: f32) -> f32 {
    // ln(1 + x) = 2 artanh(x / (2 + x)) near zero.
    let s = x / (2.0 + x);
    let z = s * s;
    let near = 2.0 * s * (1.0 + z * (0.33333333 + z * (0.2 + z * (0.14285714 + z * (0.11111111 + z * 0.09090909)))));
    let y = select(log(1.0 + x), near, abs(x) < 0.5);
    // Infinity stays; minus infinity at -1; NaN below.
    let nan = bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
    let low = select(nan, bitcast<f32>((bitcast<u32>(x) & 0u) | 0xff800000u), x == -1.0);
    return select(select(low, x, x > 3.40282347e38), y, x > -1.0 && x <= 3.40282347e38);
}
