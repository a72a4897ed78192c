// cosh_f32: hyperbolic cosine; e^(|x|/2) twice, so that it overflows no sooner than the result
fn cosh_f32(x: f32) -> f32 {
    let h = exp(0.5 * abs(x));
    let y = 0.5 * h * h + 0.5 / (h * h);
    let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(y, x, nan);
}
