// asinh_f32: inverse hyperbolic sine; a polynomial below 0.5; NaN stays
fn asinh_f32(x: f32) -> f32 {
    let a = abs(x);
    let z = a * a;
    let near = a + a * z * (-1.6666288134e-1 + z * (7.4847586088e-2 + z * (-4.2699340972e-2 + z * 2.0122003309e-2)));
    let far = select(log(a + sqrt(z + 1.0)), log(a) + 0.6931471806, a > 1e4);
    let y = select(far, near, a < 0.5);
    let odd = (bitcast<u32>(x) & 0x7fffffffu) >= 0x7f800000u;
    return select(select(y, -y, x < 0.0), x, odd);
}
