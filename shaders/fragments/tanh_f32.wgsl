// tanh_f32: hyperbolic tangent; a polynomial below 0.625, else by e^-2|x|; NaN stays
fn tanh_f32(x: f32) -> f32 {
    let z = x * x;
    let near = x + x * z * (-3.33332819422e-1 + z * (1.33314422036e-1 + z * (-5.37397155531e-2 + z * (2.06390887954e-2 - z * 5.70498872745e-3))));
    let e = exp(-2.0 * abs(x));
    let far = (1.0 - e) / (1.0 + e);
    let y = select(select(far, -far, x < 0.0), near, abs(x) < 0.625);
    let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(y, x, nan);
}
