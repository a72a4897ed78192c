// erf: error function: its series below 0.6, else 1 - erfc by a rational Chebyshev fit in 1 / (1 + |x| / 2); NaN stays
fn erf(x: f32) -> f32 {
    let a = abs(x);
    let t = 1.0 / (1.0 + 0.5 * a);
    let p = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807
        + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    let far = 1.0 - t * exp(p - a * a);
    let z = x * x;
    let near = 1.1283791671 * x * (1.0 + z * (-1.0 / 3.0 + z * (0.1 + z * (-1.0 / 42.0 + z * (1.0 / 216.0 - z / 1320.0)))));
    let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(select(select(far, -far, x < 0.0), near, a < 0.6), x, nan);
}
