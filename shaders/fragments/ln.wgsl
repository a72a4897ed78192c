// ln: natural logarithm, by exponent and mantissa; below zero and for NaN it is NaN
fn ln(x: f32) -> f32 {
    // Denormal numbers are scaled up first.
    let small = x < 1.17549435e-38;
    let bits = bitcast<u32>(select(x, x * 8388608.0, small));
    // x = 2^e m with m in [sqrt(1/2), sqrt(2)); f = m - 1 is exact, so nothing is lost near one.
    let e = i32(bits - 0x3f3504f3u) >> 23u;
    let f = bitcast<f32>(bits - (u32(e) << 23u)) - 1.0;
    let z = f * f;
    let p = ((((((((0.070376836292 * f - 0.1151461031) * f + 0.116769987) * f - 0.12420140846) * f + 0.14249322787) * f
        - 0.16668057665) * f + 0.20000714765) * f - 0.24999993993) * f + 0.33333331174) * f * z;
    let n = f32(e) - select(0.0, 23.0, small);
    let y = p + n * -2.12194440e-4 - 0.5 * z + f + n * 0.693359375;
    // Infinity stays; minus infinity at zero; NaN below.
    let nan = bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
    let low = select(nan, bitcast<f32>((bitcast<u32>(x) & 0u) | 0xff800000u), x == 0.0);
    return select(select(low, x, x > 3.40282347e38), y, x > 0.0 && x <= 3.40282347e38);
}
