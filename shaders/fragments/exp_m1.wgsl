// exp_m1: e^x - 1, exact near zero too; NaN stays
fn exp_m1(x: f32) -> f32 {
    let near = x + x * x * (0.5 + x * (1.6666667e-1 + x * (4.1666668e-2 + x * (8.3333338e-3 + x * (1.3888889e-3 + x * 1.984127e-4)))));
    let y = select(exp(x) - 1.0, near, abs(x) < 0.5);
    let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(y, x, nan);
}
