// pow_f32: a to the b; negative a only with integer b; relative error 1e-5 near overflow, where b ln a is large
fn pow_f32(a: f32, b: f32) -> f32 {
    // ln |a| as in ln.wgsl, in two parts so that the product with b keeps more bits.
    let m = abs(a);
    let small = m < 1.17549435e-38;
    let bits = bitcast<u32>(select(m, m * 8388608.0, small));
    let e = i32(bits - 0x3f3504f3u) >> 23u;
    let f = bitcast<f32>(bits - (u32(e) << 23u)) - 1.0;
    let z = f * f;
    let p = ((((((((0.070376836292 * f - 0.1151461031) * f + 0.116769987) * f - 0.12420140846) * f + 0.14249322787) * f
        - 0.16668057665) * f + 0.20000714765) * f - 0.24999993993) * f + 0.33333331174) * f * z - 0.5 * z + f;
    // Base two: |a|^b = 2^(b (n + p / ln 2)); whole parts are exact powers.
    let n = f32(e) - select(0.0, 23.0, small);
    let finite = exp2(b * (n + p * 1.4426950409));
    let grows = (m > 1.0) == (b > 0.0);
    let infinite = bitcast<f32>((bits & 0u) | 0x7f800000u);
    // Bases 0 and infinity and infinite exponents have limits; |a| = 1 stays 1.
    let extreme = m == 0.0 || m > 3.40282347e38 || abs(b) > 3.40282347e38;
    let power = select(select(finite, select(0.0, infinite, grows), extreme), 1.0, m == 1.0);
    let odd = abs(b) % 2.0 == 1.0;
    let whole = floor(b) == b || m > 3.40282347e38;
    let nan = bitcast<f32>(bitcast<u32>(a) | 0x7fc00000u);
    let signed = select(select(nan, power, whole), -power, odd && whole);
    // -0 to an odd power keeps its sign; m > 3.40282347e38 holds for no NaN.
    let minus = (bitcast<u32>(a) >> 31u) == 1u && (m > 0.0 || odd);
    let y = select(power, signed, minus);
    let undefined = (bitcast<u32>(a) & 0x7fffffffu) > 0x7f800000u || (bitcast<u32>(b) & 0x7fffffffu) > 0x7f800000u;
    return select(select(y, nan, undefined), 1.0, b == 0.0 || a == 1.0);
}
