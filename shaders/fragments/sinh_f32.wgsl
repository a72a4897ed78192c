// sinh_f32: hyperbolic sine; a polynomial below 1; e^(|x|/2) twice, so that it overflows no sooner than the result
fn sinh_f32(x: f32) -> f32 {
    let z = x * x;
    let near = x + x * z * (1.6666667e-1 + z * (8.3333333e-3 + z * (1.9841270e-4 + z * 2.7557319e-6)));
    let a = abs(x);
    let h = exp(0.5 * a);
    let far = 0.5 * h * h - 0.5 / (h * h);
    let y = select(select(far, -far, x < 0.0), near, a < 1.0);
    let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(y, x, nan);
}
